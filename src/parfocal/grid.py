"""Folds and bins: which Fourier pixel goes into which sum of the defocus spectra."""

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import scipy.fft

from parfocal.optics import (
    Optics,
    delocalisation,
    effective_frequency,
    even_phase,
    fixed_phase,
    odd_phase,
)

K_MIN = 1 / 200  # Å⁻¹; below it are gradients and neighbours, not the particle's CTF
PHASE_PER_BIN = 0.1  # rad, half the phase that the largest change turns across one bin
RING = 12.0  # width of the blocks of the folds, in pixels of the unpadded transform
GUARD = 1.0  # pixels at each block border that belong to no fold


class Fold(IntEnum):
    """The class of a Fourier pixel. Guard pixels part the folds: they serve the whole, not a fold."""

    FIRST = 0
    SECOND = 1
    GUARD = 2


@dataclass(frozen=True, kw_only=True)
class SpectraGrid:
    """Which Fourier pixel belongs to which fold and bin, for one optics group and padding.

    The pixels of the half plane lie row after row: row r holds kx = start[r], start[r] + 1, ... in
    `slot[first[r]:first[r + 1]]`, and likewise in `phase` and `odd`.
    """

    optics: Optics
    padded_size: int
    change_max: float  # Å, largest |δ| that the bins resolve
    ky: np.ndarray  # (rows,) int64
    start: np.ndarray  # (rows,) int64
    first: np.ndarray  # (rows + 1,) int64
    slot: np.ndarray  # (pixels,) uint16, fold * bins + bin; 3 * bins where none
    phase: np.ndarray  # (pixels,) float32, turns: the part of χ₀ / 2π that no particle changes
    odd: np.ndarray  # (pixels,) complex64, exp(i odd aberration); empty where there is none
    s: np.ndarray  # (bins,) Å⁻², mean of |M k|² over the bin
    n: np.ndarray  # (3, bins) number of independent real values in each fold and bin

    @property
    def bins(self) -> int:
        return len(self.s)

    @property
    def k(self) -> np.ndarray:
        """(bins,) Å⁻¹."""
        return np.sqrt(self.s)

    def change_phase(self, change) -> np.ndarray:
        """Phase π λ δ s [rad] of defocus changes δ [Å], shape (bins, *change.shape)."""
        return np.pi * self.optics.wavelength * np.multiply.outer(self.s, change)


def padded_size(optics: Optics, *, defocus_max: float, radius: float, k_max: float) -> int:
    """Smallest good FFT size that keeps the delocalised particle from wrapping into its own box.

    A wave of frequency k comes down λ z k away from where it started (less for Cs). With the
    particle's `radius` [Å], it wraps once radius + delocalisation exceeds padded - box / 2.
    """
    reach = delocalisation(np.linspace(0, k_max, 64), defocus_max, optics).max() + radius
    wanted = max(optics.image_size, optics.image_size / 2 + reach / optics.pixel_size)
    size = math.ceil(min(wanted, 3 * optics.image_size))
    while size % 2 or scipy.fft.next_fast_len(size, real=True) != size:
        size += 1
    return size


def spectra_grid(
    optics: Optics, *, padded: int, change_max: float, k_max: float = math.inf
) -> SpectraGrid:
    """Lay folds and bins over the half plane of a `padded`² transform, up to `k_max` [Å⁻¹].

    On the column kx = 0 only ky > 0 counts, so that every pixel stands for itself and its mate.
    """
    step = 1.0 / (padded * optics.pixel_size)
    k_max = min(k_max, optics.nyquist)
    rows = np.arange(-math.ceil(k_max / step), math.ceil(k_max / step) + 1)
    start = np.where(rows > 0, 0, 1)
    end = np.ceil(np.sqrt(np.maximum((k_max / step) ** 2 - rows**2, 0))).astype(int)
    rows, start, end = (a[end > start] for a in (rows, start, end))
    first = np.concatenate([[0], np.cumsum(end - start)])
    ky = np.repeat(rows, end - start).astype(float)
    kx = np.arange(first[-1]) - np.repeat(first[:-1] - start, end - start).astype(float)
    seen_x, seen_y = effective_frequency(kx * step, ky * step, optics)
    s = seen_x**2 + seen_y**2
    edges = _bin_edges(optics, change_max, k_max)
    index = np.searchsorted(edges, np.sqrt(s), side="right") - 1
    outside = (index < 0) | (index >= len(edges) - 1)
    bins = len(edges) - 1
    slot = np.where(outside, 3 * bins, _fold(kx, ky, optics.image_size / padded) * bins + index)
    count = np.bincount(slot, minlength=3 * bins + 1)[:-1].reshape(3, bins)
    total = np.bincount(slot, weights=s, minlength=3 * bins + 1)[:-1].reshape(3, bins)
    odd = odd_phase(seen_x, seen_y, optics)
    phase = fixed_phase(s, optics) + even_phase(seen_x, seen_y, optics)
    return SpectraGrid(
        optics=optics,
        padded_size=padded,
        change_max=change_max,
        ky=rows,
        start=start,
        first=first,
        slot=slot.astype(np.uint16),
        phase=(phase / (2 * np.pi)).astype(np.float32),
        odd=np.exp(1j * odd).astype(np.complex64) if odd.any() else np.zeros(0, np.complex64),
        s=total.sum(axis=0) / np.maximum(count.sum(axis=0), 1),
        n=2.0 * count * (optics.image_size / padded) ** 2,
    )


def _bin_edges(optics, change_max, k_max):
    """Edges [Å⁻¹]: as narrow as a shell of the box, narrower where the phase asks for it."""
    shell = 1.0 / (optics.image_size * optics.pixel_size)
    ds = 2 * PHASE_PER_BIN / (np.pi * optics.wavelength * change_max)
    edges = [K_MIN]
    while edges[-1] < k_max:
        edges.append(min(edges[-1] + shell, math.sqrt(edges[-1] ** 2 + ds)))
    edges[-1] = max(k_max, edges[-1]) * (1 + 1e-9)
    return np.array(edges)


def _fold(kx, ky, shrink):
    """Fold of each pixel: blocks of rings x wedges, alternately FIRST and SECOND, GUARD between.

    Neighbouring pixels of a padded transform share noise, so pixels near a block's border belong
    to no fold. `shrink` turns padded into unpadded pixels. Wedges divide half a turn, so Friedel
    mates stay together; the phase of the alternation is a fixed hash of the ring.
    """
    radius = np.hypot(kx, ky) * shrink
    ring = np.floor(radius / RING)
    turn = np.mod(np.arctan2(ky, kx) / np.pi, 1.0)
    wedges = 2 * np.maximum(1, np.round(np.pi * (ring + 0.5) / 2))
    place = turn * wedges
    arc = np.pi * radius / wedges  # width of a wedge in unpadded pixels
    fold = (np.floor(place) + (ring * 7 + 3) // 2) % 2
    across = np.minimum(radius - ring * RING, (ring + 1) * RING - radius)
    along = np.minimum(place % 1, 1 - place % 1) * arc
    return np.where(np.minimum(across, along) < GUARD, Fold.GUARD, fold).astype(int)
