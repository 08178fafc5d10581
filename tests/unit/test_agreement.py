"""Agreement of pairs: against scipy micrograph by micrograph, by hand, and what must not matter."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from parfocal.agreement import (
    Column,
    agree,
    average,
    bare_column,
    columns_of,
    midcorrelate,
    pooled_correlation,
    residuals,
    rms,
    sd_within,
)
from parfocal.grouped import Groups, groups_of
from parfocal.join import join

from .test_defocus_set import made_set


def grouped(*sizes) -> Groups:
    return groups_of(np.repeat([f"m{i}" for i in range(len(sizes))], sizes))


def bare(groups, values, name="bare") -> Column:
    return bare_column(groups, name, np.asarray(values, dtype=float))


def drawn(seed=0, sizes=(30, 40, 3, 12, 5, 25)):
    """(groups, two columns): correlated, each micrograph with its own defocus, some values missing."""
    rng, groups = np.random.default_rng(seed), grouped(*sizes)
    n = len(groups.index)
    level = rng.uniform(1e4, 2e4, len(groups))[groups.index]
    height = rng.normal(0, 60, n)
    x, y = (level + height + rng.normal(0, 40, n) for _ in range(2))
    x[rng.random(n) < 0.1] = np.nan
    return groups, bare(groups, np.round(x, -1), "a"), bare(groups, y + 25, "b")


def by_loop(groups, x, y, statistic):
    found = []
    for g in range(len(groups)):
        rows = (groups.index == g) & np.isfinite(x) & np.isfinite(y)
        few = rows.sum() < 4 or np.ptp(x[rows]) == 0 or np.ptp(y[rows]) == 0
        found.append(np.nan if few else statistic(x[rows], y[rows])[0])
    return np.array(found)


def biweight(x, y):
    """Wilcox 2012, 9.3.8, written out."""

    def sides(v):
        away = v - np.median(v)
        u = away / (9 * np.median(np.abs(away)))
        return away * (1 - u**2) ** 2 * (np.abs(u) < 1)

    a, b = sides(x), sides(y)
    return (np.sum(a * b) / np.sqrt(np.sum(a**2) * np.sum(b**2)),)


@pytest.mark.parametrize(
    ("kind", "oracle"),
    [
        ("pearson", scipy.stats.pearsonr),
        ("spearman", scipy.stats.spearmanr),
        ("robust", biweight),
    ],
)
def test_correlations_as_by_a_loop(kind, oracle):
    groups, a, b = drawn()
    found = agree(groups, a, b)
    wanted = by_loop(groups, a.defocus, b.defocus, oracle)
    assert_allclose(getattr(found.by_micrograph, kind), wanted, rtol=1e-9)
    counted = wanted[np.isfinite(wanted)]
    assert getattr(found, kind) == pytest.approx(
        (counted.mean(), scipy.stats.sem(counted), len(counted))
    )
    assert len(counted) == 5  # the micrograph of three particles does not count
    wrong = by_loop(groups, a.defocus, -b.defocus, oracle)
    assert not np.allclose(getattr(found.by_micrograph, kind), wrong, equal_nan=True)


def test_the_pooled_correlation_is_that_of_all_about_their_micrographs_means():
    groups, a, b = drawn()
    both = np.isfinite(a.defocus)
    here = groups.take(both)
    x, y = (here.centred(c.defocus[both]) for c in (a, b))
    found = agree(groups, a, b)
    assert found.pooled.value == pytest.approx(scipy.stats.pearsonr(x, y)[0])
    assert found.particles == both.sum()
    over_all = scipy.stats.pearsonr(a.defocus[both], b.defocus[both])[0]
    assert over_all > 0.99 > found.pooled.value  # what the paper warns of


def test_standard_errors_are_those_of_other_draws():
    values, errors = [], []
    for seed in range(200):
        groups, a, b = drawn(seed, sizes=(15,) * 25)
        found = agree(groups, a, b)
        told = found.pearson, found.pooled, found.trimmed, found.bias, found.slope
        values.append([m.value for m in told])
        errors.append([m.error for m in told])
    scatter, claimed = np.std(values, axis=0, ddof=1), np.sqrt(np.mean(np.square(errors), axis=0))
    assert_allclose(claimed / scatter, 1, atol=4 / np.sqrt(2 * 200))
    expected = 60**2 / (60**2 + 40**2)
    mean_error = scatter / np.sqrt(200)
    assert abs(np.mean(values, axis=0)[1] - expected) < 4 * mean_error[1]
    assert abs(np.mean(values, axis=0)[3] - 25) < 4 * mean_error[3]
    assert abs(np.mean(values, axis=0)[4] - 1) < 4 * mean_error[4]


def test_bias_and_spread_by_hand():
    groups = grouped(3, 3)
    a = bare(groups, [0, 10, 30, 0, 50, 20])
    b = bare(groups, [1, 12, 36, 10, 60, 33])
    found = agree(groups, a, b)  # differences 1 2 6 and 10 10 13
    assert found.bias.value == pytest.approx(7)
    assert found.bias.error == pytest.approx(4)  # means 3 and 11: half their difference
    assert_allclose(found.by_micrograph.bias, [2, 10])
    assert found.median_bias == 8
    assert found.spread == pytest.approx(1.4826 * 0.5)  # 1 0 4 0 0 3 -> 0 0 0 1 3 4
    assert found.spread_total == pytest.approx(1.4826 * 3.5)  # 7 6 2 2 2 5 -> 2 2 2 5 6 7
    assert (found.pearson.micrographs, found.particles) == (0, 6)
    assert np.isnan(found.pearson.value)


def test_slopes_by_hand():
    groups, x = grouped(5), [0.0, 10, 20, 30, 40]
    found = agree(groups, bare(groups, x), bare(groups, np.array(x) * 0.5 + 7))
    assert found.slope.value == pytest.approx(0.5)
    assert [s.value for s in found.slope_on] == pytest.approx([0.5, 2])
    turned = agree(groups, bare(groups, x), bare(groups, np.array(x) * -0.5))
    assert turned.slope.value == pytest.approx(-0.5)
    assert turned.pooled.value == pytest.approx(-1)


def test_noise_makes_least_squares_too_flat_but_not_the_major_axis():
    rng, groups = np.random.default_rng(2), grouped(*[50] * 80)
    height = rng.normal(0, 50, 4000)
    a, b = (bare(groups, height + rng.normal(0, 50, 4000)) for _ in range(2))
    found = agree(groups, a, b)
    assert abs(found.slope.value - 1) < 4 * found.slope.error
    for slope in found.slope_on:
        assert abs(slope.value - 0.5) < 4 * slope.error < 0.1


def test_a_few_wrong_particles_do_not_set_what_is_robust():
    groups, a, b = drawn(3, sizes=(60,) * 30)
    clean = agree(groups, a, b)
    wrong = b.defocus.copy()
    wrong[::20] += np.random.default_rng(0).choice([-3000, 3000], len(wrong[::20]))
    spoiled = agree(groups, a, bare(groups, wrong, "b"))
    for name in ("robust", "trimmed", "slope"):
        assert abs(getattr(spoiled, name).value - getattr(clean, name).value) < 0.03, name
    assert spoiled.spread == pytest.approx(clean.spread, rel=0.15)
    assert spoiled.pooled.value < 0.2 < clean.pooled.value
    both = np.isfinite(a.defocus)
    assert spoiled.outliers == pytest.approx(both[::20].sum(), abs=3)


def test_micrographs_without_spread_do_not_count():
    groups = grouped(5, 5, 5)
    x = np.arange(15.0)
    y = np.concatenate([np.full(5, 9000.0), 9000 + 1e-5 * x[:5], x[:5]])
    found = agree(groups, bare(groups, x), bare(groups, y))
    assert found.pearson.micrographs == found.spearman.micrographs == found.robust.micrographs == 1
    assert found.pearson.value == pytest.approx(1)
    assert np.isnan(found.pearson.error)
    half = np.array([0, 0, 0, 1, 2.0] * 3)  # more than half the same: no robust correlation
    found = agree(groups, bare(groups, x), bare(groups, half))
    assert (found.pearson.micrographs, found.robust.micrographs) == (3, 0)


def test_nothing_in_common_is_nothing_known():
    groups, nan = grouped(4, 4), np.nan
    a = bare(groups, [1.0, 2, 3, 5, nan, nan, nan, nan])
    b = bare(groups, [nan, nan, nan, nan, 1.0, 2, 3, 5])
    found = agree(groups, a, b)
    assert (found.particles, found.pearson.micrographs) == (0, 0)
    for value in (found.pooled, found.bias, found.slope, found.pearson):
        assert np.isnan(value.value)
    assert np.isnan([found.spread, found.spread_total, found.median_bias]).all()


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.floats(-1e4, 1e4), min_size=6, max_size=6),
)
@settings(max_examples=25, deadline=None)
def test_neither_the_order_nor_a_micrographs_own_constant_matters(seed, constants):
    groups, a, b = drawn(seed % 7)
    first = agree(groups, a, b)
    turn = np.random.default_rng(seed).permutation(len(groups.index))
    moved = bare(groups, b.defocus + np.array(constants)[groups.index], "b")
    second = agree(groups.take(turn), a.take(turn), moved.take(turn))
    for name in ("pearson", "spearman", "robust", "pooled", "trimmed", "slope"):
        assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-7, err_msg=name)
    assert second.spread == pytest.approx(first.spread, rel=1e-7)
    weight = np.isfinite(a.defocus)
    assert second.bias.value == pytest.approx(
        first.bias.value + np.mean(np.array(constants)[groups.index][weight]), abs=1e-6
    )


def test_the_other_way_round():
    groups, a, b = drawn()
    one, two = agree(groups, a, b), agree(groups, b, a)
    for name in ("pearson", "spearman", "robust", "pooled", "trimmed"):
        assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-10)
    assert two.bias.value == pytest.approx(-one.bias.value)
    assert two.slope.value == pytest.approx(1 / one.slope.value)
    assert two.slope_on[0].value == pytest.approx(one.slope_on[1].value)


def test_residuals_leave_out_what_lies_far():
    rng, groups = np.random.default_rng(1), grouped(200, 200)
    values = np.concatenate([rng.normal(1e4, 10, 200), rng.normal(2e4, 10, 200)])
    values[[3, 250]] += 100
    near = residuals(groups, values)
    assert np.isnan(near[[3, 250]]).all()
    assert np.isfinite(near).sum() >= 397
    assert abs(np.nanmedian(near[:200])) < 1
    error = np.full(400, 5.0)
    error[3] = 50  # which may lie 200 Å away, by its own error
    assert np.isfinite(residuals(groups, values, error)[3])
    assert np.isnan(residuals(groups, values, error)[250])
    assert np.isnan(residuals(groups, values, error / 4)[3])
    assert np.isfinite(residuals(groups, values, error / 4, times=4)[3])


def test_a_micrograph_that_scatters_more_than_others_keeps_its_particles():
    rng, groups = np.random.default_rng(1), grouped(*[100] * 10)
    values = rng.normal(0, np.repeat([10.0] * 9 + [200.0], 100))
    assert np.isfinite(residuals(groups, values)[900:]).sum() >= 98


def test_a_set_that_mostly_says_one_thing_keeps_the_rest():
    groups = grouped(50)
    values = np.where(np.arange(50) < 40, 1e4, 1e4 + np.arange(50))
    assert np.isfinite(residuals(groups, values)).all()


def test_columns_are_silent_where_a_set_is_not_to_be_trusted():
    ids = [f"{i}@s" for i in range(1, 5)]
    ok = np.array([True, True, False, True])
    made = made_set(ids, name="a", ok=ok, error=[5.0, 0, 5, 6], fold_1=[1.0, 2, 3, 4])
    other = made_set(ids[:3], name="b", posterior=True)
    joined = join([made, other])
    groups = groups_of(joined.base.micrograph)
    a, b = columns_of(joined, groups)
    assert_allclose(a.defocus, [9000, 9100, np.nan, 9300])
    assert_allclose(a.error, [5, np.nan, np.nan, 6])  # no error bar is 0
    assert_allclose(a.folds[:, 0], [1, 2, np.nan, 4])
    assert_allclose(b.defocus, [9000, 9100, 9200, np.nan])
    assert (a.name, a.posterior, b.posterior, a.outliers()) == ("a", False, True, 0)
    assert agree(groups, a, b).particles == 2


def test_sd_within_and_rms():
    rng, groups = np.random.default_rng(4), grouped(*[8] * 500)
    values = rng.normal(0, 30, 4000) + np.repeat(rng.normal(0, 900, 500), 8)
    found = sd_within(groups, values)
    assert abs(found.value - 30) < 4 * found.error
    assert found.error == pytest.approx(30 / np.sqrt(2 * 3500), rel=0.15)
    assert rms(np.array([3.0, -5, np.nan])) == pytest.approx(np.sqrt(17))
    assert np.isnan(rms(np.array([np.nan])))


def test_average_of_nothing():
    assert average(np.array([np.nan]))[2] == 0
    assert np.isnan(pooled_correlation(np.array([0.0, 5.0, 0.0, 9.0])))


def test_an_outlier_moves_the_biweight_little():
    rng, groups = np.random.default_rng(6), grouped(100)
    x, y = rng.normal(0, 1, (2, 100))
    y += 2 * x
    medians = groups.median(x), groups.median(y)
    clean = midcorrelate(groups, x, y, medians)[0]
    y[0], x[0] = 1e3, -1e3
    assert abs(midcorrelate(groups, x, y, medians)[0] - clean) < 0.02
    assert scipy.stats.pearsonr(x, y)[0] < 0
