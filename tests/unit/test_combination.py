"""Weights from what errors have in common: algebra by hand, and truth that was simulated."""

import numpy as np
import pytest

from parfocal.combination import (
    Signal,
    error_covariance,
    least_error_weights,
    moments,
    patterns,
    positive,
)

ROWS = 40_000


def drawn(rng, signal=100.0, shared=90.0, own=(60.0, 60.0, 120.0)):
    """(truth, values (J, 3), folds (J, 3, 2)): image noise shared by all, own noise, two folds."""
    truth = rng.normal(0, signal, ROWS)
    image = rng.normal(0, shared * np.sqrt(2), (ROWS, 2))
    folds = np.stack(
        [truth[:, None] + image + rng.normal(0, s * np.sqrt(2), (ROWS, 2)) for s in own], axis=1
    )
    return truth, folds.mean(axis=2), folds


def errors(values, truth):
    """The covariance of errors that truth shows, "nothing" first."""
    wrong = np.column_stack([-truth, values - truth[:, None]])
    return wrong.T @ wrong / len(truth)


def none(values):
    return np.full(values.shape, np.nan)


@pytest.fixture
def rng():
    return np.random.default_rng(31)


@pytest.fixture
def scene(rng):
    return drawn(rng)


def test_folds_find_the_signal_and_the_errors_without_truth(scene):
    truth, values, folds = scene
    found = moments(values, folds, none(values), np.zeros(3, bool), np.ones(values.shape))
    assert found.signal.by == "folds"
    assert found.unbiased.all()
    assert abs(found.signal.variance - truth.var()) < 4 * found.signal.error
    # <a1 b2> of Gaussians has variance V² + S_1 S_2, the folds being averages over three sets
    of_fold = np.var(folds.mean(axis=1), axis=0)
    expected = np.sqrt((truth.var() ** 2 + of_fold.prod()) / ROWS)
    assert found.signal.error == pytest.approx(expected, rel=0.1)
    measured = error_covariance(found, found.signal.variance)
    np.testing.assert_allclose(measured, errors(values, truth), atol=5 * found.signal.error)


def test_without_folds_shared_noise_passes_for_signal_so_it_is_a_bound_only(scene):
    truth, values, _ = scene
    nothing = np.full((*values.shape, 2), np.nan)
    found = moments(values, nothing, none(values), np.zeros(3, bool), np.ones(values.shape))
    assert found.signal.by == "bound"
    assert found.signal.variance == pytest.approx(truth.var() + 90.0**2, rel=0.05)
    believed = found.signal.quantiles(100.0)
    assert believed[2] < found.signal.variance / 2
    assert (np.diff(believed) > 0).all()


def test_a_posterior_mean_tells_what_other_sets_know(rng):
    truth, values, folds = drawn(rng)
    noise = np.var(values[:, 0] - truth)
    share = truth.var() / (truth.var() + noise)
    both = np.column_stack([share * values[:, 0], values])
    error = np.full(both.shape, np.nan)
    error[:, 0] = np.sqrt(share * noise)
    folds = np.concatenate([np.full((ROWS, 1, 2), np.nan), folds], axis=1)
    posterior = np.array([True, False, False, False])
    found = moments(both, folds, error, posterior, np.ones(both.shape))
    assert found.signal.by == "posterior"
    assert found.signal.variance == pytest.approx(truth.var(), rel=0.03)
    measured = error_covariance(found, found.signal.variance)
    assert measured[1, 1] == pytest.approx(share * noise, rel=0.03)
    assert measured[0, 1] == pytest.approx(share * noise, rel=0.05)
    _, error_variance = least_error_weights(measured)
    assert error_variance == pytest.approx(share * noise, rel=0.03)
    # the spoiled twin: a set that only claims to be a posterior mean puts the signal wrong
    claims = moments(both * 1.5, folds, error, posterior, np.ones(both.shape))
    assert claims.signal.variance > 1.4 * truth.var()


def test_the_weights_are_those_of_the_truth_and_beat_each_set(scene):
    truth, values, folds = scene
    found = moments(values, folds, none(values), np.zeros(3, bool), np.ones(values.shape))
    weight, claimed = least_error_weights(error_covariance(found, found.signal.variance))
    best, _ = least_error_weights(errors(values, truth))
    np.testing.assert_allclose(weight, best, atol=0.03)
    made = values @ weight[1:] - truth
    assert made.var() == pytest.approx(claimed, rel=0.05)
    assert made.var() < min(np.var(values - truth[:, None], axis=0).min(), truth.var())
    assert weight[3] < 0.1  # the noisier one of three that see the same images


def test_equal_and_independent_sets_count_alike():
    weight, variance = least_error_weights(np.diag([1e12, 50.0, 50.0]))
    np.testing.assert_allclose(weight, [0, 0.5, 0.5], atol=1e-6)
    assert variance == pytest.approx(25.0, rel=1e-6)


def test_weights_are_never_negative():
    """With errors correlated 0.99 the least squares would take -1.9 of the worse one."""
    covariance = np.array([[1e9, 0, 0], [0, 100.0, 148.5], [0, 148.5, 225.0]])
    weight, variance = least_error_weights(covariance)
    np.testing.assert_allclose(weight, [0, 1, 0], atol=1e-6)
    assert variance == pytest.approx(100.0, rel=1e-6)


def test_rows_weigh_by_how_well_they_are_known(rng):
    """Half of the rows are three times as noisy: the others settle the signal."""
    truth, values, folds = drawn(rng)
    loud = np.where(np.arange(ROWS) % 2 == 0, 1.0, 3.0)[:, None]
    folds = truth[:, None, None] + loud[..., None] * (folds - truth[:, None, None])
    values = folds.mean(axis=2)
    claimed = loud * np.sqrt(90.0**2 + np.array([60.0, 60.0, 120.0]) ** 2)
    with_bars = moments(values, folds, claimed, np.zeros(3, bool), np.ones(values.shape))
    without = moments(values, folds, none(values), np.zeros(3, bool), np.ones(values.shape))
    assert with_bars.signal.error < 0.6 * without.signal.error
    assert abs(with_bars.signal.variance - truth.var()) < 4 * with_bars.signal.error


def test_a_set_with_too_few_rows_gets_no_weight(scene):
    truth, values, folds = scene
    values, folds = values.copy(), folds.copy()
    values[20:, 2], folds[20:, 2] = np.nan, np.nan
    found = moments(values, folds, none(values), np.zeros(3, bool), np.ones(values.shape))
    weight, _ = least_error_weights(error_covariance(found, truth.var()))
    assert weight[3] < 1e-3


def test_what_is_believed_of_a_well_known_signal_is_what_was_measured():
    found = Signal(variance=120.0**2, error=100.0, by="folds").quantiles(100.0)
    np.testing.assert_allclose(np.sqrt(found), 120, rtol=0.011)  # the grid's step
    unknown = Signal(variance=0.0, error=np.inf, by="folds").quantiles(100.0)
    assert np.sqrt(unknown[2]) == pytest.approx(100, rel=0.1)
    nothing = Signal(variance=-1000.0, error=500.0, by="folds").quantiles(100.0)
    assert nothing[-1] < 40**2


def test_each_row_is_in_one_pattern():
    known = np.array([[1, 1, 0], [0, 0, 0], [1, 1, 0], [1, 0, 1]], dtype=bool)
    found = {tuple(sets.tolist()): rows.tolist() for rows, sets in patterns(known)}
    assert found == {(0, 1): [0, 2], (): [1], (0, 2): [3]}


def test_the_nearest_covariance_is_one():
    bad = np.array([[1.0, 2.0], [2.0, 1.0]])
    assert np.linalg.eigvalsh(positive(bad)).min() > 0
    good = np.array([[2.0, 1.0], [1.0, 2.0]])
    np.testing.assert_allclose(positive(good), good, rtol=1e-12)
