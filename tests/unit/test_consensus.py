"""Consensus of sets: truth that was drawn, tails, missing values, and what must not matter."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.consensus import consensus, row_median
from parfocal.decomposition import field_of, surfaces
from parfocal.defocus_set import DefocusSet
from parfocal.errors import InputError
from parfocal.filters import Filter, left_out_by, statuses
from parfocal.heights import usual_particles
from parfocal.join import Joined, join
from parfocal.plane_errors import combined, plane_errors

from .folds_of_noise import whole_and_folds

MICROGRAPHS, EACH = 40, 60
SCATTER, OFFSET, TILT = 100.0, 120.0, 0.03  # Å, Å, Å per Å


def made(rng, *, scatter=SCATTER, image=100.0, own=(60.0, 60.0, 150.0), folds=True):
    """(truth (n,), joined): sets that see the same images; all have an input of 12,000 Å."""
    n = MICROGRAPHS * EACH
    number = np.repeat(np.arange(MICROGRAPHS), EACH)
    x, y = rng.uniform(0, 4000, (2, n))
    level, lean = rng.normal(0, OFFSET, MICROGRAPHS), rng.normal(0, TILT, (MICROGRAPHS, 2))
    truth = 12_000 + level[number] + rng.normal(0, scatter, n)
    truth += lean[number, 0] * (x - 2000) + lean[number, 1] * (y - 2000)
    noise = rng.normal(0, image, (n, 3))
    sets = []
    for name, size in zip("abc", own, strict=False):
        whole, of_folds = whole_and_folds(noise + rng.normal(0, size, (n, 3)))
        values = truth + whole, truth[:, None] + of_folds
        sets.append(a_set(name, number, (x, y), values, np.hypot(image, size), folds))
    return truth, join(sets)


def a_set(name, number, places, values, error, folds) -> DefocusSet:
    (x, y), (whole, fold) = places, values
    n, nan = len(x), np.full(len(x), np.nan)
    return DefocusSet(
        name=name,
        source=None,
        particle_id=np.array([f"{i + 1:06d}@stack" for i in range(n)], dtype=object),
        micrograph=np.array([f"m{i}" for i in number], dtype=object),
        coordinate_x=x,
        coordinate_y=y,
        defocus=whole,
        half_difference=nan,
        angle=nan,
        astigmatism_change=np.zeros((n, 2)),
        prior=np.full(n, 12_000.0),
        error=np.full(n, error) if folds else nan,
        fold_1=fold[:, 0] if folds else nan,
        fold_2=fold[:, 1] if folds else nan,
        ok=np.ones(n, dtype=bool),
        stack=np.full(n, "", dtype=object),
        image_index=np.zeros(n, dtype=int),
    )


def rms(values) -> float:
    return float(np.sqrt(np.mean(values**2)))


@pytest.fixture
def rng():
    return np.random.default_rng(77)


def test_it_beats_the_median_and_every_set_and_its_errors_are_honest(rng):
    truth, joined = made(rng)
    found = consensus(joined)
    wrong = found.defocus - truth
    # the least error that a Gaussian height behind such noise can have, planes known
    noise = 100.0**2 + 1 / (2 / 60.0**2 + 1 / 150.0**2)
    bound = np.sqrt(SCATTER**2 * noise / (SCATTER**2 + noise))
    assert abs(rms(wrong) / bound - 1) < 0.05  # a sample of 2400 has an error of 0.015
    assert rms(wrong) < 0.75 * min(rms(joined.defocus[:, k] - truth) for k in range(3))
    assert rms(wrong) < 0.75 * rms(found.median - truth)
    pull = wrong / found.error
    # a standard error of the pulls' spread: of n pulls, and of the signal that the errors stand on
    error = 1 / np.sqrt(2 * len(pull)) + found.heights.signal.error / SCATTER**2 / 4
    assert abs(rms(pull) - 1) < 3 * error
    assert abs(pull.mean()) < 4 / np.sqrt(len(pull)) + 0.05
    inside = np.abs(pull) < 1
    assert abs(inside.mean() - 0.683) < 3 * 0.48 * error + 3 * 0.47 / np.sqrt(len(pull))


def test_the_check_of_the_errors_can_fail(rng):
    """The spoiled twin: without folds shared noise passes for height as far as ice is usual."""
    truth, joined = made(rng, scatter=20.0, image=250.0, folds=False)
    found = consensus(joined)
    assert found.heights.signal.by == "bound"
    pull = (found.defocus - truth) / found.error
    assert abs(rms(pull) - 1) > 0.1


def test_where_nobody_knows_the_heights_none_are_written(rng):
    truth, joined = made(rng, scatter=0.0, image=150.0)
    found = consensus(joined)
    assert rms(found.defocus - truth) < 0.35 * rms(found.median - truth)
    assert found.height_weight[0] > 0.9


def test_shared_noise_is_not_taken_for_agreement(rng):
    """Two sets that agree closely, on the same noise, do not outvote the third that differs."""
    truth, joined = made(rng, image=200.0, own=(10.0, 10.0, 150.0))
    found = consensus(joined)
    noise = 200.0**2 + 10.0**2 / 2
    bound = np.sqrt(SCATTER**2 * noise / (SCATTER**2 + noise))
    assert rms(found.defocus - truth) < 1.1 * bound


def test_wrong_particles_fall_back_to_the_plane_and_are_flagged(rng):
    truth, joined = made(rng, image=60.0, own=(20.0, 20.0, 20.0))
    bad = rng.random(len(truth)) < 0.1
    strays = rng.normal(0, 1200, (len(truth), 1, 2))  # of an image that holds no particle
    stray = strays.mean(axis=2)
    joined = replace(
        joined,
        defocus=np.where(bad[:, None], joined.defocus + stray, joined.defocus),
        folds=np.where(bad[:, None, None], joined.folds + strays, joined.folds),
    )
    found = consensus(joined)
    gross = bad & (np.abs(stray[:, 0]) > 800)
    assert found.outlier[gross].mean() > 0.95
    assert found.outlier[~bad].mean() < 0.01
    assert rms((found.defocus - truth)[gross]) < 1.5 * SCATTER
    assert rms(((found.defocus - truth) / found.error)[~bad]) < 1.1
    assert (statuses(found) == "outlier").sum() == found.outlier.sum()


def test_one_set_that_lost_its_way_is_left_out(rng):
    truth, joined = made(rng, image=30.0, own=(30.0, 30.0, 30.0))
    defocus = np.array(joined.defocus)
    defocus[::7, 1] += 3000.0
    found = consensus(replace(joined, defocus=defocus))
    assert not found.used[::7, 1].any()
    assert found.used[1::7].all()
    assert rms((found.defocus - truth)[::7]) < 1.3 * rms((found.defocus - truth)[1::7])


def test_a_better_set_gets_more_weight_and_a_useless_one_none(rng):
    _, joined = made(rng, image=10.0, own=(60.0, 120.0, 2000.0))
    weight = consensus(joined).height_weight
    assert weight[1] > 2 * weight[2] > 0.1
    assert weight[3] < 0.02


def test_missing_values_are_nobodys_zero(rng):
    truth, joined = made(rng)
    ok = np.array(joined.ok)
    ok[::3, 0], ok[1::5, 1], ok[:50] = False, False, False
    found = consensus(replace(joined, ok=ok))
    assert not found.known[:50].any()
    assert (statuses(found)[:50] == "unknown").all()
    assert np.isfinite(found.defocus).all()
    assert np.isfinite(found.error).all()
    assert rms((found.defocus - truth)[50:]) < 90
    assert rms(((found.defocus - truth) / found.error)[50:]) == pytest.approx(1, abs=0.06)


def test_order_of_rows_and_sets_and_a_shift_of_all_do_not_matter(rng):
    _, joined = made(rng)
    found = consensus(joined)
    turned = replace(
        joined,
        names=joined.names[::-1],
        **{
            name: getattr(joined, name)[:, ::-1]
            for name in ("defocus", "error", "folds", "astigmatism", "coordinate", "ok", "row")
        },
        posterior=joined.posterior[::-1],
    )
    np.testing.assert_allclose(consensus(turned).defocus, found.defocus, atol=0.1)
    moved = replace(
        joined,
        defocus=joined.defocus + 500,
        folds=joined.folds + 500,
        prior=joined.prior + 500,
    )
    np.testing.assert_allclose(consensus(moved).defocus, found.defocus + 500, atol=1e-6)


def test_without_an_input_the_level_is_that_of_the_sets(rng):
    truth, joined = made(rng)
    found = consensus(replace(joined, prior=np.full(len(joined), np.nan)))
    assert rms(found.defocus - truth) < 1.05 * rms(consensus(joined).defocus - truth)


def test_without_coordinates_there_are_levels_and_heights(rng):
    truth, joined = made(rng)
    nan = np.full(len(joined), np.nan)
    found = consensus(
        replace(joined, base=replace(joined.base, coordinate_x=nan, coordinate_y=nan))
    )
    assert np.isfinite(found.error).all()
    assert rms(found.defocus - truth) < rms(found.median - truth)


def test_one_set_with_folds_is_drawn_to_its_planes_and_without_is_refused(rng):
    truth, joined = made(rng)
    one = {
        name: getattr(joined, name)[:, :1]
        for name in ("defocus", "error", "folds", "astigmatism", "coordinate", "ok", "row")
    }
    alone = replace(joined, names=("a",), posterior=joined.posterior[:1], **one)
    found = consensus(alone)
    assert rms(found.defocus - truth) < 0.8 * rms(alone.defocus[:, 0] - truth)
    with pytest.raises(InputError, match="one set without folds"):
        consensus(replace(alone, folds=np.full_like(alone.folds, np.nan)))


def test_sets_that_trust_nothing_are_refused(rng):
    _, joined = made(rng)
    with pytest.raises(InputError, match="trust none"):
        consensus(replace(joined, ok=np.zeros_like(joined.ok)))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_particles_a_micrograph_do_no_harm(rng, count):
    truth, joined = made(rng)
    names = np.array([f"m{i // count}" for i in range(len(joined))], dtype=object)
    found = consensus(replace(joined, base=replace(joined.base, micrograph=names)))
    assert np.isfinite(found.defocus).all()
    assert (found.error > 0).all()
    assert rms(found.defocus - truth) < 1.1 * rms(found.median - truth)


def test_median_and_mad_by_hand():
    values = np.array([[1.0, 5.0, 3.0], [np.nan, 2.0, 4.0], [np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(row_median(values), [3.0, 3.0, np.nan])


def test_one_value_has_no_mad(rng):
    _, joined = made(rng)
    ok = joined.ok.copy()
    ok[0, 1:], ok[1, 2:] = False, False
    found = consensus(replace(joined, ok=ok))
    away = np.abs(np.diff(joined.defocus[1, :2]))[0] / 2
    np.testing.assert_allclose(found.mad[:2], [np.nan, 1.4826 * away])


def test_astigmatism_is_averaged_as_a_vector(rng):
    """Angles of 1° and 179° are neighbours: their mean is 0°, not 90°."""
    _, joined = made(rng)
    angle = np.radians([1.0, 179.0, 0.0])
    vectors = 200 * np.stack([np.cos(2 * angle), np.sin(2 * angle)], axis=-1)
    found = consensus(replace(joined, astigmatism=np.tile(vectors, (len(joined), 1, 1))))
    np.testing.assert_allclose(found.astigmatism[:, 1], 0, atol=1e-9)
    np.testing.assert_allclose(found.astigmatism[:, 0], 200 * np.cos(np.radians(2)), rtol=1e-12)


def test_each_limit_names_whom_it_leaves_out(rng):
    _, joined = made(rng)
    found = consensus(joined)
    everyone = left_out_by(found, Filter(), found.defocus, found.error)
    assert (everyone == "").all()
    assert not Filter().asked()
    limits = Filter(max_mad=60.0, max_error=float(np.median(found.error)), max_from_prior=200.0)
    assert limits.asked()
    reason = left_out_by(found, limits, found.defocus, found.error)
    kept = reason == ""
    assert (found.mad[kept] <= 60).all()
    assert (found.error[kept] <= limits.max_error).all()
    assert (np.abs(found.defocus - joined.prior)[kept] <= 200).all()
    assert (found.mad[reason == "max-mad"] > 60).all()
    assert set(reason) == {"", "max-mad", "max-error", "max-from-prior"}
    for wrong in ({"max_mad": -1.0}, {"max_error": np.nan}, {"status": ("good",)}):
        with pytest.raises(InputError):
            Filter(**wrong)


def test_surfaces_are_least_squares(rng):
    number = np.repeat([0, 1], 30)
    x, y = rng.uniform(0, 1000, (2, 60))
    field = field_of(number, x, y)
    values = rng.normal(0, 1, (60, 2)) + np.column_stack([0.01 * x, 5 - 0.02 * y])
    found = surfaces(field, values, np.ones(values.shape))
    for micrograph in (0, 1):
        rows = number == micrograph
        design = np.column_stack([np.ones(30), x[rows] - x[rows].mean(), y[rows] - y[rows].mean()])
        fit = np.linalg.lstsq(design, values[rows], rcond=None)[0]
        np.testing.assert_allclose(found.level[micrograph], fit[0], rtol=1e-9)
        np.testing.assert_allclose(found.slope[micrograph] / field.length, fit[1:].T, rtol=1e-7)
        left = (values[rows] - design @ fit) * np.sqrt(30 / 27)
        np.testing.assert_allclose(found.residual[rows], left, atol=1e-9)


def test_particles_on_a_line_have_a_level_only():
    x = np.linspace(0, 1000, 20)
    field = field_of(np.zeros(20, int), x, 2 * x)
    found = surfaces(field, x[:, None] / 10, np.ones((20, 1)))
    assert np.isnan(found.slope).all()
    assert found.level[0, 0] == pytest.approx(50)


def test_errors_of_levels_are_those_of_the_truth(rng):
    micrographs, particles = 4000, 50
    level = rng.normal(0, 100, micrographs)
    shared = rng.normal(0, 20, (micrographs, 3))
    seen = [whole_and_folds(shared + rng.normal(0, 30, (micrographs, 3))) for _ in range(2)]
    folds = level[:, None, None] + np.stack([fold for _, fold in seen], axis=1)
    whole = level[:, None] + np.stack([whole for whole, _ in seen], axis=1)
    third = level + rng.normal(0, 60, micrographs)  # no folds, other noise
    values = np.column_stack([whole, third])
    folds = np.concatenate([folds, np.full((micrographs, 1, 2), np.nan)], axis=1)
    none = np.zeros(3, dtype=bool)
    errors = plane_errors(values, folds, np.full(values.shape, particles), none)
    found = errors.covariance(particles, 150.0)
    expected = np.diag([100.0**2, 0, 0, 60.0**2])
    expected[1:3, 1:3] = 20.0**2 + 30.0**2 * np.eye(2)
    np.testing.assert_allclose(found, expected, atol=400)
    best, variance = combined(values, np.full(micrographs, particles), errors, 150.0)
    assert rms(best - level) == pytest.approx(np.sqrt(variance[0]), rel=0.05)
    assert rms(best - level) < rms(values[:, 0] - level)


def test_the_three_cornered_hat_finds_independent_errors(rng):
    level = rng.normal(0, 100, 20_000)
    values = level[:, None] + rng.normal(0, [10.0, 20.0, 40.0], (20_000, 3))
    unknown = np.full((20_000, 3, 2), np.nan)
    errors = plane_errors(values, unknown, np.full(values.shape, 9.0), np.zeros(3, dtype=bool))
    np.testing.assert_allclose(np.sqrt(errors.offset), [10, 20, 40], rtol=0.05)
    assert errors.signal.variance == pytest.approx(level.var(), rel=0.05)


def test_gaussian_heights_have_no_outliers(rng):
    from parfocal.combination import moments

    values = rng.normal(0, 150, (5000, 2))
    found = moments(
        values,
        np.stack([values, values], axis=-1),
        np.full(values.shape, np.nan),
        np.zeros(2, bool),
        np.ones(values.shape),
    )
    usual, ratio = usual_particles(found, values)
    assert (usual == 1).all()
    assert ratio == 1.0


def test_joined_is_left_as_it_was(rng):
    _, joined = made(rng)
    before = {k: np.array(v) for k, v in vars(joined).items() if isinstance(v, np.ndarray)}
    consensus(joined)
    assert isinstance(joined, Joined)
    for name, column in before.items():
        np.testing.assert_array_equal(getattr(joined, name), column)
