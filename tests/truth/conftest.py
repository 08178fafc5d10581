"""Scenes with known truth that several truth tests share, and the checks that they must pass."""

from typing import NamedTuple

import numpy as np
import pytest

from parfocal.estimates import DefocusEstimates
from parfocal.estimators import Profile
from parfocal.evidence import Evidence, gather
from parfocal.reference import Reference, map_reference
from parfocal.simulate import Scene, Simulation, simulate


class Case(NamedTuple):
    """A simulated set and what the method made of it."""

    simulation: Simulation
    reference: Reference
    evidence: Evidence
    estimates: DefocusEstimates


def solve(simulation, reference, particles=None) -> Case:
    """Run method `profile` on a simulation, or on `particles` that claim to be its own."""
    particles = simulation.particles if particles is None else particles
    evidence = gather(particles, simulation.images, reference)
    return Case(simulation, reference, evidence, Profile().estimate(particles, evidence))


def errors_of(case: Case):
    """(estimate - truth, error, Cramér-Rao bound) [Å] of the particles with status ok."""
    ok = case.estimates.ok()
    truth = case.simulation.truth
    wrong = case.estimates.defocus - truth.defocus[: len(ok)]
    return wrong[ok], case.estimates.defocus_error[ok], truth.cramer_rao[: len(ok)][ok]


def assert_reaches_the_bound(wrong, bound, factor):
    """Root mean square error at most `factor` times the bound, no bias beyond 2 standard errors."""
    ratio = np.sqrt(np.mean(wrong**2) / np.mean(bound**2))
    bias, error = wrong.mean(), wrong.std(ddof=1) / np.sqrt(wrong.size)
    print(f"rmse / Cramér-Rao {ratio:.3f}, bias {bias:+.2f} ± {error:.2f} Å, n {wrong.size}")
    assert ratio <= factor
    assert abs(bias) < 2 * error


def assert_calibrated(wrong, error):
    """Pulls with standard deviation 0.95-1.05, 65-71 % of intervals hold the truth."""
    pull = wrong / error
    covered = np.mean(np.abs(pull) < 1)
    print(f"pulls sd {pull.std():.3f}, coverage {100 * covered:.1f} %, n {pull.size}")
    assert 0.95 <= pull.std() <= 1.05
    assert 0.65 <= covered <= 0.71


@pytest.fixture(scope="session")
def apoferritin(data) -> Case:
    """The headline scene: apoferritin, box 256, 1 Å/px, SNR 0.03, exact map, 1000 particles."""
    scene = Scene(
        structure=data / "structures" / "6z6u.pdb",
        particles=1000,
        micrographs=10,
        box=256,
        pixel_size=1.0,
        snr=0.03,
        b_factor=50.0,
    )
    simulation = simulate(scene, np.random.default_rng(2023))
    return solve(simulation, map_reference(simulation.map, pixel_size=scene.pixel_size))
