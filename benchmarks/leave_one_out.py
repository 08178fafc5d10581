"""Own, opposite or full map, with the particle's own part in it or without: slopes and errors.

    python benchmarks/leave_one_out.py --structure 6z6u.pdb [--box 256] [--particles 1200] [--write]

Simulated apoferritin (SNR 0.03, B 50); half-maps reconstructed from the particles themselves with the
defoci on file and octahedral symmetry, masked. Method `profile`: each particle alone, so that nothing
but the reference pulls it. Slope of estimate against truth, both as changes of the input; rms error
over the Cramér-Rao bound of the exact map. With --write the table goes into docs/method.md.

"by the weights": f is not measured on the images but known from how the maps were made, weights, mask
and all: white noise is reconstructed with the same views and CTFs, and meets its own maps, where all
that correlates is its own part. "--own-reference": as `parfocal estimate` does it, with a mask of its
own making. For `bayes`, a posterior mean, the slope is that of truth against estimate, which shrinking
leaves at 1.
"""

import argparse
import datetime
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
from methods import write

from parfocal.estimators import ESTIMATORS
from parfocal.evidence import gather
from parfocal.execution import threads
from parfocal.own_reference import own_reference
from parfocal.reconstruct import reconstruct
from parfocal.reference import half_map_reference, map_reference
from parfocal.simulate import Scene, simulate

PAGE = Path(__file__).parents[1] / "docs" / "method.md"
SEED = 5100


def line(name, estimates, truth, prior):
    """One row of the table, particles that are ok."""
    ok = estimates.ok()
    true, found = (truth.defocus - prior)[ok], estimates.defocus_change[ok]
    against, of = (found, true) if estimates.method == "bayes" else (true, found)
    slope, offset = np.polyfit(against, of, 1)
    error = (of - slope * against - offset).std() / against.std() / np.sqrt(len(true))
    wrong = found - true
    rms, bound = np.sqrt(np.mean(wrong**2)), np.sqrt(np.mean(truth.cramer_rao[ok] ** 2))
    pull = np.std(wrong / estimates.defocus_error[ok])
    bias = f"{wrong.mean():+.1f} ± {wrong.std() / np.sqrt(len(wrong)):.1f}"
    cells = (name, f"{slope:.3f} ± {error:.3f}", f"{rms:.1f}", f"{rms / bound:.2f}", bias)
    return f"| {' | '.join(cells)} | {pull:.2f} |"


def row(name, method, simulation, evidence):
    """The line of one method, printed too."""
    found = ESTIMATORS[method].estimate(simulation.particles, evidence)
    name += "" if method == "profile" else f" ({method})"
    text = line(name, found, simulation.truth, simulation.particles.defocus)
    print(text, flush=True)
    return text


class White:
    """Images of white noise, one for each particle."""

    def read_into(self, row, out):
        out[...] = np.random.default_rng((SEED, row)).standard_normal(out.shape)


def known_shares(particles, mask, reference, evidence):
    """The weight of one image in the map that it meets, from images that are nothing but noise."""
    made = reconstruct(particles, White(), symmetry="O", run=threads(2))
    halves = made.half_map(1), made.half_map(2)
    met = half_map_reference(
        *halves, pixel_size=reference.pixel_size, mask=mask, fsc=reference.weight
    )
    grid = evidence.models[0].grid
    padding = grid.padded_size / grid.optics.image_size
    return gather(particles, White(), met, padding=padding, run=threads(2)).shares


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--structure", type=Path, required=True)
    parser.add_argument("--box", type=int, default=256)
    parser.add_argument("--particles", type=int, default=1200)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    scene = Scene(
        structure=asked.structure,
        particles=asked.particles,
        micrographs=max(4, asked.particles // 200),
        box=asked.box,
        pixel_size=256 / asked.box,
        snr=0.03,
        b_factor=50.0,
    )
    simulation = simulate(scene, np.random.default_rng(SEED))
    particles, pixel = simulation.particles, scene.pixel_size
    made = reconstruct(particles, simulation.images, symmetry="O", run=threads(2))
    halves = made.half_map(1), made.half_map(2)
    lines = [
        "| reference | slope | rms error Å | / Cramér-Rao | bias Å | sd of pulls |",
        "|---|---|---|---|---|---|",
    ]
    for meets in ("own", "opposite", "full", "exact"):
        if meets == "exact":
            reference = map_reference(simulation.map, pixel_size=pixel)
        else:
            reference = half_map_reference(
                *halves, pixel_size=pixel, mask=simulation.mask, meets=meets
            )
        evidence = gather(particles, simulation.images, reference, run=threads(2))
        versions = {meets: evidence}
        if evidence.shares:
            with_self = replace(evidence, shares={})
            versions = {
                f"{meets}, own part in": with_self,
                f"{meets}, own part taken out": evidence,
            }
        for name, version in versions.items():
            lines.append(row(name, "profile", simulation, version))
        if meets == "own":
            shares = known_shares(particles, simulation.mask, reference, evidence)
            known = replace(evidence, shares=shares)
            lines.append(row("own, taken out by the weights", "profile", simulation, known))
            lines.append(row("own, own part taken out", "bayes", simulation, evidence))
    made = own_reference(particles, simulation.images, symmetry="O", run=threads(2))
    evidence = gather(particles, simulation.images, made.reference, run=threads(2))
    for method in ("profile", "bayes"):
        lines.append(row("--own-reference", method, simulation, evidence))
    lines += [
        "",
        f"`python benchmarks/leave_one_out.py --structure 6z6u.pdb --write`: {asked.particles} "
        f"particles, box {asked.box}, {datetime.date.today()}, {platform.machine()}.",
    ]
    if asked.write:
        write("\n".join(lines), "slopes", PAGE)


if __name__ == "__main__":
    main()
