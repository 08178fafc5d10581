"""The table that faults are looked for in: a column for every set, and the prior as one more."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from parfocal.agreement import spread_of
from parfocal.faults.record import listed
from parfocal.grouped import Groups, groups_of
from parfocal.join import Joined

SAMPLE = 100_000  # rows, evenly spread over the base, where a share of them tells enough
LEAST_ROWS = 30  # that two columns must share to be compared
CLIP = 4.0  # robust standard deviations, at which residuals are cut


@dataclass(frozen=True, kw_only=True)
class Table:
    """Defoci of n particles in C columns: K sets, then the prior if it is known.

    `values` change while faults are found: what is mended is compared as it should have been, what
    cannot be is nan from then on.
    """

    joined: Joined
    groups: Groups  # micrographs
    names: tuple[str, ...]  # (C,)
    sets: int  # K
    values: np.ndarray  # (n, C) Å; nan where a set is silent or not to be trusted
    base_set: int | None  # which of the sets is the base; None if the base is none of them

    def __len__(self) -> int:
        return len(self.values)

    @property
    def columns(self) -> int:
        return len(self.names)

    @property
    def has_prior(self) -> bool:
        return self.columns > self.sets

    def name(self, columns: Iterable[int]) -> str:
        """What a fault of these columns is called after."""
        return " or ".join(self.names[k] for k in columns)

    def against(self, columns: Iterable[int]) -> str:
        """The names of all columns but these, that still have values."""
        live = np.any(np.isfinite(self.values[:: max(1, len(self) // 1000)]), axis=0)
        rest = [self.names[k] for k in range(self.columns) if k not in set(columns) and live[k]]
        return listed(rest) if rest else "the others"

    def with_values(self, values: np.ndarray) -> "Table":
        return replace(self, values=values)

    def without(self, columns: Iterable[int], rows: np.ndarray | slice = slice(None)) -> "Table":
        """These columns silenced, on `rows` only if they are given."""
        values = self.values.copy()
        for k in columns:
            values[rows, k] = np.nan
        return self.with_values(values)

    def sample(self, most: int = SAMPLE) -> np.ndarray:
        """(at most `most`,) rows, evenly spread."""
        n = len(self)
        return np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(np.intp)

    def taken(self, rows: np.ndarray) -> tuple[Groups, np.ndarray]:
        """(micrographs, values) of these rows."""
        return self.groups.take(rows), self.values[rows]

    def pairs(self, statistic: Callable[[int, int], float], *, directed: bool = False):
        """(C, C) of `statistic` of two columns; nan on the diagonal and between two that are trusted."""
        found = np.full((self.columns, self.columns), np.nan)
        for k in range(self.sets):
            for j in range(self.columns):
                if j == k or (not directed and j < k):
                    continue
                found[k, j] = statistic(k, j)
                if not directed or j >= self.sets:
                    found[j, k] = found[k, j]
        return found


def residuals(groups: Groups, values: np.ndarray) -> np.ndarray:
    """(n, C) Å from the micrograph's median, cut at CLIP robust standard deviations of all."""
    out = np.full(values.shape, np.nan)
    for k, column in enumerate(values.T):
        if np.isfinite(column).sum() >= LEAST_ROWS:
            residual = groups.centred(column, robust=True)
            limit = CLIP * spread_of(residual)
            out[:, k] = np.clip(residual, -limit, limit)
    return out


def levels(groups: Groups, values: np.ndarray) -> np.ndarray:
    """(m, C) Å, medians of the micrographs."""
    return np.stack([groups.median(column) for column in values.T], axis=1)


def table_of(joined: Joined) -> Table:
    """The table before anything is found."""
    base, sets = joined.base, len(joined.names)
    values = np.where(joined.ok, joined.defocus, np.nan)
    same = [
        k
        for k, name in enumerate(joined.names)
        if name == base.name and np.array_equal(joined.row[:, k], np.arange(len(joined)))
    ]
    names = joined.names
    if np.isfinite(joined.prior).mean() > 0.5:
        values = np.column_stack([values, joined.prior])
        names = (*names, "the prior" if same else base.name)
    return Table(
        joined=joined,
        groups=groups_of(base.micrograph),
        names=names,
        sets=sets,
        values=values,
        base_set=same[0] if same else None,
    )


def row_median(values: np.ndarray) -> np.ndarray:
    """(n,) medians of (n, C), of what is finite; nan without any."""
    ordered = np.sort(values, axis=1)  # nan last
    count = np.isfinite(ordered).sum(axis=1)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, values.shape[1] - 1)
    rows = np.arange(len(values))
    return np.where(count > 0, (ordered[rows, low] + ordered[rows, high]) / 2, np.nan)
