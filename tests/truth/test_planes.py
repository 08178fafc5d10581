"""Planes against simulated truth: no bias, honest errors, and wrong particles do no harm."""

import numpy as np
import pytest

from parfocal.ice import fit_plane

TRUTH = np.array([15_000.0, 0.05, -0.03])  # c [Å], a, b: a tilt of 3.3°
N_MICROGRAPHS, N_PARTICLES = 400, 60
SPREAD = 80.0  # Å, of the heights in the ice
FIELD = 4000.0  # Å, side of the micrograph


def pulls(*, robust, weighted, wrong=0.0, seed=5):
    """(N_MICROGRAPHS, 3) pulls of c, a, b; a part `wrong` of the particles is 1500 Å too high."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(N_MICROGRAPHS):
        x, y = rng.uniform(0, FIELD, (2, N_PARTICLES))
        error = rng.uniform(40, 160, N_PARTICLES)
        defocus = TRUTH @ [np.ones_like(x), y, x] + rng.normal(0, np.hypot(error, SPREAD))
        defocus[: int(wrong * N_PARTICLES)] += rng.normal(1500, 300, int(wrong * N_PARTICLES))
        fit = fit_plane(x, y, defocus, error if weighted else None, robust)
        errors = fit.c_error, fit.a_error, fit.b_error
        found.append((np.array([fit.c, fit.a, fit.b]) - TRUTH) / errors)
    return np.array(found)


def assert_calibrated(pull):
    """Mean 0 and sd 1 within four standard errors; Student's t makes the sd a little more."""
    n = len(pull)
    expected = np.sqrt((N_PARTICLES - 3) / (N_PARTICLES - 5))
    assert (np.abs(pull.mean(axis=0)) < 4 / np.sqrt(n)).all(), f"biased: {pull.mean(axis=0)}"
    off = np.abs(pull.std(axis=0) / expected - 1)
    assert (off < 4 / np.sqrt(2 * n)).all(), f"errors off: sd of pulls {pull.std(axis=0)}"


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_coefficients_are_unbiased_and_their_errors_honest(robust, weighted):
    assert_calibrated(pulls(robust=robust, weighted=weighted))


def test_the_check_notices_a_bias_and_wrong_errors():
    good = pulls(robust=False, weighted=False)
    for spoiled in (good + 0.5, 1.3 * good, good / 1.3):
        with pytest.raises(AssertionError):
            assert_calibrated(spoiled)


@pytest.mark.parametrize("weighted", [False, True])
def test_wrong_particles_spoil_the_plain_fit_but_not_the_robust_one(weighted):
    with pytest.raises(AssertionError):
        assert_calibrated(pulls(robust=False, weighted=weighted, wrong=0.15))
    assert_calibrated(pulls(robust=True, weighted=weighted, wrong=0.15))


def test_outliers_are_counted_and_kept_out_of_the_spread():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0, FIELD, (2, 2000))
    defocus = TRUTH @ [np.ones_like(x), y, x] + rng.normal(0, SPREAD, 2000)
    defocus[:300] += 1500
    fit = fit_plane(x, y, defocus, robust=True)
    assert abs(fit.n_outliers - 300) <= 2
    assert abs(fit.spread / SPREAD - 1) < 4 / np.sqrt(2 * 1700)


def test_weights_sharpen_the_plane():
    rng = np.random.default_rng(4)
    gain = []
    for _ in range(100):
        x, y = rng.uniform(0, FIELD, (2, N_PARTICLES))
        error = np.where(rng.random(N_PARTICLES) < 0.5, 20.0, 400.0)
        defocus = TRUTH @ [np.ones_like(x), y, x] + rng.normal(0, error)
        weighted, plain = fit_plane(x, y, defocus, error), fit_plane(x, y, defocus)
        gain.append([(weighted.a - TRUTH[1]) ** 2, (plain.a - TRUTH[1]) ** 2])
    better, worse = np.mean(gain, axis=0)
    assert better < worse / 10


@pytest.mark.parametrize("slope", [0.01, 0.1, 1.0])
def test_tilt_and_axis_have_honest_errors(slope):
    rng = np.random.default_rng(6)
    azimuth = 0.7
    found = []
    for _ in range(N_MICROGRAPHS):
        x, y = rng.uniform(0, FIELD, (2, N_PARTICLES))
        uphill = x * np.cos(azimuth) + y * np.sin(azimuth)
        fit = fit_plane(x, y, 9000 + slope * uphill + rng.normal(0, 20, N_PARTICLES))
        turned = fit.tilt_axis - (azimuth + np.pi / 2)
        found.append([(fit.tilt - np.arctan(slope)) / fit.tilt_error, turned / fit.tilt_axis_error])
    pull = np.array(found)
    assert (np.abs(pull.mean(axis=0)) < 5 / np.sqrt(N_MICROGRAPHS)).all()
    assert (np.abs(pull.std(axis=0) - 1) < 5 / np.sqrt(2 * N_MICROGRAPHS)).all()
