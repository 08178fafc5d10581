"""Expected agreement: truth that was drawn, so that it is known which agreement is of heights."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from parfocal.agreement import Column, Measured, columns_of
from parfocal.defocus_set import FOLD_SHARE
from parfocal.expected import Source, Verdict, common_heights, expect, judge, quality_of
from parfocal.grouped import Groups, groups_of
from parfocal.join import join

from .folds_of_noise import whole_and_folds
from .test_defocus_set import made_set

MICROGRAPHS, EACH = 80, 60
N = MICROGRAPHS * EACH
GROUPS = groups_of(np.repeat([f"m{i}" for i in range(MICROGRAPHS)], EACH))


class Truth:
    """Particles whose heights scatter by `heights` [Å], and sets that see them."""

    def __init__(self, heights: float, seed: int = 0, common: float = 0.0):
        self.rng = np.random.default_rng(seed)
        self.variance = heights**2
        self.t = 1e4 + self.rng.normal(0, 500, MICROGRAPHS)[GROUPS.index]
        self.height = self.rng.normal(0, heights, N)
        self.t = self.t + self.height
        self.common, self.image = common, self.rng.normal(0, 1, (N, 3))

    def seen(self, name, noise, *, slope=1.0, folds=True, error=1.0, **columns):
        """A set whose whole estimate errs by `noise` [Å], of whose variance `common` is the images'.

        It claims `error` times that.
        """
        own = self.rng.normal(0, 1, (N, 3))
        mixed = np.sqrt(self.common) * self.image + np.sqrt(1 - self.common) * own
        noise = np.broadcast_to(noise, N)
        whole, folds_of_it = whole_and_folds(noise[:, None] * mixed)
        seen = self.t + (slope - 1) * self.height
        fold = seen[:, None] + folds_of_it
        known = {"fold_1": fold[:, 0], "fold_2": fold[:, 1]} if folds else {}
        known |= {"error": noise * error} if error else {}
        return self.of(name, seen + whole, **(known | columns))

    def posterior(self, name, noise, error=True):
        """Means over the true prior, and their errors."""
        plain = self.seen(name, noise)
        level = self.t - self.height
        share = self.variance / (self.variance + noise**2)
        sd = np.full(N, noise * np.sqrt(share))
        known = {"error": sd} if error else {}
        return self.of(name, level + share * (plain.defocus - level), posterior=True, **known)

    def of(self, name, defocus, **columns):
        ids = [f"{i + 1}@s" for i in range(N)]
        micrograph = np.array(GROUPS.names, dtype=object)[GROUPS.index]
        return made_set(ids, defocus, name=name, micrograph=micrograph, **columns)


def columns(*sets) -> tuple[Column, ...]:
    return columns_of(join(sets), GROUPS)


def expected(*sets):
    """What is expected of the first two."""
    found = columns(*sets)
    heights = common_heights(tuple(quality_of(GROUPS, c) for c in found))
    return expect(GROUPS, *found[:2], heights)


def within(found: Measured, value: float, sigmas: float = 4.0) -> bool:
    return abs(found.value - value) < sigmas * found.error


def test_the_variance_of_heights_comes_from_folds_errors_and_posteriors():
    truth = Truth(80)
    told = columns(
        truth.seen("folds", 60, error=0),
        truth.seen("errors", 60, folds=False),
        truth.posterior("posterior", 60),
        truth.seen("bare", 60, folds=False, error=0),
    )
    folds, errors, posterior, bare = (quality_of(GROUPS, c) for c in told)
    assert [q.source for q in (folds, errors, posterior, bare)] == [
        Source.FOLDS,
        Source.ERRORS,
        Source.ERRORS,
        Source.NOTHING,
    ]
    for quality in (folds, errors, posterior):
        assert within(quality.height_variance, 80**2), quality.name
        assert quality.height_variance.error < 0.06 * 80**2
        assert within(quality.signal_share, 80**2 / (80**2 + 60**2)), quality.name
    assert within(folds.measured_error, 60)
    assert folds.measured_error.error < 2
    assert np.isnan(folds.claimed_error)
    assert errors.claimed_error == pytest.approx(60)
    assert errors.spread == pytest.approx(100, rel=0.05)
    assert np.isnan(errors.measured_error.value)
    assert np.isnan([bare.signal_share.value, bare.height_variance.value]).all()
    assert within(common_heights((folds, errors, posterior, bare)), 80**2)
    assert np.isnan(common_heights((bare,)).value)


def test_standard_errors_of_what_folds_tell():
    found, claimed = [], []
    for seed in range(40):
        (column,) = columns(Truth(60, seed).seen("a", 90))
        quality = quality_of(GROUPS, column)
        told = quality.signal_share, quality.height_variance, quality.measured_error
        found.append([m.value for m in told])
        claimed.append([m.error for m in told])
    scatter = np.std(found, axis=0, ddof=1)
    assert_allclose(np.mean(claimed, axis=0) / scatter, 1, atol=4 / np.sqrt(2 * 40))
    error = scatter / np.sqrt(40)
    # 4 standard deviations cut 6e-5 of the particles, and 1e-3 of the variance
    truth = np.array([60**2 / (60**2 + 90**2), 60**2, 90])
    assert (np.abs(np.mean(found, axis=0) - truth) < 4 * error + 2e-3 * truth).all()


def test_errors_that_vary_tenfold_and_wrong_particles_do_not_spoil_it():
    truth = Truth(80, 3)
    noise = truth.rng.uniform(15, 150, N)
    right = truth.seen("a", noise)
    wrong = right.defocus.copy()
    wrong[::25] += 2000
    folds = {
        f: np.where(wrong > right.defocus, wrong, getattr(right, f)) for f in ("fold_1", "fold_2")
    }
    for known in (folds, {}):
        (column,) = columns(truth.of("a", wrong, error=noise, **known))
        quality = quality_of(GROUPS, column)
        assert within(quality.height_variance, 80**2), known.keys()
        assert quality.outliers == pytest.approx(N / 25, abs=3)


@pytest.mark.parametrize("heights", [30, 80, 200])
@pytest.mark.parametrize("common", [0.0, 0.5, 1.0])
def test_right_sets_agree_as_expected(heights, common):
    truth = Truth(heights, 1, common)
    found = expected(truth.seen("a", 60), truth.seen("b", 120))
    share = [heights**2 / (heights**2 + noise**2) for noise in (60, 120)]
    low = np.sqrt(share[0] * share[1])
    full = low + np.sqrt((1 - share[0]) * (1 - share[1]))
    assert within(found.independent, low)
    assert within(found.shared, full)
    assert within(found.unshared, low)
    assert within(found.observed, low + common * (full - low))
    assert found.verdict in (Verdict.AS_LOW, Verdict.AS_WELL)
    assert found.heights == pytest.approx(heights, rel=0.35)
    assert found.noise == pytest.approx((60, 120), rel=0.06)


@pytest.mark.parametrize(
    "kinds", ["errors errors", "folds posterior", "posterior bare", "folds bare"]
)
def test_every_kind_of_set_meets_every_other(kinds):
    truth = Truth(80, 2)
    make = {
        "folds": lambda name: truth.seen(name, 60, error=0),
        "errors": lambda name: truth.seen(name, 60, folds=False),
        "posterior": lambda name: truth.posterior(name, 60),
        "bare": lambda name: truth.seen(name, 60, folds=False, error=0),
    }
    a, b = (make[kind](f"{i}") for i, kind in enumerate(kinds.split()))
    found = expected(a, b)
    assert within(found.independent, 0.64)
    assert found.independent.error < 0.03
    assert abs(found.observed.value - found.independent.value) < 4 * np.hypot(
        found.observed.error, found.independent.error
    )
    assert found.verdict is Verdict.AS_WELL
    assert np.isnan(found.unshared.value)
    spoiled = expected(a, Truth(80, 9).of("b", make["bare"]("c").defocus[::-1]))
    assert spoiled.verdict in (Verdict.BEYOND, Verdict.UNTOLD)


def test_posteriors_without_errors_borrow_the_heights_of_others():
    truth = Truth(80, 2)
    mean, seen = truth.posterior("mean", 60, error=False), truth.seen("seen", 60)
    found = expected(mean, seen)
    assert within(found.independent, 0.64)
    assert found.verdict is Verdict.AS_WELL
    assert found.noise[0] == pytest.approx(60 * np.sqrt(0.64), rel=0.1)


def test_a_low_correlation_of_level_ice_is_as_low_as_it_must_be():
    truth = Truth(40, 4)
    found = expected(truth.seen("a", 150), truth.seen("b", 100))
    assert found.verdict is Verdict.AS_LOW
    assert found.observed.value < 0.2
    assert found.words.startswith("as low as it must be: heights scatter by only ")
    height = float(found.words.split("only ")[1].split(" Å")[0])
    # the covariance of folds whose noise has this variance, of so many particles
    assert abs(height**2 - 40**2) < 3 * (150 * 100 / FOLD_SHARE) / np.sqrt(N)
    assert "against errors of 1" in found.words


def test_another_slope_alone_is_no_disagreement():
    truth = Truth(100, 5)
    found = expected(truth.seen("a", 60), truth.seen("b", 60, slope=0.5))
    assert found.verdict is Verdict.AS_WELL
    share = [1e4 / (1e4 + 3600), 2500 / (2500 + 3600)]
    assert within(found.independent, np.sqrt(share[0] * share[1]))


def shuffled(truth):
    one = truth.seen("b", 60)
    turn = truth.rng.permutation(N)
    return truth.of("b", one.defocus[turn], fold_1=one.fold_1[turn], fold_2=one.fold_2[turn])


@pytest.mark.parametrize("spoil", ["shuffled", "other sign", "claims too little"])
def test_sets_that_disagree_are_told_from_those_that_are_noisy(spoil):
    truth = Truth(80, 6)
    level = truth.t - truth.height
    b = truth.seen("b", 60)
    if spoil == "shuffled":
        b = shuffled(truth)
    elif spoil == "other sign":
        b = truth.of(
            "b", 2 * level - b.defocus, fold_1=2 * level - b.fold_1, fold_2=2 * level - b.fold_2
        )
    else:
        b = truth.seen("b", 150, folds=False, error=0.1)
    found = expected(truth.seen("a", 60), b)
    assert found.verdict is Verdict.BEYOND
    assert found.words.startswith("disagree beyond their errors: ")
    assert found.words.endswith("or more is expected")


def test_agreement_on_shared_noise_is_not_of_height():
    truth = Truth(0, 7, common=0.8)
    found = expected(truth.seen("a", 60), truth.seen("b", 90))
    assert found.observed.value == pytest.approx(0.8, abs=0.03)
    assert within(found.unshared, 0)
    assert found.verdict is Verdict.SHARED
    errors_only = expected(truth.seen("a", 60, folds=False), truth.seen("b", 90, folds=False))
    assert errors_only.verdict is Verdict.UNTOLD  # its error bars may as well be too large


def test_shared_noise_does_not_hide_that_heights_disagree():
    a, b = Truth(80, 8, common=1.0), Truth(80, 18, common=1.0)
    b.image = a.image
    found = expected(a.seen("a", 150), b.seen("b", 150))
    assert found.observed.value > found.independent.value + 0.3  # as if they agreed
    assert found.verdict is Verdict.SHARED


def test_what_is_shared_noise_is_said():
    truth = Truth(80, 8, common=1.0)
    found = expected(truth.seen("a", 60), truth.seen("b", 60))
    assert found.verdict is Verdict.AS_WELL
    assert "is not noise that they share" in found.words


def test_too_large_error_bars_are_seen():
    truth = Truth(150, 9)
    a, b = truth.seen("a", 20), truth.seen("b", 20, folds=False, error=7)
    found = expected(a, b)
    assert found.verdict is Verdict.BETTER
    assert found.words.endswith("at most is expected")


def test_what_cannot_be_told():
    truth = Truth(80, 10)
    bare = [truth.seen(name, 60, folds=False, error=0) for name in "ab"]
    found = expected(*bare)
    assert found.words == "cannot be told: no error bars and no folds"
    assert 0.5 < found.observed.value < 0.75
    assert np.isnan([found.independent.value, found.heights, *found.noise]).all()
    constant = truth.of("constant", np.full(N, 9000.0), error=np.full(N, 5.0))
    assert expected(constant, truth.seen("a", 60)).words.endswith(
        "no micrograph has 4 particles on which both vary"
    )


def test_one_micrograph_has_no_standard_error():
    truth = Truth(80, 11)
    found = columns(truth.seen("a", 60), truth.seen("b", 60))
    few = [c.take(np.arange(EACH)) for c in found]
    groups = Groups(names=("m0",), index=np.zeros(EACH, dtype=int))
    told = expect(groups, *few, Measured(80.0**2, 1.0))
    assert told.words == "cannot be told: too few micrographs, or error bars wider than the spread"
    assert np.isfinite(told.independent.value)


@pytest.mark.parametrize(
    ("observed", "unshared", "independent", "shared", "verdict"),
    [
        (0.30, None, 0.32, 0.9, Verdict.AS_LOW),
        (0.60, None, 0.32, 0.9, Verdict.AS_WELL),
        (0.10, None, 0.32, 0.9, Verdict.BEYOND),
        (0.99, None, 0.32, 0.85, Verdict.BETTER),
        (0.60, None, 0.01, 1.0, Verdict.UNTOLD),  # error bars alone do not deny height
        (0.60, 0.01, 0.03, 1.0, Verdict.SHARED),
        (0.60, 0.07, 0.03, 1.0, Verdict.AS_WELL),
        (0.02, None, 0.01, 1.0, Verdict.AS_LOW),
        (0.60, 0.02, 0.32, 0.9, Verdict.SHARED),
        (0.60, 0.15, 0.32, 0.9, Verdict.BEYOND),
        (0.60, 0.31, 0.32, 0.9, Verdict.AS_WELL),
        (0.26, None, 0.32, 0.9, Verdict.AS_LOW),  # no model is better than 0.05
        (np.nan, None, 0.32, 0.9, Verdict.UNTOLD),
        (0.30, None, np.nan, np.nan, Verdict.UNTOLD),
    ],
)
def test_verdicts_by_hand(observed, unshared, independent, shared, verdict):
    nan = Measured(np.nan, np.nan)
    told = [Measured(v, 0.01) for v in (observed, independent, shared)]
    cross = nan if unshared is None else Measured(unshared, 0.01)
    assert judge(told[0], cross, *told[1:]) is verdict


def test_no_verdict_on_what_is_hardly_known():
    nan = Measured(np.nan, np.nan)
    assert judge(Measured(0.1, 0.3), nan, Measured(0.9, 0.01), Measured(1, 0.01)) is Verdict.UNTOLD
    assert judge(Measured(0.1, 0.01), nan, Measured(0.9, 0.3), Measured(1, 0.01)) is Verdict.UNTOLD


def test_folds_of_a_posterior_are_not_used():
    truth = Truth(80, 12)
    one = truth.seen("a", 60)
    (column,) = columns(
        truth.of("a", one.defocus, fold_1=one.fold_1, fold_2=one.fold_2, posterior=True)
    )
    quality = quality_of(GROUPS, column)
    assert quality.source is Source.NOTHING
    assert np.isnan(quality.measured_error.value)
