"""How far two sets of defoci ought to agree, if each is right within its own errors.

Within a micrograph a set's value is b t + noise, t the true height. How much of its variance S is
signal, its share b² Var(t) / S, two folds of the pixels tell: they share no noise, so their
covariance is b² Var(t), whatever the slope b. Without folds, error bars tell: S less their mean
square. Values that are means over a prior have b = S / Var(t) and Var(t) = S + mean square error.
Sets whose noise is independent then correlate by √(share · share) (Spearman's attenuation, Am. J.
Psychol. 1904, 15, 72); sets that see the same images share noise, at most all of it, which adds
up to √((1 - share) (1 - share)). So the folds or error bars tell a low correlation that is due to
a small spread of heights from one that is not.

Wrong where a set errs alike from both folds (a wrong pose, the reference's hand): that counts as
its signal, and shows as disagreement with others.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from parfocal.agreement import (
    LEAST_SPREAD,
    MIN_PARTICLES,
    Column,
    Measured,
    measured,
    pooled_correlation,
    rms,
    sd_of,
)
from parfocal.defocus_set import FOLD_SHARE
from parfocal.grouped import Groups, jackknife

FEW = 0.5  # share of particles with folds, or error bars, below which a set has none
MARGIN = 0.05  # of a correlation; models are not better than that
SIGMAS = 3.0  # standard errors
UNSURE = 0.2  # standard error of an expected correlation beyond which nothing can be said
LOW = 0.5  # a correlation that looks like disagreement


class Source(StrEnum):
    """What tells a set's noise from its signal."""

    FOLDS = "folds"
    ERRORS = "error bars"
    OTHERS = "the other sets' heights"
    NOTHING = "nothing"


class Verdict(StrEnum):
    """What an observed correlation says, once it is compared with the expected ones."""

    AS_LOW = "as low as it must be"
    AS_WELL = "agree as well as their errors allow"
    BEYOND = "disagree beyond their errors"
    BETTER = "agree better than their errors allow"
    SHARED = "agree, but on shared noise: what they have in common is not height"
    UNTOLD = "cannot be told"


@dataclass(frozen=True, kw_only=True)
class SetQuality:
    """What one set says of itself. Standard deviations in Å, within micrographs."""

    name: str
    particles: int  # to be trusted
    outliers: int  # of them, far from their micrograph's median
    spread: float  # of the values, outliers apart
    claimed_error: float  # root mean square of its error bars; nan without
    measured_error: Measured  # of the whole estimate, from its folds; nan without, and of means
    # over a prior, whose folds are drawn to it more than the whole
    signal_share: Measured  # of the variance
    height_variance: Measured  # Å², of true heights, as this set alone tells; may be below 0
    source: Source


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The correlation of two sets, outliers apart, and what it would be if both were right."""

    names: tuple[str, str]
    observed: Measured
    unshared: Measured  # the part of it that is not noise of pixels seen by both; nan without folds
    independent: Measured  # expected if their noise is independent
    shared: Measured  # expected if they share all noise
    heights: float  # Å, standard deviation of true heights; nan where nobody tells, as below
    noise: tuple[float, float]  # Å, of either set about them
    verdict: Verdict
    words: str


def quality_of(groups: Groups, column: Column) -> SetQuality:
    """What a set's folds and error bars say of its noise."""
    trusted = np.isfinite(column.defocus)
    source = _source(column, trusted)
    share, variance = (Measured(np.nan, np.nan),) * 2
    sums = _sums(groups, column, source)
    if source is not Source.NOTHING:
        share = measured(lambda total: _signal(total, source, column.posterior)[0], sums)
        variance = measured(lambda total: _signal(total, source, column.posterior)[1], sums)
    whole = np.subtract(*column.fold_residual.T) * np.sqrt(FOLD_SHARE / 2)
    untold = column.posterior or source is not Source.FOLDS
    return SetQuality(
        name=column.name,
        particles=int(trusted.sum()),
        outliers=column.outliers(),
        spread=float(np.sqrt(_variance(sums.sum(axis=0)))),
        claimed_error=rms(column.error),
        measured_error=Measured(np.nan, np.nan)
        if untold
        else measured(sd_of, groups.moments(whole, whole)),
        signal_share=share,
        height_variance=variance,
        source=source,
    )


def common_heights(qualities: tuple[SetQuality, ...]) -> Measured:
    """Variance [Å²] of true heights: the median of what the sets tell; nan if none does."""
    told = sorted(q.height_variance for q in qualities if np.isfinite(q.height_variance.value))
    return told[len(told) // 2] if told else Measured(np.nan, np.nan)


def expect(groups: Groups, a: Column, b: Column, heights: Measured) -> Expected:
    """What the correlation of two sets should be, on the particles that both trust.

    `heights` is the variance [Å²] to be used for a set that tells nothing of its own noise.
    """
    both = np.isfinite(a.residual) & np.isfinite(b.residual)
    groups, a, b = groups.take(both), a.take(both), b.take(both)
    sources = _source(a, both[both]), _source(b, both[both])
    sums = [_sums(groups, c, source) for c, source in zip((a, b), sources, strict=True)]
    crossed = all(s is Source.FOLDS for s in sources)
    pair = _pair_sums(groups, a, b, crossed)

    def statistic(first, second, pair):
        shares = [
            _signal(s, source, c.posterior)[0]
            for s, source, c in zip((first, second), sources, (a, b), strict=True)
        ]
        size = np.sqrt(_variance(first) * _variance(second))
        unshared = (pair[..., 4] / pair[..., 5] + pair[..., 6] / pair[..., 7]) / 2 / size
        observed = pooled_correlation(pair[..., :4])
        return np.stack([*shares, observed, unshared], axis=-1)

    found = [Measured(*map(float, m)) for m in zip(*jackknife(statistic, *sums, pair), strict=True)]
    observed, unshared = found[2:]
    spreads = [float(_variance(s.sum(axis=0))) for s in sums]
    shares = [
        _borrowed(variance, c.posterior, heights) if source is Source.NOTHING else share
        for share, source, variance, c in zip(found[:2], sources, spreads, (a, b), strict=True)
    ]
    independent, shared = _bounds(shares)
    verdict = judge(observed, unshared, independent, shared)
    told = [
        _heights(share.value, variance, c.posterior)
        for share, variance, c in zip(shares, spreads, (a, b), strict=True)
    ]
    height = float(np.sqrt(np.mean([h for h, _ in told])))
    noise = (float(np.sqrt(told[0][1])), float(np.sqrt(told[1][1])))
    return Expected(
        names=(a.name, b.name),
        observed=observed,
        unshared=unshared,
        independent=independent,
        shared=shared,
        heights=height,
        noise=noise,
        verdict=verdict,
        words=_words(verdict, (observed, unshared, independent, shared), height, noise),
    )


def judge(
    observed: Measured, unshared: Measured, independent: Measured, shared: Measured
) -> Verdict:
    """The verdict on an observed correlation: what is within 0.05 and 3 standard errors is equal."""
    errors = observed.error, independent.error
    if not np.isfinite([*observed, *independent]).all() or max(errors) > UNSURE:
        return Verdict.UNTOLD
    crossed = bool(np.isfinite([*unshared]).all())
    real = unshared if crossed else observed
    if real.value < independent.value - _tolerance(real, independent):
        common = observed.value > _tolerance(observed) and real.value < _tolerance(real)
        return Verdict.SHARED if common else Verdict.BEYOND
    signal = unshared if crossed else independent
    none = signal.value <= max(MARGIN, 2 * signal.error)
    if none and observed.value > independent.value + _tolerance(observed, independent):
        return Verdict.SHARED if crossed else Verdict.UNTOLD  # error bars may be too large
    if observed.value > shared.value + _tolerance(observed, shared):
        return Verdict.BETTER
    low = max(observed.value, independent.value) < LOW
    return Verdict.AS_LOW if low else Verdict.AS_WELL


def _tolerance(*measured: Measured) -> float:
    return MARGIN + SIGMAS * float(np.hypot.reduce([m.error for m in measured]))


def _source(column: Column, trusted) -> Source:
    least = max(FEW * float(trusted.sum()), 1.0)
    if not column.posterior and np.isfinite(column.fold_residual).all(axis=1).sum() >= least:
        return Source.FOLDS
    return Source.ERRORS if np.isfinite(column.error).sum() >= least else Source.NOTHING


def _sums(groups: Groups, column: Column, source: Source) -> np.ndarray:
    """(m, 6): centred sum of squares of the values, its degrees of freedom; the same of the product
    of the folds; sum of squared error bars, and how many. What the source does not need is 0.
    """
    sums = np.zeros((len(groups), 6))
    sums[:, :2] = groups.products(column.residual, column.residual)
    if source is Source.FOLDS:
        sums[:, 2:4] = groups.products(*column.fold_residual.T)
    if source is Source.ERRORS:
        square = np.where(np.isfinite(column.residual), column.error, np.nan) ** 2
        sums[:, 4], sums[:, 5] = groups.sum(square), groups.count(square)
    return sums


def _pair_sums(groups: Groups, a: Column, b: Column, crossed: bool) -> np.ndarray:
    """(m, 8): moments of the two; product and freedom of a's first fold and b's second, and back."""
    crosses = [np.zeros((len(groups), 2))] * 2
    if crossed:
        crosses = [
            groups.products(a.fold_residual[:, f], b.fold_residual[:, 1 - f]) for f in range(2)
        ]
    return np.concatenate([groups.moments(a.residual, b.residual), *crosses], axis=1)


def _variance(sums):
    """Of (..., 6) sums; nan where nothing varies."""
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = sums[..., 0] / sums[..., 1]
    return np.where(variance > LEAST_SPREAD**2, variance, np.nan)


def _signal(sums, source: Source, posterior: bool):
    """(share of the variance that is signal, variance of the true heights), of `sums` (..., 6)."""
    variance, claimed = _variance(sums), sums[..., 4] / sums[..., 5]
    if source is Source.FOLDS:
        signal = sums[..., 2] / sums[..., 3]
        return signal / variance, signal
    if posterior:
        return variance / (variance + claimed), variance + claimed
    return 1 - claimed / variance, variance - claimed


def _borrowed(variance: float, posterior: bool, heights: Measured) -> Measured:
    """Share of signal in a set of `variance`, if it is right and the heights' variance is known."""
    if posterior:
        top = max(heights.value, variance)
        return Measured(variance / top, variance / top**2 * heights.error)
    return Measured(min(heights.value / variance, 1.0), heights.error / variance)


def _heights(share: float, variance: float, posterior: bool) -> tuple[float, float]:
    """Variances of the true heights, and of a set's noise about them."""
    share = min(max(share, 0.0), 1.0)
    if posterior:
        heights = variance / share if share > 0 else np.nan
        return heights, heights - variance
    return share * variance, (1 - share) * variance


def _bounds(shares) -> tuple[Measured, Measured]:
    """Expected correlations, noise independent and shared. Errors as if both shares erred alike."""

    def low(*values):
        return float(np.sqrt(np.prod(np.clip(values, 0, 1))))

    values = [s.value for s in shares]
    independent = low(*values)
    error = low(*(max(s.value, 0) + s.error for s in shares)) - independent
    both = independent + low(*(1 - v for v in values))
    return Measured(independent, error), Measured(both, error)


def _words(verdict: Verdict, correlations, heights: float, noise) -> str:
    observed, unshared, independent, shared = (c.value for c in correlations)
    if verdict is Verdict.UNTOLD:
        few = "too few micrographs, or error bars wider than the spread"
        why = "no error bars and no folds" if np.isnan(independent) else few
        if np.isnan(observed):
            why = f"no micrograph has {MIN_PARTICLES} particles on which both vary"
        return f"{verdict}: {why}"
    if verdict is Verdict.AS_LOW:
        errors = " and ".join(f"{n:.0f}" for n in noise)
        return f"{verdict}: heights scatter by only {heights:.0f} Å against errors of {errors} Å"
    if verdict is Verdict.BEYOND:
        return f"{verdict}: {observed:.2f} where {independent:.2f} or more is expected"
    if verdict is Verdict.BETTER:
        return f"{verdict}: {observed:.2f} where {shared:.2f} at most is expected"
    if verdict is Verdict.AS_WELL and abs(observed - unshared) > MARGIN:
        return f"{verdict}; {unshared:.2f} of {observed:.2f} is not noise that they share"
    return str(verdict)
