"""Planes of defocus (the paper's Eq. 1) of every micrograph at once, and whether sets tilt alike.

The fit is that of `ice.fit_plane`, robust and without error bars, so that all sets are treated
alike; a loop over it would take minutes for a few sets of a thousand micrographs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from parfocal.agreement import Column, Measured
from parfocal.chunks import one_by_one
from parfocal.conventions import plane_tilt
from parfocal.grouped import MAD_TO_SD, Groups
from parfocal.ice import AXIS_UNKNOWN, MIN_PARTICLES, MIN_WIDTH, TUKEY, PlaneFit
from parfocal.join import Joined

ROUNDS = 5  # of reweighting, towards least absolute deviations
TUKEY_ROUNDS = 5  # and then with Tukey's weights
SIGNIFICANT = 3.0  # standard errors of a tilt that has an axis; of level ice, 1 in 90 seems so
UNKNOWNS = 3


@dataclass(frozen=True, kw_only=True)
class Planes:
    """The planes of one set on m micrographs, fields as of `ice.PlaneFit`, each (m,).

    Where the particles span no plane, `mean_defocus` is their median and all else nan.
    """

    name: str
    n_particles: np.ndarray  # with a value and a place
    n_outliers: np.ndarray
    mean_x: np.ndarray
    mean_y: np.ndarray
    mean_defocus: np.ndarray
    a: np.ndarray
    b: np.ndarray
    covariance: np.ndarray  # (m, 3, 3)
    r_squared: np.ndarray
    spread: np.ndarray

    def found(self) -> np.ndarray:
        """(m,) bool, whether there is a plane."""
        return np.isfinite(self.a)

    @property
    def tilt(self) -> np.ndarray:
        """(m,) rad, as in PlaneFit."""
        return plane_tilt(self.b, self.a)[0]

    @property
    def tilt_axis(self) -> np.ndarray:
        """(m,) rad in [0, π)."""
        return plane_tilt(self.b, self.a)[1]

    @property
    def tilt_error(self) -> np.ndarray:
        """(m,) rad, to first order."""
        along = self._slope_error(np.arctan2(self.a, self.b))
        return along / (1 + self.a**2 + self.b**2)

    @property
    def tilt_axis_error(self) -> np.ndarray:
        """(m,) rad, to first order, at most that of an unknown axis."""
        across = self._slope_error(np.arctan2(self.a, self.b) + np.pi / 2)
        slope = np.hypot(self.a, self.b)
        known = across < AXIS_UNKNOWN * slope
        return np.where(known, across / np.where(known, slope, 1.0), AXIS_UNKNOWN)

    def tilted(self) -> np.ndarray:
        """(m,) bool, whether the tilt is more than three of its errors, so that it has an axis."""
        return self.found() & (self.tilt > SIGNIFICANT * self.tilt_error)

    def one(self, micrograph: int) -> PlaneFit:
        """The plane of one micrograph by its number, to be drawn."""
        kind = "mean" if self.n_particles[micrograph] else "none"
        numbers = ("mean_x", "mean_y", "mean_defocus", "a", "b", "r_squared", "spread")
        return PlaneFit(
            kind="plane" if self.found()[micrograph] else kind,
            n_particles=int(self.n_particles[micrograph]),
            n_outliers=int(self.n_outliers[micrograph]),
            covariance=self.covariance[micrograph].copy(),
            **{name: float(getattr(self, name)[micrograph]) for name in numbers},
        )

    def _slope_error(self, azimuth) -> np.ndarray:
        sine, cosine, c = np.sin(azimuth), np.cos(azimuth), self.covariance
        square = sine**2 * c[:, 1, 1] + cosine**2 * c[:, 2, 2] + 2 * sine * cosine * c[:, 1, 2]
        return np.sqrt(np.maximum(square, 0))


@dataclass(frozen=True, kw_only=True)
class AxisAgreement:
    """Whether two sets tilt a micrograph about the same axis, where both tilts are significant.

    Axes have a period of 180°: angles are doubled before they are averaged. Angles in radians, of
    the second set less the first.
    """

    names: tuple[str, str]
    micrographs: int
    resultant: float  # 1 if all axes differ by the same angle, near 0 if by any
    turn: Measured  # mean difference
    median: Measured  # size of the difference; π/4 between axes that know nothing of each other
    pull: float  # 1.4826 times the median of that size over its error; below 1 on shared noise


def planes_of(
    joined: Joined, groups: Groups, columns: tuple[Column, ...], run: Callable = one_by_one
) -> tuple[Planes, ...]:
    """The planes of every set over its own coordinates; the base's where it has none.

    `run` maps a function over the sets.
    """
    base = np.stack([joined.base.coordinate_x, joined.base.coordinate_y], axis=1)

    def work(k):
        own = joined.coordinate[:, k]
        has = np.isfinite(own).all(axis=1, keepdims=True)
        x, y = np.where(has, own, base).T
        return fit_all(groups, x, y, columns[k].defocus, columns[k].name)

    found = dict(run(work, range(len(columns))))
    return tuple(found[k] for k in range(len(columns)))


def fit_all(groups: Groups, x, y, defocus, name: str = "") -> Planes:
    """Robust planes through the defoci [Å] at (x, y) [Å], each (n,), of all micrographs."""
    seen, median = groups.count(defocus), groups.median(defocus)
    rows = np.isfinite(x) & np.isfinite(y) & np.isfinite(defocus)
    groups, x, y = groups.take(rows), x[rows], y[rows]
    middle_x, middle_y = groups.mean(x), groups.mean(y)
    x, y, value = (
        v - middle[groups.index]
        for v, middle in ((x, middle_x), (y, middle_y), (defocus[rows], median))
    )
    reach = np.zeros(len(groups))
    np.maximum.at(reach, groups.index, np.hypot(x, y))
    unit = 1 / np.where(reach > 0, reach, 1.0)
    design = _Design(groups, x * unit[groups.index], y * unit[groups.index], value)
    coefficients, residual, weight = _tukey(design, *_least_absolute(design))
    spans = design.spans & _span(design, weight > 0)
    none, scaling = np.where(spans, 1.0, np.nan), np.stack([np.ones(len(unit)), unit, unit], axis=1)
    kept = groups.sum(weight > 0)
    squares = groups.sum(np.where(weight > 0, residual, 0.0) ** 2)
    slopes = coefficients * scaling * none[:, None]
    return Planes(
        name=name,
        n_particles=np.where(spans, groups.count(x), seen),
        n_outliers=np.where(spans, groups.count(x) - kept, 0).astype(int),
        mean_x=middle_x * none,
        mean_y=middle_y * none,
        mean_defocus=median + np.where(spans, coefficients[:, 0], 0.0),
        a=slopes[:, 1],
        b=slopes[:, 2],
        covariance=_covariance(design, residual, weight, scaling * none[:, None]),
        r_squared=_r_squared(groups, value, residual, weight) * none,
        spread=np.sqrt(squares / np.maximum(kept - UNKNOWNS, 1)) * none,
    )


def axes_agree(a: Planes, b: Planes) -> AxisAgreement:
    """How the tilt axes of two sets agree over micrographs."""
    both = a.tilted() & b.tilted()
    turn = (b.tilt_axis - a.tilt_axis)[both]
    turn = np.mod(turn + np.pi / 2, np.pi) - np.pi / 2
    m, nan = len(turn), float("nan")
    if not m:
        return AxisAgreement(
            names=(a.name, b.name),
            micrographs=0,
            resultant=nan,
            turn=Measured(nan, nan),
            median=Measured(nan, nan),
            pull=nan,
        )
    mean = np.mean(np.exp(2j * turn))
    size = np.sort(np.abs(turn))
    reach = np.sqrt(m) / 2
    low, high = max(int(m / 2 - reach), 0), min(int(np.ceil(m / 2 + reach)), m - 1)
    error = np.hypot(a.tilt_axis_error, b.tilt_axis_error)[both]
    return AxisAgreement(
        names=(a.name, b.name),
        micrographs=m,
        resultant=float(np.abs(mean)),
        turn=Measured(float(np.angle(mean)) / 2, _direction_error(2 * turn) / 2),
        median=Measured(
            float(np.median(size)), float(size[high] - size[low]) / 2 if m > 1 else nan
        ),
        pull=MAD_TO_SD * float(np.median(np.abs(turn) / error)),
    )


def _direction_error(angle) -> float:
    """Standard error [rad] of a mean direction: Fisher 1993, Statistical Analysis of Circular Data."""
    mean = np.mean(np.exp(1j * angle))
    if len(angle) < 2 or not np.abs(mean) > 0:
        return np.nan
    around = np.mean(np.cos(2 * (angle - np.angle(mean))))
    return float(np.sqrt(max(1 - around, 0) / (2 * np.abs(mean) ** 2 * len(angle))))


class _Design:
    """Sums over micrographs of the products that least squares needs; x, y and value centred."""

    def __init__(self, groups: Groups, x, y, value):
        self.groups, self.x, self.y, self.value = groups, x, y, value
        self.terms = (None, y, x, y * y, x * y, x * x, value, value * y, value * x)
        self.spans = _span(self, np.ones(len(x), dtype=bool))

    def sums(self, weight) -> list[np.ndarray]:
        index, m = self.groups.index, len(self.groups)
        weights = (weight if term is None else weight * term for term in self.terms)
        return [np.bincount(index, weights=w, minlength=m) for w in weights]

    def solve(self, weight) -> tuple[np.ndarray, np.ndarray]:
        """((m, 3) mean, slope along y, along x; (n,) residuals); 0 and the value without a span."""
        normal, right = _normal(self.sums(weight), self.spans)
        found = np.linalg.solve(normal, right[..., None])[..., 0]
        mean, a, b = found[self.groups.index].T
        return found, self.value - mean - a * self.y - b * self.x


def _normal(sums, spans):
    one, y, x, yy, xy, xx, v, vy, vx = sums
    normal = np.stack([one, y, x, y, yy, xy, x, xy, xx], axis=1).reshape(-1, UNKNOWNS, UNKNOWNS)
    right = np.stack([v, vy, vx], axis=1)
    return np.where(spans[:, None, None], normal, np.eye(UNKNOWNS)), np.where(
        spans[:, None], right, 0
    )


def _span(design: _Design, used) -> np.ndarray:
    """(m,) bool, whether the particles that are used span a plane, as in `ice`."""
    x, y = (np.where(used, v, np.nan) for v in (design.x, design.y))
    xx, yy, xy, freedom = design.groups.moments(x, y).T
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    return (freedom >= MIN_PARTICLES - 1) & (middle - half > MIN_WIDTH**2 * (middle + half))


def _least_absolute(design: _Design):
    """(residuals, width of Tukey's weights), each (n,), about nearly the least absolute deviations."""
    groups, residual = design.groups, design.solve(np.ones(len(design.x)))[1]
    for _ in range(ROUNDS):
        size = np.abs(residual)
        floor = 0.1 * groups.mean(size)
        weight = 1 / np.maximum(size, np.where(floor > 0, floor, 1.0)[groups.index])
        residual = design.solve(weight)[1]
    scale = MAD_TO_SD * groups.median(np.abs(residual), skip=UNKNOWNS - 1)
    scale = np.fmax(scale, 1e-9 * groups.mean(np.abs(design.value)))
    small = 1 + 5 / np.maximum(groups.count(design.x) - UNKNOWNS, 1)
    return residual, (TUKEY * np.where(scale > 0, scale, 1.0) * small)[groups.index]


def _tukey(design: _Design, residual, width):
    """(coefficients (m, 3), residuals and weights (n,)) of Tukey's biweight."""
    coefficients = np.zeros((len(design.groups), UNKNOWNS))
    for _ in range(TUKEY_ROUNDS):
        coefficients, residual = design.solve(_weight(residual, width))
    return coefficients, residual, _weight(residual, width)


def _weight(residual, width):
    return np.maximum(1 - (residual / width) ** 2, 0) ** 2


def _covariance(design: _Design, residual, weight, scaling) -> np.ndarray:
    """(m, 3, 3): Huber 1981, Robust Statistics, Eq. 7.6.6, as in `ice`."""
    groups = design.groups
    count = groups.count(design.x)
    derivative = np.sqrt(weight) * (5 * np.sqrt(weight) - 4)
    mean = groups.mean(derivative)
    variance = groups.mean(derivative**2) - mean**2
    with np.errstate(divide="ignore", invalid="ignore"):
        small_sample = (1 + UNKNOWNS / count * variance / mean**2) / mean
        residual2 = small_sample**2 * groups.sum((weight * residual) ** 2) / (count - UNKNOWNS)
        residual2 = np.where(design.spans, residual2, np.nan)
    normal, _ = _normal(design.sums(np.ones(len(weight))), design.spans)
    scale = scaling[:, :, None] * scaling[:, None, :]
    return residual2[:, None, None] * np.linalg.inv(normal) * scale


def _r_squared(groups: Groups, value, residual, weight) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = groups.sum(weight * value) / groups.sum(weight)
        total = groups.sum(weight * (value - mean[groups.index]) ** 2)
        explained = 1 - groups.sum(weight * residual**2) / total
    return np.where(total > 0, explained, 0.0)
