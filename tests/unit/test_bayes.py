"""Method bayes: its settings, its interval and what it reports when the ladder stops early."""

import numpy as np
import pytest

from parfocal.errors import InputError
from parfocal.estimators import Bayes
from parfocal.estimators.bayes import INTERVAL, _quantiles


@pytest.fixture(scope="module")
def forced(small):
    """Rung -> estimates of the small set."""
    rungs = ("input", "micrograph shift", "plane", "plane + particle")
    return {r: Bayes(rung=r).estimate(small.particles, small.evidence) for r in rungs}


def test_a_stage_tilt_is_the_mean_of_the_slopes_in_the_sense_of_the_axis(small):
    """Axis along +x, 30°: defocus rises along +y, by tan 30° Å per Å; an axis of 90°: along -x."""
    slope = np.tan(np.radians(30.0))
    for axis, expected in ((0.0, (0.0, slope)), (90.0, (-slope, 0.0))):
        found = Bayes(stage_tilt=30.0, tilt_axis=axis).estimate(small.particles, small.evidence)
        np.testing.assert_allclose(found.settings["layer"]["plane"]["slope"], expected, atol=1e-12)


def test_an_unknown_rung_is_refused():
    with pytest.raises(InputError, match="no rung 'roof'"):
        Bayes(rung="roof")


def test_each_rung_reports_its_own_mean(forced, small):
    particles = small.particles
    assert (forced["input"].defocus_change == 0).all()
    shift = forced["micrograph shift"].defocus_change
    for name in np.unique(particles.micrograph):
        assert np.ptp(shift[particles.micrograph == name]) < 0.05  # LEAST_SLOPE across the field
    plane = forced["plane"].defocus_change
    for name in np.unique(particles.micrograph):
        here = particles.micrograph == name
        x, y = particles.coordinate_x[here], particles.coordinate_y[here]
        design = np.stack([np.ones_like(x), x, y], axis=1)
        left = plane[here] - design @ np.linalg.lstsq(design, plane[here], rcond=None)[0]
        assert np.abs(left).max() < 1e-6
    assert np.ptp(forced["plane + particle"].defocus_change - plane) > 20


def test_the_error_counts_what_a_lower_rung_leaves_out(forced, small):
    full, truth = forced["plane + particle"], small.true_change
    for rung, found in forced.items():
        expected = np.hypot(full.defocus_error, full.defocus_change - found.defocus_change)
        np.testing.assert_allclose(found.defocus_error, expected)
        assert (found.change_low <= found.defocus_change + 1e-9).all()
        assert (found.defocus_change <= found.change_high + 1e-9).all()
        pull = (found.defocus_change - truth) / found.defocus_error
        assert np.mean(pull**2) < 1 + 5 * np.sqrt(2 / len(pull)), rung


def test_either_fold_has_the_mean_of_the_rung_that_is_reported(forced, small):
    particles, n = small.particles, len(small.particles)
    folds = {r: np.array([e.change_of_fold_1, e.change_of_fold_2]) for r, e in forced.items()}
    assert not folds["input"].any()
    for name in np.unique(particles.micrograph):
        here = particles.micrograph == name
        assert np.ptp(folds["micrograph shift"][:, here], axis=1).max() < 0.05
        x, y = particles.coordinate_x[here], particles.coordinate_y[here]
        plane = folds["plane"][:, here].T
        design = np.stack([np.ones_like(x), x, y], axis=1)
        left = plane - design @ np.linalg.lstsq(design, plane, rcond=None)[0]
        assert np.abs(left).max() < 1e-6
    ones, twos = folds["plane + particle"]
    half = (ones - twos) / 2
    assert half.std() > 5
    assert abs(half.mean()) < 4 * half.std() / np.sqrt(n)
    # each draws nearer to the plane than both together, and errs by more than their error
    error = forced["plane + particle"].defocus_error
    for fold in (ones, twos):
        assert 1.1 < np.sqrt(np.mean(((fold - small.true_change) / error) ** 2)) < np.sqrt(3)


def test_its_values_are_marked_as_means_over_a_prior(forced):
    assert all(found.settings["posterior"] is True for found in forced.values())


def test_the_interval_of_a_gaussian_is_one_sd_either_side():
    grid = np.linspace(-500, 500, 401)
    middle, sd = np.array([0.0, 37.0, -120.0]), np.array([20.0, 60.0, 110.0])
    density = np.exp(-0.5 * ((grid - middle[:, None]) / sd[:, None]) ** 2)
    density /= density.sum(axis=1, keepdims=True)
    low, high = _quantiles(density, grid, INTERVAL)
    np.testing.assert_allclose(low, middle - 0.99446 * sd, atol=0.3)
    np.testing.assert_allclose(high, middle + 0.99446 * sd, atol=0.3)
