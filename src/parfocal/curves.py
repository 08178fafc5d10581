"""The likelihood curve of each particle, with its own scales, as something that can be asked."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_ndtr

from parfocal.calibration import particle_scales
from parfocal.likelihood import Curves, NoiseModel, Peaks, find_peaks, template_terms, terms_at

WRONG = 0.02  # share of wrong particles where none was learned
WEAK = 0.8  # of the usual scale: less of the template than that is in a wrong image


def robust(curves, wrong: float) -> np.ndarray:
    """ln((1 - w) e^ℓ + w): curves of particles of which a share w holds something else.

    `curves` count from the `level` of a wrong image. One that is far below it wherever the template
    is put says nothing of defocus, and cannot outvote the others.
    """
    floor = np.log(wrong + 1e-300)
    if curves.min(initial=np.inf) > floor + 20:  # e^-20 would not be seen, and this is fast
        return curves + np.log1p(-wrong)
    return np.logaddexp(np.log1p(-wrong) + curves, floor)


@dataclass(frozen=True, kw_only=True)
class ParticleCurves:
    """Log-likelihood of m particles as a function of the change of defocus."""

    sums: np.ndarray  # (m, bins, 8)
    prior: np.ndarray  # (m,) Å, mean defocus that changes count from
    model: NoiseModel
    grid: np.ndarray  # (c,) Å, changes
    signal: np.ndarray  # (m,) scale of the particle's signal
    noise: np.ndarray  # (m,) scale of its noise power
    best: np.ndarray  # (m,) Å, the change that its scales were fitted at

    def of(self, sums) -> "ParticleCurves":
        """The same particles' curves from other sums of theirs, such as one fold's."""
        return replace(self, sums=sums)

    def level(self) -> np.ndarray:
        """(m,) log-likelihood [nats] of a wrong image: one that holds less than WEAK of the template.

        The mean of e^ℓ over scales from 0 (nothing) to WEAK (another view, which shares the low
        frequencies), at the particle's best change.
        """
        terms = terms_at(self.sums, self.prior, self.model, self.best[:, None])
        cross, norm = (term[:, 0] / self.noise for term in terms)
        norm = np.maximum(norm, 1e-6)
        middle, width = cross / (2 * norm), 1 / np.sqrt(2 * norm)
        upper, lower = log_ndtr((WEAK - middle) / width), log_ndtr(-middle / width)
        share = upper + np.log1p(-np.exp(np.minimum(lower - upper, -1e-12)))
        return cross**2 / (4 * norm) + share + np.log(np.sqrt(2 * np.pi) * width / WEAK)

    def on_grid(self) -> np.ndarray:
        """(m, c) nats."""
        return self._join(template_terms(self.sums, self.prior, self.model, self.grid))

    def at(self, change) -> np.ndarray:
        """(m, j) nats at each particle's own changes (m, j) [Å]."""
        return self._join(terms_at(self.sums, self.prior, self.model, change))

    def peaks(self) -> Peaks:
        """Maximum and error of each curve."""
        return find_peaks(Curves(change=self.grid, value=self.on_grid()), self.at)

    def gain(self, change) -> np.ndarray:
        """ℓ(change) - ℓ(0) [nats], each particle at its own change (m,), WRONG of them being wrong.

        An image that holds nothing of the template would otherwise gain where the template is weak.
        """
        value = self.at(np.stack([change, np.zeros_like(change)], axis=1))
        safe = robust(value - self.level()[:, None], WRONG)
        return safe[:, 0] - safe[:, 1]

    def _join(self, terms):
        signal = self.signal[:, None]
        return (signal * terms[0] - signal**2 * terms[1]) / self.noise[:, None]


def scaled_curves(sums, prior, model: NoiseModel, grid) -> ParticleCurves:
    """Curves of m particles from `sums` (m, bins, 8), their scales fitted at their best change."""
    ones = np.ones(len(sums))
    rough = ParticleCurves(
        sums=sums, prior=prior, model=model, grid=grid, signal=ones, noise=ones, best=ones
    )
    best = grid[np.argmax(rough.on_grid(), axis=1)]
    signal, noise = particle_scales(sums, prior, model, best)
    return replace(rough, signal=signal, noise=noise, best=best)
