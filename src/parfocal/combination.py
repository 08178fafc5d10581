"""Weights for sets of estimates of one thing, from what their errors have in common; no truth needed.

Rows j of one kind of quantity (heights of particles, levels of micrographs, slopes of their planes)
were estimated by K sets, y_jk = t_j + error. Candidate 0, "nothing", says t = 0, which is what the
input or the plane says. The weights are those of the convex combination with the least estimated
error: never negative, together 1. So the result is, by that estimate, no worse than the best of the
sets, and drawn to 0 by as much as they are uncertain.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.optimize
import scipy.special

Means = Literal["posterior", "folds", "bound"]
LEAST = 1e-6  # of an error variance: an eigenvalue below is not known to be one
FORCE = 1e4  # that holds the sum of the weights at 1, to a millionth or so
HOPELESS = 1e3  # of the least error variance: a candidate beyond gets no weight
CLIP = 4.0  # robust standard deviations, beyond which a fold is cut: it has lost its way
QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the signal, as far as it is known
UNJUDGED = 1e8  # Å², error variance of a set with too few rows: no weight
CLAIM_DOUBT = 0.15  # of the square of an error bar: how far it may be wrong as a whole
NOISE_RANGE = (0.1, 10.0)  # of a row's noise variance over the mean, that is believed
USUAL_RATIO = 0.5  # of the variance of heights to that of noise: how rows are weighed for the first
SURELY_NOT = 0.1  # weight of a row, at or below which it does not speak of the signal
LEAST_ROWS = 30  # that two sets must share for their product to be known
SCATTERS = np.geomspace(1, 1000, 700)  # Å, standard deviations of heights that are thought of


@dataclass(frozen=True, kw_only=True)
class Signal:
    """Variance of what is estimated, and how it was found."""

    variance: float  # Å²; may come out below 0; where `by` is "bound", no more than that
    error: float  # its standard error
    by: Means

    def quantiles(self, usual: float) -> np.ndarray:
        """Variances [Å²] at QUANTILES of what is believed; the prior is `usual` [Å], to a factor e."""
        value = SCATTERS**2
        away = (self.variance - value) / max(self.error, 1e-6)
        if self.by == "bound":
            away = np.minimum(away, 0.0)
        belief = -0.5 * away**2 - 0.5 * np.log(SCATTERS / usual) ** 2
        share = scipy.special.softmax(belief)
        return np.interp(QUANTILES, np.cumsum(share) - share / 2, value)


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Second moments over rows, of K sets; nan where no row has both."""

    product: np.ndarray  # (K, K) <y_k y_l>; nan with fewer than LEAST_ROWS
    unbiased: np.ndarray  # (K,) bool: with folds, and no prior in it
    clear: np.ndarray  # (K,) weights of those by how little they scatter, together 1 or 0
    posterior: np.ndarray  # (K,) bool: a mean over a prior, with its error bars
    noise: np.ndarray  # (J,) noise variance of each row over the mean, as its error bars have it
    own_error: np.ndarray  # (J, K) error variance of each posterior mean over their average, less 1
    signal: Signal


def moments(values, folds, claimed, posterior, weight) -> Moments:
    """Weighted second moments of `values` (J, K) and `folds` (J, K, 2), nan where missing.

    `claimed` (J, K) are error bars, `weight` (J, K) the share that each value counts. The signal
    V = <t²> needs no truth:

    - A set of posterior means, b = E[t | image], has V = <b² + its error²>, if its errors are true.
    - Else, where sets have folds (from disjoint pixels, with independent noise): V = <a_1 b_2>,
      the folds averaged over these sets and cut at CLIP robust standard deviations.
    - Else what sets have in common, the mean of <y_k y_l> over pairs, bounds it from above: sets
      that saw the same images share noise too, and nothing tells how much.
    """
    posterior = posterior & np.isfinite(np.where(weight > 0, claimed, np.nan)).any(axis=0)
    has_folds = np.isfinite(np.where(weight > 0, folds.sum(axis=2), np.nan)).any(axis=0)
    unbiased = has_folds & ~posterior
    clear = np.zeros(len(posterior))
    if posterior.any():
        by, square = "posterior", _row_mean(values**2 + claimed**2, 1.0 * posterior)
    elif unbiased.any():
        clear = _clarity(folds.mean(axis=2), weight, unbiased)
        first, second = (_clipped(_row_mean(folds[..., f], clear)) for f in (0, 1))
        by, square = "folds", first * second
    else:
        known = np.isfinite(values)
        n, value = known.sum(axis=1), np.where(known, values, 0.0)
        pairs = value.sum(axis=1) ** 2 - np.sum(value**2, axis=1)
        square = np.divide(pairs, n * (n - 1), out=np.full(len(n), np.nan), where=n > 1)
        by = "bound"
    root = np.sqrt(weight)
    product = _products(root, values)
    noise = _row_noise(claimed, weight)
    usual = 1.0 * (weight.max(axis=1) > SURELY_NOT)  # more would cut the signal's own tails
    trust = usual / (USUAL_RATIO + noise) ** 2
    signal = _signal(square, trust if by == "folds" else usual, by)
    if by == "folds":
        signal = _both(signal, values, claimed, clear, trust)
    return Moments(
        product=product,
        unbiased=unbiased,
        clear=clear / max(clear.sum(), 1e-300),
        posterior=posterior,
        noise=noise,
        own_error=_relative(claimed, (weight > 0) & posterior) - 1,
        signal=signal,
    )


def _relative(claimed, chosen):
    """(J, K) squares of the chosen error bars over their mean; 1 without."""
    known = np.isfinite(claimed) & chosen
    square = np.where(known, claimed, 0.0) ** 2
    mean = square.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.divide(square, mean, out=np.ones_like(square), where=known & (mean > 0))


def _row_noise(claimed, weight):
    """(J,) squares of the error bars over their mean, averaged over the sets; 1 without."""
    ratio = np.where(np.isfinite(claimed) & (weight > 0), _relative(claimed, weight > 0), np.nan)
    found = _row_mean(ratio, np.ones(claimed.shape[1]))
    return np.clip(np.where(np.isfinite(found), found, 1.0), *NOISE_RANGE)


def _both(signal: Signal, values, claimed, clear, trust) -> Signal:
    """The signal as the folds have it, and as the error bars do: what they leave of the spread."""
    square, noise = _clipped(_row_mean(values, clear)) ** 2, _row_mean(claimed, clear) ** 2
    known = np.isfinite(square + noise)
    other = _signal(square - noise, trust, signal.by)
    if not known.any():
        return signal
    usual = np.average(noise[known], weights=trust[known])
    doubt = np.hypot(other.error, CLAIM_DOUBT * usual)
    trust = np.array([signal.error, doubt]) ** -2.0
    return Signal(
        variance=float(np.average([signal.variance, other.variance], weights=trust)),
        error=float(trust.sum() ** -0.5),
        by=signal.by,
    )


def _clarity(values, weight, chosen):
    """(K,) weights of the chosen sets, by how little they scatter: none drowns the others."""
    known = np.isfinite(values) & (weight > 0)
    square = np.where(known, values, 0.0) ** 2
    mean = square.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(chosen & (mean > 0), 1 / np.where(mean > 0, mean, 1.0) ** 2, 0.0)


def _row_mean(values, set_weight):
    """(J,) mean over sets by their weights (K,); nan where none of them has a value."""
    known = np.isfinite(values) & (set_weight > 0)
    total = np.where(known, values, 0.0) @ set_weight
    with np.errstate(invalid="ignore"):
        return total / (known @ set_weight)


def _clipped(values):
    known = np.isfinite(values)
    if not known.any():
        return values
    far = CLIP * 1.4826 * np.median(np.abs(values[known]))
    return np.clip(values, -far, far)


def _signal(square, weight, by: Means) -> Signal:
    known = np.isfinite(square) & (weight > 0)
    square, weight = square[known], weight[known]
    if len(square) < 2:
        return Signal(variance=0.0, error=np.inf, by=by)
    mean = np.average(square, weights=weight)
    error = np.sqrt(np.sum((weight * (square - mean)) ** 2)) / weight.sum()
    return Signal(variance=float(mean), error=float(error), by=by)


def _products(root, values):
    """(K, K) weighted means of y_k y_l over the rows that have both."""
    known = np.isfinite(values) & (root > 0)
    weighted, counted = np.where(known, root * values, 0.0), np.where(known, root, 0.0)
    count = counted.T @ counted
    total = weighted.T @ weighted
    rows = known.T.astype(float) @ known
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=rows >= LEAST_ROWS)


def error_covariance(found: Moments, signal: float) -> np.ndarray:
    """(1 + K, 1 + K) covariance of the errors of "nothing" and of each set, for a signal V [Å²].

    E_kl = <y_k y_l> - c_k - c_l + V, with c_k = <t y_k>: for a posterior mean b = E[t | image],
    <t y> = <b y> for all y made of the same images; an unbiased set has c = V; what a set without
    folds has in common with those that have them is signal in the proportion that it is among these.
    """
    product, some = found.product, found.unbiased
    if found.posterior.any():
        common = _column_mean(product[:, found.posterior])
    elif some.any():
        with_clear = np.nan_to_num(product) @ found.clear
        among = float(with_clear @ found.clear)
        share = np.clip(signal / among, 0.0, 1.0) if among > 0 else 0.0
        common = np.where(some, signal, share * with_clear)
    else:
        common = np.full(len(product), signal)
    out = np.empty((1 + len(product),) * 2)
    out[0, 0] = signal
    out[0, 1:] = out[1:, 0] = signal - common
    pairs = product - common[:, None] - common + signal
    own = np.where(np.isfinite(np.diagonal(pairs)), np.diagonal(pairs), UNJUDGED)
    pairs = np.where(np.isfinite(pairs), pairs, np.minimum(own, own[:, None]))  # as if all shared
    np.fill_diagonal(pairs, own)
    out[1:, 1:] = pairs
    return positive(out)


def _column_mean(columns):
    """(K,) mean over columns; 0 where nothing is known."""
    known = np.isfinite(columns)
    return np.where(known, columns, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)


def positive(matrix) -> np.ndarray:
    """The nearest matrix that can be a covariance: eigenvalues of its correlations from LEAST up."""
    scale = np.sqrt(np.maximum(np.diagonal(matrix), LEAST * np.abs(matrix).max() + 1e-12))
    value, vector = np.linalg.eigh((matrix + matrix.T) / 2 / scale / scale[:, None])
    return (vector * np.maximum(value, LEAST)) @ vector.T * scale * scale[:, None]


def least_error_weights(covariance) -> tuple[np.ndarray, float]:
    """((C,) weights, not negative and together 1, of the least error variance; that variance)."""
    own = np.diagonal(covariance)
    used = np.flatnonzero(
        own <= HOPELESS * own.min()
    )  # beside such, the others are lost in rounding
    part = covariance[np.ix_(used, used)] / own.min()
    value, vector = np.linalg.eigh(part)
    root = np.sqrt(np.maximum(value, 0.0))[:, None] * vector.T
    system = np.vstack([root, np.full(len(used), FORCE)])
    found, _ = scipy.optimize.nnls(system, np.append(np.zeros(len(used)), FORCE))
    weight = np.zeros(len(own))
    weight[used] = found / found.sum()
    return weight, float(weight @ covariance @ weight)


def patterns(known) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows, sets) for each way in which `known` (J, K) bool leaves sets out; all rows, once."""
    code = known @ (1 << np.arange(known.shape[1]))
    order = np.argsort(code, kind="stable")
    values, first = np.unique(code[order], return_index=True)
    for value, rows in zip(values.tolist(), np.split(order, first[1:]), strict=True):
        yield rows, np.flatnonzero(value >> np.arange(known.shape[1]) & 1)
