"""Signs and sizes of the change: heights, planes and levels that run against the other sets'."""

from typing import NamedTuple

import numpy as np

from parfocal.agreement import pooled_correlation, spread_of
from parfocal.faults.blame import blame
from parfocal.faults.record import Fault, fault_of
from parfocal.faults.table import LEAST_ROWS, Table, levels, residuals
from parfocal.grouped import Groups, jackknife

ENOUGH = 400_000  # rows that planes are fitted to
SIGMAS = 5.0  # standard errors that a fault must be above
AGAINST = 0.05  # correlation; a smaller one against the others may be the methods' own
SLOPES_AGAINST = 0.2  # the same of planes
FEW = 5  # micrographs; with fewer planes may differ for any reason
LEVELS = 10  # micrographs, that levels need
DOUBLE = (1.5, 2.7)  # slopes, of either on the other, of a change that was added twice
NOT_DOUBLE = 1.4  # that the slope between must be above, by its error
NOT_X = 0.5  # of the size of y's, at least, that x's correlation must stay above minus


class Turned(NamedTuple):
    """How one set runs against another: correlations, nan where they cannot be had."""

    heights: float  # about the planes
    y: float  # of planes' slopes
    x: float
    heights_against: bool  # clearly below 0, as the next two
    y_against: bool
    x_against: bool

    @property
    def kind(self) -> str | None:
        """What it means."""
        if self.heights_against or (self.y_against and self.x_against):
            return "sign of the change turned"
        if self.y_against and self.x > -NOT_X * abs(self.y):
            return "wrong sign of y"
        if self.x_against and self.y > -NOT_X * abs(self.x):
            return "wrong sign of x"
        return None


class Sheets(NamedTuple):
    """The plane of each micrograph by one set, by least squares."""

    residual: np.ndarray  # (n,) Å
    slope: np.ndarray  # (m, 2), along x and y; 0 where there is none
    weight: np.ndarray  # (m, 2) Å², what a slope's variance is divided by


def _sheets(groups: Groups, place: np.ndarray, value: np.ndarray) -> Sheets:
    x, y = (groups.centred(np.where(np.isfinite(value), v, np.nan)) for v in place)
    value = groups.centred(np.where(np.isfinite(x + y), value, np.nan))
    xx, yy, xy, freedom = groups.moments(x, y).T
    vx, vy = groups.sum(value * x), groups.sum(value * y)
    determinant = xx * yy - xy**2
    found = (freedom >= 4) & (determinant > 1e-6 * xx * yy)
    scale = np.where(found, determinant, 1.0)
    slope = np.where(found, [yy * vx - xy * vy, xx * vy - xy * vx] / scale, 0.0)
    weight = np.where(found, scale / np.where(found, [yy, xx], 1.0), 0.0)
    residual = value - slope[0][groups.index] * x - slope[1][groups.index] * y
    return Sheets(residual, slope.T, weight.T)


def turned(table: Table) -> list[Fault]:
    """Sets whose change has the wrong sign, or that saw the micrograph mirrored."""
    groups, few = table.taken(table.sample(ENOUGH))
    heights = residuals(groups, few[:, : table.sets])
    place = _places(table)[:, table.sample(ENOUGH)]
    sheets = [_sheets(groups, place, column) for column in heights.T]
    seen: dict[tuple[int, int], Turned] = {}

    def strength(k, j):
        if j >= table.sets:
            return np.nan
        both = np.isfinite(sheets[k].residual + sheets[j].residual).sum()
        if both < LEAST_ROWS:
            return np.nan
        found = _turned(groups, sheets[k], sheets[j])
        if found.kind is None:
            return 0.0
        seen[k, j] = seen[j, k] = found
        return float(np.nanmax(np.abs([found.heights, found.y, found.x])))

    faults = []
    for columns in blame(table.pairs(strength), table.sets):
        k = columns[0]
        found = [seen[pair] for pair in seen if pair[0] == k and pair[1] not in columns[:1]]
        kinds = [f.kind for f in found if f.kind]
        kind = max(set(kinds), key=kinds.count)
        one = next(f for f in found if f.kind == kind)
        heights, y, x = one.heights, one.y, one.x
        whom = table.names[columns[1]] if len(columns) > 1 else _sets_but(table, columns)
        told = f"heights about the plane correlate by {heights:+.2f} with {whom}'s, slopes of "
        told += f"planes along y by {y:+.2f}, along x by {x:+.2f}"
        if kind == "sign of the change turned":
            text = f"its changes run against the others': {told}. The change was subtracted, not "
            text += "added, or overfocus was counted positive"
            mend = "write twice the input's defocus less its own"
        else:
            axis = kind[-1]
            text = f"its planes are mirrored along {axis}: {told}. The program read {axis} from "
            text += "the other edge, or, if only that is clear, the sign of the change is turned"
            mend = f"run it again with the coordinates' {axis} turned"
        if len(columns) > 1:
            text += (
                f"; nothing tells which of {' and '.join(table.names[i] for i in columns)} it is"
            )
        faults.append(_fault(table, columns, kind, text, mend))
    return faults


def _places(table: Table) -> np.ndarray:
    """(2, n) Å, the base's coordinates; where it has none those of a set that has."""
    base, joined = table.joined.base, table.joined
    place = np.stack([base.coordinate_x, base.coordinate_y])
    if np.isfinite(place).any():
        return place
    known = [k for k in range(table.sets) if np.isfinite(joined.coordinate[:, k]).any()]
    return joined.coordinate[:, known[0]].T if known else np.zeros_like(place)


def _turned(groups: Groups, a: Sheets, b: Sheets) -> Turned:
    sums = groups.moments(a.residual, b.residual)
    r, error = jackknife(pooled_correlation, sums)
    error = np.fmax(error, 1 / np.sqrt(np.isfinite(a.residual + b.residual).sum()))
    y, y_against = _slopes_agree(a, b, 1)
    x, x_against = _slopes_agree(a, b, 0)
    return Turned(
        heights=float(r),
        y=y,
        x=x,
        heights_against=bool(r < -max(AGAINST, SIGMAS * error)),
        y_against=y_against,
        x_against=x_against,
    )


def _slopes_agree(a: Sheets, b: Sheets, axis: int) -> tuple[float, bool]:
    """(correlation about 0 of slopes along an axis, whether it is clearly negative)."""
    weight = np.sqrt(a.weight[:, axis] * b.weight[:, axis])
    of_a, of_b = a.slope[:, axis], b.slope[:, axis]
    if np.sum(weight > 0) < FEW:
        return np.nan, False
    weight = weight / weight.max()
    sums = np.stack([weight * of_a**2, weight * of_b**2, weight * of_a * of_b], axis=1)
    noise = [spread_of(s.residual) ** 2 / np.where(w > 0, w, np.inf) for s, w in _with(a, b, axis)]
    value, error = jackknife(_similar, sums)
    variance = of_a**2 * noise[1] + of_b**2 * noise[0] + noise[0] * noise[1]
    size = np.sqrt(sums[:, 0].sum() * sums[:, 1].sum())
    own = np.sqrt(np.sum(weight**2 * variance)) / size if size > 0 else np.inf
    return float(value), bool(value < -max(SLOPES_AGAINST, SIGMAS * max(float(error), own)))


def _with(a: Sheets, b: Sheets, axis: int):
    return (a, a.weight[:, axis]), (b, b.weight[:, axis])


def _similar(sums: np.ndarray) -> np.ndarray:
    aa, bb, ab = np.moveaxis(sums, -1, 0)
    square = aa * bb
    return np.where(square > 0, ab / np.sqrt(np.where(square > 0, square, 1.0)), 0.0)


def doubled(table: Table) -> list[Fault]:
    """Sets whose levels change from the prior by twice what the others' do.

    Heights cannot tell: methods shrink them, and noise that they share grows with them. Levels and
    a prior that errs can, where three sets or more know them.
    """
    if not table.has_prior or table.sets < 3:
        return []
    level = levels(table.groups, table.values - table.values[:, -1:])

    def strength(k, j):
        if j >= table.sets:
            return np.nan
        both = np.isfinite(level[:, k] + level[:, j])
        if both.sum() < LEVELS:
            return np.nan
        own, other = (v - np.median(v) for v in (level[both, k], level[both, j]))
        sums = np.stack([own * own, other * other, own * other], axis=1)
        of_k, of_j, product = sums.sum(axis=0)
        if not min(of_j, of_k, product) > 0:
            return 0.0
        low, high = product / of_j, of_k / product
        middle, error = jackknife(lambda s: np.sqrt(s[..., 0] / s[..., 1]), sums)
        is_double = DOUBLE[0] < low < high < DOUBLE[1] and middle - NOT_DOUBLE > SIGMAS * error
        return float(middle) if is_double else 0.0

    faults, strengths = [], table.pairs(strength, directed=True)
    for columns in blame(strengths, table.sets):
        k = columns[0]
        slope = float(np.nanmedian(strengths[k][strengths[k] > 0]))
        text = f"its micrographs' levels change from {table.names[-1]} by {slope:.2f} times what "
        text += f"those of {_sets_but(table, columns)} do: the correction was added twice"
        mend = "take the change off once"
        faults.append(_fault(table, columns, "change doubled", text, mend))
    return faults


def _sets_but(table: Table, columns) -> str:
    names = [table.names[k] for k in range(table.sets) if k not in columns]
    return ", ".join(names)


def _fault(table: Table, columns, kind: str, text: str, mend: str) -> Fault:
    count = int(np.isfinite(table.values[:, columns[0]]).sum())
    return fault_of(table.name(columns), kind, count, text, mend)
