"""Planes of defocus: cases with an answer known without code, and data that no fit can use."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.conventions import DEGREE
from parfocal.estimates import DefocusEstimates, Status
from parfocal.ice import fit_plane, fit_planes, ice_heights, rows_by_micrograph

SQUARE_X = np.array([0.0, 100.0, 0.0, 100.0])  # Å: the corners of a square
SQUARE_Y = np.array([0.0, 0.0, 100.0, 100.0])


def made_up(micrograph, x, y, defocus, status=None, error=20.0) -> DefocusEstimates:
    n = len(micrograph)
    return DefocusEstimates(
        method="made-up",
        particle_id=np.array([f"{i + 1}@a.mrcs" for i in range(n)], dtype=str),
        micrograph=np.array(micrograph, dtype=str),
        coordinate_x=np.array(x, dtype=float),
        coordinate_y=np.array(y, dtype=float),
        defocus_prior=np.array(defocus, dtype=float),
        defocus_change=np.zeros(n),
        defocus_error=np.full(n, error),
        ice_height=np.full(n, np.nan),
        held_out_gain=np.zeros(n),
        status=np.zeros(n, dtype=int) if status is None else np.array(status, dtype=int),
    )


def test_four_points_by_hand():
    # Corners 1000, 1010, 1030, 1044: b = ((1010-1000) + (1044-1030)) / 200 = 0.12,
    # a = ((1030-1000) + (1044-1010)) / 200 = 0.32, mean 1021, residuals ±1 in alternation.
    fit = fit_plane(SQUARE_X, SQUARE_Y, [1000, 1010, 1030, 1044])
    assert fit.kind == "plane"
    assert fit.n_particles == 4
    assert fit.n_outliers == 0
    assert fit.a == pytest.approx(0.32)
    assert fit.b == pytest.approx(0.12)
    assert fit.mean_defocus == pytest.approx(1021)
    assert fit.c == pytest.approx(1021 - 0.32 * 50 - 0.12 * 50)
    assert fit.spread == pytest.approx(2)  # sqrt(4 · 1² / (4 - 3))
    assert fit.r_squared == pytest.approx(1 - 4 / 1172)  # 21² + 11² + 9² + 23² = 1172
    assert fit.a_error == pytest.approx(2 / np.sqrt(4 * 50**2))
    assert fit.b_error == pytest.approx(2 / np.sqrt(4 * 50**2))
    assert fit.c_error == pytest.approx(2 * np.sqrt(1 / 4 + 2 * 50**2 / 10_000))
    assert fit.error_at(50.0, 50.0) == pytest.approx(1)  # 2 / sqrt(4)


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("error", [None, 30.0])
def test_equal_errors_and_clean_data_change_nothing(robust, error):
    defocus = [1000, 1010, 1030, 1044]
    plain = fit_plane(SQUARE_X, SQUARE_Y, defocus)
    error = None if error is None else np.full(4, error)
    fit = fit_plane(SQUARE_X, SQUARE_Y, defocus, error, robust)
    assert (fit.a, fit.b, fit.c) == pytest.approx((plain.a, plain.b, plain.c))
    assert fit.spread == pytest.approx(plain.spread)


def test_a_is_the_slope_along_y_and_b_along_x():
    def has_paper_signs(x, y):
        fit = fit_plane(x, y, 9000 + 0.5 * SQUARE_Y - 0.25 * SQUARE_X)
        return (fit.c, fit.a, fit.b) == pytest.approx((9000, 0.5, -0.25))

    assert has_paper_signs(SQUARE_X, SQUARE_Y)
    assert not has_paper_signs(SQUARE_X, 100 - SQUARE_Y)  # a flipped y is noticed
    assert not has_paper_signs(SQUARE_Y, SQUARE_X)  # and swapped axes


@pytest.mark.parametrize(
    ("a", "b", "tilt", "axis"),
    [
        (0.0, 1.0, 45, 90),  # rises along x: the axis is y
        (1.0, 0.0, 45, 0),  # rises along y: the axis is x
        (-1.0, 0.0, 45, 0),
        (1.0, 1.0, np.degrees(np.arctan(np.sqrt(2))), 135),
        (np.tan(10 * DEGREE), 0.0, 10, 0),
    ],
)
def test_tilt_and_its_axis(a, b, tilt, axis):
    fit = fit_plane(SQUARE_X, SQUARE_Y, 5000 + a * SQUARE_Y + b * SQUARE_X)
    assert fit.tilt / DEGREE == pytest.approx(tilt)
    assert np.sin(fit.tilt_axis - axis * DEGREE) == pytest.approx(0, abs=1e-9)


def test_errors_of_tilt_and_axis_follow_the_slope():
    # Residuals ±1 as above: both slopes have error 0.02; along x only, tilt = atan b.
    wiggle = np.array([1, -1, -1, 1])
    fit = fit_plane(SQUARE_X, SQUARE_Y, 5000 + 0.5 * SQUARE_X + wiggle)
    assert fit.tilt_error == pytest.approx(0.02 / 1.25)
    assert fit.tilt_axis_error == pytest.approx(0.02 / 0.5)
    flat = fit_plane(SQUARE_X, SQUARE_Y, 5000 + wiggle)
    assert flat.tilt_error == pytest.approx(0.02)
    assert flat.tilt_axis_error == pytest.approx(np.pi / np.sqrt(12))  # nothing is known


def test_r_squared_is_zero_for_equal_defoci():
    assert fit_plane(SQUARE_X, SQUARE_Y, np.full(4, 12345.678)).r_squared == 0


def test_an_exact_plane_with_one_wrong_particle_is_found_exactly():
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(5) * 50.0, np.arange(5) * 50.0))
    defocus = 8000 + 0.1 * x
    defocus[7] += 900
    fit = fit_plane(x, y, defocus, robust=True)
    assert (fit.a, fit.b, fit.c) == pytest.approx((0, 0.1, 8000), abs=1e-6)
    assert (fit.n_particles, fit.n_outliers) == (25, 1)
    assert abs(fit_plane(x, y, defocus).c - 8000) > 10


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize(
    ("x", "y"),
    [
        (SQUARE_X[:3], SQUARE_Y[:3]),  # a plane would fit anything
        (SQUARE_X, 2 * SQUARE_X + 5),  # on one line
        (np.full(5, 7.0), np.full(5, 7.0)),  # on one spot
        (np.full(4, np.nan), np.full(4, np.nan)),  # no coordinates in the input
    ],
)
def test_without_a_plane_there_is_the_mean(x, y, robust):
    defocus = 1000 + 10.0 * np.arange(len(x))
    fit = fit_plane(x, y, defocus, robust=robust)
    assert fit.kind == "mean"
    assert fit.mean_defocus == pytest.approx(defocus.mean(), abs=1)
    assert fit.c == fit.mean_defocus == fit.at(123.0, 456.0)
    assert fit.c_error == pytest.approx(defocus.std(ddof=1) / np.sqrt(len(x)), rel=0.25)
    assert np.isnan([fit.a, fit.b, fit.a_error, fit.tilt, fit.tilt_error, fit.tilt_axis]).all()
    assert np.isnan(fit.tilt_axis_error)
    assert fit.r_squared == 0


def test_one_particle_has_a_mean_without_error_and_none_has_nothing():
    one = fit_plane([1.0], [2.0], [1000.0], robust=True)
    assert (one.kind, one.c, one.n_particles) == ("mean", 1000, 1)
    assert np.isnan([one.c_error, one.spread]).all()
    none = fit_plane([], [], [])
    assert (none.kind, none.n_particles) == ("none", 0)
    assert np.isnan([none.c, none.c_error, none.spread, none.r_squared]).all()


def test_rows_that_cannot_be_used_are_left_out():
    x, y = np.append(SQUARE_X, [50, 50, 50]), np.append(SQUARE_Y, [50, 50, 50])
    defocus = np.array([1000, 1010, 1030, 1044, np.nan, 9e9, 9e9])
    error = np.array([5, 5, 5, 5, 5, 0, np.inf])
    fit = fit_plane(x, y, defocus, error)
    assert fit.n_particles == 4
    assert fit.a == pytest.approx(0.32)


NUMBER = st.sampled_from([0.0, 1.0, -1.0, 0.001, 2e6, np.nan, np.inf, -np.inf]) | st.integers(
    -(10**9), 10**9
).map(lambda thousandths: thousandths / 1000)


@given(st.lists(st.tuples(NUMBER, NUMBER, NUMBER, NUMBER), max_size=12), st.booleans())
def test_data_never_raise(rows, robust):
    x, y, defocus, error = np.array(rows, dtype=float).reshape(-1, 4).T
    fit = fit_plane(x, y, defocus, error, robust)
    assert fit.kind in ("plane", "mean", "none")
    assert fit.kind == "none" or np.isfinite(fit.c)


def test_a_record_is_frozen():
    fit = fit_plane(SQUARE_X, SQUARE_Y, SQUARE_X)
    with pytest.raises(AttributeError):
        fit.a = 1.0  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match="read-only"):
        fit.covariance[0, 0] = 1


def test_rows_are_grouped_in_order_of_first_appearance():
    rows = rows_by_micrograph(np.array(["b", "b", "a", "b", "c", "a"]))
    assert list(rows) == ["b", "a", "c"]
    assert [list(r) for r in rows.values()] == [[0, 1, 3], [2, 5], [4]]
    assert rows_by_micrograph(np.array([], dtype=str)) == {}


def test_planes_and_heights_of_a_data_set():
    x, y = np.tile(SQUARE_X, 3), np.tile(SQUARE_Y, 3)
    defocus = np.concatenate([[1000, 1010, 1030, 1044], [7000] * 4, [5000] * 4])
    status = np.array([Status.OK] * 5 + [Status.FLAT] * 3 + [Status.NOT_READ] * 4)
    estimates = made_up(["one"] * 4 + ["two"] * 4 + ["three"] * 4, x, y, defocus, status)
    planes = fit_planes(estimates)
    assert [p.kind for p in planes.values()] == ["plane", "mean", "none"]
    assert planes["two"].n_particles == 1  # the failed ones did not vote
    heights = ice_heights(estimates, planes)
    np.testing.assert_allclose(heights[:4], [1, -1, -1, 1])
    assert np.isnan(heights[4:]).all()
    assert np.isnan(ice_heights(estimates, {})).all()


def test_a_failed_particle_has_no_height_and_no_vote():
    x, y = np.append(SQUARE_X, 50), np.append(SQUARE_Y, 50)
    defocus = [1000, 1010, 1030, 1044, 99999]
    estimates = made_up(["m"] * 5, x, y, defocus, [0, 0, 0, 0, Status.AT_BOUND])
    planes = fit_planes(estimates, robust=False)
    assert planes["m"].a == pytest.approx(0.32)
    assert np.isnan(ice_heights(estimates, planes)[4])
