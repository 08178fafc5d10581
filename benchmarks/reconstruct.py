"""Half-maps from particles: our CPU time, memory and map beside relion_reconstruct's, on one data set.

    python benchmarks/reconstruct.py --structure 6z6u.pdb [--box 192] [--particles 1000] [--relion]

Each job is a process of its own, its start and compiled kernels' loading included; one thread. RELION
makes one half-map a run: its time is the sum of two runs. Our process makes one after the other, and,
in the rows `both`, both in one pass, as `parfocal reconstruct` does, with twice the sums in memory. The
maps are compared by FSC, without a mask, up to 0.9 of Nyquist. In a map that is not regularised some
voxels are seen near zeros of the CTF alone; they are large, and what the gridding weights make of them
hangs on the number of iterations. So the last row compares RELION's map of half-set 2 with its own of
11 iterations, where 10 are its default: no other program can be nearer to it than that.
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


def ours(folder, symmetry, *, at_once):
    """Half-maps of the set in `folder`, written there; one after the other, or in one pass."""
    particles = read_particles(folder / "particles.star")
    sets = [particles] if at_once else [particles.take(particles.half_set == h) for h in (1, 2)]
    for one in sets:
        found = reconstruct(one, StackImages(one), symmetry=symmetry)
        for half in found.sums:
            path = folder / f"ours_{symmetry}_{half}.mrc"
            write_map(path, found.half_map(half), particles.optics[0].pixel_size)
        del found


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


def relion(folder, symmetry, half, name, *more):
    """(CPU s, peak GB) of RELION's map of one half-set."""
    words = [
        "relion_reconstruct",
        "--i",
        "particles.star",
        "--ctf",
        "--pad",
        "2",
        "--sym",
        symmetry,
    ]
    return spent_by([*words, "--subset", half, "--o", name, *more], cwd=folder)


def lowest_fsc(first, second):
    """Lowest FSC of two maps from the second shell to 0.9 of Nyquist."""
    maps = [read_map(path)[0] for path in (first, second)]
    curve = shell_correlation(*map(scipy.fft.rfftn, maps))
    return curve[2 : int(0.45 * len(maps[0])) + 1].min()


def beside_relion(folder, symmetry, jobs):
    """RELION's row, with its cost over that of each of our `jobs`."""
    runs = [relion(folder, symmetry, half, f"relion_{symmetry}_{half}.mrc") for half in (1, 2)]
    slow, large = sum(cpu for cpu, _ in runs), max(memory for _, memory in runs)
    fsc = min(
        lowest_fsc(*(folder / f"{who}_{symmetry}_{half}.mrc" for who in ("ours", "relion")))
        for half in (1, 2)
    )
    times, memories = (
        " and ".join(f"{whole / part[i]:.1f}" for part in jobs)
        for i, whole in enumerate((slow, large))
    )
    cost = f"{slow:.1f} | {large:.2f} | {times} | {memories}"
    return f"| relion_reconstruct, {symmetry} | {cost} | {fsc:.4f} |"


def main():
    parser = argparse.ArgumentParser(description="Half-maps: our cost beside RELION's")
    parser.add_argument(
        "--structure", type=Path, help="6z6u.pdb; needed unless --keep has the data"
    )
    parser.add_argument("--box", type=int, default=192)
    parser.add_argument("--particles", type=int, default=1000)
    parser.add_argument("--relion", action="store_true", help="run relion_reconstruct too")
    parser.add_argument("--keep", type=Path, help="folder for the data, used again if it has them")
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        symmetry, way = options.job
        ours(options.keep, symmetry, at_once=way == "both")
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.keep or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        make(folder, options)
        job = [sys.executable, __file__, "--keep", folder, "--job"]
        spent_by([*job, "O", "both"])  # compiles
        print("| both half-maps | CPU s | peak GB | CPU ratio | memory ratio | lowest FSC |")
        print("|---|---|---|---|---|---|")
        for symmetry in SYMMETRIES:
            jobs = []
            for way in ("in turn", "both"):
                jobs.append(min(spent_by([*job, symmetry, way]) for _ in range(2)))
                cpu, memory = jobs[-1]
                told = f"| parfocal, {symmetry}, {way} | {cpu:.1f} | {memory:.2f} | | | |"
                print(told, flush=True)
            if options.relion:
                print(beside_relion(folder, symmetry, jobs), flush=True)
        if options.relion:
            relion(folder, "C1", 2, "relion_more.mrc", "--iter", 11)
            fsc = lowest_fsc(folder / "relion_C1_2.mrc", folder / "relion_more.mrc")
            print(f"| RELION's C1 with 10 and with 11 iterations | | | | | {fsc:.4f} |")


if __name__ == "__main__":
    main()
