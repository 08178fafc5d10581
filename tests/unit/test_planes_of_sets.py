"""Planes of all micrographs at once: as `fit_plane` and as least squares have them; tilt axes."""

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from parfocal.agreement import columns_of
from parfocal.conventions import DEGREE
from parfocal.grouped import Groups, groups_of
from parfocal.ice import fit_plane
from parfocal.join import join
from parfocal.planes_of_sets import Planes, axes_agree, fit_all, planes_of

from .test_defocus_set import made_set


def grouped(sizes) -> Groups:
    return groups_of(np.repeat([f"m{i}" for i in range(len(sizes))], sizes))


def tilted_scene(seed=0, sizes=(80,) * 40, tilt=8 * DEGREE, axis=None, scatter=60.0):
    """(groups, x, y, defocus) of ice tilted by `tilt` [rad] about `axis` [rad], one per micrograph."""
    rng, groups = np.random.default_rng(seed), grouped(sizes)
    n, m = len(groups.index), len(groups)
    x, y = rng.uniform(0, 4000, (2, n)) + rng.uniform(0, 9000, (2, m))[:, groups.index]
    axis = rng.uniform(0, np.pi, m) if axis is None else np.broadcast_to(axis, m)
    across = -np.sin(axis)[groups.index] * x + np.cos(axis)[groups.index] * y
    defocus = rng.uniform(1e4, 2e4, m)[groups.index] + np.tan(tilt) * across
    return groups, x, y, defocus + rng.normal(0, scatter, n)


def test_four_points_by_hand():
    groups = groups_of(np.array(["a"] * 4))  # as in test_ice
    x, y = np.array([0.0, 100, 0, 100]), np.array([0.0, 0, 100, 100])
    planes = fit_all(groups, x, y, np.array([1000.0, 1010, 1030, 1044]), "one")
    assert planes.name == "one"
    assert_allclose(
        [planes.a[0], planes.b[0], planes.mean_defocus[0]], [0.32, 0.12, 1021], rtol=0.01
    )
    assert_allclose([planes.mean_x[0], planes.mean_y[0]], 50)
    assert planes.spread[0] == pytest.approx(2, rel=0.01)
    assert planes.r_squared[0] == pytest.approx(1 - 4 / 1172, abs=1e-3)


@pytest.mark.parametrize("wrong", [0.0, 0.15])
def test_as_the_fit_of_one_micrograph(wrong):
    sizes = np.random.default_rng(1).integers(8, 120, 60)
    groups, x, y, defocus = tilted_scene(2, sizes)
    rng = np.random.default_rng(3)
    far = rng.random(len(defocus)) < wrong
    defocus = defocus + np.where(far, rng.normal(0, 1500, len(defocus)), 0)
    defocus[rng.random(len(defocus)) < 0.05] = np.nan
    planes = fit_all(groups, x, y, defocus)
    for number in range(len(groups)):
        rows = groups.index == number
        one, all_at_once = (
            fit_plane(x[rows], y[rows], defocus[rows], robust=True),
            planes.one(number),
        )
        enough = one.n_particles >= 25 or not wrong  # few and wrong ones: two starts, two answers
        assert all_at_once.kind == one.kind == "plane"
        assert all_at_once.n_particles == one.n_particles
        if not enough:
            continue
        assert abs(all_at_once.n_outliers - one.n_outliers) <= 0.05 * one.n_particles
        for name in ("a", "b", "c"):
            error = getattr(one, f"{name}_error")
            assert abs(getattr(all_at_once, name) - getattr(one, name)) < 0.4 * error, name
        assert all_at_once.tilt_error == pytest.approx(one.tilt_error, rel=0.2)
        assert all_at_once.r_squared == pytest.approx(one.r_squared, abs=0.05)
        if all_at_once.n_outliers == one.n_outliers:  # one on the edge of its weight changes this
            assert all_at_once.spread == pytest.approx(one.spread, rel=0.05)


def test_on_clean_data_the_two_differ_by_a_small_part_of_the_error():
    groups, x, y, defocus = tilted_scene(4)
    planes = fit_all(groups, x, y, defocus)
    for number in range(len(groups)):
        rows = groups.index == number
        one = fit_plane(x[rows], y[rows], defocus[rows], robust=True)
        assert abs(planes.a[number] - one.a) < 0.1 * one.a_error
        assert abs(planes.b[number] - one.b) < 0.1 * one.b_error
        assert planes.tilt_error[number] == pytest.approx(one.tilt_error, rel=0.02)
        assert planes.tilt_axis_error[number] == pytest.approx(one.tilt_axis_error, rel=0.02)
        assert planes.tilt[number] == pytest.approx(one.tilt, abs=0.1 * one.tilt_error)
        assert planes.one(number).tilt == pytest.approx(planes.tilt[number])
        assert planes.one(number).tilt_error == pytest.approx(planes.tilt_error[number])


def test_near_least_squares_on_gaussian_data():
    groups, x, y, defocus = tilted_scene(5)
    planes = fit_all(groups, x, y, defocus)
    for number in range(len(groups)):
        rows = groups.index == number
        design = np.stack([np.ones(rows.sum()), y[rows], x[rows]], axis=1)
        (_, a, b), *_ = np.linalg.lstsq(design, defocus[rows], rcond=None)
        fit = planes.one(number)
        assert abs(fit.a - a) < fit.a_error  # the biweight is 95 % efficient: they differ by 0.23
        assert abs(fit.b - b) < fit.b_error
    exact = fit_all(groups, x, y, defocus - (defocus - planes_at(planes, groups, x, y)))
    assert_allclose(exact.a, planes.a, rtol=1e-9)  # without scatter, as least squares
    assert_allclose(exact.r_squared, 1)


def planes_at(planes: Planes, groups: Groups, x, y):
    of = groups.index
    along_x, along_y = x - planes.mean_x[of], y - planes.mean_y[of]
    return planes.mean_defocus[of] + planes.b[of] * along_x + planes.a[of] * along_y


def test_pulls_of_the_slopes():
    groups, x, y, defocus = tilted_scene(6, sizes=(40,) * 600, axis=0.7)
    planes = fit_all(groups, x, y, defocus)
    slope = np.tan(8 * DEGREE)
    for found, truth, place in (
        (planes.a, slope * np.cos(0.7), 1),
        (planes.b, -slope * np.sin(0.7), 2),
    ):
        pull = (found - truth) / np.sqrt(planes.covariance[:, place, place])
        assert abs(pull.mean()) < 4 / np.sqrt(600)
        assert abs(pull.std() - np.sqrt(37 / 35)) < 4 / np.sqrt(2 * 600)  # Student's t
    pull = (planes.tilt_axis - 0.7) / planes.tilt_axis_error
    assert abs(pull.std() - 1) < 0.2
    assert planes.tilted().mean() > 0.95
    level = fit_all(*tilted_scene(7, sizes=(40,) * 600, tilt=0.0))
    assert level.tilted().mean() < 0.03


def test_wrong_particles_do_no_harm():
    groups, x, y, defocus = tilted_scene(8)
    clean = fit_all(groups, x, y, defocus)
    wrong = defocus + np.where(np.arange(len(x)) % 6 == 0, 0.6 * x, 0)
    spoiled = fit_all(groups, x, y, wrong)
    change = np.hypot(spoiled.a - clean.a, spoiled.b - clean.b)
    assert np.median(change) < 0.01
    assert (spoiled.n_outliers > 5).mean() > 0.9
    by_mean = [np.polyfit(x[groups.index == g], wrong[groups.index == g], 1)[0] for g in range(40)]
    assert np.median(np.abs(by_mean - clean.b)) > 0.05


def test_micrographs_that_span_no_plane():
    groups = groups_of(np.array(["few"] * 3 + ["line"] * 6 + ["place"] * 5 + ["none"] * 4))
    x = np.array([0.0, 1, 0] + [0.0, 1, 2, 3, 4, 5] + [7.0] * 5 + [np.nan] * 4)
    y = np.array([0.0, 0, 1] + [0.0, 2, 4, 6, 8, 10] + [7.0] * 5 + [0.0] * 4)
    defocus = np.arange(18.0)
    defocus[14:16] = np.nan
    planes = fit_all(groups, x, y, defocus)
    assert not planes.found().any()
    assert_array_equal(planes.n_particles, [3, 6, 5, 2])
    assert_array_equal(planes.n_outliers, 0)
    assert_allclose(planes.mean_defocus, [1, 5.5, 11, 16.5])
    assert np.isnan([planes.a, planes.tilt, planes.r_squared, planes.spread, planes.mean_x]).all()
    assert planes.one(0).kind == "mean"
    assert planes.one(0).at(1.0, 1.0) == 1
    assert not planes.tilted().any()
    empty = fit_all(groups, x, y, np.full(18, np.nan))
    assert empty.one(0).kind == "none"
    assert np.isnan(empty.mean_defocus).all()


def test_a_million_far_coordinates_lose_no_digits():
    groups, x, y, defocus = tilted_scene(9)
    near, far = fit_all(groups, x, y, defocus), fit_all(groups, x + 1e9, y - 1e9, defocus)
    assert_allclose(far.a, near.a, rtol=1e-6)
    assert_allclose(far.b, near.b, rtol=1e-6)


def axes_of(seed_a, seed_b, **changes):
    """Two sets' planes of micrographs of one axis each, unless `changes` to the second differ."""
    axis = np.random.default_rng(0).uniform(0, np.pi, 60)
    first = fit_all(*tilted_scene(seed_a, (60,) * 60, axis=axis), "a")
    usual = {"axis": axis}
    return axes_agree(first, fit_all(*tilted_scene(seed_b, (60,) * 60, **(usual | changes)), "b"))


def test_equal_axes_agree_as_well_as_their_errors():
    found = axes_of(1, 2)
    assert found.names == ("a", "b")
    assert found.micrographs == 60
    assert found.resultant > 0.98
    assert abs(found.turn.value) < 4 * found.turn.error < 3 * DEGREE
    assert abs(found.median.value) < 5 * DEGREE
    assert found.pull == pytest.approx(1, abs=0.45)  # 4 · 1.17 / √60, of a median


def test_axes_by_chance_do_not():
    found = axes_of(1, 2, axis=np.random.default_rng(5).uniform(0, np.pi, 60))
    assert found.resultant < 0.45  # P = exp(-60 · 0.45²) = 5e-6
    assert abs(found.median.value - 45 * DEGREE) < 4 * found.median.error
    assert found.median.error < 15 * DEGREE
    assert found.pull > 5


def test_mirrored_and_turned_axes():
    axis = np.random.default_rng(0).uniform(0, np.pi, 60)
    turned = axes_of(1, 2, axis=axis + 30 * DEGREE)
    assert turned.turn.value == pytest.approx(30 * DEGREE, abs=4 * turned.turn.error)
    assert turned.median.value == pytest.approx(30 * DEGREE, abs=2 * DEGREE)
    across = axes_of(1, 2, axis=axis + 90 * DEGREE)
    assert abs(across.turn.value) == pytest.approx(90 * DEGREE, abs=4 * across.turn.error)
    mirrored = axes_of(1, 2, axis=-axis)
    assert mirrored.resultant < 0.45


def test_the_error_of_the_mean_turn():
    turns, errors = zip(*(axes_of(s, s + 500).turn for s in range(100, 160)), strict=True)
    assert abs(np.mean(turns)) < 4 * np.std(turns) / np.sqrt(60)
    assert np.mean(errors) / np.std(turns) == pytest.approx(1, abs=4 / np.sqrt(2 * 60))


def test_level_ice_has_no_axis():
    level = fit_all(*tilted_scene(3, (10,) * 5, tilt=0.0))
    found = axes_agree(level, level)
    assert found.micrographs <= 1
    if not found.micrographs:
        assert np.isnan([found.resultant, found.pull, *found.turn, *found.median]).all()


def test_planes_of_sets_take_their_own_coordinates():
    groups, x, y, defocus = tilted_scene(4, sizes=(40,) * 3)
    ids = [f"{i}@s" for i in range(1, 121)]
    names = np.array(groups.names, dtype=object)[groups.index]
    known = {"micrograph": names, "coordinate_x": x}
    base = made_set(ids, defocus, name="base", coordinate_y=y, **known)
    mirrored = made_set(ids, defocus, name="mirrored", coordinate_y=-y, **known)
    placeless = made_set(ids, defocus, name="placeless", micrograph=names)
    ok = np.arange(120) >= 40
    fewer = made_set(ids, defocus, name="fewer", coordinate_y=y, ok=ok, **known)
    joined = join([base, mirrored, placeless, fewer])
    found = planes_of(joined, groups, columns_of(joined, groups))
    assert [p.name for p in found] == ["base", "mirrored", "placeless", "fewer"]
    assert_allclose(found[0].a, fit_all(groups, x, y, defocus).a)
    assert_allclose(found[1].a, -found[0].a, rtol=1e-6)
    assert_allclose(found[2].a, found[0].a)
    assert_array_equal(found[3].n_particles, [0, 40, 40])


@pytest.mark.slow
def test_a_thousand_micrographs_are_quick():
    groups, x, y, defocus = tilted_scene(1, sizes=(125,) * 1000)
    start = time.process_time()
    fit_all(groups, x, y, defocus)
    assert time.process_time() - start < 1  # 0.15 measured; 3 with a loop over `fit_plane`
