"""Values that belong to other rows: of the whole data set, or of the same micrograph."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from parfocal.agreement import pooled_correlation, spread_of
from parfocal.faults.blame import blame
from parfocal.faults.record import Fault, fault_of, percent
from parfocal.faults.rows import orders
from parfocal.faults.table import LEAST_ROWS, Table, levels, residuals, row_median
from parfocal.grouped import MAD_TO_SD, Groups, jackknife

SIGMAS = 5.0  # standard errors that a fault must be above
FAR = 6.0  # core widths: farther apart, values cannot be of one particle
CORE = 0.2  # quantile that tells the core's width, however many are shuffled
LEAST_SPREAD = 500.0  # Å, of levels that differ enough for a whole shuffle to show
SLOPE = 0.5  # of shuffled values against the right ones it is 0, of failed fits 1
INSIDE = 0.8  # of the far rows, that must have values as others have
LEAST_FAR = 20  # rows
LEAST_SHARE = 0.01  # of the rows
BETTER = 0.5  # of what misfits is left at most, where values are in their right order
AGREED = 0.5  # correlation of the others, above which a set that has none of it is shuffled
NOTHING = 0.2  # of the others' correlation: no more than chance and rounding
ALIKE = (0.5, 1.5)  # spreads, over the others', of a set that holds the same values
RE_SORTED = "rows re-sorted"
PASTED = "A column was pasted from a file in another order"
MEND = "join values by particle name, never by row, and write them again"


class Mixed(NamedTuple):
    """Values that belong to other rows."""

    share: float  # of all rows
    error: float
    beyond: float  # Å, difference from which a row is one of them; 0 if it is no use
    typical: float  # Å, size of the difference of such rows


def mixed(x: np.ndarray, y: np.ndarray, low: float, high: float) -> Mixed | None:
    """How many values of `x` [Å] are those of other rows, judged by `y`; None if that is not seen.

    Rows farther apart than noise would put them are shuffled if their values lie in (low, high), as
    right ones do, have the distribution of the others' there, yet do not rise with these: slope 0
    or less, where it is 1 for fits that failed. Where nearly all rows are shuffled nothing tells what
    is far; then all rows are judged, if levels differ so much that noise leaves a slope above a half.
    """
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    n = len(x)
    if n < LEAST_ROWS:
        return None
    away = x - y
    away = np.abs(away - np.median(away))
    core = float(np.quantile(away, CORE)) / 0.2533  # Gaussian: 20 % lie within 0.2533 sd
    spread = MAD_TO_SD * float(np.median(np.abs(y - np.median(y))))
    beyond = max(FAR * core, spread / 2)  # random pairs mostly are, failed fits mostly are not
    far = away > beyond
    if spread > LEAST_SPREAD and beyond > spread:
        beyond = spread if spread > beyond / 2 else 0.0  # the core is wider, the more are shuffled
        far = away >= beyond
    count = int(far.sum())
    if count < max(LEAST_FAR, LEAST_SHARE / 2 * n):
        return None
    a, b = x[far], y[far]
    margin = FAR * core / 2
    inside = (np.minimum(a, b) > low - margin) & (np.maximum(a, b) < high + margin)
    slope, error = max(_slope(b, a), _slope(a, b))
    steepest = SLOPE if count == n else SLOPE / 2
    if inside.mean() < INSIDE or slope > steepest or 1 - slope < SIGMAS * error:
        return None
    if _apart(a, b) > 0.1 + 1.5 / np.sqrt(count):
        return None
    seen = _random_pairs_beyond(y, beyond)
    share = min(count * min(1 - slope, 1) / n / max(seen, 0.05), 1.0)
    if share < LEAST_SHARE:
        return None
    return Mixed(share, share * max(error, 1 / np.sqrt(count)), beyond, float(np.median(away[far])))


def _slope(x, y) -> tuple[float, float]:
    """Slope of y on x, and its error."""
    x, y = x - x.mean(), y - y.mean()
    square = float(x @ x)
    if not square > 0:
        return 1.0, np.inf
    slope = float(x @ y) / square
    return slope, float(np.sqrt(np.mean((y - slope * x) ** 2) / square))


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """Kolmogorov's and Smirnov's largest difference between two distributions."""
    a, b = np.sort(a), np.sort(b)
    at = np.concatenate([a, b])
    of_a, of_b = (np.searchsorted(v, at, side="right") / len(v) for v in (a, b))
    return float(np.abs(of_a - of_b).max())


def _random_pairs_beyond(values: np.ndarray, beyond: float) -> float:
    """Share of random pairs of values that are farther apart."""
    ordered = np.sort(values)
    above = len(ordered) - np.searchsorted(ordered, ordered + beyond, side="right")
    return 2 * float(above.sum()) / len(ordered) ** 2


def shuffled(table: Table) -> tuple[list[Fault], Table]:
    """Sets with values of other micrographs' rows; and the table without these values."""
    groups, few = table.taken(table.sample())
    values, level = table.values, levels(groups, few)
    found: dict[tuple[int, int], Mixed] = {}

    def strength(k, j):
        if not np.isfinite(few[:, k] + few[:, j]).any():
            return np.nan
        own = level[:, [k, j]]
        seen = mixed(few[:, k], few[:, j], np.nanmin(own), np.nanmax(own))
        if seen is None:
            return 0.0
        found[k, j] = found[j, k] = seen
        return seen.share

    faults, out = [], table
    for columns in blame(table.pairs(strength), table.sets):
        k = columns[0]
        witness = next(j for (one, j) in found if one == k)
        seen = found[k, witness]
        if len(columns) > 1:
            right = values[:, witness]
        elif table.has_prior:
            right = values[:, -1]
        else:
            right = row_median(np.delete(values, k, axis=1))
        fault = _of_mixed(table, columns, seen, right)
        faults.append(fault)
        wrong = np.abs(values[:, k] - right) > seen.beyond
        most = seen.share > 0.5 or fault.kind == RE_SORTED
        out = out.without(columns, slice(None) if most else wrong)
    return faults, out


def _of_mixed(table: Table, columns, seen: Mixed, right: np.ndarray) -> Fault:
    k = columns[0]
    total = int(np.isfinite(table.values[:, k]).sum())
    name, whose = table.name(columns), "its" if len(columns) == 1 else "the"
    for one in columns:
        if len(columns) > 1:
            right = table.values[:, columns[1] if one == k else k]
        limit = seen.beyond or seen.typical / 2
        before = _far(table.values[:, one], right, limit)
        for order, values in orders(table, one, by_name=True):
            after = _far(values, right, limit)
            if after < BETTER * before:
                text = (
                    f"the values of {table.names[one]} fit {order}: {percent(after)} of them are "
                )
                text += f"then {limit:.0f} Å off or more, by key {percent(before)}. {PASTED}"
                return fault_of(name, RE_SORTED, total, text, MEND)
    text = f"{percent(seen.share)} ± {100 * seen.error:.1f} % of {whose} values are as usual, but "
    text += f"belong to other particles: they lie {seen.typical:.0f} Å (median) from "
    text += f"{table.against(columns)} and do not rise with them"
    if len(columns) > 1:
        text += "; nothing tells which of the two it is"
    return fault_of(name, "shuffled", round(seen.share * total), text, MEND)


def _far(values: np.ndarray, right: np.ndarray, limit: float) -> float:
    """Share of values that are farther from what is right than `limit` [Å]."""
    away = np.abs(values - right)
    known = np.isfinite(away)
    return float(np.mean(away[known] > limit)) if known.sum() >= LEAST_ROWS else 1.0


def shuffled_within(table: Table) -> tuple[list[Fault], Table]:
    """Sets with values of other rows of the same micrograph, where heights are known so well.

    They are where values in another order agree with the other sets and by key do not; and where the
    others agree and the set does with none. A part of the rows cannot be told from fits that failed.
    """
    groups, few = table.taken(table.sample())
    heights = residuals(groups, few[:, : table.sets])
    faults, silent = [], np.zeros(table.sets, dtype=bool)
    for columns, text in _in_another_order(table, heights):
        silent[list(columns)] = True
        faults.append(_within(table, columns, RE_SORTED, text))
    heights[:, silent] = np.nan
    for k, text in _without_agreement(heights, groups):
        silent[k] = True
        faults.append(_within(table, (k,), "shuffled", text))
    return faults, table.without(np.flatnonzero(silent))


def _within(table: Table, columns, kind: str, text: str) -> Fault:
    count = int(np.isfinite(table.values[:, columns[0]]).sum())
    return fault_of(table.name(columns), kind, count, text, MEND)


def _in_another_order(table: Table, right: np.ndarray) -> Iterator[tuple[tuple[int, ...], str]]:
    """(columns, text) of sets whose heights fit the others' rows in another order far better."""
    rows = table.sample()
    groups, found = table.groups.take(rows), {}
    strength = np.full((table.sets, table.sets), np.nan)
    live = [k for k in range(table.sets) if np.isfinite(right[:, k]).any()]
    for k in live:
        others = [j for j in live if j != k]
        strength[k, others] = 0.0
        limit = np.nanmax(np.abs(right[:, k]))
        for order, values in orders(table, k, by_name=False):
            there = np.clip(groups.centred(values[rows], robust=True), -limit, limit)
            for j in others:
                fits, as_it_is = _fits(groups, there, right[:, k], right[:, j])
                if fits - as_it_is > strength[k, j]:
                    found[k, j] = order, fits, as_it_is
                    strength[k, j] = fits - as_it_is
    for columns in blame(strength, table.sets):
        k = columns[0]
        order, fits, as_it_is = next(found[pair] for pair in found if pair[0] == k)
        text = f"within micrographs the values of {table.names[k]} fit {order}: correlation "
        text += f"{fits:.2f} with another set, by key {as_it_is:.2f}. {PASTED}"
        yield columns, text


def _fits(groups: Groups, there, here, right) -> tuple[float, float]:
    """Correlations with what is right of values in another order, and as they are; 0 if not better."""
    sums = groups.moments(there, right), groups.moments(here, right)
    gain, error = jackknife(lambda a, b: pooled_correlation(a) - pooled_correlation(b), *sums)
    fits, as_it_is = (pooled_correlation(each.sum(axis=0)) for each in sums)
    error = np.fmax(error, np.sqrt(2 / max(np.isfinite(there + right).sum(), 1)))
    better = gain > SIGMAS * error and fits > SIGMAS * error and as_it_is < BETTER * fits
    return (float(fits), float(as_it_is)) if better else (0.0, 0.0)


def _without_agreement(heights: np.ndarray, groups) -> Iterator[tuple[int, str]]:
    """(set, text) of sets that agree with none, where all others agree well."""
    sets = heights.shape[1]
    live = [k for k in range(sets) if np.isfinite(heights[:, k]).sum() >= LEAST_ROWS]
    if len(live) < 3:
        return
    value, error = np.full((sets, sets), np.nan), np.zeros((sets, sets))
    for k in live:
        for j in live:
            if j < k:
                r, e = jackknife(pooled_correlation, groups.moments(heights[:, k], heights[:, j]))
                least = 1 / np.sqrt(np.isfinite(heights[:, k] + heights[:, j]).sum() or 1)
                value[k, j] = value[j, k] = r
                error[k, j] = error[j, k] = np.fmax(e, least)
    spread = np.array([spread_of(r) for r in heights.T])
    for k in live:
        rest = [j for j in live if j != k]
        agreed = np.median([value[i, j] for i in rest for j in rest if i < j])
        own = value[k, rest] + 3 * error[k, rest]
        ratio = spread[k] / np.median(spread[rest])
        if agreed > AGREED and (own < NOTHING * agreed).all() and ALIKE[0] < ratio < ALIKE[1]:
            yield (
                k,
                f"within micrographs it agrees with no set (correlation at most "
                f"{np.max(value[k, rest]):.2f} ± {np.max(error[k, rest]):.2f}), while the others do "
                f"with each other ({agreed:.2f}), and its heights scatter as theirs do",
            )
