"""How far two sets of defoci agree, within micrographs: correlations, bias, spread and slope.

Compared is the defocus itself. Within a micrograph of one prior it differs from the change by a
constant, which drops out everywhere here. Where the prior varies (patch CTF, an earlier local
refinement), taking it off both sets would give both its errors, and they would seem to agree.
What they have from the prior shows in the agreement of each with it.

The correlations of the paper's Table 1: Fernandez-Gimenez, Carazo and Sorzano, J. Struct. Biol.
2023, doi 10.1016/j.jsb.2023.108030.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from parfocal.defocus_set import FOLD_SHARE
from parfocal.grouped import MAD_TO_SD, Groups, jackknife
from parfocal.join import Joined

MIN_PARTICLES = 4  # of a micrograph that counts for an average correlation
LEAST_SPREAD = 1e-3  # Å, standard deviation; below it a set says one thing of a whole micrograph
FAR = 4.0  # standard deviations from the micrograph's median; beyond, a particle is an outlier
BIWEIGHT = 9.0  # median absolute deviations


class Measured(NamedTuple):
    """A value and its standard error over micrographs; nan where it cannot be had."""

    value: float
    error: float


class Average(NamedTuple):
    """Mean over micrographs, its standard error, and how many micrographs counted."""

    value: float
    error: float
    micrographs: int


def correlation(of: Measured | Average) -> str:
    """In words: its value and standard error, two digits of what is below 1; the value alone if
    nobody knows the error, as of one micrograph.
    """
    if not np.isfinite(of.value):
        return "unknown"
    digits = 2 if not of.error < 0.005 else 3
    error = f" ± {of.error:.{digits}f}" if np.isfinite(of.error) else ""
    return f"{of.value:+.{digits}f}{error}"


@dataclass(frozen=True, kw_only=True)
class Column:
    """What one set says, or the prior, of n particles; nan where it is silent or not trusted."""

    name: str
    defocus: np.ndarray  # (n,) Å
    residual: np.ndarray  # (n,) Å from the micrograph's median; nan of outliers too
    error: np.ndarray  # (n,) Å, one standard deviation
    folds: np.ndarray  # (n, 2) Å, defocus from either fold of the pixels alone
    fold_residual: np.ndarray  # (n, 2) Å, as `residual`
    posterior: bool = False  # values are means over a prior

    def take(self, rows: np.ndarray) -> "Column":
        """The same of fewer particles: `rows` are numbers, or a mask."""
        return replace(
            self, **{k: v[rows] for k, v in vars(self).items() if isinstance(v, np.ndarray)}
        )

    def outliers(self) -> int:
        """Particles that the set trusts, but far from all the others in their micrograph."""
        return int(np.sum(np.isfinite(self.defocus) & np.isnan(self.residual)))


def columns_of(joined: Joined, groups: Groups) -> tuple[Column, ...]:
    """A column for every set, in their order."""
    columns = []
    for k, name in enumerate(joined.names):
        ok, posterior = joined.ok[:, k], bool(joined.posterior[k])
        defocus, error = (np.where(ok, c[:, k], np.nan) for c in (joined.defocus, joined.error))
        error = np.where(error > 0, error, np.nan)
        own = None if posterior else error
        folds = np.where(ok[:, None], joined.folds[:, k], np.nan)
        near = [residuals(groups, fold, own, 1 / np.sqrt(FOLD_SHARE)) for fold in folds.T]
        columns.append(
            Column(
                name=name,
                defocus=defocus,
                residual=residuals(groups, defocus, own),
                error=error,
                folds=folds,
                fold_residual=np.stack(near, axis=1),
                posterior=posterior,
            )
        )
    return tuple(columns)


def bare_column(groups: Groups, name: str, defocus: np.ndarray) -> Column:
    """Values that come with neither errors nor folds, such as the prior."""
    nan = np.full((len(defocus), 2), np.nan)
    near = residuals(groups, defocus)
    return Column(
        name=name, defocus=defocus, residual=near, error=nan[:, 0], folds=nan, fold_residual=nan
    )


def residuals(
    groups: Groups, values: np.ndarray, error: np.ndarray | None = None, times: float = 1.0
) -> np.ndarray:
    """(n,) Å, values less their group's median; nan beyond 4 robust standard deviations.

    These are of all, or of the group if it scatters more; or what the particle's own `error` [Å],
    so many `times`, allows.
    """
    if not np.isfinite(values).any():
        return np.full(len(values), np.nan)
    residual = groups.centred(values, robust=True)
    sd = spread_of(residual)
    sd = sd if sd > LEAST_SPREAD else float(np.nanstd(residual))  # most say one thing
    limit = np.fmax(sd, groups.robust_sd(residual, np.zeros(len(groups))))[groups.index]
    if error is not None and np.isfinite(error).any():
        noise2 = (times * error) ** 2
        limit = np.fmax(limit, np.sqrt(max(sd**2 - float(np.nanmedian(noise2)), 0.0) + noise2))
    return np.where(np.abs(residual) <= FAR * limit + LEAST_SPREAD, residual, np.nan)


@dataclass(frozen=True, kw_only=True)
class ByMicrograph:
    """The agreement of two sets in each micrograph; nan where it cannot be had."""

    particles: np.ndarray  # (m,) that both trust
    pearson: np.ndarray  # (m,)
    spearman: np.ndarray
    robust: np.ndarray  # biweight midcorrelation
    bias: np.ndarray  # (m,) Å, median of second less first


@dataclass(frozen=True, kw_only=True)
class PairAgreement:
    """How two sets agree on the particles that both trust. Differences are second less first.

    The averages are over micrographs with 4 such particles or more, on which both sets vary by more
    than 1e-3 Å. `pooled` is the correlation of all particles about their micrographs' means, which
    gives a micrograph the weight of its particles and its scatter; `trimmed` the same without
    outliers. Slopes are within micrographs, without outliers: `slope` is the reduced major axis,
    which blames both sets alike (1 where they scatter alike, whatever their correlation); `slope_on`
    least squares of the second on the first, (0) and the first on the second (1), both too small by
    the noise of the set on which they stand.
    """

    names: tuple[str, str]
    particles: int
    outliers: int  # of these, far from their micrograph's median in either set
    pearson: Average
    spearman: Average
    robust: Average
    pooled: Measured
    trimmed: Measured
    bias: Measured  # Å, mean difference
    median_bias: float  # Å
    spread: float  # Å, 1.4826 MAD of the difference about the micrograph's median
    spread_total: float  # Å, the same about the median of all
    slope: Measured
    slope_on: tuple[Measured, Measured]
    by_micrograph: ByMicrograph


def agree(groups: Groups, a: Column, b: Column) -> PairAgreement:
    """Agreement of two columns. Standard errors take micrographs, not particles, as independent."""
    rows = np.flatnonzero(np.isfinite(a.defocus) & np.isfinite(b.defocus))
    here, x, y = groups.take(rows), a.defocus[rows], b.defocus[rows]
    by, difference = _by_micrograph(here, x, y), y - x
    x, y = here.centred(x), here.centred(y)
    trimmed = a.residual[rows], b.residual[rows]
    moments = here.moments(*trimmed)
    bias = jackknife(lambda total, n: total / n, here.sum(difference), here.count(difference))
    found, some = len(rows), len(rows) > 0
    return PairAgreement(
        names=(a.name, b.name),
        particles=found,
        outliers=found - int(np.isfinite(trimmed[0] + trimmed[1]).sum()),
        pearson=average(by.pearson),
        spearman=average(by.spearman),
        robust=average(by.robust),
        pooled=measured(pooled_correlation, here.moments(x, y)),
        trimmed=measured(pooled_correlation, moments),
        bias=Measured(*map(float, bias)),
        median_bias=float(np.median(difference)) if some else np.nan,
        spread=spread_of(difference - by.bias[here.index]),
        spread_total=spread_of(difference - np.median(difference)) if some else np.nan,
        slope=measured(_major_axis, moments),
        slope_on=(
            measured(lambda total: total[..., 2] / total[..., 0], moments),
            measured(lambda total: total[..., 2] / total[..., 1], moments),
        ),
        by_micrograph=by,
    )


def measured(statistic, *sums) -> Measured:
    """A statistic of sums over micrographs, with its error from leaving out each in turn."""
    return Measured(*map(float, jackknife(statistic, *sums)))


def average(values: np.ndarray) -> Average:
    """Mean of the (m,) values that are finite, with its standard error."""
    values = values[np.isfinite(values)]
    m = len(values)
    error = float(values.std(ddof=1) / np.sqrt(m)) if m > 1 else np.nan
    return Average(float(values.mean()) if m else np.nan, error, m)


def spread_of(values: np.ndarray) -> float:
    """1.4826 times the median size of what is finite; nan without any."""
    values = values[np.isfinite(values)]
    return MAD_TO_SD * float(np.median(np.abs(values))) if len(values) else np.nan


def rms(values: np.ndarray) -> float:
    """Root mean square of what is finite; nan without any."""
    values = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(values**2))) if len(values) else np.nan


def sd_within(groups: Groups, values: np.ndarray, error: np.ndarray | None = None) -> Measured:
    """Standard deviation [Å] about the groups' means, outliers as in `residuals` apart."""
    near = residuals(groups, values, error)
    return measured(sd_of, groups.moments(near, near))


def sd_of(moments: np.ndarray) -> np.ndarray:
    """Standard deviation of x from (..., 4) moments as from `Groups.moments`, added over groups."""
    return np.sqrt(moments[..., 0] / moments[..., 3])


def correlate(groups: Groups, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(m,) Pearson correlation in each group; nan below 4 pairs, or where either does not vary."""
    xx, yy, xy, freedom = groups.moments(x, y).T
    least = freedom * LEAST_SPREAD**2
    counts = (freedom >= MIN_PARTICLES - 1) & (xx > least) & (yy > least)
    return _ratio(xy, np.sqrt(np.maximum(xx * yy, 0)), counts)


def midcorrelate(
    groups: Groups, x: np.ndarray, y: np.ndarray, middles: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """(m,) biweight midcorrelation; `middles` are the groups' medians of x and y.

    Wilcox 2012, Introduction to Robust Estimation and Hypothesis Testing, 9.3.8. nan below 4 pairs,
    or where half of either set's values are the same.
    """
    sides, counts = [], groups.count(x + y) >= MIN_PARTICLES
    for values, middle in zip((x, y), middles, strict=True):
        mad = groups.robust_sd(values, middle) / MAD_TO_SD
        counts &= mad > LEAST_SPREAD
        away = values - middle[groups.index]
        reach = BIWEIGHT * np.where(mad > LEAST_SPREAD, mad, 1.0)[groups.index]
        sides.append(away * np.maximum(1 - (away / reach) ** 2, 0) ** 2)
    first, second = sides
    size = np.sqrt(groups.sum(first**2) * groups.sum(second**2))
    return _ratio(groups.sum(first * second), size, counts)


def _by_micrograph(groups: Groups, x, y) -> ByMicrograph:
    orders = groups.order(x), groups.order(y)
    middles = groups.median(x, orders[0]), groups.median(y, orders[1])
    near = [v - middle[groups.index] for v, middle in zip((x, y), middles, strict=True)]
    pearson = correlate(groups, *near)
    ranks = [groups.ranks(v, order) for v, order in zip((x, y), orders, strict=True)]
    return ByMicrograph(
        particles=groups.count(x),
        pearson=pearson,
        spearman=np.where(np.isfinite(pearson), correlate(groups, *ranks), np.nan),
        robust=midcorrelate(groups, x, y, middles),
        bias=groups.median(y - x),
    )


def pooled_correlation(moments: np.ndarray) -> np.ndarray:
    """Correlation of (..., 4) moments as from `Groups.moments`, added over groups."""
    xx, yy, xy, freedom = np.moveaxis(moments, -1, 0)
    varies = np.minimum(xx, yy) > freedom * LEAST_SPREAD**2
    return _ratio(xy, np.sqrt(np.maximum(xx * yy, 0)), varies)


def _major_axis(moments):
    return np.sign(moments[..., 2]) * np.sqrt(moments[..., 1] / moments[..., 0])


def _ratio(top, bottom, where):
    return np.where(where, top / np.where(where & (bottom > 0), bottom, 1.0), np.nan)
