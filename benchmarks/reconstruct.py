"""Half-maps from particles: our CPU time, memory and map beside relion_reconstruct's, on one data set.

    python benchmarks/reconstruct.py --structure 6z6u.pdb [--box 192] [--particles 1000] [--relion]

Each job is a process of its own, its start and compiled kernels' loading included; one thread. RELION
makes one half-map a run, we make both in one pass; the table gives the sum of RELION's two runs. The
maps are compared by FSC, without a mask, up to 0.9 of Nyquist.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.fft

from parfocal.fsc import shell_correlation
from parfocal.io import StackImages, read_map, read_particles, write_map
from parfocal.reconstruct import reconstruct
from parfocal.simulate import Scene, simulate, write_dataset

SYMMETRIES = ("C1", "O")


def make(folder, options):
    """Simulated apoferritin of about 200 Å of field on disk, unless `folder` has one already."""
    if (folder / "particles.star").exists():
        return
    scene = Scene(
        structure=options.structure,
        particles=options.particles,
        micrographs=max(2, options.particles // 100),
        box=options.box,
        pixel_size=200.0 / options.box,
        snr=0.05,
        b_factor=50.0,
    )
    write_dataset(simulate(scene, np.random.default_rng(1), keep_images=False), folder)


def ours(folder, symmetry, pad):
    """Both half-maps of the set in `folder`, written there."""
    particles = read_particles(folder / "particles.star")
    found = reconstruct(particles, StackImages(particles), symmetry=symmetry, padding=pad)
    for half in (1, 2):
        write_map(
            folder / f"ours_{symmetry}_{half}.mrc",
            found.half_map(half),
            particles.optics[0].pixel_size,
        )


def spent_by(command, **options):
    """(CPU s, peak GB) of a process of its own."""
    usage = "import resource, subprocess, sys; r = subprocess.run(sys.argv[1:], stdout=2);"
    usage += "u = resource.getrusage(resource.RUSAGE_CHILDREN);"
    usage += "print(u.ru_utime + u.ru_stime, u.ru_maxrss / 1e6); sys.exit(r.returncode)"
    done = subprocess.run(
        [sys.executable, "-c", usage, *map(str, command)],
        check=True,
        capture_output=True,
        text=True,
        **options,
    )
    return tuple(map(float, done.stdout.split()))


def relion(folder, symmetry):
    """(CPU s of both half-maps, peak GB of either)."""
    arguments = ["relion_reconstruct", "--i", "particles.star", "--ctf", "--pad", "2"]
    runs = [
        spent_by(
            [
                *arguments,
                "--sym",
                symmetry,
                "--subset",
                half,
                "--o",
                f"relion_{symmetry}_{half}.mrc",
            ],
            cwd=folder,
        )
        for half in (1, 2)
    ]
    return sum(cpu for cpu, _ in runs), max(memory for _, memory in runs)


def agreement(folder, symmetry):
    """Lowest FSC of our map and RELION's from the second shell to 0.9 of Nyquist, over both halves."""
    lowest = 1.0
    for half in (1, 2):
        maps = [read_map(folder / f"{who}_{symmetry}_{half}.mrc")[0] for who in ("ours", "relion")]
        curve = shell_correlation(*map(scipy.fft.rfftn, maps))
        lowest = min(lowest, curve[2 : int(0.45 * len(maps[0])) + 1].min())
    return lowest


def main():
    parser = argparse.ArgumentParser(description="Half-maps: our cost beside RELION's")
    parser.add_argument(
        "--structure", type=Path, help="6z6u.pdb; needed unless --keep has the data"
    )
    parser.add_argument("--box", type=int, default=192)
    parser.add_argument("--particles", type=int, default=1000)
    parser.add_argument("--relion", action="store_true", help="run relion_reconstruct too")
    parser.add_argument("--keep", type=Path, help="folder for the data, used again if it has them")
    parser.add_argument("--job", choices=SYMMETRIES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        ours(options.keep, options.job, 2.0)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.keep or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        make(folder, options)
        job = [sys.executable, __file__, "--keep", folder, "--job"]
        spent_by([*job, "O"])  # compiles
        print("| both half-maps | CPU s | peak GB | CPU ratio | memory ratio | lowest FSC |")
        print("|---|---|---|---|---|---|")
        for symmetry in SYMMETRIES:
            cpu, memory = min(spent_by([*job, symmetry]) for _ in range(2))
            print(f"| parfocal, {symmetry} | {cpu:.1f} | {memory:.2f} | | | |", flush=True)
            if options.relion:
                slow, large = relion(folder, symmetry)
                ratios = (
                    f"{slow / cpu:.1f} | {large / memory:.2f} | {agreement(folder, symmetry):.4f}"
                )
                print(f"| relion_reconstruct, {symmetry} | {slow:.1f} | {large:.2f} | {ratios} |")


if __name__ == "__main__":
    main()
