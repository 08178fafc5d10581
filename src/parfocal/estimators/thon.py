"""Thon rings: power spectra averaged along equal phase, and how well a defocus explains them.

A spectrum of power |X|² over a smooth background g is |X|²/g = 1 - κ cos 2χ + noise, for |CTF|² =
(1 - cos 2χ) / 2; κ is the contrast of the rings. Over bins of s = |k|², Q_b = Σ |X|²/g exp(2iχ₀) and
N_b = Σ exp(2iχ₀) hold the average along equal phase for any change δ of defocus, astigmatism
included: Σ (|X|²/g - 1) (-cos 2χ) = -Re Σ_b (Q_b - N_b) exp(2iπλδs_b), the cross-correlation with
|CTF|² but for a factor. Dividing by g is to linear order what taking the logarithm does.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_ndtr

from parfocal.grid import Fold, SpectraGrid
from parfocal.likelihood import Curves, Peaks, find_peaks
from parfocal.optics import effective_frequency

FOLDS = (Fold.FIRST, Fold.SECOND)
DEGREE = 4  # of the polynomial in |k| that stands for the logarithm of the background
BEYOND = 1.3  # the background is fitted this much farther than the band, on either side
CONTRAST = 1.0  # largest contrast of rings; any below it is as likely
LEAST_EXCESS = 0.1
FEWEST = 6  # bins of a band
LEAST = 10.0  # real values in a fold's bin from which it tells of the noise


@dataclass(frozen=True, kw_only=True)
class Band:
    """The part of a grid between two resolutions, and the little more that the background needs."""

    grid: SpectraGrid
    used: np.ndarray  # (bins,) bool
    fitted: np.ndarray  # (bins,) bool
    ky: np.ndarray  # (pixels,) of the fitted bins, in steps of the padded transform
    kx: np.ndarray
    slot: np.ndarray  # (pixels,) fold * bins + bin
    turns: (
        np.ndarray
    )  # (pixels, 4) χ / 2π for 1 Å of mean, of A cos 2φ, of A sin 2φ; the fixed part

    @property
    def usable(self) -> bool:
        """Whether there are bins enough, up to the band's end, to see rings in."""
        return self.used.sum() >= FEWEST

    @property
    def turn(self) -> np.ndarray:
        """(used bins,) rad, by which 2χ grows with every Å of defocus."""
        return 2 * self.grid.change_phase(1.0)[self.used]

    def phase(self, vector, phase_shift: float) -> np.ndarray:
        """exp(2iχ), complex64 (pixels,), for (mean, A cos 2φ, A sin 2φ) [Å] and phase shift [rad]."""
        turns = self.turns[:, :3] @ vector + self.turns[:, 3] + phase_shift / (2 * np.pi)
        return np.exp(4j * np.pi * (turns - np.rint(turns))).astype(np.complex64)

    def sums(self, values) -> np.ndarray:
        """(3, bins) sums of real `values` of the pixels, on the scale of the grid's n."""
        total = np.bincount(self.slot, weights=values, minlength=3 * self.grid.bins)
        shrink = self.grid.optics.image_size / self.grid.padded_size
        return total.reshape(3, -1) * (2.0 * shrink**2)

    def complex_sums(self, values) -> np.ndarray:
        """(3, bins) complex sums of complex `values`."""
        return self.sums(values.real) + 1j * self.sums(values.imag)


def band_of(grid: SpectraGrid, *, low: float, high: float) -> Band:
    """The band from `low` to `high` [Å]."""
    k = grid.k
    fitted = (k >= 1 / (low * BEYOND)) & (k <= BEYOND / high)
    length = np.diff(grid.first)
    kx = np.arange(grid.first[-1]) - np.repeat(grid.first[:-1] - grid.start, length)
    ky = np.repeat(grid.ky, length)
    inside = np.append(np.tile(fitted, 3), False)[grid.slot]
    ky, kx, slot, fixed = (a[inside] for a in (ky, kx, grid.slot, grid.phase))
    step = 1.0 / (grid.padded_size * grid.optics.pixel_size)
    x, y = effective_frequency(kx * step, ky * step, grid.optics)
    half = grid.optics.wavelength / 2
    quadratic = [half * (x**2 + y**2), half * (x**2 - y**2), half * 2 * x * y, fixed]
    return Band(
        grid=grid,
        used=(k >= 1 / low) & (k <= 1 / high),
        fitted=fitted,
        ky=ky,
        kx=kx,
        slot=slot.astype(np.intp),
        turns=np.stack(quadratic, axis=1),
    )


@dataclass(frozen=True, kw_only=True)
class Rings:
    """Deviation of power spectra from their background, along equal phase, from m sources."""

    deviation: np.ndarray  # (m, 2, bins) complex, Q - N of each fold
    count: np.ndarray  # (3, bins) real values of the whole, the first and the second fold
    whole: np.ndarray  # (m, bins) complex, of all pixels

    def turned(self, band: Band, away) -> "Rings":
        """The same, counted from defoci that are `away` (m,) [Å] from those of the sources."""
        turn = np.exp(1j * np.asarray(away)[:, None] * band.turn)
        return replace(self, deviation=self.deviation * turn[:, None], whole=self.whole * turn)


def rings(power, along, phase, band: Band) -> Rings:
    """Rings of m sources. power: (m, 3, bins) X; along: (m, 3, bins) Q; phase: N likewise."""
    background = background_power(power.sum(axis=1), band)[:, None]
    deviation = along[..., band.used] / background[..., band.used] - phase[..., band.used]
    n = band.grid.n[:, band.used]
    return Rings(
        deviation=deviation[:, list(FOLDS)],
        count=np.stack([n.sum(axis=0), *(n[f] for f in FOLDS)]),
        whole=deviation.sum(axis=1),
    )


def background_power(power, band: Band) -> np.ndarray:
    """(m, bins) smooth power for every real value: exp of a polynomial in |k|, inf outside of it.

    power: (m, bins) X. Rings average out as long as some of them fit into the band.
    """
    n = band.grid.n.sum(axis=0)
    fitted = band.fitted & (n > 0)
    if not fitted.any():
        return np.full(power.shape, np.inf)
    mean = power[:, fitted] / n[fitted]
    k = band.grid.k[fitted]
    x = 2 * (k - k.min()) / max(np.ptp(k), 1e-9) - 1
    design = np.polynomial.chebyshev.chebvander(x, min(DEGREE, max(0, len(x) // 4)))
    floor = 1e-6 * mean.max(axis=1, keepdims=True)
    weight = np.sqrt(n[fitted])[:, None]
    log_mean = np.log(np.maximum(mean, np.maximum(floor, np.finfo(float).tiny)))
    coefficients = np.linalg.lstsq(design * weight, log_mean.T * weight, rcond=None)[0]
    shape = np.exp(design @ coefficients).T
    shape *= (mean * n[fitted]).sum(axis=1, keepdims=True) / (shape * n[fitted]).sum(
        axis=1, keepdims=True
    )
    out = np.full(power.shape, np.inf)
    out[:, fitted] = shape
    return out


@dataclass(frozen=True, kw_only=True)
class RingCurves:
    """Log-likelihood of m particles as a function of the change of defocus, contrast integrated out.

    The contrast is 0 with probability one half, or else any up to CONTRAST: where there are no
    rings the curve is flat, and a peak of the noise is worth little.
    """

    deviation: np.ndarray  # (m, bins) complex, weighted over the neighbourhood
    information: np.ndarray  # (m,) a: the curve's largest gain is a κ² / 2 for contrast κ
    turn: np.ndarray  # (bins,) rad for every Å

    def on_grid(self, change) -> np.ndarray:
        """(m, c) nats at `change` (c,) [Å]."""
        angle = np.multiply.outer(self.turn, change)
        real, imaginary = np.real(self.deviation), np.imag(self.deviation)
        real = real @ np.cos(angle) - imaginary @ np.sin(angle)
        return self._value(real)

    def at(self, change) -> np.ndarray:
        """(m, j) nats at each particle's own changes (m, j)."""
        turned = np.exp(1j * change[..., None] * self.turn)
        return self._value(np.real(np.einsum("mb,mjb->mj", self.deviation, turned)))

    def peaks(self, change) -> Peaks:
        """Maximum and error of each curve, searched on the grid `change`."""
        return find_peaks(Curves(change=change, value=self.on_grid(change)), self.at)

    def _value(self, real):
        root = np.sqrt(np.maximum(self.information, 1e-12))[:, None]
        match = -real / 2 / root  # standard deviations of the noise
        width = np.minimum(np.sqrt(2 * np.pi) / root / CONTRAST, 1.0)  # that the noise lets κ have
        with_rings = match**2 / 2 + log_ndtr(match) + np.log(width)
        return np.logaddexp(0.0, with_rings) - np.log(2)


def noise_excess(mixed, share, count) -> float:
    """Variance of the folds' deviations over that of independent pixels, from their differences.

    mixed: (m, 2, bins) complex mean deviations times `share` (m, bins), the number of sources that
    the mean is worth; count: (3, bins). Pixels that padding, tapers or overlaps tie together raise or
    lower it; 1 where nothing can be said.
    """
    one, two = count[1:]
    told = np.minimum(one, two) >= LEAST
    worth = (share > 0).all(axis=1)
    if not told.any() or not worth.any():
        return 1.0
    mixed, share = mixed[worth], share[worth]
    apart = mixed[:, 0, told] / one[told] - mixed[:, 1, told] / two[told]
    claimed = 2 * share[:, told] * (1 / one[told] + 1 / two[told])
    return max(float(np.mean(np.abs(apart) ** 2 / claimed)), LEAST_EXCESS)
