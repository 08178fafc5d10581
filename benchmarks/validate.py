"""Are the error bars of `validate` right, and does it rank sets as their truth does?

    python benchmarks/validate.py [--draws 30] [--particles 400] [--scene fine]

Draws independent data sets of one made-up protein, with 150 Å of scatter about the input's defocus,
and judges on each: the truth, two estimates of one quality (truth plus 60 Å, noise of their own), a
poor one (plus 120 Å), and the controls of the truth. Printed are the mean of each set's worth, how it
scatters over the draws beside the mean error bar that a single data set gives (pull: sd of (worth -
mean) / error), and how often the 68 % interval of the difference of the two alike holds 0. In the scene
"coarse" defocus cannot matter, and "input" is the right choice.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from parfocal.block_jackknife import ITERATIONS, replicates
from parfocal.execution import threads
from parfocal.fsc_curves import fsc_curves
from parfocal.micrograph_blocks import blocks_of
from parfocal.negative_controls import negative_controls
from parfocal.reconstruct import reconstruct_sets
from parfocal.simulate import Scene, simulate
from parfocal.simulate.protein import protein_like
from parfocal.validation import difference, qualities
from parfocal.validation_verdict import Circumstances, best_set, ranked

SEED = 9100
NOISE = {"alike 1": 60.0, "alike 2": 60.0, "poor": 120.0}


def write_protein(path):
    """One made-up protein for all draws: another one would be worth another number."""
    atoms = protein_like(np.random.default_rng(SEED), residues=300)
    symbols = {6: "C", 7: "N", 8: "O", 16: "S"}
    lines = [
        f"ATOM  {i:5d}  {symbols[int(z)]:<3} ALA A{i:4d}    {x:8.3f}{y:8.3f}{v:8.3f}"
        f"  1.00  0.00          {symbols[int(z)]:>2}"
        for i, ((x, y, v), z) in enumerate(
            zip(atoms.position.tolist(), atoms.atomic_number, strict=True), 1
        )
    ]
    path.write_text("\n".join(lines) + "\nEND\n")


SCENES = {  # what differs
    "fine": {  # some 2 Å, where 150 Å turn the CTF by more than a radian
        "box": 80,
        "pixel_size": 0.95,
        "snr": 1.0,
        "b_factor": 10.0,
        "defocus": (3_000.0, 6_000.0),  # what is delocalised stays in so small a box
        "half_map_resolution": 3.0,
    },
    "weak": {  # some 4 Å, where defocus matters little
        "box": 64,
        "pixel_size": 1.2,
        "snr": 0.5,
        "b_factor": 30.0,
        "half_map_resolution": 3.0,
    },
    "coarse": {  # pixels of 4 Å, where it cannot
        "box": 48,
        "pixel_size": 4.0,
        "snr": 1.0,
        "b_factor": 10.0,
        "defocus": (3_000.0, 6_000.0),
        "half_map_resolution": 9.0,
    },
}


def scene_of(structure, particles, name):
    """A small protein, images of high contrast: few of them reach a resolution that matters."""
    return Scene(
        structure=structure,
        particles=particles,
        micrographs=20,
        ice_tilt=0.0,
        height_scatter=150.0,
        defocus_error=0.0,
        **SCENES[name],
    )


def draw(scene, seed, noise):
    """The qualities of one data set; `noise` by set in Å, of the truth."""
    rng = np.random.default_rng(seed)
    simulation = simulate(scene, rng)
    base, truth = simulation.particles, simulation.truth.defocus

    def with_defocus(defocus):
        change = defocus - base.defocus
        return replace(base, defocus_u=base.defocus_u + change, defocus_v=base.defocus_v + change)

    sets = {"input": base, "truth": with_defocus(truth)}
    for name, sd in noise.items():
        sets[name] = with_defocus(truth + rng.normal(0, sd, len(base)))
    sets |= negative_controls("truth", base, sets["truth"], rng=rng)
    run = threads(2)
    made = reconstruct_sets(sets, simulation.images, run=run)
    curves = {
        name: fsc_curves(
            one.half_map(1, iterations=ITERATIONS),
            one.half_map(2, iterations=ITERATIONS),
            simulation.mask,
            pixel_size=scene.pixel_size,
            rng=np.random.default_rng(0),
        )
        for name, one in made.items()
    }
    blocks = blocks_of(base, np.ones(len(base), dtype=bool))
    found = replicates(sets, simulation.images, blocks, simulation.mask, run=run)
    return qualities(curves, found, "input")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=30)
    parser.add_argument("--particles", type=int, default=400)
    parser.add_argument("--scene", choices=SCENES, default="fine")
    asked = parser.parse_args()
    folder = tempfile.TemporaryDirectory()
    structure = Path(folder.name) / "protein.pdb"
    write_protein(structure)
    scene = scene_of(structure, asked.particles, asked.scene)
    worth, resolution, alike, best, order = {}, {}, [], [], 0
    for number in range(asked.draws):
        judged = draw(scene, SEED + number, NOISE)
        about = Circumstances(
            base="input",
            whole_micrographs=True,
            was_split=False,
            voltage=scene.voltage,
            change={one.name: 0.0 for one in judged},
        )
        best.append(best_set(ranked(judged), about))
        for one in judged:
            worth.setdefault(one.name, []).append((one.worth.value, one.worth.error))
            resolution.setdefault(one.name, []).append((one.gain, one.gain_error))
        of = {one.name: one.worth.value for one in judged}
        apart = difference(
            *(one for one in sorted(judged, key=lambda q: q.name) if "alike" in one.name)
        )
        order += of["truth"] > of["alike 1"] > of["input"] > of["truth-shuffled"]
        alike.append((apart.value, apart.error))
        print(f"draw {number + 1}: {best[-1]}", flush=True)
    print(
        "| set | worth [%] | sd over draws | mean error | pull | finer by [Å] | sd | mean error |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, values in worth.items():
        (value, error), (gain, gain_error) = np.transpose(values), np.transpose(resolution[name])
        pull = (value - value.mean()) / np.where(error > 0, error, np.nan)
        print(
            f"| {name} | {100 * value.mean():+.1f} | {100 * value.std(ddof=1):.1f} | "
            f"{100 * error.mean():.1f} | {np.std(pull, ddof=1):.2f} | {gain.mean():+.3f} | "
            f"{gain.std(ddof=1):.3f} | {gain_error.mean():.3f} |"
        )
    value, error = np.transpose(alike)
    print(
        f"two alike: 68 % intervals hold 0 in {100 * np.mean(np.abs(value) < error):.0f} %, "
        f"sd of (difference / error) {np.sqrt(np.mean((value / error) ** 2)):.2f}"
    )
    print(f"truth > alike > input > shuffled in {order} of {asked.draws}")
    print("chosen:", {name: best.count(name) for name in dict.fromkeys(best)})


if __name__ == "__main__":
    main()
