"""Heights of particles from several sets: the combination of least error, and who is not usual."""

import numpy as np
import scipy.special

from parfocal.combination import Moments, error_covariance, least_error_weights, patterns
from parfocal.learning import USUAL_WIDTH

LEAST_TAIL = 4.0  # variance of an unusual particle's combination over the usual, at least
TAIL_COST = 6.0  # nats that unusual particles must explain, or there are none
EM_ROWS, EM_ROUNDS = 20_000, 60
CHI_SQUARE_MEDIAN = 0.4549  # of one degree of freedom
MIDDLE = 2  # of the quantiles of the signal


def combined_heights(found: Moments, residual, usual, ratio: float):
    """((n,) heights [Å], (n,) their error variance), averaged over what is believed of the signal.

    `residual` (n, K) is what the sets say, nan where missing; `usual` and `ratio` are from
    `usual_particles`. On a combination of least error the true height regresses with slope 1; on
    that of a particle that scatters more, with the same covariance, the slope is `ratio`.
    """
    parts, errors = [], []
    for quantile, signal in enumerate(found.signal.quantiles(USUAL_WIDTH)):
        height, spread, error = _combined(found, residual, quantile)
        parts.append((usual + (1 - usual) * ratio) * height)
        between = usual * (1 - usual) * ((1 - ratio) * height) ** 2
        errors.append(usual * error + (1 - usual) * (signal - ratio * spread) + between)
    return np.mean(parts, axis=0), np.mean(errors, axis=0) + np.var(parts, axis=0)


def height_weights(found: Moments) -> np.ndarray:
    """(1 + K,) weights of "the plane" and of each set, on particles that all sets know."""
    signal = found.signal.quantiles(USUAL_WIDTH)[MIDDLE]
    return least_error_weights(error_covariance(found, signal))[0]


def _combined(found: Moments, residual, quantile: int):
    """((n,) heights, (n,) their expected variance, (n,) error variance) at a quantile of the signal."""
    signal = found.signal.quantiles(USUAL_WIDTH)[quantile]
    covariance = error_covariance(found, signal)
    height, error = np.zeros(len(residual)), np.full(len(residual), signal)
    for rows, sets in patterns(np.isfinite(residual)):
        if len(sets):
            chosen = np.append(0, sets + 1)
            weight, error[rows] = least_error_weights(covariance[np.ix_(chosen, chosen)])
            height[rows] = residual[np.ix_(rows, sets)] @ weight[1:]
            error[rows] *= 1 + found.own_error[np.ix_(rows, sets)] @ weight[1:]
    if not found.posterior.any():  # the noise of each particle is as its error bars have it
        spread = np.maximum(signal - error, 1e-9 * signal)
        noise = signal * error / spread
        gain = (signal + noise) / (signal + noise * found.noise)
        height, error = gain * height, signal - gain * spread
    return height, np.maximum(signal - error, 0.0), error


def usual_particles(found: Moments, residual) -> tuple[np.ndarray, float]:
    """((n,) probability of being usual, variance of the usual over that of the others).

    Combined heights over their expected spread are a mixture of two Gaussians of mean 0: the usual,
    and those whose images were wrong. All are usual where that explains as much; and where a set
    of posterior means is there, which has dealt with them.
    """
    height, variance, _ = _combined(found, residual, MIDDLE)
    square = np.divide(height**2, variance, out=np.zeros(len(height)), where=variance > 0)
    seen = square[square > 0]
    sample = seen[:: max(1, len(seen) // EM_ROWS)]
    if len(sample) < 10 or found.posterior.any():
        return np.ones(len(height)), 1.0
    usual = np.median(sample) / CHI_SQUARE_MEDIAN
    share, other = 0.9, 9 * usual
    for _ in range(EM_ROUNDS):
        here = _probability(sample, share, usual, other)
        share = float(np.clip(here.mean(), 0.5, 1 - 1e-4))
        usual = float(here @ sample / here.sum())
        other = max(float((1 - here) @ sample / (1 - here).sum()), LEAST_TAIL * usual)
    two = np.logaddexp(*_log_parts(sample, share, usual, other)).sum()
    one = _log_parts(sample, 1.0, float(sample.mean()), other)[0].sum()
    if (two - one) * len(seen) / len(sample) < TAIL_COST:
        return np.ones(len(height)), 1.0
    return np.where(square > 0, _probability(square, share, usual, other), 1.0), usual / other


def _log_parts(square, share, usual, other):
    with np.errstate(divide="ignore"):
        weights = np.log(share), np.log(1 - share)
    return tuple(
        weight - 0.5 * np.log(variance) - 0.5 * square / variance
        for weight, variance in zip(weights, (usual, other), strict=True)
    )


def _probability(square, share, usual, other):
    here, there = _log_parts(square, share, usual, other)
    return scipy.special.expit(here - there)
