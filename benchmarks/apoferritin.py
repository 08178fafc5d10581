"""The headline numbers: simulated apoferritin, box 256, SNR 0.03, exact map; ours beside RELION's.

    python benchmarks/apoferritin.py --structure 6z6u.pdb [--particles 1000] [--relion] [--readme]

Accuracy is judged against the simulation's truth and its Cramér-Rao bound. Speed is CPU time a
particle, best of three rounds on one thread with the files in the page cache, beside the floor (read
+ rfft2 of the same stack) and, with --relion, relion_ctf_refine on the same files in the same run.
Memory is the peak of a process of its own, for all particles and for a quarter of them. With
--readme the tables replace those in README.md.
"""

import argparse
import datetime
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.fft

from parfocal.estimators import Profile
from parfocal.evidence import gather
from parfocal.inputs import ReferenceFiles, read_inputs
from parfocal.io import read_estimates, read_particles, write_star
from parfocal.simulate import Scene, read_truth, simulate, write_dataset

ROUNDS = 3
BOX = 256
README = Path(__file__).parents[1] / "README.md"


def make(folder, structure, particles):
    """Simulated set on disk, unless `folder` has one already."""
    if (folder / "particles.star").exists():
        return
    scene = Scene(
        structure=structure,
        particles=particles,
        micrographs=max(2, particles // 100),
        box=BOX,
        pixel_size=1.0,
        snr=0.03,
        b_factor=50.0,
    )
    write_dataset(simulate(scene, np.random.default_rng(1), keep_images=False), folder)
    shells = range(BOX // 2 + 1)
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


def stages(folder):
    """(what, CPU ms a particle) of the floor and of our stages, in this process."""
    inputs = read_inputs(folder / "particles.star", ReferenceFiles(map=folder / "map.mrc"))
    particles, n = inputs.particles, len(inputs.particles)
    image = np.empty((BOX, BOX), dtype=np.float32)

    def floor():
        for row in range(n):
            inputs.images.read_into(row, image)
            scipy.fft.rfft2(image)

    def passed(padding):
        return gather(particles, inputs.images, inputs.reference, padding=padding)

    rows = [("floor: read + rfft2", cpu_ms(floor, n))]
    evidence = passed(1.0)  # also compiles
    rows.append(("pass, unpadded, reading included", cpu_ms(lambda: passed(1.0), n)))
    rows.append(("pass, padded as delocalisation asks", cpu_ms(lambda: passed(None), n)))
    rows.append(("method `profile`", cpu_ms(lambda: Profile().estimate(particles, evidence), n)))
    return rows


def spent_by(command, **options):
    """(CPU s, peak GB) of a process of its own."""
    usage = (
        "import resource, subprocess, sys; r = subprocess.run(sys.argv[1:], capture_output=True);"
    )
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


def estimate_command(folder, star, out):
    """`parfocal estimate` with the exact map, one thread."""
    return [
        sys.executable,
        "-m",
        "parfocal",
        "estimate",
        star,
        "--map",
        folder / "map.mrc",
        "-o",
        out,
    ]


def quarter_of(folder):
    """A STAR file of the first quarter of the particles, beside the whole one."""
    lines = (folder / "particles.star").read_text().splitlines()
    rows = [i for i, line in enumerate(lines) if "@" in line]
    keep = lines[: rows[len(rows) // 4]]
    path = folder / "quarter.star"
    path.write_text("\n".join(keep) + "\n")
    return path


def relion_command():
    """relion_ctf_refine, defocus a particle and astigmatism a micrograph, as its GUI has it."""
    maps = "--m1 map.mrc --m2 map.mrc --mask mask.mrc --f fsc.star --fit_defocus --fit_mode fpmff --j 1"
    return ["relion_ctf_refine", "--i", "particles.star", "--o", "relion/", *maps.split()]


def accuracy(defocus, error, truth, ok):
    """Cells of a row of the accuracy table."""
    wrong = (defocus - truth.defocus)[ok]
    bound = truth.cramer_rao[ok]
    rms = np.sqrt(np.mean(wrong**2))
    cells = [f"{rms:.1f} Å", f"{rms / np.sqrt(np.mean(bound**2)):.3f}"]
    cells.append(f"{wrong.mean():+.1f} ± {wrong.std() / np.sqrt(ok.sum()):.1f} Å")
    if error is None:
        return [*cells, "none", "none"]
    pull = wrong / error[ok]
    return [*cells, f"{pull.std():.3f}", f"{100 * np.mean(np.abs(pull) < 1):.1f} %"]


def table(head, rows):
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def report(folder, scratch, with_relion):
    """Both tables, as Markdown."""
    truth = read_truth(folder / "truth.star")
    n = len(truth)
    spent, memory = spent_by(estimate_command(folder, folder / "particles.star", scratch / "run"))
    _, quarter = spent_by(estimate_command(folder, quarter_of(folder), scratch / "quarter"))
    ours = read_estimates(scratch / "run" / "profile" / "estimates.star")
    ok = ours.ok()
    rows = [["parfocal `profile`", *accuracy(ours.defocus, ours.defocus_error, truth, ok)]]
    times = [(name, f"{ms:.2f} ms", "") for name, ms in stages(folder)]
    label = "whole command, start-up and report included"
    times.append((label, f"{1e3 * spent / n:.2f} ms", f"{memory:.2f} GB ({quarter:.2f} for n/4)"))
    if with_relion:
        spent, memory = spent_by(relion_command(), cwd=folder)
        star = read_particles(folder / "relion" / "particles_ctf_refine.star")
        by_id = dict(zip(star.particle_id, star.defocus, strict=True))
        theirs = np.array([by_id[name] for name in ours.particle_id])
        rows.append(["relion_ctf_refine 3.1.3", *accuracy(theirs, None, truth, ok)])
        times.append(("relion_ctf_refine 3.1.3", f"{1e3 * spent / n:.1f} ms", f"{memory:.2f} GB"))
    head = ["method", "RMSE", "RMSE / Cramér-Rao", "bias", "pulls sd", "68 % interval covers"]
    first = table(head, rows)
    second = table(["CPU a particle, one thread", "time", "peak memory"], times)
    where = f"{cpu_name()}, {os.cpu_count()} cores, {datetime.date.today()}"
    told = (
        f"Simulated apoferritin, box {BOX}, 1 Å/px, SNR 0.03, exact map, {n} particles ({where}):"
    )
    return f"{told}\n\n{first}\n\n{second}"


def cpu_name():
    """The processor as the system names it."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.*)", info.read_text()) if info.exists() else []
    return names[0] if names else platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--structure", type=Path, help="6z6u.pdb; needed unless --keep has the data"
    )
    parser.add_argument("--particles", type=int, default=1000)
    parser.add_argument("--relion", action="store_true", help="run relion_ctf_refine too")
    parser.add_argument("--keep", type=Path, help="folder for the data, used again if it has them")
    parser.add_argument("--readme", action="store_true", help="put the tables into README.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch) / "data"
        make(folder, options.structure, options.particles)
        text = report(folder, Path(scratch), options.relion)
    print(text)
    if options.readme:
        marked = re.compile(r"(<!-- numbers -->\n).*?(<!-- end of numbers -->)", re.DOTALL)
        whole, found = marked.subn(lambda m: f"{m[1]}{text}\n{m[2]}", README.read_text())
        if not found:
            sys.exit("README.md has no lines <!-- numbers --> and <!-- end of numbers -->")
        README.write_text(whole)


if __name__ == "__main__":
    main()
