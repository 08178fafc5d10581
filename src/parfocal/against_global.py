"""A set of defoci against the prior, the global defocus: over the data set, and within micrographs."""

from dataclasses import dataclass

import numpy as np

from parfocal.agreement import (
    Column,
    Measured,
    PairAgreement,
    agree,
    bare_column,
    measured,
    pooled_correlation,
    spread_of,
)
from parfocal.grouped import Groups

GLOBAL = "global"
VARIES = 1.0  # Å, standard deviation of a prior within a micrograph, beyond rounding in a file


@dataclass(frozen=True, kw_only=True)
class AgainstGlobal:
    """One set against the prior: over the data set (the paper's Fig. S-1), and within micrographs."""

    name: str
    particles: int  # that the set trusts and have a prior
    correlation: Measured  # over the data set: near 1 wherever micrographs differ in defocus
    slope: Measured  # least squares of the set on the prior
    bias: Measured  # Å, mean change
    spread: float  # Å, 1.4826 MAD of the change about its micrograph's median
    spread_total: float  # Å, the same about the median of all
    within: PairAgreement | None  # on micrographs where the prior varies; None if it does nowhere


def against_global(
    groups: Groups, prior: np.ndarray, column: Column, varies: np.ndarray
) -> AgainstGlobal:
    """One set against the `prior` (n,) [Å], which `varies` (m,) bool on some micrographs."""
    rows = np.flatnonzero(np.isfinite(prior) & np.isfinite(column.defocus))
    here, before, after = groups.take(rows), prior[rows], column.defocus[rows]
    change = after - before
    middle = np.median(before) if len(rows) else 0.0
    sums = _sums(here, before - middle, after - middle)
    inside = varies[groups.index]
    within = None
    if inside.any():
        groups = groups.take(inside)
        within = agree(groups, bare_column(groups, GLOBAL, prior[inside]), column.take(inside))
    return AgainstGlobal(
        name=column.name,
        particles=len(rows),
        correlation=measured(lambda total: pooled_correlation(_moments(total)), sums),
        slope=measured(lambda total: _slope(_moments(total)), sums),
        bias=measured(lambda total: (total[..., 2] - total[..., 1]) / total[..., 0], sums),
        spread=spread_of(here.centred(change, robust=True)),
        spread_total=spread_of(change - np.median(change)) if len(rows) else np.nan,
        within=within,
    )


def prior_varies(groups: Groups, prior: np.ndarray) -> np.ndarray:
    """(m,) bool, micrographs whose particles differ in their prior (n,) [Å]."""
    near = groups.centred(prior, robust=True)
    squares, *_, freedom = groups.moments(near, near).T
    return squares > VARIES**2 * np.maximum(freedom, 1)


def _sums(groups: Groups, x, y) -> np.ndarray:
    """(m, 6): number, sums of x, y, x², y² and xy."""
    terms = (np.ones(len(x)), x, y, x * x, y * y, x * y)
    return np.stack([groups.sum(term) for term in terms], axis=1)


def _moments(total):
    """(..., 4) as of `Groups.moments`, about the means of all, from (..., 6) sums."""
    n, x, y, xx, yy, xy = np.moveaxis(total, -1, 0)
    return np.stack([xx - x**2 / n, yy - y**2 / n, xy - x * y / n, n - 1], axis=-1)


def _slope(moments):
    return moments[..., 2] / moments[..., 0]
