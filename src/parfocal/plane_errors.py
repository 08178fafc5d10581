"""Errors of the levels and slopes that K sets gave to M micrographs: few rows, small errors.

Here second moments will not do, as `combination` takes them: over a handful of micrographs a small
error is lost in the difference of large signals. So errors come from differences: of the folds of a
set, whose noise is independent; of a set without folds from one that has them; and else from the
three-cornered hat (Grubbs 1948). Folds cannot see an error that both share, such as that of a wrong
pose; a posterior mean has the least error of all that can be made of its images, whatever these are:
unless its folds deny it, it is taken for that, and has all the weight.
"""

from dataclasses import dataclass

import numpy as np

from parfocal.combination import Signal, least_error_weights, patterns, positive
from parfocal.defocus_set import FOLD_SHARE

DENIED = 3.0  # standard errors by which folds must show another set to be better


@dataclass(frozen=True, kw_only=True)
class PlaneErrors:
    """Error model of K sets for one number a micrograph: its level, or its slopes."""

    noise: np.ndarray  # (K, K) Å² of one particle: falls with their number
    offset: np.ndarray  # (K,) Å², of a set whose noise cannot be told: does not fall
    square: np.ndarray  # (K,) Å², mean of its values' squares: how far it is from "the input"
    best: int  # the set, if one is, that is the posterior mean of what the others saw; or -1
    signal: Signal

    def covariance(self, particles: float, usual: float) -> np.ndarray:
        """(1 + K, 1 + K) covariance of errors of "the input is right" and of each set.

        On a micrograph of so many particles; `usual` [Å, to a factor e] is believed of the signal.
        """
        size = len(self.offset)
        out = np.zeros((1 + size, 1 + size))
        signal = float(np.mean(self.signal.quantiles(usual)))
        # a set that hardly leaves the input shares its error; more than that a few rows cannot tell
        shared = (max(self.signal.variance, 0.0) + self.offset - self.square) / 2
        out[0, 0] = signal
        out[0, 1:] = out[1:, 0] = np.clip(shared, 0.0, np.minimum(signal, self.offset))
        out[1:, 1:] = self.noise / max(particles, 1.0) + np.diag(self.offset)
        return positive(out)

    def weights(self, sets, particles: float, usual: float) -> tuple[np.ndarray, float]:
        """((1 + s,) weights of the input and of `sets` (s,), error variance), see `covariance`."""
        covariance = self.covariance(particles, usual)
        chosen = np.append(0, np.asarray(sets, dtype=int) + 1)
        covariance = covariance[np.ix_(chosen, chosen)]
        if self.best not in sets:
            return least_error_weights(covariance)
        only = chosen == 1 + self.best
        return 1.0 * only, float(covariance[only, only].sum())


def plane_errors(values, folds, count, posterior) -> PlaneErrors:
    """Error model from `values` (M, K), `folds` (M, K, 2), nan where missing, and `count` (M, K).

    `posterior` (K,) bool is of sets whose values are posterior means.
    """
    apart = (folds[..., 0] - folds[..., 1]) * np.sqrt(FOLD_SHARE / 2)  # errs as the whole
    measured = np.isfinite(apart).sum(axis=0) >= np.maximum(2, np.isfinite(values).sum(axis=0) / 2)
    size, best = values.shape[1], -1
    noise, offset = np.zeros((size, size)), np.zeros(size)
    if measured.any():
        scaled = np.where(measured, apart * np.sqrt(count), np.nan)
        known = np.isfinite(scaled).astype(float)
        scaled = np.nan_to_num(scaled)
        noise = scaled.T @ scaled / np.maximum(known.T @ known, 1)
        best = _best(noise, measured, posterior, len(values))
        own = np.diagonal(noise) / np.maximum(count, 1)  # (M, K) of each micrograph's own number
        least = float(np.min(np.nanmean(own[:, measured], axis=0)))
        for one in np.flatnonzero(~measured):
            square = (values[:, one, None] - values[:, measured]) ** 2 - own[:, measured]
            known = np.isfinite(square)
            offset[one] = max(square[known].mean(), least) if known.any() else np.inf
    else:
        offset = _three_cornered(values)
    chosen = measured if measured.any() else np.ones(size, dtype=bool)
    signal = _signal(values[:, chosen], count[:, chosen], noise[np.ix_(chosen, chosen)], chosen)
    offset = np.where(np.isfinite(offset), offset, 1e3 * max(signal.variance, 1.0) + 1e6)
    known = np.isfinite(values)
    square = np.sum(np.where(known, values, 0) ** 2, axis=0) / np.maximum(known.sum(axis=0), 1)
    return PlaneErrors(noise=noise, offset=offset, square=square, best=best, signal=signal)


def _best(noise, measured, posterior, rows: int) -> int:
    """The set that is the posterior mean of what the others saw: its noise is the least, or none is."""
    chosen = np.flatnonzero(measured & posterior)
    if not len(chosen):
        return -1
    own = np.diagonal(noise)
    best, least = int(chosen[np.argmin(own[chosen])]), float(own[measured].min())
    denied = own[best] > least * (1 + DENIED * np.sqrt(4 / rows))  # of the ratio of two variances
    return -1 if denied else best


def _three_cornered(values):
    """(K,) Å² error variances of sets whose errors are independent; at least a quarter of the usual."""
    size = values.shape[1]
    pairs = (values[:, :, None] - values[:, None, :]) ** 2
    known = np.isfinite(pairs)
    mean = np.where(known, pairs, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    if size < 3:
        return np.full(size, mean.sum() / 4)
    found = (mean.sum(axis=1) - mean.sum() / (2 * (size - 1))) / (size - 2)
    return np.maximum(found, max(np.median(found) / 4, 1e-6))


def _signal(values, count, noise, chosen) -> Signal:
    """Variance of what the sets agree on: their products, less the noise that they share."""
    total = np.zeros(len(values))
    pairs = np.zeros(len(values))
    for k in range(values.shape[1]):
        for j in range(values.shape[1]):
            if k == j and chosen.sum() > 1 and not noise[k, k]:
                continue  # without folds a set's square holds noise of unknown size
            shared = noise[k, j] / np.maximum(np.sqrt(count[:, k] * count[:, j]), 1)
            product = values[:, k] * values[:, j] - shared
            known = np.isfinite(product)
            total[known] += product[known]
            pairs[known] += 1
    rows = (total / np.maximum(pairs, 1))[pairs > 0]
    if not len(rows):
        return Signal(variance=0.0, error=np.inf, by="folds" if noise.any() else "bound")
    spread = rows.std(ddof=1) if len(rows) > 1 else abs(rows[0])
    return Signal(
        variance=float(rows.mean()),
        error=float(max(spread, abs(rows.mean()) * np.sqrt(2)) / np.sqrt(len(rows))),
        by="folds" if noise.any() else "bound",
    )


def combined(values, count, errors: PlaneErrors, usual: float) -> tuple[np.ndarray, np.ndarray]:
    """((M,) values of least error [Å], (M,) their error variance) from those of K sets (M, K).

    `count` (M,) are particles; `usual` [Å] is as in `PlaneErrors.covariance`. What no set knows is 0.
    """
    found, variance = np.zeros(len(values)), np.zeros(len(values))
    count = np.round(count)
    for number in np.unique(count):
        same = np.flatnonzero(count == number)
        for rows, sets in patterns(np.isfinite(values[same])):
            weight, variance[same[rows]] = errors.weights(sets, number, usual)
            found[same[rows]] = values[np.ix_(same[rows], sets)] @ weight[1:]
    return found, variance
