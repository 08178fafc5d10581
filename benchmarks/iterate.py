"""Rounds of `parfocal iterate`: what they bring, and whether half-sets stay independent.

    python benchmarks/iterate.py --structure 6z6u.pdb [--box 160] [--sets 8] [--write]

First, simulated apoferritin whose defoci on file are far off (micrographs by 200 Å, heights by 150 Å):
rms error, Cramér-Rao ratio, held-out gain and FSC by round. Second, made-up proteins whose signal ends
at some 8 Å (B 1500), noise beyond: defoci move by what the signal says, and planes, widths and noise
models are learned from both half-sets. The mean FSC of the half-maps from 5.5 Å to Nyquist, 4 Å,
must stay at zero when particles meet their own half's map; where they meet the full one it need not.
Seeds of its own. With --write both tables go into docs/iterate.md.
"""

import argparse
import datetime
import platform
from itertools import islice
from pathlib import Path

import numpy as np
import scipy.fft
from methods import write

from parfocal.estimators import ESTIMATORS
from parfocal.execution import threads
from parfocal.fsc import shell_correlation
from parfocal.iterate import changed, iterate
from parfocal.own_reference import own_reference
from parfocal.simulate import Scene, simulate

PAGE = Path(__file__).parents[1] / "docs" / "iterate.md"
SEED = 6300
FAR = {"defocus_error": 200.0, "height_scatter": 150.0}


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


def remaker(simulation, symmetry="C1", meets="own", mask=None):
    """`remake` of `iterate`, under `mask` or one made of the first round's maps."""

    def remake(now, first):
        chosen = first if mask is None else mask
        return own_reference(
            now, simulation.images, symmetry=symmetry, mask=chosen, meets=meets, run=threads(2)
        )

    return remake


def rounds_table(structure, box):
    """Lines of the first table."""
    scene = Scene(
        structure=structure,
        particles=1200,
        micrographs=6,
        box=box,
        pixel_size=224 / box,
        snr=0.03,
        b_factor=50.0,
        **FAR,
    )
    simulation = simulate(scene, np.random.default_rng(SEED))
    particles, truth = simulation.particles, simulation.truth
    bound, before = rms(truth.cramer_rao), rms(particles.defocus - truth.defocus)
    lines = [
        "| defoci of | rms error Å | / Cramér-Rao | sd of pulls | held-out gain | step | moved Å | "
        "maps met, Å | pays |",
        "|---|---|---|---|---|---|---|---|---|",
        f"| input | {before:.1f} | {before / bound:.2f} | | | | | | |",
    ]
    for name in ("bayes", "profile"):
        method, remake = ESTIMATORS[name], remaker(simulation, symmetry="O")
        options = {"run": threads(2)}
        rounds = iterate(
            particles,
            simulation.images,
            method,
            remake=remake,
            options=lambda number, options=options: options,
        )
        for each, met in islice(rounds, 5):
            found = each.estimates
            ok = found.ok()
            wrong = (found.defocus - truth.defocus)[ok]
            cells = (
                f"{name}, round {each.number}",
                f"{rms(wrong):.1f}",
                f"{rms(wrong) / rms(truth.cramer_rao[ok]):.2f}",
                f"{np.std(wrong / found.defocus_error[ok]):.2f}",
                f"{each.gain[0]:.2f} ± {each.gain[1]:.2f}",
                f"{each.step[0]:+.3f} ± {each.step[1]:.3f}",
                f"{each.moved:.1f}",
                f"{met.resolution:.2f}",
                "yes" if each.pays else "no",
            )
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return lines


def fsc_beyond(half_maps, pixel_size, resolution):
    """(mean FSC, standard error from the scatter over shells) from `resolution` to Nyquist."""
    fsc = shell_correlation(*(scipy.fft.rfftn(half) for half in half_maps))
    first = int(np.ceil(2 * (len(fsc) - 1) * pixel_size / resolution))
    fsc, voxels = fsc[first:], np.arange(first, len(fsc)) ** 2
    mean = np.average(fsc, weights=voxels)
    return mean, np.sqrt(np.mean(voxels * (fsc - mean) ** 2) / voxels.sum())


def noise_table(sets):
    """Lines of the second table."""
    lines = [
        "| method | meets | moved Å | FSC at the input's defoci | after rounds |",
        "|---|---|---|---|---|",
    ]
    scene = Scene(
        particles=800,
        micrographs=8,
        box=64,
        pixel_size=2.0,
        residues=400,
        snr=0.3,
        b_factor=1500.0,
        defocus=(8e3, 14e3),
        **FAR,
    )
    simulations = [simulate(scene, np.random.default_rng((SEED, n))) for n in range(sets)]
    for name, meets in (
        ("bayes", "own"),
        ("profile", "own"),
        ("bayes", "full"),
        ("profile", "full"),
    ):
        before, after, moved = [], [], []
        for simulation in simulations:
            particles, remake = simulation.particles, remaker(simulation, meets=meets)
            found = list(
                islice(iterate(particles, simulation.images, ESTIMATORS[name], remake=remake), 3)
            )
            last = changed(particles, found[-1][0].estimates.defocus_change)
            moved.append(rms(found[-1][0].estimates.defocus_change))
            before.append(fsc_beyond(found[0][1].half_maps, scene.pixel_size, 5.5))
            after.append(fsc_beyond(remake(last, None).half_maps, scene.pixel_size, 5.5))
        cells = [f"{name} | {meets} | {np.mean(moved):.0f}"]
        for pairs in (before, after):
            mean, error = np.transpose(pairs)
            cells.append(f"{mean.mean():+.4f} ± {np.sqrt(np.sum(error**2)) / sets:.4f}")
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return lines


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--structure", type=Path, required=True)
    parser.add_argument("--box", type=int, default=160)
    parser.add_argument("--sets", type=int, default=8)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    made = (
        f"`python benchmarks/iterate.py --structure 6z6u.pdb --write`: box {asked.box}, {asked.sets} "
        f"sets, {datetime.date.today()}, {platform.machine()}."
    )
    lines = [*rounds_table(asked.structure, asked.box), "", *noise_table(asked.sets), "", made]
    if asked.write:
        write("\n".join(lines), "rounds", PAGE)


if __name__ == "__main__":
    main()
