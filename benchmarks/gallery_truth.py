"""What the truth says of the conclusions of the paper: measures with standard errors, and verdicts.

Everything is measured within or over micrographs, with standard errors from leaving out each
micrograph in turn. Values are defoci in Å, nan where a set does not trust a particle.
"""

from collections.abc import Mapping

import numpy as np

from parfocal.agreement import Measured, correlate, measured, pooled_correlation
from parfocal.grouped import Groups
from parfocal.planes_of_sets import Planes

HOLDS, FAILS = "holds", "does not hold"
SIGMAS = 3.0  # standard errors, beyond which a difference is believed
SAME = 0.25  # relative, within which an error bar is as good as right
SLOPE = 0.1  # from 1, within which a set follows the truth
MARGIN = 0.05  # of a correlation


def root_mean_square(groups: Groups, error) -> Measured:
    """Root mean square [Å] of what is finite, over all micrographs."""
    return measured(_root, *_squares(groups, error))


def ratio(groups: Groups, first, second) -> Measured:
    """Root mean square of one over that of another, errors of the same micrographs."""
    sums = (*_squares(groups, first), *_squares(groups, second))
    return measured(lambda a, n, b, m: _root(a, n) / _root(b, m), *sums)


def difference(groups: Groups, first, second) -> Measured:
    """Root mean square [Å] of one less that of another, on the particles that both have."""
    both = np.isfinite(first) & np.isfinite(second)
    sums = (_squares(groups, np.where(both, e, np.nan)) for e in (first, second))
    return measured(lambda a, n, b, m: _root(a, n) - _root(b, m), *(s for two in sums for s in two))


def mean(groups: Groups, values) -> Measured:
    """Mean of what is finite; of a bool the share."""
    values = np.asarray(values, dtype=float)
    sums = groups.sum(values), groups.count(values)
    return measured(lambda total, n: total / n, *sums)


def correlation(groups: Groups, x, y) -> Measured:
    """Correlation within micrographs, of all particles that both have."""
    return measured(pooled_correlation, groups.moments(*_near(groups, x, y)))


def average_correlation(groups: Groups, x, y) -> Measured:
    """The paper's: of each micrograph, averaged."""
    found = correlate(groups, *_near(groups, x, y))
    found = found[np.isfinite(found)]
    return Measured(float(found.mean()), float(found.std(ddof=1) / np.sqrt(len(found))))


def due_to_height(groups: Groups, x, y, truth) -> tuple[Measured, Measured]:
    """(the part of the correlation of x and y that their height makes, what is beyond it).

    Two sets that had nothing in common but the true heights would correlate by the product of
    their correlations with these.
    """
    both = np.isfinite(x) & np.isfinite(y)
    x, y, t = (np.where(both, v, np.nan) for v in (x, y, truth))
    sums = [groups.moments(*_near(groups, *pair)) for pair in ((x, y), (x, t), (y, t))]
    part = measured(lambda _, a, b: pooled_correlation(a) * pooled_correlation(b), *sums)
    beyond = measured(
        lambda ab, a, b: pooled_correlation(ab) - pooled_correlation(a) * pooled_correlation(b),
        *sums,
    )
    return part, beyond


def slope_on_truth(groups: Groups, values, truth) -> Measured:
    """Least squares of a set on the truth, within micrographs: 1 if it follows all of a height."""
    moments = groups.moments(*_near(groups, truth, values))
    return measured(lambda total: total[..., 2] / total[..., 0], moments)


def halves(groups: Groups, error, by) -> Measured:
    """Root mean square error of the half of particles with the smaller `by`, over the other half's.

    1 if `by` says nothing of the error.
    """
    known = np.isfinite(error) & np.isfinite(by)
    less = by < np.median(by[known])
    kept, rest = (np.where(known & half, error, np.nan) for half in (less, ~less))
    return ratio(groups, kept, rest)


def shuffled(groups: Groups, values, rng: np.random.Generator):
    """The values of each micrograph given to its particles by chance: they know no height."""
    out = np.array(values, dtype=float)
    for number in range(len(groups)):
        rows = np.flatnonzero(groups.index == number)
        out[rows] = out[rng.permutation(rows)]
    return out


def at_particles(planes: Planes, groups: Groups, x, y) -> np.ndarray:
    """(n,) Å, the planes at the particles."""
    i = groups.index
    rise = planes.a[i] * (y - planes.mean_y[i]) + planes.b[i] * (x - planes.mean_x[i])
    return planes.mean_defocus[i] + rise


def judged(parts: Mapping[str, bool]) -> str:
    """The verdict on a conclusion, from whether it holds in each of its parts."""
    if not parts:
        raise ValueError("nothing to judge by")
    some = [name for name, holds in parts.items() if holds]
    if len(some) == len(parts):
        return HOLDS
    return f"only for {', '.join(some)}" if some else FAILS


def above(found, limit: float = 0.0) -> bool:
    """Whether (value, standard error) is surely above the limit."""
    value, error = found
    return bool(value - SIGMAS * error > limit)


def tells(implied, true) -> bool:
    """Whether an error (value, standard error) is what it claims of a true one, to a quarter."""
    away = abs(implied[0] - true[0])
    return bool(away <= SAME * true[0] + SIGMAS * np.hypot(implied[1], true[1]))


def about(found, wanted: float, margin: float) -> bool:
    """Whether (value, standard error) is the wanted one, to a margin."""
    return bool(abs(found[0] - wanted) <= margin + SIGMAS * found[1])


def _near(groups: Groups, x, y):
    return groups.centred(np.asarray(x), robust=True), groups.centred(np.asarray(y), robust=True)


def _squares(groups: Groups, error):
    return groups.sum(np.square(error)), groups.count(error)


def _root(total, count):
    return np.sqrt(total / count)
