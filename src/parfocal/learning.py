"""Empirical Bayes: what a data set says of its ice, before any one particle is asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, logsumexp, softmax

from parfocal.curves import robust
from parfocal.layer import Heights, Layer, fit_layer, posterior

ROUNDS, FEW_ROUNDS = 6, 3  # few for a model that starts from the widths of a finer one
LEAST_WIDTH, LEAST_SLOPE = 1.0, 1e-5  # Å, Å per Å: as good as none
WIDTH_FACTORS = (0.25, 0.4, 0.63, 0.8, 1.0, 1.25, 1.6, 2.5, 4.0)
DISTANCE_FACTORS = (0.8, 1.0, 1.25)
LEAST_BASE = 20.0  # Å, of the widths that WIDTH_FACTORS multiply
USUAL_WIDTH = 100.0  # Å, to a factor e: what is believed of heights before any are seen
SPREADS = (0.25, 0.5)  # of ln width over micrographs
USUAL_OFFSET, USUAL_SLOPE = 150.0, 0.03  # Å and Å per Å: one micrograph more, before any is seen
KINDS = ("two sheets", "slab")
LEAST_SHARE = 1e-3  # of stray, and of wrong particles: one may always be met
KIND_COST = 6.0  # nats of evidence that one more parameter must bring, some ln n


class Micrograph(NamedTuple):
    """One micrograph's particles, as the layer sees them."""

    curves: np.ndarray  # (m, c) log-likelihood
    place: np.ndarray  # (m, 3), from `layer.design`


def learn(micrographs: Sequence[Micrograph], grid, start: Layer, *, heights: bool = True) -> Layer:
    """Widths of the layer by expectation-maximisation from `start`, over all `micrographs`.

    What starts at its least stays there, so a plane without heights is learned from a `start` whose
    width is LEAST_WIDTH. With `heights`, two sheets and a slab are tried against the single sheet.
    """
    layer = start
    for _ in range(ROUNDS if heights else FEW_ROUNDS):
        layer = _one_round(micrographs, grid, layer)
    if not heights:
        return layer
    micrographs = [Micrograph(robust(m.curves, layer.wrong), m.place) for m in micrographs]
    layer, single = _best_width(micrographs, grid, layer)
    others = [_other_kind(micrographs, grid, layer, kind) for kind in KINDS]
    best, best_evidence = max(others, key=lambda found: found[1])
    return best if best_evidence > single + KIND_COST else layer


def evidence(micrographs: Sequence[Micrograph], grid, layer: Layer) -> float:
    """ln evidence of the layer [nats], by Laplace's approximation over each micrograph's plane.

    The curves of `micrographs` are `robust` ones here.
    """
    return sum(fit_layer(m.curves, grid, m.place, layer).log_evidence for m in micrographs)


def _one_round(micrographs, grid, layer):
    """One step of EM for one Gaussian sheet, the shares of stray and wrong particles and the planes."""
    width, slope = layer.heights.width, np.array(layer.plane.slope)
    square = inside = right = count = 0.0
    offset, tilt = USUAL_OFFSET**2, USUAL_SLOPE**2
    for m in micrographs:
        curves = robust(m.curves, layer.wrong)
        fit = fit_layer(curves, grid, m.place, layer)
        found = posterior(curves, grid, fit, layer)
        trusted = found.inside.sum(axis=1)
        # δ = μ + z: of its distance from the cavity's μ, the height's share is z
        share = width**2 / (width**2 + fit.cavity_variance)
        apart = np.sum(found.inside * (grid - fit.cavity_mean[:, None]) ** 2, axis=1)
        square += np.sum(share**2 * apart + trusted * share * fit.cavity_variance)
        inside += trusted.sum()
        of_image = 1 - layer.wrong * np.exp(-curves)
        right += np.sum(found.density * of_image)
        count += len(trusted)
        variance = np.diag(fit.covariance)
        offset += fit.coefficients[0] ** 2 + variance[0]
        tilt += np.sum((fit.coefficients[1:] - slope) ** 2 + variance[1:]) / 2
    n = len(micrographs) + 1
    heights, plane = layer.heights, layer.plane
    if heights.width > LEAST_WIDTH:
        width = max(LEAST_WIDTH * 1.001, float(np.sqrt(square / inside)))
        heights = replace(heights, width=width, stray=_share(1 - inside / right))
    plane = replace(plane, offset_sd=max(LEAST_WIDTH, float(np.sqrt(offset / n))))
    if plane.slope_sd > LEAST_SLOPE:
        plane = replace(plane, slope_sd=max(LEAST_SLOPE * 1.001, float(np.sqrt(tilt / n))))
    return Layer(heights=heights, plane=plane, wrong=_share(1 - right / count))


def _share(found):
    return float(np.clip(found, LEAST_SHARE, 0.5))


def _best_width(micrographs, grid, layer):
    """(layer, evidence) with the single sheet's best width: EM creeps where that is near nothing."""

    def as_layer(log_width):
        heights = replace(layer.heights, width=float(np.exp(log_width)))
        return replace(layer, heights=heights)

    found = minimize_scalar(
        lambda log_width: -evidence(micrographs, grid, as_layer(log_width)),
        bounds=(np.log(LEAST_WIDTH), np.log(2 * layer.heights.width)),
        method="bounded",
        options={"xatol": 0.05, "maxiter": 8},
    )
    return as_layer(found.x), -float(found.fun)


def _other_kind(micrographs, grid, layer, kind):
    """(layer, evidence) of the best width and distance of another kind of layer."""
    spread = layer.heights.width

    def as_layer(logs):
        width, distance = np.exp(np.clip(logs, np.log(5.0), np.log(5000.0))).tolist()
        heights = Heights(kind=kind, width=width, distance=distance, stray=layer.heights.stray)
        return replace(layer, heights=heights)

    found = minimize(
        lambda logs: -evidence(micrographs, grid, as_layer(logs)),
        np.log([0.5 * spread, 1.7 * spread]),  # of about the same variance as the single sheet
        method="Nelder-Mead",
        options={"xatol": 0.05, "fatol": 0.1, "maxfev": 18},
    )
    return as_layer(found.x), -float(found.fun)


@dataclass(frozen=True, kw_only=True)
class Widths:
    """Layers of other widths that the data allow, and how to weigh them in a micrograph."""

    layers: tuple[Layer, ...]
    log_weight: np.ndarray  # of each layer, its probability
    own: bool  # whether micrographs differ, so that each one's own evidence counts too

    def width(self) -> tuple[float, float]:
        """Mean and standard deviation of the width [Å], before a micrograph is seen."""
        widths = np.array([layer.heights.width for layer in self.layers])
        mean = float(np.exp(self.log_weight) @ widths)
        return mean, float(np.sqrt(np.exp(self.log_weight) @ (widths - mean) ** 2))

    def weights(self, log_evidence) -> np.ndarray:
        """Probability of each layer in a micrograph of that evidence [nats] under each."""
        return softmax(self.log_weight + (log_evidence if self.own else 0.0))


def allowed_widths(micrographs: Sequence[Micrograph], grid, layer: Layer) -> Widths:
    """How well the width of the layer is known, and whether it differs between micrographs.

    Either all share one, known as well as their evidence together says, which with few particles is
    not well: a width learned as 0 would be believed too firmly. Or each has its own, log-normal about
    the learned one with the best of SPREADS, if that is likelier by KIND_COST.
    """
    layers, factors = _candidates(layer)
    safe = [Micrograph(robust(m.curves, layer.wrong), m.place) for m in micrographs]
    log_evidence = np.array([[evidence([m], grid, other) for other in layers] for m in safe])
    widths = np.array([other.heights.width for other in layers])
    expected = log_softmax(-0.5 * np.log(widths / USUAL_WIDTH) ** 2)
    shared = expected + log_evidence.sum(axis=0)
    away = np.sum(np.log(factors) ** 2, axis=1)
    own = [log_softmax(-0.5 * away / spread**2) for spread in SPREADS]
    scores = [logsumexp(log_evidence + weight, axis=1).sum() for weight in own]
    best = int(np.argmax(scores))
    if scores[best] > logsumexp(shared) + KIND_COST:
        return Widths(layers=layers, log_weight=own[best], own=True)
    return Widths(layers=layers, log_weight=log_softmax(shared), own=False)


def _candidates(layer: Layer) -> tuple[tuple[Layer, ...], np.ndarray]:
    """Layers with other widths, and of two sheets or a slab other distances; their factors (j, 2)."""
    heights = layer.heights
    base = max(heights.width, LEAST_BASE)
    distances = (1.0,) if heights.kind == "sheet" else DISTANCE_FACTORS
    factors = np.array([(w, d) for w in WIDTH_FACTORS for d in distances])
    others = [
        replace(heights, width=float(w * base), distance=float(d * heights.distance))
        for w, d in factors
    ]
    return tuple(replace(layer, heights=other) for other in others), factors
