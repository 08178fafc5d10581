"""The consensus of the four programs' methods on every hard scene, against the truth.

    python benchmarks/consensus.py --structure 6z6u.pdb [--particles 600] [--draws 4] [--write]

Scenes are those of benchmarks/methods.py, with seeds of this benchmark alone. Root mean square error in
Å of the median (of the sets that trust a particle, else the input), of the best single one of the four
(as a user gets it), of the weighted consensus, and of that with `bayes` added, with the standard error
of a root mean square of so many; and how many of the truths its error bars cover, with the standard
error over independent `--draws` of the scene: one draw tells the scatter of heights, and with it the
coverage, to some percent only. With --write the table replaces that in docs/compare.md.
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


def told(shares) -> str:
    """Mean of shares [%], with its standard error where there are several."""
    mean = f"{np.mean(shares):.0f}"
    error = f" ± {np.std(shares, ddof=1) / np.sqrt(len(shares)):.0f}" if len(shares) > 1 else ""
    return f"{mean}{error} %"


def draw(name, structure, particles, seed):
    """(errors of each set and combination, coverage of both combinations, what knew the heights)."""
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
    median = np.where(np.isfinite(four.median), four.median, known.defocus)
    wrong = {m: e.defocus - truth for m, e in found.items()}
    wrong |= {"input": known.defocus - truth, "median": median - truth}
    wrong |= {"four": four.defocus - truth, "five": five.defocus - truth}
    covered = [
        100 * np.mean(np.abs(wrong[which]) < one.error)
        for which, one in (("four", four), ("five", five))
    ]
    return wrong, covered, four.heights.signal.by


def solve(name, structure, particles, draws):
    """One row of the table."""
    seeds = SEED + list(table_of_methods.SCENES).index(name) + 100 * np.arange(draws)
    wrong, covered, by = zip(
        *(draw(name, structure, particles, int(seed)) for seed in seeds), strict=True
    )
    of = {which: rms([each[which] for each in wrong]) for which in wrong[0]}
    best = min(PROGRAMS, key=of.__getitem__)
    of_four, of_five = np.transpose(covered)
    return (
        name,
        f"{of['input']:.0f}",
        f"{of['median']:.0f}",
        f"{of[best]:.0f} ({best})",
        f"{of['four']:.1f}",
        f"{of['four'] / np.sqrt(2 * particles * draws):.1f}",
        told(of_four),
        ", ".join(dict.fromkeys(by)),
        f"{of['bayes']:.1f}",
        f"{of['five']:.1f}",
        told(of_five),
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--structure", type=Path, required=True)
    parser.add_argument("--particles", type=int, default=600)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--scenes", default=",".join(table_of_methods.SCENES))
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    for name in asked.scenes.split(","):
        lines.append(
            "| " + " | ".join(solve(name, asked.structure, asked.particles, asked.draws)) + " |"
        )
        print(lines[-1], flush=True)
    made = (
        f"Made by `python benchmarks/consensus.py --structure 6z6u.pdb --write` on "
        f"{datetime.date.today()}, {platform.machine()}, {asked.particles} particles a draw, "
        f"{asked.draws} draws a scene."
    )
    if asked.write:
        text = "\n".join(lines)
        table_of_methods.write(f"{text}\n\n{made}", "consensus", TEXT)


if __name__ == "__main__":
    main()
