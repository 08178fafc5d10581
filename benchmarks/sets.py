"""What many sets of many particles cost: reading, joining, comparing, combining; seconds and memory.

    python benchmarks/sets.py [--particles 1000000] [--sets 6] [--folder FOLDER]

Sets of 8,000 micrographs, their numbers drawn at random: what one method would write of each. Bound,
on two cores: six sets of a million particles read and joined in 30 s, in 2.5 GB; compared, and
combined, in 60 s each with all that they write, in 4 GB, their pages below 20 MB.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from parfocal.compare_run import run_compare
from parfocal.consensus_run import run_consensus
from parfocal.estimates import DefocusEstimates, Status
from parfocal.io import read_particles, write_estimates
from parfocal.io.defocus_sets import named_files, read_defocus_set
from parfocal.io.star import Rounded, write_star
from parfocal.join import join

MICROGRAPHS = 8_000
FIELD = (4000.0, 4000.0)  # Å
PIXEL = 1.06  # Å
SHARED, OWN, FOLD = 60.0, 50.0, 85.0  # Å: heights, noise of a method, and of either fold beside it


def names(number):
    """(n,) image names of particles in micrographs `number` (n,), which counts upwards, and theirs."""
    index = np.arange(len(number)) - np.searchsorted(number, number)
    called = [f"FoilHole_24015405_Data_24016401_{m:06d}_Fractions" for m in range(MICROGRAPHS)]
    places = zip(index.tolist(), number.tolist(), strict=True)
    images = [f"{i + 1:06d}@Extract/job018/Movies/{called[m]}.mrcs" for i, m in places]
    micrographs = np.array([f"MotionCorr/job002/Movies/{c}.mrc" for c in called], dtype=object)
    return np.array(images, dtype=object), micrographs[number]


def make(folder, particles, sets):
    """Write the particle file, and an estimates.star for each set."""
    rng = np.random.default_rng(0)
    number = np.sort(rng.integers(MICROGRAPHS, size=particles))
    image, micrograph = names(number)
    x, y = rng.uniform(0, FIELD, (particles, 2)).T
    prior = rng.uniform(8e3, 2.2e4, MICROGRAPHS)[number]
    height = rng.normal(0, SHARED, particles)
    write_particles(folder / "particles.star", image, micrograph, (x, y, prior), rng)
    for one in range(sets):
        change = height + rng.normal(0, OWN, particles)
        estimates = DefocusEstimates(
            method=f"method_{one}",
            particle_id=image,
            micrograph=micrograph,
            coordinate_x=x,
            coordinate_y=y,
            defocus_prior=prior,
            defocus_change=change,
            defocus_error=rng.uniform(0.8, 1.2, particles) * OWN,
            change_of_fold_1=change + rng.normal(0, FOLD, particles),
            change_of_fold_2=change + rng.normal(0, FOLD, particles),
            ice_height=change,
            gain_of_shift=rng.normal(1, 2, particles),
            gain_of_plane=rng.normal(1, 2, particles),
            held_out_gain=rng.normal(1, 2, particles),
            status=np.where(rng.random(particles) < 0.02, Status.FLAT, Status.OK),
        )
        start = time.perf_counter()
        write_estimates(folder / f"method_{one}" / "estimates.star", estimates)
        print(f"written {one}: {time.perf_counter() - start:.1f} s", flush=True)


def write_particles(path, image, micrograph, places, rng):
    """A particle file as a refinement with RELION leaves it."""
    n, (x, y, defocus) = len(image), places
    optics = {
        "rlnOpticsGroup": "1",
        "rlnOpticsGroupName": "opticsGroup1",
        "rlnVoltage": "300.0",
        "rlnSphericalAberration": "2.7",
        "rlnAmplitudeContrast": "0.1",
        "rlnImagePixelSize": str(PIXEL),
        "rlnMicrographPixelSize": str(PIXEL),
        "rlnImageSize": "256",
    }
    angles = (("Rot", 360.0), ("Tilt", 180.0), ("Psi", 360.0))
    columns = {
        "rlnCoordinateX": Rounded(x / PIXEL, 6),
        "rlnCoordinateY": Rounded(y / PIXEL, 6),
        "rlnImageName": image,
        "rlnMicrographName": micrograph,
        "rlnOpticsGroup": ["1"] * n,
        "rlnDefocusU": Rounded(defocus + 100, 6),
        "rlnDefocusV": Rounded(defocus - 100, 6),
        "rlnDefocusAngle": Rounded(rng.uniform(0, 180, n), 6),
        "rlnPhaseShift": Rounded(np.zeros(n), 6),
        **{f"rlnAngle{a}": Rounded(rng.uniform(0, most, n), 6) for a, most in angles},
        "rlnOriginXAngst": Rounded(rng.normal(0, 3, n), 6),
        "rlnOriginYAngst": Rounded(rng.normal(0, 3, n), 6),
        "rlnRandomSubset": [str(1 + row % 2) for row in range(n)],
    }
    groups = {name: [token] for name, token in optics.items()}
    write_star(path, {"optics": groups, "particles": columns})


def peak():
    """GB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def told(what, start):
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    print(f"{what}: {wall:.1f} s, {cpu:.1f} s of CPU, peak {peak():.2f} GB", flush=True)


def now():
    return time.perf_counter(), time.process_time()


def read_input(folder):
    start = now()
    particles = read_particles(folder / "particles.star")
    told(f"read_particles, {len(particles)} rows", start)


def join_sets(folder):
    start = now()
    files = sorted(folder.glob("*/estimates.star"))
    joined = join(read_defocus_set(path, path.parent.name) for path in files)
    told(f"{len(files)} sets of {len(joined)} read and joined", start)


def compare_sets(folder):
    start = now()
    with tempfile.TemporaryDirectory() as out:
        run_compare(named_files([str(folder)]), Path(out) / "compare")
        told(f"compared, page of {page_size(out)} MB", start)


def combine_sets(folder):
    start = now()
    with tempfile.TemporaryDirectory() as out:
        run_consensus(named_files([str(folder)]), Path(out) / "consensus")
        told(f"combined, page of {page_size(out)} MB", start)


def page_size(folder):
    """Of the one report under `folder`."""
    (page,) = Path(folder).glob("*/report.html")
    return round(page.stat().st_size / 1e6, 1)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--particles", type=int, default=1_000_000)
    parser.add_argument("--sets", type=int, default=6)
    parser.add_argument("--folder", type=Path, help="keeps the sets, or holds them already")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        STEPS[asked.step](asked.folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.folder or Path(scratch)
        if not (folder / "particles.star").exists():
            make(folder, asked.particles, asked.sets)
        for step in STEPS:  # each in a process of its own, for its peak of memory
            command = [sys.executable, __file__, "--folder", str(folder), "--step", step]
            subprocess.run(command, check=True, env=os.environ)


STEPS = {
    "particles": read_input,
    "join": join_sets,
    "compare": compare_sets,
    "consensus": combine_sets,
}

if __name__ == "__main__":
    main()
