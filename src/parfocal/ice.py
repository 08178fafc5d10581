"""The ice of one micrograph as a plane of defocus: the paper's Eq. 1, with errors and outliers.

Fernandez-Gimenez, Carazo and Sorzano, J. Struct. Biol. 2023, doi 10.1016/j.jsb.2023.108030.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from parfocal.conventions import plane_tilt
from parfocal.estimates import DefocusEstimates

MIN_PARTICLES = 4  # a plane through three particles leaves nothing to judge it by
MIN_WIDTH = 1e-3  # width over length, below which particles lie on a line
MAD_TO_SD = 1.4826  # median absolute deviation of a Gaussian -> its standard deviation
TUKEY = 4.685  # standard deviations; 95 % efficient on Gaussian data
AXIS_UNKNOWN = np.pi / np.sqrt(12)  # standard deviation of an axis of which nothing is known


@dataclass(frozen=True, kw_only=True)
class PlaneFit:
    """Defocus over one micrograph: Δf = c + a·y + b·x, x and y in Å (the paper's Eq. 1).

    Kept at the mean coordinate, where the coefficients hardly depend on each other. `kind` is
    "plane"; "mean" where the particles do not span one (slopes nan); "none" without particles.
    """

    kind: Literal["plane", "mean", "none"]
    n_particles: int  # that the fit was given and could use, outliers included
    n_outliers: int  # of them, those that a robust fit gave weight 0
    mean_x: float = np.nan  # Å, mean coordinate; nan without a plane, as mean_y, a and b
    mean_y: float = np.nan
    mean_defocus: float = np.nan  # Å, at the mean coordinate
    a: float = np.nan  # slope along y, Å per Å
    b: float = np.nan  # slope along x, Å per Å
    covariance: np.ndarray = field(  # (3, 3) of mean_defocus, a, b
        default_factory=lambda: np.full((3, 3), np.nan), repr=False, compare=False
    )
    r_squared: float = np.nan  # 1 - SSres / SStot; 0 where SStot is 0
    spread: float = np.nan  # Å, standard deviation about the plane, outliers apart

    def __post_init__(self) -> None:
        self.covariance.setflags(write=False)

    def at(self, x, y):
        """Fitted defocus [Å] at (x, y) [Å]; the mean where there is no plane."""
        if self.kind != "plane":
            return np.full(np.broadcast(x, y).shape, self.mean_defocus)
        return self.mean_defocus + self.a * (y - self.mean_y) + self.b * (x - self.mean_x)

    def error_at(self, x, y):
        """Standard error [Å] of `at`."""
        if self.kind != "plane":
            return np.full(np.broadcast(x, y).shape, np.sqrt(self.covariance[0, 0]))
        one, dy, dx = np.broadcast_arrays(1.0, y - self.mean_y, x - self.mean_x)
        place = np.stack([one, dy, dx], axis=-1)
        return np.sqrt(np.einsum("...i,ij,...j", place, self.covariance, place))

    @property
    def c(self) -> float:
        """Δf0 of Eq. 1: defocus [Å] at coordinate (0, 0)."""
        return float(self.at(0.0, 0.0))

    @property
    def c_error(self) -> float:
        return float(self.error_at(0.0, 0.0))

    @property
    def a_error(self) -> float:
        return float(np.sqrt(self.covariance[1, 1]))

    @property
    def b_error(self) -> float:
        return float(np.sqrt(self.covariance[2, 2]))

    @property
    def tilt(self) -> float:
        """Tilt angle [rad]. Never negative, so too large on average where it is near its error."""
        return float(plane_tilt(self.b, self.a)[0])

    @property
    def tilt_axis(self) -> float:
        """Azimuth [rad] in [0, π), from +x towards +y, of the line of equal defocus."""
        return float(plane_tilt(self.b, self.a)[1])

    @property
    def tilt_error(self) -> float:
        """Standard error [rad] of `tilt`, to first order."""
        return self._slope_error(np.arctan2(self.a, self.b)) / (1 + self.a**2 + self.b**2)

    @property
    def tilt_axis_error(self) -> float:
        """Standard error [rad] of `tilt_axis`, to first order, at most that of an unknown axis."""
        slope = float(np.hypot(self.a, self.b))
        across = self._slope_error(np.arctan2(self.a, self.b) + np.pi / 2)
        return AXIS_UNKNOWN if across >= AXIS_UNKNOWN * slope else across / slope

    def _slope_error(self, azimuth) -> float:
        direction = np.array([np.sin(azimuth), np.cos(azimuth)])
        return float(np.sqrt(direction @ self.covariance[1:, 1:] @ direction))


class _Fit(NamedTuple):
    coefficients: np.ndarray  # (p,)
    covariance: np.ndarray  # (p, p)
    residual: np.ndarray  # (n,)
    weight: np.ndarray  # (n,), relative


def fit_plane(x, y, defocus, error=None, robust=False) -> PlaneFit:
    """Plane through the defoci [Å] of one micrograph's particles at (x, y) [Å], each (n,).

    Least squares; with `error` [Å, one sd] weighted by 1 / (error² + spread²), the spread of the
    heights about the plane being taken from the residuals. `robust`: Tukey's biweight, started
    from least absolute deviations; 20 % of wrong particles do no harm. Standard errors come from
    the residuals: their pulls follow Student's t with n - 3 degrees of freedom. Rows that are not
    finite, or whose error is not positive, are left out. Never raises on data: without 4 particles
    off one line the fit is the mean (`kind`).

    Wrong for bent ice; robust, where a third of the particles or more is wrong. Below some 50
    particles whose errors vary tenfold, the robust standard errors are up to a fifth too small.
    """
    x, y, defocus = (np.asarray(column, dtype=float) for column in (x, y, defocus))
    error = np.ones_like(defocus) if error is None else np.asarray(error, dtype=float)
    seen = np.isfinite(defocus) & np.isfinite(error) & (error > 0)
    placed = seen & np.isfinite(x) & np.isfinite(y)
    plane = None
    if _spans_plane(x[placed], y[placed]):
        plane = _plane(x[placed], y[placed], defocus[placed], error[placed], robust)
    return plane or _mean(defocus[seen], error[seen], robust)


def rows_by_micrograph(micrograph) -> dict[str, np.ndarray]:
    """Micrograph -> row numbers, in order of first appearance; `micrograph` (n,) str.

    Runs of equal names are grouped: far cheaper than sorting a million long strings.
    """
    if not len(micrograph):
        return {}
    starts = np.concatenate([[0], np.flatnonzero(micrograph[1:] != micrograph[:-1]) + 1])
    codes: dict[str, int] = {}
    code_of_run = [codes.setdefault(str(name), len(codes)) for name in micrograph[starts]]
    code = np.repeat(code_of_run, np.diff(np.append(starts, len(micrograph))))
    ends = np.cumsum(np.bincount(code))[:-1]
    return dict(zip(codes, np.split(np.argsort(code, kind="stable"), ends), strict=True))


def fit_planes(estimates: DefocusEstimates, *, robust: bool = True) -> dict[str, PlaneFit]:
    """Plane of every micrograph, over its particles that are ok, weighted by their errors.

    Every micrograph has an entry, of kind "none" where no particle is ok.
    """
    ok, defocus = estimates.ok(), estimates.defocus
    planes = {}
    for name, rows in rows_by_micrograph(estimates.micrograph).items():
        good = rows[ok[rows]]
        planes[name] = fit_plane(
            estimates.coordinate_x[good],
            estimates.coordinate_y[good],
            defocus[good],
            error=estimates.defocus_error[good],
            robust=robust,
        )
    return planes


def ice_heights(estimates: DefocusEstimates, planes: Mapping[str, PlaneFit]) -> np.ndarray:
    """Defocus minus the plane of the particle's micrograph [Å], (n,).

    nan where the micrograph has no plane or the particle is not ok: its height is not known.
    """
    heights, defocus, ok = np.full(len(estimates), np.nan), estimates.defocus, estimates.ok()
    for name, rows in rows_by_micrograph(estimates.micrograph).items():
        if name in planes and planes[name].kind == "plane":
            good = rows[ok[rows]]
            x, y = estimates.coordinate_x[good], estimates.coordinate_y[good]
            heights[good] = defocus[good] - planes[name].at(x, y)
    return heights


def _spans_plane(x, y) -> bool:
    if len(x) < MIN_PARTICLES:
        return False
    width2, length2 = np.linalg.eigvalsh(np.cov(x, y))
    return width2 > MIN_WIDTH**2 * length2


def _plane(x, y, defocus, error, robust) -> PlaneFit | None:
    """The fit, or None where the particles left by a robust one do not span a plane."""
    dx, dy = x - x.mean(), y - y.mean()
    unit = 1 / np.array([1.0, np.hypot(dx, dy).max(), np.hypot(dx, dy).max()])
    design = np.stack([np.ones_like(x), dy, dx], axis=1) * unit  # well conditioned
    fit = _fit(design, defocus, error, robust)
    used = fit.weight > 0
    if not _spans_plane(x[used], y[used]):
        return None
    mean_defocus, a, b = map(float, fit.coefficients * unit)
    place = {"mean_x": float(x.mean()), "mean_y": float(y.mean())}
    slopes = {"a": a, "b": b, "covariance": fit.covariance * np.outer(unit, unit)}
    quality = _quality(defocus, fit)
    return PlaneFit(kind="plane", mean_defocus=mean_defocus, **place, **slopes, **quality)


def _mean(defocus, error, robust) -> PlaneFit:
    if not len(defocus):
        return PlaneFit(kind="none", n_particles=0, n_outliers=0)
    fit = _fit(np.ones((len(defocus), 1)), defocus, error, robust)
    covariance = np.full((3, 3), np.nan)
    covariance[0, 0] = fit.covariance[0, 0]
    middle, quality = float(fit.coefficients[0]), _quality(defocus, fit)
    return PlaneFit(kind="mean", mean_defocus=middle, covariance=covariance, **quality)


def _quality(defocus, fit: _Fit) -> dict[str, Any]:
    kept = fit.weight > 0
    n, free = len(kept), int(kept.sum()) - len(fit.coefficients)
    spread = np.sqrt(np.sum(fit.residual[kept] ** 2) / free) if free > 0 else np.nan
    total = np.sum(fit.weight * (defocus - np.average(defocus, weights=fit.weight)) ** 2)
    varies = total > 1e-20 * np.sum(fit.weight * defocus**2)  # more than by rounding
    explained = 1 - np.sum(fit.weight * fit.residual**2) / total if varies else 0.0
    return {
        "n_particles": n,
        "n_outliers": n - int(kept.sum()),
        "r_squared": float(explained) if len(fit.coefficients) > 1 else 0.0,
        "spread": float(spread),
    }


def _fit(design, values, error, robust) -> _Fit:
    """Weighted least squares, or Tukey's biweight from least absolute deviations.

    Covariance: Huber 1981, Robust Statistics, Eq. 7.6.6; for least squares it is the usual one.
    """
    n, p = design.shape
    start = _solve(design, values, np.ones(n))
    if robust:
        start = _descend(design, values, start, lambda residual: _least_absolute(residual, p))
    root = 1 / np.hypot(error, _height_spread(values - design @ start, error, p))
    white, target = design * root[:, None], values * root
    # The biweight's width stays fixed, or it need not converge; it is generous for few particles
    # (Rousseeuw and Leroy 1987) and not 0 where most lie on the plane exactly. Least squares is
    # the biweight of infinite width.
    scale = max(_sd(target - white @ start, p), 1e-9 * np.abs(target).max()) or 1.0
    width = TUKEY * scale * (1 + 5 / max(n - p, 1)) if robust else np.inf
    coefficients = _descend(white, target, start, lambda residual: _tukey(residual, width))
    residual = target - white @ coefficients
    weight = _tukey(residual, width)
    derivative = np.sqrt(weight) * (5 * np.sqrt(weight) - 4)  # of weight times residual
    mean = derivative.mean()
    small_sample = (1 + p / n * derivative.var() / mean**2) / mean
    variance = small_sample**2 * np.sum((weight * residual) ** 2) / (n - p) if n > p else np.nan
    covariance = variance * np.linalg.inv(white.T @ white)
    return _Fit(coefficients, covariance, residual / root, weight * root**2)


def _height_spread(residual, error, p):
    """Standard deviation [Å] to be added to `error` so that the residuals have their size.

    Not below a thousandth of the usual error: no particle may count for all the others.
    """
    candidates = _sd(residual, p) * np.linspace(0, 2, 41)
    candidates = np.maximum(candidates, 1e-3 * np.median(error))
    pulls = residual / np.hypot(error, candidates[:, None])
    return candidates[min(np.sum(_sd(pulls, p) > 1), 40)]


def _solve(design, values, weight):
    weighted = (design * weight[:, None]).T
    return np.linalg.lstsq(weighted @ design, weighted @ values, rcond=None)[0]


def _descend(design, values, coefficients, weigh):
    """Reweighted least squares until nothing moves; `weigh`(residual) gives the weights."""
    residual = values - design @ coefficients
    for _ in range(20):
        before = residual
        coefficients = _solve(design, values, weigh(before))
        residual = values - design @ coefficients
        if np.abs(residual - before).max() <= 1e-3 * np.abs(before).max():
            break
    return coefficients


def _least_absolute(residual, p):
    return 1 / np.maximum(np.abs(residual), 0.1 * _sd(residual, p) or 1.0)


def _tukey(residual, width):
    return np.maximum(1 - (residual / width) ** 2, 0) ** 2


def _sd(residual, p):
    """Robust standard deviation along the last axis, about a fit of `p` parameters.

    Such a fit can make p residuals as small as it likes: the p - 1 smallest do not count.
    """
    size = np.sort(np.abs(residual), axis=-1)[..., p - 1 :]
    return MAD_TO_SD * (size[..., (size.shape[-1] - 1) // 2] + size[..., size.shape[-1] // 2]) / 2
