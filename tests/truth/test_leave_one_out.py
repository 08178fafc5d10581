"""Half-maps made from the particles themselves: estimates are not pulled to the input."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.estimators import ESTIMATORS
from parfocal.evidence import gather
from parfocal.execution import threads
from parfocal.own_reference import own_reference
from parfocal.reference import half_map_reference
from parfocal.simulate import Scene, simulate

from .oracle import rms

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(data):
    """(simulation, own reference): apoferritin, 600 particles in each half, their defoci on file."""
    scene = Scene(
        structure=data / "structures" / "6z6u.pdb",
        particles=1200,
        micrographs=6,
        box=160,
        pixel_size=1.5,
        snr=0.03,
        b_factor=50.0,
    )
    simulation = simulate(scene, np.random.default_rng(6001))
    run = threads(2)
    return simulation, own_reference(simulation.particles, simulation.images, symmetry="O", run=run)


@pytest.fixture(scope="module")
def gathered(made):
    simulation, own = made
    references = {"own": own.reference} | {
        meets: half_map_reference(
            *own.half_maps, pixel_size=1.5, mask=own.mask, fsc=own.curves.corrected, meets=meets
        )
        for meets in ("opposite", "full")
    }
    return {
        meets: gather(simulation.particles, simulation.images, reference, run=threads(2))
        for meets, reference in references.items()
    }


def slope(simulation, evidence):
    """(slope of estimate against truth, its standard error, rms error over Cramér-Rao)."""
    particles, truth = simulation.particles, simulation.truth
    found = ESTIMATORS["profile"].estimate(particles, evidence)
    ok = found.ok()
    true, change = (truth.defocus - particles.defocus)[ok], found.defocus_change[ok]
    best, offset = np.polyfit(true, change, 1)
    error = (change - best * true - offset).std() / true.std() / np.sqrt(len(true))
    ratio = rms(change - true) / rms(truth.cramer_rao[ok])
    print(f"slope {best:.4f} ± {error:.4f}, rmse / Cramér-Rao {ratio:.3f}")
    return best, error, ratio


@pytest.mark.parametrize("meets", ["own", "opposite", "full"])
def test_the_slope_is_one(made, gathered, meets):
    found, error, ratio = slope(made[0], gathered[meets])
    assert abs(found - 1) <= 0.02
    assert error < 0.01
    assert ratio <= 1.40


@pytest.mark.parametrize("meets", ["own", "full"])
def test_with_its_own_part_in_the_map_a_particle_is_pulled_to_the_input(made, gathered, meets):
    """The spoiled twin."""
    found, error, _ = slope(made[0], replace(gathered[meets], shares={}))
    assert found < 0.98 - 3 * error


def test_the_share_is_seen_in_every_band(gathered):
    share = gathered["own"].shares[0]
    pull = (share.measured - share.share) / share.measured_error
    assert np.mean(pull**2) < 2.5  # a cubic in k follows it
    middle = slice(len(pull) // 4, None)
    assert (share.share[middle] > 5 * share.error[middle]).all()
    half = gathered["full"].shares[0]
    np.testing.assert_allclose(half.share[middle], share.share[middle] / 2, rtol=0.02)
