"""Leave-one-out: a particle's own part in the map that it meets, taken back from its spectra.

The map of a particle's own half holds that particle, noise included. It was put there with the CTF
on file, so the projection P that the particle meets contains f CTF₀ X, with f the weight that one
image has in the map, and A_b = Σ Re[X* P] exp(iχ₀) contains the self-term

    f_b Σ |X|² sin χ₀ exp(iχ₀) = f_b T_b,    T_b = (i/2) (X_b - Q_b),

which has its maximum at no change: it pulls every estimate back to the input. The other half's map
holds nothing of the particle, and is otherwise as good. So over particles A_own - A_opposite is
f_b T_b on average, and f_b is measured by regression, without any truth.

One thing stands in the way. The noise of the maps is the same for all particles of a half, and
correlates with the signal by chance: a difference that many particles share, far above their own
noise. It has the opposite sign in the other half, so each half is regressed alone and the mean taken.
"""

from dataclasses import dataclass

import numpy as np

from parfocal.grid import SpectraGrid

DEGREE = (
    3  # of f as a polynomial in k that is 0 at k = 0: f is about inverse to the coverage, 1 / k
)
LEAST = 20  # particles of each half to measure f from; with fewer nothing is taken back


@dataclass(frozen=True, kw_only=True)
class SelfShare:
    """Weight f of one image in the map that it meets, for one optics group."""

    share: np.ndarray  # (bins,) f, smooth in k
    error: np.ndarray  # (bins,) its standard error
    measured: np.ndarray  # (bins,) f of each bin alone
    measured_error: np.ndarray  # (bins,)


def self_terms(sums) -> np.ndarray:
    """T_b = (i/2)(X_b - Q_b), complex (..., bins), of spectra `sums` (..., bins, 8)."""
    return (sums[..., 5] + 1j * (sums[..., 7] - sums[..., 4])) / 2


def fit_self_share(own, opposite, half_set, grid: SpectraGrid) -> SelfShare | None:
    """f_b from spectra (m, bins, 8) of the same particles against both maps, by least squares.

    None if a half has fewer than LEAST particles. Wrong where the half-maps were made with other
    poses or CTFs than those on file.
    """
    parts = [half_set == 1, half_set == 2]
    if min(part.sum() for part in parts) < LEAST:
        return None
    found = [_regress(own[part], opposite[part]) for part in parts]
    (first, first_error), (second, second_error) = found
    # the part that the halves do not share cancels as far as their particles are alike
    apart = np.abs(first - second) / 2 / np.sqrt(min(part.sum() for part in parts))
    measured, error = (first + second) / 2, np.hypot(np.hypot(first_error, second_error) / 2, apart)
    powers = (grid.k[:, None] / grid.k[-1]) ** np.arange(1, DEGREE + 1)
    normal = (powers / error[:, None] ** 2).T @ powers
    coefficients = np.linalg.solve(normal, (powers / error[:, None] ** 2).T @ measured)
    variance = np.einsum("bi,ij,bj->b", powers, np.linalg.inv(normal), powers)
    return SelfShare(
        share=powers @ coefficients,
        error=np.sqrt(variance),
        measured=measured,
        measured_error=error,
    )


def without_self(sums, share: SelfShare) -> np.ndarray:
    """A copy of `sums` (..., bins, 8) whose A holds nothing of the particle's own image."""
    out = sums.copy()
    out[..., 0] -= share.share * sums[..., 5] / 2
    out[..., 1] -= share.share * (sums[..., 7] - sums[..., 4]) / 2
    return out


def _regress(own, opposite):
    """(f, standard error) per bin; the error from the scatter of particles about the fit."""
    terms = self_terms(own)
    difference = (own[..., 0] - opposite[..., 0]) + 1j * (own[..., 1] - opposite[..., 1])
    along, square = (terms.conj() * difference).real, np.abs(terms) ** 2
    total = square.sum(axis=0)
    share = along.sum(axis=0) / total
    left = np.sqrt(np.sum((along - share * square) ** 2, axis=0)) / total
    return share, np.maximum(left, 1e-9)
