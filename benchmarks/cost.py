"""What the methods cost beside the pass over the images: CPU time, one thread, one run.

    python benchmarks/cost.py --structure 6z6u.pdb [--particles 2000] [--folder FOLDER] [--readme]

The pass: reading, slices, sums, padded as delocalisation asks, with the azimuth kept for astigmatism,
and the noise model. Then every method that works on the spectra, best of three. Bound: all that meet
the reference together at most half of the pass again. With --readme the table replaces that in
docs/methods/README.md.
"""

import argparse
import datetime
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
from methods import LOOKS_AGAIN, TEXTS, write

from parfocal.estimators import ESTIMATORS
from parfocal.evidence import gather
from parfocal.inputs import ReferenceFiles, read_inputs
from parfocal.simulate import Scene, simulate, write_dataset

ROUNDS = 3
NO_REFERENCE = ("gctf",)


def cpu_ms(work, particles):
    """(CPU milliseconds a particle of `work()`, best of ROUNDS; what it gave)."""
    best, result = np.inf, None
    for _ in range(ROUNDS):
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
    return 1e3 * best / particles, result


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--structure", type=Path, required=True)
    parser.add_argument("--particles", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="keeps the simulated set, or holds it already")
    parser.add_argument("--readme", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.folder or Path(scratch)
        if not (folder / "particles.star").exists():
            scene = Scene(
                structure=asked.structure,
                particles=asked.particles,
                micrographs=max(4, asked.particles // 200),
                box=256,
                pixel_size=1.0,
                snr=0.03,
                b_factor=50.0,
            )
            write_dataset(simulate(scene, np.random.default_rng(5100), keep_images=False), folder)
        inputs = read_inputs(folder / "particles.star", ReferenceFiles(map=folder / "map.mrc"))
        n = len(inputs.particles)
        given = inputs.particles, inputs.images, inputs.reference
        passed, evidence = cpu_ms(lambda: gather(*given, astigmatism=True), n)
    rows = [("the pass", passed)]
    for name, method in ESTIMATORS.items():
        if name not in LOOKS_AGAIN:
            spent, _ = cpu_ms(lambda method=method: method.estimate(given[0], evidence), n)
            rows.append((f"`{name}`", spent))
    methods = sum(ms for name, ms in rows[1:] if name.strip("`") not in NO_REFERENCE)
    rows.append(("all on the spectra that meet the reference", methods))
    lines = ["| | CPU ms a particle | of the pass |", "|---|---|---|"]
    lines += [f"| {name} | {ms:.2f} | {ms / passed:.2f} |" for name, ms in rows]
    lines += [
        "",
        f"`python benchmarks/cost.py --structure 6z6u.pdb --readme`: {n} particles, box 256, "
        f"{datetime.date.today()}, {platform.machine()}.",
    ]
    print("\n".join(lines))
    if asked.readme:
        write("\n".join(lines), "table of costs", TEXTS[1])


if __name__ == "__main__":
    main()
