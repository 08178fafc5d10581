"""Statistics of every micrograph at once: a million values in thousands of groups, without a loop.

Everything rests on bincount and on one sort, by group and value in one number. Where the rounding of
that number left two values in the wrong order, they are swapped, or sorted by a slower way.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MAD_TO_SD = 1.4826  # median absolute deviation of a Gaussian -> its standard deviation
SWAPS = 5  # rounds of them before all is sorted anew


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Rows in groups, such as particles in micrographs. A value that is not finite is a missing one.

    All methods take (n,) values, and give (groups,) or (n,); nan where a group has no value.
    """

    names: tuple[str, ...]  # in order of first appearance
    index: np.ndarray  # (n,) int, the group of each row

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: np.ndarray) -> "Groups":
        """The same groups with fewer rows: `rows` are numbers, or a mask."""
        return Groups(names=self.names, index=self.index[rows])

    def count(self, values: np.ndarray) -> np.ndarray:
        """(groups,) how many values are finite."""
        return np.bincount(self.index[np.isfinite(values)], minlength=len(self))

    def sum(self, values: np.ndarray) -> np.ndarray:
        """(groups,) sums of what is finite; 0 without any."""
        finite = np.where(np.isfinite(values), values, 0.0)
        return np.bincount(self.index, weights=finite, minlength=len(self))

    def mean(self, values: np.ndarray) -> np.ndarray:
        """(groups,) means."""
        count = self.count(values)
        return np.where(count > 0, self.sum(values) / np.maximum(count, 1), np.nan)

    def order(self, values: np.ndarray) -> np.ndarray:
        """Rows of the finite values, group after group, ascending within each; ties as they fall."""
        rows = np.flatnonzero(np.isfinite(values))
        if not len(rows):
            return rows
        group, value = self.index[rows], values[rows]
        above = value - value.min()
        order = np.argsort(group * (1.001 * above.max() + 1) + above)  # sums, which round
        for _ in range(SWAPS):
            ascending, of = value[order], group[order]
            wrong = (ascending[1:] < ascending[:-1]) & (of[1:] == of[:-1])
            if not wrong.any():
                return rows[order]
            first = np.flatnonzero(wrong)
            first = first[np.diff(first, prepend=-2) > 1]
            order[first], order[first + 1] = order[first + 1], order[first]
        return rows[np.lexsort((value, group))]

    def median(
        self, values: np.ndarray, order: np.ndarray | None = None, skip: int = 0
    ) -> np.ndarray:
        """(groups,) medians, the `skip` smallest of each left out; `order` if it is known."""
        order = self.order(values) if order is None else order
        size = np.bincount(self.index[order], minlength=len(self))
        start, left = np.cumsum(size) - size + skip, size - skip
        some = left > 0
        low, high = (start + (left - 1) // 2)[some], (start + left // 2)[some]
        middle = np.full(len(self), np.nan)
        middle[some] = (values[order[low]] + values[order[high]]) / 2
        return middle

    def robust_sd(self, values: np.ndarray, middle: np.ndarray | None = None) -> np.ndarray:
        """(groups,) 1.4826 times the median absolute deviation from the median, `middle` if known."""
        middle = self.median(values) if middle is None else middle
        return MAD_TO_SD * self.median(np.abs(values - middle[self.index]))

    def ranks(self, values: np.ndarray, order: np.ndarray | None = None) -> np.ndarray:
        """(n,) ranks within the group, from 1; equal values share the mean of theirs."""
        order = self.order(values) if order is None else order
        ranks = np.full(len(values), np.nan)
        if not len(order):
            return ranks
        group, ascending = self.index[order], values[order]
        other = (ascending[1:] != ascending[:-1]) | (group[1:] != group[:-1])
        new = np.concatenate([[True], other])
        first = np.flatnonzero(new)
        last = np.append(first[1:], len(order)) - 1
        size = np.bincount(group, minlength=len(self))
        start = np.cumsum(size) - size
        shared = (first + last) / 2 - start[group[first]] + 1
        ranks[order] = np.repeat(shared, last - first + 1)
        return ranks

    def centred(self, values: np.ndarray, *, robust: bool = False) -> np.ndarray:
        """(n,) values less the mean of their group; `robust`: less its median."""
        middle = self.median(values) if robust else self.mean(values)
        return values - middle[self.index]

    def moments(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(groups, 4): sums of x², y² and xy about the means, of rows that have both; freedom.

        Degrees of freedom are one less than these rows, never below 0. Sums are exact to
        rounding where values are not far larger than their scatter: take a median off before.
        """
        group, both = self.index, np.isfinite(x) & np.isfinite(y)
        if not both.all():
            group, x, y = group[both], x[both], y[both]

        def total(weights=None):
            return np.bincount(group, weights=weights, minlength=len(self))

        number, of_x, of_y = total(), total(x), total(y)
        size = np.maximum(number, 1)
        squares = total(x * x) - of_x**2 / size, total(y * y) - of_y**2 / size
        freedom = np.maximum(number - 1, 0)
        return np.stack([*squares, total(x * y) - of_x * of_y / size, freedom], axis=1)

    def products(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(groups, 2): the sum of xy about the means, and the freedom, as of `moments`."""
        group, both = self.index, np.isfinite(x) & np.isfinite(y)
        if not both.all():
            group, x, y = group[both], x[both], y[both]
        number, of_x, of_y, of_xy = (
            np.bincount(group, weights=weights, minlength=len(self))
            for weights in (None, x, y, x * y)
        )
        about = of_xy - of_x * of_y / np.maximum(number, 1)
        return np.stack([about, np.maximum(number - 1, 0)], axis=1)


def groups_of(labels: np.ndarray) -> Groups:
    """Rows of equal `labels` (n,) str. Runs are looked up, not rows: sorting long names is slow."""
    labels = np.asarray(labels)
    if not len(labels):
        return Groups(names=(), index=np.zeros(0, dtype=np.intp))
    starts = np.concatenate([[0], np.flatnonzero(labels[1:] != labels[:-1]) + 1])
    code: dict[str, int] = {}
    of_run = [code.setdefault(str(label), len(code)) for label in labels[starts].tolist()]
    index = np.repeat(of_run, np.diff(np.append(starts, len(labels))))
    return Groups(names=tuple(code), index=index)


def jackknife(statistic: Callable, *sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(value, standard error) of a `statistic` of sums over groups, each group left out in turn.

    `sums` are (groups, ...), added over their first axis; `statistic` must work on stacks. Groups
    that add nothing do not count; the error is nan with fewer than two.
    """
    some = np.zeros(len(sums[0]), dtype=bool)
    for each in sums:
        some |= (each != 0).reshape(len(each), -1).any(axis=1)
    number = int(some.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        totals = [each[some].sum(axis=0) for each in sums]
        value = np.asarray(statistic(*totals), dtype=float)
        if number < 2:
            return value, np.full(value.shape, np.nan)
        without = (t - each[some] for t, each in zip(totals, sums, strict=True))
        left = np.asarray(statistic(*without), dtype=float)
        around = left - left.mean(axis=0)
        return value, np.sqrt((number - 1) / number * np.sum(around**2, axis=0))
