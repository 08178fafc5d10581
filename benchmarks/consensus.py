"""The consensus of the four programs' methods on every hard scene, against the truth.

    python benchmarks/consensus.py --structure 6z6u.pdb [--particles 600] [--write] [--store FOLDER]

Scenes are those of benchmarks/methods.py, with seeds of this benchmark alone. Root mean square error in
Å of the median (of the sets that trust a particle, else the input), of the best single one of the four
(as a user gets it), of the weighted consensus, and of that with `bayes` added, with the standard error
of a root mean square of so many; and how many of the truths its error bars cover. With --write the
table replaces that in docs/compare.md.
"""

import argparse
import datetime
import platform
from pathlib import Path

import methods as table_of_methods
import numpy as np

from parfocal.consensus import consensus
from parfocal.defocus_set import set_of_estimates
from parfocal.estimators import ESTIMATORS
from parfocal.evidence import gather
from parfocal.execution import threads
from parfocal.join import join
from parfocal.reference import map_reference
from parfocal.simulate import simulate

SEED = 6100
PROGRAMS = ("relion", "cryosparc", "xmipp", "gctf")
TEXT = Path(__file__).parents[1] / "docs" / "compare.md"
HEAD = (
    "scene",
    "input",
    "median",
    "best of four",
    "weighted",
    "± se",
    "covers",
    "heights known by",
    "`bayes`",
    "weighted with `bayes`",
    "covers",
)


def rms(values) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def covers(wrong, error) -> str:
    return f"{100 * np.mean(np.abs(wrong) < error):.0f} %"


def solve(name, structure, particles):
    """One row of the table."""
    seed = SEED + list(table_of_methods.SCENES).index(name)
    scene = table_of_methods.scene_of(name, structure, particles)
    simulation = simulate(scene, np.random.default_rng(seed))
    reference = map_reference(simulation.map, pixel_size=scene.pixel_size)
    known, truth = simulation.particles, simulation.truth.defocus
    evidence = gather(known, simulation.images, reference, astigmatism=True, run=threads(2))
    found = {m: ESTIMATORS[m].estimate(known, evidence) for m in (*PROGRAMS, "bayes")}
    four, five = (
        consensus(join(set_of_estimates(found[m], m) for m in names))
        for names in (PROGRAMS, (*PROGRAMS, "bayes"))
    )
    single = {m: rms(e.defocus - truth) for m, e in found.items()}
    best = min(PROGRAMS, key=single.__getitem__)
    median = np.where(np.isfinite(four.median), four.median, known.defocus)
    wrong, wrong_five = four.defocus - truth, five.defocus - truth
    return (
        name,
        f"{rms(known.defocus - truth):.0f}",
        f"{rms(median - truth):.0f}",
        f"{single[best]:.0f} ({best})",
        f"{rms(wrong):.1f}",
        f"{rms(wrong) / np.sqrt(2 * particles):.1f}",
        covers(wrong, four.error),
        four.heights.signal.by,
        f"{single['bayes']:.1f}",
        f"{rms(wrong_five):.1f}",
        covers(wrong_five, five.error),
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--structure", type=Path, required=True)
    parser.add_argument("--particles", type=int, default=600)
    parser.add_argument("--scenes", default=",".join(table_of_methods.SCENES))
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    for name in asked.scenes.split(","):
        lines.append("| " + " | ".join(solve(name, asked.structure, asked.particles)) + " |")
        print(lines[-1], flush=True)
    made = (
        f"Made by `python benchmarks/consensus.py --structure 6z6u.pdb --write` on "
        f"{datetime.date.today()}, {platform.machine()}, {asked.particles} particles a scene."
    )
    if asked.write:
        text = "\n".join(lines)
        table_of_methods.write(f"{text}\n\n{made}", "consensus", TEXT)


if __name__ == "__main__":
    main()
