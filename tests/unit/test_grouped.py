"""Statistics of groups: against a loop with numpy and scipy, and where a sort could go wrong."""

import time

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from parfocal.grouped import MAD_TO_SD, Groups, groups_of, jackknife

ROWS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.one_of(
            st.integers(-3, 3).map(float),  # ties
            st.floats(-1e9, 1e9),
            st.sampled_from([np.nan, np.inf, 1e300, 1e4, 1e4 + 1e-9]),
        ),
    ),
    min_size=1,
    max_size=40,
)


def made(rows) -> tuple[Groups, np.ndarray]:
    return groups_of(np.array([f"m{g}" for g, _ in rows])), np.array([v for _, v in rows])


def each(groups: Groups, values):
    """The finite values of each group, by a loop."""
    for g in range(len(groups)):
        mine = values[groups.index == g]
        yield mine[np.isfinite(mine)]


def test_a_case_by_hand():
    groups = groups_of(np.array(["b", "a", "b", "b", "a", "c"]))
    values = np.array([3.0, 7.0, 1.0, 1.0, np.nan, np.nan])
    assert groups.names == ("b", "a", "c")
    assert_array_equal(groups.index, [0, 1, 0, 0, 1, 2])
    assert_array_equal(groups.count(values), [3, 1, 0])
    assert_array_equal(groups.sum(values), [5, 7, 0])
    assert_array_equal(groups.mean(values), [5 / 3, 7, np.nan])
    assert_array_equal(groups.median(values), [1, 7, np.nan])
    assert_array_equal(groups.median(values, skip=1), [2, np.nan, np.nan])
    assert_array_equal(groups.ranks(values), [3, 1, 1.5, 1.5, np.nan, np.nan])
    assert_allclose(groups.centred(values), [4 / 3, 0, -2 / 3, -2 / 3, np.nan, np.nan])
    assert_array_equal(groups.centred(values, robust=True), [2, 0, 0, 0, np.nan, np.nan])
    assert_array_equal(groups.robust_sd(values), [0, 0, np.nan])
    assert_array_equal(groups.take(values == 1).index, [0, 0])


def test_products_by_hand():
    groups = groups_of(np.array(["a"] * 4 + ["b"]))
    x, y = np.array([1.0, 2, 6, np.nan, 4]), np.array([2.0, 5, 5, 9, 4])
    # about the means 3 and 4: 4 + 1 + 9, 4 + 1 + 1, 4 - 1 + 3
    assert_allclose(groups.moments(x, y), [[14, 6, 6, 2], [0, 0, 0, 0]])
    assert_allclose(groups.products(x, y), [[6, 2], [0, 0]])


def test_no_rows_at_all():
    groups, none = groups_of(np.zeros(0, dtype=str)), np.zeros(0)
    assert len(groups) == 0
    for found in (groups.median(none), groups.ranks(none), groups.mean(none), groups.order(none)):
        assert len(found) == 0


@given(ROWS)
@settings(max_examples=100)
def test_all_as_by_a_loop(rows):
    groups, values = made(rows)
    middle, rank = groups.median(values), groups.ranks(values)
    for g, mine in enumerate(each(groups, values)):
        here = rank[(groups.index == g) & np.isfinite(values)]
        assert_array_equal(here, scipy.stats.rankdata(mine))
        if len(mine):
            order = np.sort(mine)
            half = len(mine) // 2
            assert middle[g] == (order[(len(mine) - 1) // 2] + order[half]) / 2
        else:
            assert np.isnan(middle[g])
    assert np.isnan(rank[~np.isfinite(values)]).all()


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows, random):
    groups, values = made(rows)
    turn = np.array(random.sample(range(len(rows)), len(rows)))
    names = np.array(groups.names)[groups.index]
    turned = groups_of(names[turn])
    there = [turned.names.index(name) for name in groups.names]
    assert_array_equal(turned.median(values[turn])[there], groups.median(values))
    assert_array_equal(turned.ranks(values[turn]), groups.ranks(values)[turn])


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e6, 1e15])
def test_values_that_a_common_key_cannot_tell_apart_are_sorted(scale):
    rng = np.random.default_rng(1)
    groups = Groups(names=tuple(map(str, range(900))), index=rng.integers(0, 900, 20_000))
    values = 1e4 + scale * rng.normal(size=20_000)
    values[:2] = -1e12, 1e12  # makes one width for all that hides 1e-4
    order = groups.order(values)
    assert_array_equal(values[order], values[np.lexsort((values, groups.index))])
    assert_array_equal(groups.index[order], np.sort(groups.index))
    width = np.ptp(values)  # the twin: without a second look the order is wrong
    plain = np.argsort(groups.index * width + values, kind="stable")
    assert (scale >= 1e6) == np.array_equal(values[plain], values[order])


def test_robust_sd_is_scaled_to_a_gaussian():
    rng = np.random.default_rng(2)
    groups, values = groups_of(np.repeat(["a", "b"], 20_000)), rng.normal(7, 3, 40_000)
    values[:1000] = 1e5
    oracle = scipy.stats.median_abs_deviation(values[20_000:])
    assert groups.robust_sd(values)[1] == pytest.approx(MAD_TO_SD * oracle)
    assert groups.robust_sd(values)[1] == pytest.approx(3, abs=4 * 3 * 1.17 / np.sqrt(20_000))
    assert groups.robust_sd(values)[0] == pytest.approx(3, rel=0.1)  # for 5 % at 1e5


def test_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(3).normal(size=50)
    value, error = jackknife(lambda total, n: total / n, values, np.ones(50))
    assert value == pytest.approx(values.mean())
    assert error == pytest.approx(scipy.stats.sem(values))


def test_jackknife_leaves_out_groups_without_anything():
    values, n = np.array([0.0, 1.0, 0.0, 4.0]), np.array([0, 1, 0, 1])
    value, error = jackknife(lambda total, n: total / n, values, n)
    assert (value, error) == (2.5, pytest.approx(scipy.stats.sem([1.0, 4.0])))
    assert np.isnan(jackknife(lambda total, n: total / n, values[:3], n[:3])[1])


def test_jackknife_of_several_values():
    sums = np.random.default_rng(4).normal(5, 1, (30, 2))
    both = jackknife(lambda t: np.stack([t[..., 0] / t[..., 1], t[..., 1]], axis=-1), sums)
    one = jackknife(lambda t: t[..., 0] / t[..., 1], sums)
    assert_allclose([both[0][0], both[1][0]], one)


@pytest.mark.slow
def test_a_million_rows_are_quick():
    rng = np.random.default_rng(5)
    index = np.sort(rng.integers(0, 8000, 1_000_000))
    groups = Groups(names=tuple(map(str, range(8000))), index=index)
    values = rng.normal(1e4, 1e3, 1_000_000)

    def seconds(what):
        times = []
        for _ in range(5):
            start = time.process_time()
            what(values)
            times.append(time.process_time() - start)
        return min(times)

    assert seconds(groups.median) < 0.3  # 0.07 measured
    assert seconds(groups.ranks) < 0.6  # 0.13 measured
