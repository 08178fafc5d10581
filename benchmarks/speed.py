"""CPU time a particle: ours beside the floor (read + rfft2 of the same stack) and relion_ctf_refine.

    python benchmarks/speed.py --structure 6z6u.pdb [--particles 1000] [--relion] [--keep FOLDER]

Everything is measured in one run on one data set, CPU seconds of the process (and of RELION's), one
thread, the best of three rounds, files in the page cache. Memory is the peak of a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.fft

ROUNDS = 3


def make(folder, structure, particles, box):
    """Simulated set on disk, unless `folder` has one already."""
    from parfocal.io import write_star
    from parfocal.simulate import Scene, simulate, write_dataset

    if (folder / "particles.star").exists():
        return
    scene = Scene(
        structure=structure,
        particles=particles,
        micrographs=max(2, particles // 100),
        box=box,
        pixel_size=256 / box,
        snr=0.03,
    )
    write_dataset(simulate(scene, np.random.default_rng(1), keep_images=False), folder)
    shells = range(box // 2 + 1)
    columns = {
        "rlnSpectralIndex": [str(s) for s in shells],
        "rlnFourierShellCorrelationCorrected": ["1.0" for _ in shells],
    }
    write_star(folder / "fsc.star", {"fsc": columns})


def cpu_ms(work, particles):
    """CPU milliseconds a particle of `work()`, best of ROUNDS."""
    best = np.inf
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return 1e3 * best / particles


def measure(folder):
    """Rows (what, CPU ms a particle)."""
    from parfocal.estimators import Profile
    from parfocal.evidence import gather
    from parfocal.inputs import ReferenceFiles, read_inputs

    inputs = read_inputs(folder / "particles.star", ReferenceFiles(map=folder / "map.mrc"))
    particles, n = inputs.particles, len(inputs.particles)
    image = np.empty((particles.optics[0].image_size,) * 2, dtype=np.float32)

    def floor():
        for row in range(n):
            inputs.images.read_into(row, image)
            scipy.fft.rfft2(image)

    def passed(padding):
        return gather(particles, inputs.images, inputs.reference, padding=padding)

    rows = [("read + rfft2, the floor", cpu_ms(floor, n))]
    evidence = passed(1.0)  # also compiles
    rows.append(("pass, unpadded, reading included", cpu_ms(lambda: passed(1.0), n)))
    rows.append(("pass, padding as delocalisation asks", cpu_ms(lambda: passed(None), n)))
    rows.append(("method profile", cpu_ms(lambda: Profile().estimate(particles, evidence), n)))
    return rows


def peak_memory(folder, out):
    """(GB at the peak, CPU s) of `parfocal estimate` as a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "parfocal", "estimate", str(folder / "particles.star")]
    command += ["--map", str(folder / "map.mrc"), "--out", str(out), "--json"]
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return after.ru_maxrss / 1e6, spent


def relion(folder, particles):
    """CPU ms a particle and peak GB of relion_ctf_refine --fit_defocus, one thread."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = (
        "relion_ctf_refine --i particles.star --f fsc.star --o relion/ --m1 map.mrc --m2 map.mrc"
    )
    command += " --mask mask.mrc --fit_defocus --fit_mode fpmff --j 1"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1e3 * spent / particles, after.ru_maxrss / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structure", type=Path)
    parser.add_argument("--particles", type=int, default=1000)
    parser.add_argument("--box", type=int, default=256)
    parser.add_argument("--relion", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder for the data, used again if it has them")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch) / "data"
        make(folder, options.structure, options.particles, options.box)
        rows = measure(folder)
        memory, spent = peak_memory(folder, Path(scratch) / "run")
        whole = 1e3 * spent / options.particles
        rows.append((f"whole command with start-up and report ({memory:.2f} GB)", whole))
        if options.relion:
            theirs, gigabytes = relion(folder, options.particles)
            rows.append((f"relion_ctf_refine 3.1.3 ({gigabytes:.2f} GB)", theirs))
    for name, value in rows:
        print(f"{name:<56}{value:8.2f} ms{value / rows[0][1]:8.1f} x floor")
    if options.json:
        options.json.write_text(json.dumps(dict(rows), indent=2))


if __name__ == "__main__":
    main()
