"""The whole comparison: shape, signs and order of what is gathered, the prior, and its JSON."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from parfocal.against_global import against_global, prior_varies
from parfocal.agreement import columns_of
from parfocal.compare import compare, plain, table_1
from parfocal.conventions import DEGREE
from parfocal.expected import Verdict
from parfocal.grouped import groups_of
from parfocal.join import join

from .folds_of_noise import whole_and_folds
from .test_defocus_set import made_set

MICROGRAPHS, EACH = 30, 40
N = MICROGRAPHS * EACH
MICROGRAPH = np.repeat([f"dir/mic{i}.mrc" for i in range(MICROGRAPHS)], EACH).astype(object)
NUMBER = np.repeat(np.arange(MICROGRAPHS), EACH)
NAMES = ("a", "b", "c")


def scene(seed=0, varying=0):
    """(sets, base): three sets that are right, and their input, which varies on some micrographs."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 4000, (2, N))
    height = rng.normal(0, 80, N) + 0.2 * (x - 2000)
    prior = rng.uniform(1e4, 2e4, MICROGRAPHS)[NUMBER]
    truth = prior + height + 30
    prior = prior + np.where(varying > NUMBER, height + rng.normal(0, 80, N), 0)
    known = {"micrograph": MICROGRAPH, "coordinate_x": x, "coordinate_y": y}
    ids = [f"{i + 1}@s" for i in range(N)]
    sets = []
    for name, noise in zip(NAMES, (40.0, 60.0, 120.0), strict=True):
        whole, of_folds = whole_and_folds(rng.normal(0, noise, (N, 3)))
        fold = truth[:, None] + of_folds
        folds = {"fold_1": fold[:, 0], "fold_2": fold[:, 1], "error": np.full(N, noise)}
        ok = rng.random(N) > 0.05
        sets.append(made_set(ids, truth + whole, name=name, ok=ok, **(known | folds)))
    return sets, made_set(ids, prior, name="input", **known)


@pytest.fixture(scope="module")
def found():
    sets, base = scene()
    return compare(join(sets, base))


def test_what_is_gathered(found):
    sets, base = scene()
    joined = join(sets, base)
    assert found.names == NAMES
    assert (found.particles, found.common) == (N, joined.ok.all(axis=1).sum())
    assert found.micrographs == tuple(dict.fromkeys(MICROGRAPH.tolist()))
    assert found.prior_varies == 0
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    for each in (found.pairs, found.expected, found.axes):
        assert [one.names for one in each] == pairs
    for each in (found.sets, found.globals, found.planes, found.joints):
        assert [one.name for one in each] == list(NAMES)
    assert found.pair("c", "a")[0] is found.pairs[1]
    assert found.pair("a", "c")[1] is found.expected[1]
    with pytest.raises(KeyError, match="no pair a, z"):
        found.pair("a", "z")


def test_right_sets_are_found_right(found):
    for one in found.expected:
        assert one.verdict in (Verdict.AS_WELL, Verdict.AS_LOW), one.words
    for quality, noise in zip(found.sets, (40, 60, 120), strict=True):
        assert abs(quality.measured_error.value - noise) < 4 * quality.measured_error.error
    for planes in found.planes:
        assert abs(np.median(planes.tilt) - np.arctan(0.2)) < 0.02
    for axes in found.axes:
        assert axes.resultant > 0.95


def test_a_wrong_set_is_found_wrong():
    sets, base = scene()
    turn = np.random.default_rng(0).permutation(N)
    shuffled = {f: getattr(sets[2], f)[turn] for f in ("defocus", "fold_1", "fold_2")}
    sets[2] = replace(sets[2], ok=np.ones(N, bool), **shuffled)
    found = compare(join(sets, base))
    assert found.pair("a", "b")[1].verdict is Verdict.AS_WELL
    for name in "ab":
        assert found.pair(name, "c")[1].verdict in (Verdict.BEYOND, Verdict.UNTOLD)


def test_matrices(found):
    for name in ("pearson", "spearman", "robust", "pooled", "trimmed", "observed", "independent"):
        values, errors = found.matrix(name)
        assert_array_equal(values, values.T)
        assert_array_equal(errors, errors.T)
        assert_array_equal(np.diag(values), 1)
        assert_array_equal(np.diag(errors), 0)
        source = found.pairs[1] if hasattr(found.pairs[1], name) else found.expected[1]
        assert (values[0, 2], errors[0, 2]) == (
            getattr(source, name).value,
            getattr(source, name).error,
        )
    bias, _ = found.matrix("bias")
    assert_array_equal(bias, -bias.T)
    assert bias[0, 2] == found.pairs[1].bias.value
    spread, error = found.matrix("spread")
    assert spread[2, 1] == spread[1, 2] == found.pairs[2].spread
    assert np.isnan(error[1, 2])
    slope, _ = found.matrix("slope")
    assert_allclose(slope * slope.T, 1)
    on, _ = found.matrix("slope_on")
    assert (on[0, 2], on[2, 0]) == tuple(s.value for s in found.pairs[1].slope_on)


def test_the_slope_of_a_matrix_is_that_of_the_column_on_the_row():
    sets, base = scene()
    level = base.defocus
    doubled = replace(sets[0], name="b", defocus=level + 2 * (sets[0].defocus - level))
    slope, _ = compare(join([sets[0], doubled], base)).matrix("slope")
    assert_allclose(slope, [[1, 2], [0.5, 1]])


def test_table_1_with_a_prior_of_one_number_a_micrograph(found):
    names, values, errors, counts = table_1(found)
    assert names == (*NAMES, "global")
    assert_array_equal(values[:3, :3], found.matrix("pearson")[0])
    assert np.isnan(values[3, :3]).all()
    assert np.isnan(values[:3, 3]).all()
    assert counts[3, 0] == 0
    assert counts[0, 1] == MICROGRAPHS
    assert errors[0, 1] == found.pairs[0].pearson.error
    assert table_1(found, "spearman")[1][0, 1] == found.pairs[0].spearman.value


def test_table_1_with_a_prior_that_varies():
    sets, base = scene(varying=10)
    found = compare(join(sets, base))
    assert found.prior_varies == 10
    _, values, _, counts = table_1(found)
    assert_array_equal(counts[3, :3], 10)
    ok = sets[0].ok
    by_hand = [
        scipy.stats.pearsonr(base.defocus[rows], sets[0].defocus[rows])[0]
        for rows in (ok & (g == NUMBER) for g in range(10))
    ]
    assert values[0, 3] == values[3, 0] == pytest.approx(np.mean(by_hand))


def test_against_the_global_value_over_the_data_set(found):
    sets, base = scene()
    ok, one = sets[0].ok, found.globals[0]
    before, after = base.defocus[ok], sets[0].defocus[ok]
    assert one.particles == ok.sum()
    assert one.correlation.value == pytest.approx(scipy.stats.pearsonr(before, after)[0])
    assert one.slope.value == pytest.approx(scipy.stats.linregress(before, after).slope)
    assert one.bias.value == pytest.approx(np.mean(after - before))
    assert abs(one.bias.value - 30) < 4 * one.bias.error < 60
    middle = 1.4826 * scipy.stats.median_abs_deviation(after - before)
    assert one.spread_total == pytest.approx(middle)
    assert one.spread == pytest.approx(one.spread_total, rel=0.1)
    assert one.correlation.value > 0.99 > found.pairs[0].pearson.value
    assert one.within is None


def test_without_a_prior_nothing_is_told_of_it():
    sets, _ = scene()
    found = compare(join(sets))
    assert found.prior_varies == 0
    for one in found.globals:
        assert one.particles == 0
        assert one.within is None
        assert np.isnan([*one.correlation, *one.bias, one.spread, one.spread_total]).all()
    assert found.pairs[0].pooled.value > 0.5


def test_a_prior_varies_beyond_rounding():
    groups = groups_of(np.repeat(["a", "b", "c"], 5))
    prior = np.array([9000.0] * 5 + [9000, 9000.01, 9000, 9000, 9000] + [9000, 9010, 9020, 9000, 1])
    assert_array_equal(prior_varies(groups, prior), [False, False, True])


def test_the_prior_does_not_change_how_sets_agree():
    sets, base = scene()
    first = compare(join(sets, base))
    moved = replace(base, defocus=base.defocus + np.random.default_rng(1).normal(0, 500, N))
    second = compare(join(sets, moved))
    for one, other in zip(first.pairs, second.pairs, strict=True):
        assert one.pearson == other.pearson
        assert one.bias == other.bias


def test_nor_does_the_order_of_rows(found):
    sets, base = scene()
    turn = np.random.default_rng(3).permutation(N)
    columns = {k: v[turn] for k, v in vars(base).items() if isinstance(v, np.ndarray)}
    turned = compare(join(sets, replace(base, **columns)))
    for one, other in zip(found.pairs, turned.pairs, strict=True):
        for name in ("pearson", "spearman", "robust", "pooled", "bias", "slope"):
            assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9)
    for one, other in zip(found.expected, turned.expected, strict=True):
        assert_allclose(one.independent, other.independent, rtol=1e-9)
        assert one.verdict == other.verdict


def test_one_set_alone():
    sets, base = scene()
    found = compare(join(sets[:1], base))
    assert found.pairs == found.expected == found.axes == ()
    assert_array_equal(found.matrix("pearson")[0], [[1]])
    assert table_1(found)[0] == ("a", "global")
    assert json.dumps(found.plain(), allow_nan=False)


def test_sets_without_places_or_micrographs():
    ids = [f"{i + 1}@s" for i in range(50)]
    values = 9000 + 100 * np.random.default_rng(0).normal(size=50)
    found = compare(join([made_set(ids, values + k, name=str(k)) for k in range(2)]))
    assert not found.planes[0].found().any()
    assert found.planes[0].n_particles[0] == 50
    assert found.axes[0].micrographs == 0
    assert found.pairs[0].pooled.value == pytest.approx(1)
    told = json.loads(json.dumps(found.plain(by_micrograph=True), allow_nan=False))
    assert told["planes"][0]["tilt"] is None
    assert told["expected"][0]["words"].startswith("cannot be told")


def test_plain_is_json(found):
    told = json.loads(json.dumps(found.plain(), allow_nan=False))
    assert told["names"] == list(NAMES)
    assert told["sets"][0]["source"] == "folds"
    assert told["pairs"][0]["pearson"] == {
        "value": found.pairs[0].pearson.value,
        "error": found.pairs[0].pearson.error,
        "micrographs": MICROGRAPHS,
    }
    assert "by_micrograph" not in told["pairs"][0]
    assert "micrographs" not in told
    assert told["table_1"]["value"][0][3] is None
    assert told["table_1"]["value"][0][1] == found.pairs[0].pearson.value
    assert told["expected"][0]["verdict"] == str(found.expected[0].verdict)
    assert told["planes"][0]["tilt"] == pytest.approx(np.arctan(0.2) / DEGREE, abs=1)
    assert told["axes"][0]["median"]["value"] == found.axes[0].median.value / DEGREE
    assert told["joints"][0]["particles"] == N


def test_plain_by_micrograph(found):
    told = json.loads(json.dumps(found.plain(by_micrograph=True), allow_nan=False))
    assert told["micrographs"] == list(found.micrographs)
    assert_allclose(
        told["pairs"][0]["by_micrograph"]["pearson"], found.pairs[0].by_micrograph.pearson
    )
    assert_allclose(told["planes_by_micrograph"][1]["tilt"], found.planes[1].tilt / DEGREE)


def test_plain_of_arrays():
    assert plain(np.array([[1.0, np.nan], [np.inf, 2.0]])) == [[1.0, None], [None, 2.0]]
    assert plain(np.array([1, 2])) == [1, 2]
    assert plain((np.float64(np.nan), "x", None, 3)) == [None, "x", None, 3]


def test_progress_is_told():
    told = []
    sets, base = scene()
    compare(join(sets, base), lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (1, 3), (2, 3)]


def test_against_global_takes_only_trusted_particles_with_a_prior():
    sets, base = scene()
    joined = join(sets, base)
    groups = groups_of(joined.base.micrograph)
    column = columns_of(joined, groups)[0]
    prior = np.where(np.arange(N) < 100, np.nan, joined.prior)
    one = against_global(groups, prior, column, np.zeros(len(groups), dtype=bool))
    assert one.particles == joined.ok[100:, 0].sum()
