"""The common change of a micrograph, from the sum of its particles' curves."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.estimators.micrograph import micrograph_changes
from parfocal.evidence import gather

from .conftest import make_case


def changes_of(particles, evidence, seed=0):
    return micrograph_changes(particles, evidence, rng=np.random.default_rng(seed))


@pytest.fixture(scope="module")
def flat_ice():
    """Twelve micrographs of 25 particles that share one error of defocus, and differ in no height."""
    return make_case(
        seed=6, micrographs=12, snr=0.05, ice_tilt=0.0, height_scatter=0.0, defocus_error=300.0
    )


@pytest.fixture(scope="module")
def found(flat_ice):
    return changes_of(flat_ice.particles, flat_ice.evidence)


def by_micrograph(case):
    """Micrograph -> (its particles' true change, all of them the same; their number)."""
    return {
        name: (case.true_change[here].mean(), here.sum())
        for name in np.unique(case.particles.micrograph)
        if (here := case.particles.micrograph == name).any()
    }


def test_a_common_error_is_recovered_within_its_error(flat_ice, found):
    truth = by_micrograph(flat_ice)
    assert set(found) == set(truth)
    pull = np.array([(f.change - truth[name][0]) / f.error for name, f in found.items()])
    assert np.abs(pull).max() < 4
    assert np.sum(pull**2) < 30  # χ² of 12: beyond it 3 in 1000
    assert np.ptp([t for t, _ in truth.values()]) > 400  # so there was something to find
    bound = flat_ice.simulation.truth.cramer_rao
    for name, change in found.items():
        here = flat_ice.particles.micrograph == name
        assert change.error == pytest.approx(np.sum(bound[here] ** -2) ** -0.5, rel=0.15)
        assert change.n_particles == truth[name][1] == here.sum()


def test_two_halves_agree_and_make_up_the_whole(found):
    halves = np.array([f.half_change for f in found.values()])
    errors = np.array([f.half_error for f in found.values()])
    pull = np.diff(halves, axis=1)[:, 0] / np.hypot(*errors.T)
    assert np.abs(pull).max() < 4
    assert pull.std() > 0.3  # they are two
    whole = np.array([[f.change, f.error] for f in found.values()])
    np.testing.assert_allclose((errors**-2.0).sum(axis=1) ** -0.5, whole[:, 1], rtol=0.1)
    mean = (halves / errors**2).sum(axis=1) / (errors**-2.0).sum(axis=1)
    assert (np.abs(mean - whole[:, 0]) < 0.5 * whole[:, 1]).all()


def test_the_halves_follow_the_seed_and_the_whole_does_not(flat_ice, found):
    again = changes_of(flat_ice.particles, flat_ice.evidence)
    other = changes_of(flat_ice.particles, flat_ice.evidence, seed=1)
    assert again == found
    for name in found:
        assert other[name].change == pytest.approx(found[name].change, abs=1e-3)
        assert other[name].half_change != found[name].half_change


class Broken:
    """Images of which those of some rows hold a NaN."""

    def __init__(self, images, rows):
        self.images, self.rows = images, set(rows)

    def read_into(self, row, out):
        self.images.read_into(row, out)
        if row in self.rows:
            out[0, 0] = np.nan


def test_particles_without_spectra_do_not_count(flat_ice, found):
    first = np.flatnonzero(flat_ice.particles.micrograph == next(iter(found)))
    images = Broken(flat_ice.simulation.images, [*first, 299])
    changes = changes_of(flat_ice.particles, gather(flat_ice.particles, images, flat_ice.reference))
    names = list(found)
    assert changes[names[0]].n_particles == 0
    assert np.isnan([changes[names[0]].change, changes[names[0]].error]).all()
    assert changes[names[-1]].n_particles == found[names[-1]].n_particles - 1
    assert changes[names[1]].change == pytest.approx(found[names[1]].change, abs=20)


def test_without_any_model_there_is_nothing(flat_ice):
    assert changes_of(flat_ice.particles, replace(flat_ice.evidence, models={})) == {}


def test_a_change_beyond_the_range_ends_at_it(flat_ice):
    """Every defocus is 800 Å off, and the search ends at 300."""
    truth = flat_ice.simulation.truth
    for sign in (1, -1):
        particles = replace(
            flat_ice.particles,
            defocus_u=truth.defocus_u - sign * 800,
            defocus_v=truth.defocus_v - sign * 800,
        )
        evidence = gather(
            particles, flat_ice.simulation.images, flat_ice.reference, change_max=300.0
        )
        change = np.array([f.change for f in changes_of(particles, evidence).values()])
        assert (np.abs(change[np.isfinite(change)]) <= 300 + 1e-9).all()
        assert (np.sign(change[np.isfinite(change)]) == sign).mean() > 0.6
