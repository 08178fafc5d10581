"""How much of what `validate` sees in a fitted defocus is chance, and does it take that out?

    python benchmarks/chance.py --structure 6z6u.pdb [--scatter 150] [--draws 8] [--particles 600]

Simulates apoferritin (box 128, 1.2 Å/px, SNR 0.01), estimates with methods that have folds, and judges
their maps. A method's worth as it is seen counts the noise that was fitted; its worth without chance is
compared with what a set of the same errors is worth that knows nothing of the noise: the truth with the
method's errors dealt out anew among the particles. With --scatter 0 the input is right, every change is
noise, and a method that seems to help is a false alarm. Printed are means over the draws with standard
errors, pulls of the difference to what it is worth, and how often a set was called better than the
input.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from parfocal.block_jackknife import ITERATIONS, replicates
from parfocal.chance import held_out_name
from parfocal.defocus_set import set_of_estimates, set_of_particles
from parfocal.estimators import ESTIMATORS
from parfocal.evidence import gather
from parfocal.execution import threads
from parfocal.fsc_curves import fsc_curves
from parfocal.join import join
from parfocal.micrograph_blocks import blocks_of
from parfocal.negative_controls import negative_controls
from parfocal.reconstruct import reconstruct_sets
from parfocal.reference import map_reference
from parfocal.set_particles import sets_of_particles
from parfocal.simulate import Scene, simulate
from parfocal.validation import difference, qualities

SEED = 9700
BLOCKS = 10
SYMMETRY = "O"


def scene_of(structure, particles, scatter):
    """Apoferritin of some 3 Å, defoci of the input wrong by `scatter` [Å]."""
    return Scene(
        structure=structure,
        particles=particles,
        micrographs=BLOCKS,
        box=128,
        pixel_size=1.2,
        snr=0.01,
        b_factor=60.0,
        defocus=(4_000.0, 7_000.0),
        ice_tilt=0.0,
        height_scatter=scatter,
        defocus_error=0.0,
    )


def draw(scene, seed, methods, *, controls_of=None):
    """(qualities by name, paired differences NAME less equal-NAME, rms errors [Å]) of one data set."""
    rng = np.random.default_rng(seed)
    simulation = simulate(scene, rng)
    base, truth = simulation.particles, simulation.truth.defocus
    run = threads(2)
    reference = map_reference(simulation.map, pixel_size=scene.pixel_size)
    evidence = gather(base, simulation.images, reference, astigmatism=True, run=run)
    found = {name: ESTIMATORS[name].estimate(base, evidence) for name in methods}
    joined = join(
        (set_of_estimates(one, name) for name, one in found.items()),
        set_of_particles(base, "input"),
    )
    fitted = sets_of_particles(joined, base)
    errors = {name: one.defocus - truth for name, one in fitted.particles.items()}

    def right(error):
        change = truth + error - base.defocus
        return replace(base, defocus_u=base.defocus_u + change, defocus_v=base.defocus_v + change)

    sets = {"input": base, "truth": right(0.0), **fitted.particles}
    sets |= {equal(name): right(rng.permutation(error)) for name, error in errors.items()}
    if controls_of:
        sets |= negative_controls(controls_of, base, sets[controls_of], rng=rng)
    sets |= {held_out_name(name): one for name, one in fitted.held_out.items()}
    made = reconstruct_sets(sets, simulation.images, symmetry=SYMMETRY, padding=1.0, run=run)
    curves = {
        name: fsc_curves(
            one.half_map(1, iterations=ITERATIONS),
            one.half_map(2, iterations=ITERATIONS),
            simulation.mask,
            pixel_size=scene.pixel_size,
            rng=np.random.default_rng(0),
        )
        for name, one in made.items()
    }
    del made
    blocks = blocks_of(base, np.ones(len(base), dtype=bool), BLOCKS)
    again = replicates(sets, simulation.images, blocks, simulation.mask, symmetry=SYMMETRY, run=run)
    judged = qualities(
        curves, again, "input", shares=fitted.chance_share, fitted=dict.fromkeys(methods, 1.0)
    )
    of = {one.name: one for one in judged}
    apart = {name: difference(of[name], of[equal(name)]) for name in methods}
    return of, apart, {name: float(np.sqrt(np.mean(error**2))) for name, error in errors.items()}


def equal(method):
    """Name of the set of like errors that knows nothing of the noise."""
    return f"equal-{method}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--structure", type=Path, required=True)
    parser.add_argument("--scatter", type=float, default=150.0)
    parser.add_argument("--particles", type=int, default=600)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--methods", default="bayes,profile,relion")
    asked = parser.parse_args()
    methods = asked.methods.split(",")
    scene = scene_of(asked.structure, asked.particles, asked.scatter)
    rows = {name: [] for name in methods}
    for number in range(asked.draws):
        of, apart, rms = draw(scene, SEED + number, methods)
        for name in methods:
            one = of[name]
            numbers = [rms[name], one.seen, of[held_out_name(name)].worth, one.worth]
            rows[name].append((*numbers, of[equal(name)].worth, apart[name], of["truth"].worth))
        print(f"draw {number + 1} of {asked.draws}", flush=True)
    head = ("set", "rms error [Å]", "seen [%]", "held out [%]", "without chance [%]")
    head += ("worth in truth [%]", "sd of pulls", "called better, seen", "called better")
    print("| " + " | ".join(head) + " |", "|---" * len(head) + "|", sep="\n")
    for name, found in rows.items():
        rms, seen, held, worth, true, apart, _ = zip(*found, strict=True)
        pulls = [one.value / one.error if one.error > 0 else 0.0 for one in apart]
        cells = [name, f"{np.mean(rms):.0f}", *map(told, (seen, held, worth, true))]
        cells.append(f"{np.sqrt(np.mean(np.square(pulls))):.2f}")
        cells += [f"{sum(v.value > 0 and v.sure() for v in vs)}" for vs in (seen, worth)]
        print("| " + " | ".join(cells) + " |")
    print("truth:", told([one[-1] for one in rows[methods[0]]]), "%")


def told(values) -> str:
    """Mean over the draws [%], and its standard error."""
    numbers = np.array([100 * one.value for one in values])
    error = numbers.std(ddof=1) / np.sqrt(len(numbers)) if len(numbers) > 1 else np.nan
    return f"{numbers.mean():+.1f} ± {error:.1f}"


if __name__ == "__main__":
    main()
