"""The gallery: the paper's figures on a simulated set whose every defocus is known.

    python benchmarks/gallery.py [--keep FOLDER] [--words]

Simulates (seed of this gallery alone), estimates in the style of four programs and by `bayes`, again
after a second refinement and from two half-doses, compares and combines, and measures all of it
against the truth. Writes docs/gallery: PNG files, numbers.json, and the parts of README.md between
marks. With --words only these are written again, from numbers.json. Figures are drawn by Debian's
chromium through playwright, which is a tool of this command alone.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from gallery_figures import draw, figures_of
from gallery_measures import Gallery, measure
from gallery_words import words
from methods import write

from parfocal.conventions import DEGREE, euler_angles, pose_from_cryosparc, rotation_matrix
from parfocal.inputs import ReferenceFiles
from parfocal.io import read_particles, read_star, write_star
from parfocal.io.micrographs import read_micrograph, write_micrograph
from parfocal.io.mrc import write_stack
from parfocal.particles import Particles
from parfocal.pipeline import EstimateSettings, estimate
from parfocal.set_inputs import read_sets
from parfocal.simulate import Scene, simulate, write_dataset
from parfocal.simulate.dataset import read_truth

FOLDER = Path(__file__).parents[1] / "docs" / "gallery"
SEED = 108030
PROGRAMS = ("relion", "cryosparc", "xmipp", "gctf")
SCENE = Scene(
    particles=1000,
    micrographs=10,
    box=128,
    pixel_size=1.2,
    snr=0.02,
    b_factor=60.0,
    defocus=(8_000.0, 18_000.0),
    defocus_error=100.0,
    ice_tilt=5.0,
    sheets=0,
    ice_thickness=280.0,  # that centres of particles of 120 Å have in 400 Å of ice
    height_scatter=10.0,
    pose_error=0.4,
    shift_error=0.2,
    whole_micrographs=True,
    micrograph_size=(2048, 2048),
    micrograph_pixel_size=1.2,
    amorphous=1.0,
)
RESOLUTION = 2.6  # Å, to which the map is trusted
TURN, SHIFT, OFF_CENTRE = 0.25, 0.1, 60.0  # °, Å and Å: what a second refinement and pick change


def make_data(folder: Path) -> None:
    """The set in folder/sim; in `again` the poses and picks of a second refinement; two half-doses."""
    data, noise, poses = np.random.default_rng(SEED).spawn(3)
    write_dataset(simulate(SCENE, data, keep_images=False), folder / "sim")
    particles = read_particles(folder / "sim" / "particles.star")
    _half_doses(folder, particles, noise)
    _second_refinement(folder, particles, poses)


def _half_doses(folder: Path, particles: Particles, rng: np.random.Generator) -> None:
    """Two sets with twice the noise variance, independent of each other, whose mean is the set."""
    box = SCENE.box
    for micrograph in dict.fromkeys(particles.micrograph.tolist()):
        name = Path("micrographs") / Path(micrograph).name
        image, pixel = read_micrograph(folder / "sim" / name)
        rows = np.flatnonzero(particles.micrograph == micrograph)
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        for half, seen in (("half_1", image + noise), ("half_2", image - noise)):
            write_micrograph(folder / half / name, seen, pixel)
            cut = np.empty((len(rows), box, box), np.float32)
            for out, row in zip(cut, rows, strict=True):
                x, y = (
                    round(float(c[row]) / pixel) - box // 2
                    for c in (particles.coordinate_x, particles.coordinate_y)
                )
                out[...] = seen[y : y + box, x : x + box]
            write_stack(folder / half / "particles" / f"{name.stem}.mrcs", cut, pixel)
    for half in ("half_1", "half_2"):
        (folder / half / "particles.star").write_bytes(
            (folder / "sim" / "particles.star").read_bytes()
        )


def _second_refinement(folder: Path, particles: Particles, rng: np.random.Generator) -> None:
    """The same images with slightly other poses, and picks off centre by half a particle."""
    n = len(particles)
    turn = pose_from_cryosparc(rng.normal(scale=TURN * DEGREE, size=(n, 3)))
    pose = turn @ rotation_matrix(particles.rot, particles.tilt, particles.psi)
    angles = (angle / DEGREE for angle in euler_angles(pose))
    moved = {
        f"rlnAngle{name}": angle for name, angle in zip(("Rot", "Tilt", "Psi"), angles, strict=True)
    }
    for axis in "XY":
        here = getattr(particles, f"origin_{axis.lower()}")
        moved[f"rlnOrigin{axis}Angst"] = here + rng.normal(scale=SHIFT, size=n)
        place = getattr(particles, f"coordinate_{axis.lower()}") / SCENE.pixel_size
        moved[f"rlnCoordinate{axis}"] = place + OFF_CENTRE / np.sqrt(2) / SCENE.pixel_size
    tables = read_star(folder / "sim" / "particles.star")
    blocks = {b: {name: table.text(name) for name in table.columns} for b, table in tables.items()}
    for name, values in moved.items():
        blocks["particles"][name] = [f"{value:.6f}" for value in values]
    write_star(folder / "again" / "particles.star", blocks)
    (folder / "again" / "particles").symlink_to(folder.absolute() / "sim" / "particles")


def run(folder: Path, of: str, methods) -> dict[str, Path]:
    """Method -> estimates.star of the set in the folder `of`."""
    micrographs = folder / ("sim" if of == "again" else of)
    settings = EstimateSettings(
        methods=tuple(methods),
        options=(f"gctf.micrographs={micrographs}",),
        search_range=2000.0,
        jobs=2,
    )
    reference = ReferenceFiles(map=folder / "sim" / "map.mrc", resolution=RESOLUTION)
    out = folder / f"run_{of}"
    if not (out / "run.json").exists():
        estimate(folder / of / "particles.star", reference, out, settings)
    return {method: out / method / "estimates.star" for method in methods}


def read(folder: Path) -> Gallery:
    """Everything that was estimated, joined, and the truth."""
    start = folder / "sim" / "particles.star"
    found = {of: run(folder, of, PROGRAMS) for of in ("again", "half_1", "half_2")}
    all_files = run(folder, "sim", (*PROGRAMS, "bayes"))
    runs = {
        f"{name} {of}": path
        for name in PROGRAMS
        for of, path in (
            ("first", all_files[name]),
            ("again", found["again"][name]),
            ("half 1", found["half_1"][name]),
            ("half 2", found["half_2"][name]),
        )
    }
    four = {name: all_files[name] for name in PROGRAMS}
    return Gallery(
        all=read_sets(all_files, input_file=start).joined,
        four=read_sets(four, input_file=start).joined,
        runs=read_sets(runs, input_file=start).joined,
        truth=read_truth(folder / "sim" / "truth.star"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--keep", type=Path, help="folder for the data; what is there is reused")
    parser.add_argument("--words", action="store_true", help="README.md alone, from numbers.json")
    asked = parser.parse_args()
    stored = FOLDER / "numbers.json"
    if not asked.words:
        started = time.time()
        with tempfile.TemporaryDirectory() as temporary:
            folder = asked.keep or Path(temporary)
            if not (folder / "again").exists():
                make_data(folder)
            gallery = read(folder)
        dealt = gallery.shuffled(np.random.default_rng(SEED + 1))
        numbers = measure(gallery, dealt)
        numbers["data"]["scene"] = plain_scene(SCENE)
        stored.write_text(json.dumps(numbers, indent=1, allow_nan=False) + "\n")
        draw(figures_of(gallery, numbers, dealt), FOLDER)
        print(f"{time.time() - started:.0f} s")
    for name, text in words(json.loads(stored.read_text())).items():
        write(text, name, FOLDER / "README.md")


def plain_scene(scene: Scene) -> dict:
    """The settings that README.md tells of."""
    names = (
        "particles micrographs box pixel_size snr b_factor voltage defocus_error ice_tilt "
        "ice_thickness pose_error shift_error"
    )
    return {name: getattr(scene, name) for name in names.split()} | {
        "seed": SEED,
        "defocus": list(scene.defocus),
        "size": list(scene.micrograph_size),
        "turn": TURN,
        "shift": SHIFT,
        "off_centre": OFF_CENTRE,
        "resolution": RESOLUTION,
    }


if __name__ == "__main__":
    main()
