"""The ice layer of one micrograph: where its particles can be, as a prior for each of them.

Particle i at (x, y) has δ_i = a + g·(x, y) + z_i: the error a of the micrograph's defocus, the tilt g
of its ice, the height z_i in the layer. Given a and g the particles are independent, and each one's
share of the evidence is a one-dimensional integral over its own likelihood curve:

    K_i(μ) = ln ∫ e^{ℓ_i(δ)} q(δ - μ) dδ,    μ_i = a + g·(x, y),

q being the density of heights. So the plane is found by Newton's method on Σ K_i(μ_i) + ln prior, and
a particle's posterior is its curve times q, blurred by what the *other* particles leave unknown of μ_i.

An image that holds something else than the reference at its pose says nothing of defocus. Against
the template its log-likelihood is far below 0, that of no template at all. So with a share w of wrong
particles, (1 - w) e^ℓ + w stands for e^ℓ (`curves.robust`): such an image falls back to its ice.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

NEWTON_ROUNDS = 30
NEWTON_GAIN = 1e-4  # nats, less than which a step is the last
TINY = 1e-300


@dataclass(frozen=True, kw_only=True)
class Heights:
    """Density q(z) of heights about the plane.

    One Gaussian sheet of width τ; two of them, `distance` apart (the two air-water interfaces); or a
    slab of that thickness with edges of width τ. A stray particle may lie anywhere in the range.
    """

    kind: str = "sheet"  # or "two sheets", "slab"
    width: float = 100.0  # Å, τ
    distance: float = 0.0  # Å
    stray: float = 0.01  # share of particles out of the layer

    def upper(self, z, blur: float | np.ndarray = 0.0) -> np.ndarray:
        """The part of `density` that is the sheet of higher defocus, of two."""
        width = np.sqrt(self.width**2 + blur)
        return _gauss(z - self.distance / 2, width) / 2

    def density(self, z, blur: float | np.ndarray = 0.0) -> np.ndarray:
        """q(z) [1/Å] of particles that do not stray, convolved with a Gaussian of variance `blur`."""
        width = np.sqrt(self.width**2 + blur)
        half = self.distance / 2
        if self.kind == "slab" and half > 0:
            return (ndtr((z + half) / width) - ndtr((z - half) / width)) / self.distance
        if self.kind == "two sheets":
            return (_gauss(z - half, width) + _gauss(z + half, width)) / 2
        return _gauss(z, width)


@dataclass(frozen=True, kw_only=True)
class PlanePrior:
    """Gaussian prior of a micrograph's offset a [Å] and slope g [Å per Å] along x and y."""

    offset_sd: float = 300.0
    slope: tuple[float, float] = (0.0, 0.0)  # that of a known stage tilt
    slope_sd: float = 0.1

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """(3,) mean and (3, 3) precision of (a, g_x, g_y)."""
        sd = np.array([self.offset_sd, self.slope_sd, self.slope_sd])
        return np.array([0.0, *self.slope]), np.diag(1 / sd**2)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Everything that is believed of the ice of a data set before a micrograph is seen."""

    heights: Heights = Heights()
    plane: PlanePrior = PlanePrior()
    wrong: float = 0.02  # share of images that hold something else


@dataclass(frozen=True, kw_only=True)
class LayerFit:
    """What the particles of one micrograph say of its plane."""

    coefficients: np.ndarray  # (3,) a, g_x, g_y about the micrograph's mean coordinate
    covariance: np.ndarray  # (3, 3)
    cavity_mean: np.ndarray  # (m,) Å, μ_i as the other particles know it
    cavity_variance: np.ndarray  # (m,) Å²
    log_evidence: float  # nats, Laplace's approximation


def design(x, y) -> np.ndarray:
    """(m, 3) rows 1, x, y about the mean [Å]; without coordinates only the offset is left."""
    x, y = (np.where(np.isfinite(v), v, np.nan) for v in (x, y))
    if not np.isfinite(x + y).any():
        return np.stack([np.ones(len(x)), np.zeros(len(x)), np.zeros(len(x))], axis=1)
    return np.stack(
        [np.ones(len(x)), np.nan_to_num(x - np.nanmean(x)), np.nan_to_num(y - np.nanmean(y))],
        axis=1,
    )


def fit_layer(curves, grid, place, layer: Layer) -> LayerFit:
    """Plane of one micrograph from log-likelihoods `curves` (m, c) on `grid` (c,) of changes [Å].

    `curves` are made `robust` with the layer's share of wrong particles; `place` is `design(x, y)`.
    Newton's method with the curvature of each K_i kept positive, from the best common offset.
    """
    evidence = _particle_evidence(curves, grid, layer.heights)
    mean, precision = layer.plane.moments()
    theta = mean.copy()
    theta[0] = grid[np.argmax(evidence.sum(axis=0) - grid**2 * precision[0, 0] / 2)]

    def at(theta):
        found = _read(evidence, grid, place @ theta)
        away = theta - mean
        return found[0].sum() - away @ precision @ away / 2, found

    value, (_, slope, bend) = at(theta)
    for _ in range(NEWTON_ROUNDS):
        hessian = (place * np.maximum(-bend, 0)[:, None]).T @ place + precision
        step = np.linalg.solve(hessian, place.T @ slope - precision @ (theta - mean))
        before = value
        for share in (1.0, 0.5, 0.1, 0.02):
            trial, found = at(theta + share * step)
            if trial >= value:
                theta, value, (_, slope, bend) = theta + share * step, trial, found
                break
        if value - before < NEWTON_GAIN:
            break
    return _summarise(evidence, grid, place, theta, (mean, precision))


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """What is believed of m particles of a micrograph, each with its own curve and its ice."""

    density: np.ndarray  # (m, c) probability of each change on the grid
    inside: np.ndarray  # (m, c) its part where the particle is in the layer and its image right
    upper: np.ndarray  # (m,) probability of the sheet of higher defocus; nan without two sheets


def posterior(curves, grid, fit: LayerFit, layer: Layer) -> Posterior:
    """Posterior of each particle on the grid: its `robust` curve times the layer's prior."""
    heights, blur = layer.heights, fit.cavity_variance[:, None]
    away = grid - fit.cavity_mean[:, None]
    shape = heights.density(away, blur=blur)
    total = shape.sum(axis=1, keepdims=True) + TINY
    here = (1 - heights.stray) * shape / total
    likelihood = np.exp(curves - curves.max(axis=1, keepdims=True))
    joint = likelihood * (here + heights.stray / len(grid))
    norm = joint.sum(axis=1, keepdims=True) + TINY
    right = 1 - layer.wrong * np.exp(-curves)  # of the likelihood, the image's part
    upper = np.full(len(curves), np.nan)
    if heights.kind == "two sheets":
        share = heights.upper(away, blur=blur) / (shape + TINY)
        upper = np.sum(joint * share, axis=1) / norm[:, 0]
    return Posterior(density=joint / norm, inside=likelihood * right * here / norm, upper=upper)


def _summarise(evidence, grid, place, theta, prior):
    mean, precision = prior
    value, slope, bend = _read(evidence, grid, place @ theta)
    held = np.maximum(-bend, 0)
    hessian = (place * held[:, None]).T @ place + precision
    covariance = np.linalg.inv(hessian)
    variance = np.einsum("ij,jk,ik->i", place, covariance, place)
    # leave particle i out: take its own curvature and slope at μ_i back
    cavity_variance = variance / np.maximum(1 - held * variance, 1e-6)
    away = theta - mean
    log_evidence = (
        value.sum()
        - away @ precision @ away / 2
        + (np.linalg.slogdet(precision)[1] - np.linalg.slogdet(hessian)[1]) / 2
    )
    return LayerFit(
        coefficients=theta,
        covariance=covariance,
        cavity_mean=place @ theta - cavity_variance * slope,
        cavity_variance=cavity_variance,
        log_evidence=float(log_evidence),
    )


def _particle_evidence(curves, grid, heights):
    """K (m, c) on the grid of μ. Columns of q sum to 1, so a layer thinner than the grid is a line."""
    top = curves.max(axis=1, keepdims=True)
    likelihood = np.exp(curves - top)
    n, step = len(grid), grid[1] - grid[0]
    if heights.width < step / 4 and not heights.distance:
        return curves  # a line: every particle lies on the plane
    apart = heights.density(np.arange(1 - n, n) * step)  # all differences there are
    q = apart[np.arange(n)[:, None] - np.arange(n) + n - 1]
    q = q / (q.sum(axis=0) + TINY)
    mixed = (1 - heights.stray) * (likelihood @ q)
    return np.log(mixed + heights.stray * likelihood.mean(axis=1, keepdims=True) + TINY) + top


def _read(curve, grid, where):
    """Value, slope and curvature of each curve at its own place: parabola through three points."""
    step = grid[1] - grid[0]
    place = np.clip((where - grid[0]) / step, 1, len(grid) - 2)
    near = np.rint(place).astype(int)
    t, row = place - near, np.arange(len(where))
    left, centre, right = curve[row, near - 1], curve[row, near], curve[row, near + 1]
    slope, bend = (right - left) / 2, left - 2 * centre + right
    return centre + t * slope + t**2 * bend / 2, (slope + t * bend) / step, bend / step**2


def _gauss(z, width):
    return np.exp(-0.5 * (z / width) ** 2) / (np.sqrt(2 * np.pi) * width)
