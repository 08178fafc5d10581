"""Weighted squared differences: their slopes, their minima and the error of these."""

import numpy as np
import pytest
import scipy.optimize

from parfocal.curves import scaled_curves
from parfocal.estimators.least_squares import (
    DEFOCUS,
    NEUTRAL,
    SCALE,
    cost,
    descend,
    improve,
    least_squares_error,
    problems,
)
from parfocal.estimators.least_squares import _expand as expand
from parfocal.evidence import gather

from .conftest import make_case

ALL = [0, 1, 2, 3, 4]
N = 12


@pytest.fixture(scope="module")
def case():
    return make_case(particles=N, micrographs=3, astigmatism=600.0)


@pytest.fixture(scope="module")
def evidence(case):
    return gather(case.particles, case.simulation.images, case.reference, astigmatism=True)


@pytest.fixture(scope="module")
def whole(case, evidence):
    """Problems of all particles, all frequencies alike."""
    (_, spectra, model), *_ = evidence.batches()
    sums = spectra.sums.sum(axis=1)
    weight = np.where(model.grid.k > 0.02, 1.0 / sums[..., 7].mean(), 0.0)
    return problems(sums, spectra.harmonics, model.grid, weight)


def some_x(n=N, seed=0):
    """Parameters near neutral."""
    rng = np.random.default_rng(seed)
    return NEUTRAL + rng.normal(size=(n, 5)) * [60.0, 15.0, 15.0, 20.0, 0.1]


def value(problem, x, free=ALL):
    return expand(problem, x, free)[0]


@pytest.mark.parametrize("parameter", ALL)
def test_slopes_are_finite_differences(whole, parameter):
    x, h = some_x(), [0.01, 0.01, 0.01, 0.01, 1e-5][parameter]
    up, down = np.array(x), np.array(x)
    up[:, parameter] += h
    down[:, parameter] -= h
    difference = (value(whole, up) - value(whole, down)) / (2 * h)
    slope = expand(whole, x, ALL)[1][:, parameter]
    np.testing.assert_allclose(slope, difference, rtol=1e-4, atol=1e-5 * np.abs(slope).max())


@pytest.mark.parametrize("free", [[0], [0, 1, 2], [3, 4], [1, 2, 3, 4], []])
def test_what_is_settled_leaves_the_same_cost(whole, free):
    """At x, whether some of it is put into the spectra or not."""
    x, rest = some_x(), NEUTRAL + np.zeros((N, 5))
    rest[:, free] = x[:, free]
    settled = value(whole.settled(x, free), rest, free)
    np.testing.assert_allclose(settled, value(whole, x), rtol=1e-9, atol=1e-9)


def test_cost_on_a_grid_is_the_same_cost(whole):
    grid = np.linspace(-300, 300, 5)
    x = some_x()
    settled = whole.settled(x, [DEFOCUS])
    for j, change in enumerate(grid):
        x[:, DEFOCUS] = change
        np.testing.assert_allclose(cost(settled, grid)[:, j], value(whole, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("free", [[0], [0, 3, 4], ALL])
def test_descent_ends_where_scipy_finds_the_minimum_from_there(whole, free):
    start = np.tile(NEUTRAL, (N, 1))
    found = improve(whole, start, free)
    unit = np.array([50.0, 20.0, 20.0, 50.0, 0.2])[free]
    for i in range(N):
        alone = whole.take([i])

        def down(z, alone=alone, i=i):
            x = np.array(start[i : i + 1])
            x[:, free] += z * unit
            v, g, _ = expand(alone, x, free)
            return 1e3 * v[0], 1e3 * g[0] * unit

        best = scipy.optimize.minimize(
            down, np.zeros(len(free)), jac=True, method="BFGS", options={"gtol": 1e-6}
        )
        assert 1e3 * value(alone, found[i : i + 1])[0] <= best.fun + 1e-5 * abs(best.fun)


def test_descent_goes_to_the_nearest_minimum_downhill(whole):
    """From δ = 0 along each curve, never over a hill."""
    grid = np.arange(-1500, 1501, 5.0)
    curve = cost(whole.settled(np.tile(NEUTRAL, (N, 1)), [DEFOCUS]), grid)
    found = improve(whole, np.tile(NEUTRAL, (N, 1)), [DEFOCUS])[:, DEFOCUS]
    for i in range(N):
        j = len(grid) // 2
        while curve[i, j + 1] < curve[i, j]:
            j += 1
        while curve[i, j - 1] < curve[i, j]:
            j -= 1
        assert abs(found[i] - grid[j]) <= 5


def test_what_is_shared_minimises_the_sum(whole):
    index = np.arange(N) % 3
    found = improve(whole, np.tile(NEUTRAL, (N, 1)), [DEFOCUS], index)[:, DEFOCUS]
    grid = np.arange(-400, 401, 2.0)
    curve = cost(whole.settled(np.tile(NEUTRAL, (N, 1)), [DEFOCUS]), grid)
    for group in range(3):
        mine = index == group
        assert np.ptp(found[mine]) == 0
        j = int(np.argmin(np.abs(grid - found[mine][0])))
        total = curve[mine].sum(axis=0)
        assert total[j] <= total[j - 2 : j + 3].min() + 1e-9
    np.testing.assert_array_equal(
        improve(whole, some_x(), [], index), some_x()
    )  # nothing free, nothing moved


def test_a_step_too_far_is_not_taken(whole):
    """From a B-factor that leaves nothing of the template."""
    x = np.tile(NEUTRAL, (N, 1))
    x[:, 3] = 5000.0
    before = value(whole, x)
    after = descend(whole, x, [3, 4])
    assert np.isfinite(after).all()
    assert (value(whole, after) <= before).all()


def test_bins_without_weight_are_left_out(evidence):
    (_, spectra, model), *_ = evidence.batches()
    weight = np.where(np.arange(model.grid.bins) < 7, 1.0, 0.0)
    problem = problems(spectra.sums.sum(axis=1), spectra.harmonics, model.grid, weight)
    assert problem.a.shape == (N, 7)
    assert problem.b_waves.shape == (N, 7, 4)


def test_no_weights_have_a_smaller_error_than_the_likelihoods(case, evidence):
    """Nor is the cost with these to be tempered, but by the particle's own scales."""
    (rows, spectra, model), *_ = evidence.batches()
    sums, prior = spectra.sums.sum(axis=1), case.particles.defocus[rows]
    curves = scaled_curves(sums, prior, model, evidence.change())
    change = np.zeros(N)
    best = model.amplitude / model.noise
    error, temper = least_squares_error(curves, best, change)
    np.testing.assert_allclose(temper, curves.signal / curves.noise, rtol=1e-9)
    rng = np.random.default_rng(4)
    for _ in range(5):
        other, _ = least_squares_error(curves, best * rng.uniform(0.2, 1, model.grid.bins), change)
        assert (other >= error * (1 - 1e-9)).all()  # Gauss-Markov
        assert other.max() > 1.01 * error.max()
    scaled, _ = least_squares_error(curves, 7 * best, change)
    np.testing.assert_allclose(scaled, error, rtol=1e-9)


def test_error_is_the_scatter_of_the_minimum_under_noise(small):
    """The spread of minima of one weighted cost over particles, true heights known."""
    (rows, spectra, model), *_ = small.evidence.batches()
    sums = spectra.sums.sum(axis=1)
    weight = np.where(model.grid.k > 1 / 30, 1.0, 0.0)
    curves = scaled_curves(sums, small.particles.defocus[rows], model, small.evidence.change())
    problem = problems(sums, spectra.harmonics, model.grid, weight)
    start = np.tile(NEUTRAL, (len(rows), 1))
    start[:, SCALE] = curves.signal
    found = improve(problem, start, [DEFOCUS])[:, DEFOCUS]
    error, _ = least_squares_error(curves, weight, found)
    pull = (found - small.true_change[rows]) / error
    inner = np.abs(pull) < 4  # a few ended in another minimum
    assert inner.mean() > 0.98
    assert pull[inner].std() == pytest.approx(1, abs=4 / np.sqrt(2 * inner.sum()))
    assert (pull[inner] / 1.4).std() < 1 - 4 / np.sqrt(2 * inner.sum())  # the check can fail
