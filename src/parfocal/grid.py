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
SECTORS = 16  # over half a turn, to see astigmatism by: a sector spans 22.5° of 2φ


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
    sector_slot: np.ndarray  # (pixels,) uint, (sector * 3 + fold) * bins + bin; empty if not asked
    phase: np.ndarray  # (pixels,) float32, turns: the part of χ₀ / 2π that no particle changes
    odd: np.ndarray  # (pixels,) complex64, exp(i odd aberration); empty where there is none
    s: np.ndarray  # (bins,) Å⁻², mean of |M k|² over the bin
    n: np.ndarray  # (3, bins) number of independent real values in each fold and bin

    @property
    def bins(self) -> int:
        return len(self.s)

    @property
    def sectors(self) -> int:
        """Sectors of the half turn that the pixels are told apart by: SECTORS, or 0."""
        return SECTORS if self.sector_slot.size else 0

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
    particle's `radius` [Å], it wraps once radius + delocalisation exceeds padded - box / 2. From
    three boxes on it may: a box that tight has lost the wave anyway.
    """
    reach = delocalisation(np.linspace(0, k_max, 64), defocus_max, optics).max() + radius
    wanted = max(optics.image_size, optics.image_size / 2 + reach / optics.pixel_size)
    size = math.ceil(min(wanted, 3 * optics.image_size))
    while size % 2 or scipy.fft.next_fast_len(size, real=True) != size:
        size += 1
    return size


def spectra_grid(
    optics: Optics,
    *,
    padded: int,
    change_max: float,
    k_max: float = math.inf,
    astigmatism: bool = False,
) -> SpectraGrid:
    """Lay folds and bins over the half plane of a `padded`² transform, up to |M k| = `k_max` [Å⁻¹].

    On the column kx = 0 only ky > 0 counts, so that every pixel stands for itself and its mate.
    With `astigmatism` the pixels are told apart by the azimuth of M k too.
    """
    step = 1.0 / (padded * optics.pixel_size)
    k_max = min(k_max, optics.nyquist)
    half = np.arange(padded // 2 + 1)
    kx, ky = np.meshgrid(half, np.concatenate([-half[:0:-1], half]))
    seen_x, seen_y = effective_frequency(kx * step, ky * step, optics)
    inside = np.hypot(seen_x, seen_y) < k_max * (1 - 1e-9)  # an ellipse: each row in one piece
    inside &= (np.hypot(kx, ky) * step < optics.nyquist * (1 - 1e-9)) & ((kx > 0) | (ky > 0))
    rows = inside.any(axis=1)
    first = np.concatenate([[0], np.cumsum(inside.sum(axis=1)[rows])])
    kx, ky, seen_x, seen_y = (a[inside] for a in (kx, ky, seen_x, seen_y))
    s = seen_x**2 + seen_y**2
    bins, index = _bin_index(np.sqrt(s), optics, change_max, k_max)
    fold = _fold(kx, ky, optics.image_size / padded)
    slot = np.where(index < 0, 3 * bins, fold * bins + index)
    count = np.bincount(slot, minlength=3 * bins + 1)[:-1].reshape(3, bins)
    total = np.bincount(slot, weights=s, minlength=3 * bins + 1)[:-1].reshape(3, bins)
    odd = odd_phase(seen_x, seen_y, optics)
    phase = fixed_phase(s, optics) + even_phase(seen_x, seen_y, optics)
    return SpectraGrid(
        optics=optics,
        padded_size=padded,
        change_max=change_max,
        ky=np.arange(-half[-1], half[-1] + 1)[rows],
        start=inside.argmax(axis=1)[rows],
        first=first,
        slot=slot.astype(np.uint16),
        sector_slot=_sector_slot(slot, seen_x, seen_y, bins) if astigmatism else slot[:0],
        phase=(phase / (2 * np.pi)).astype(np.float32),
        odd=np.exp(1j * odd).astype(np.complex64) if odd.any() else np.zeros(0, np.complex64),
        s=total.sum(axis=0) / count.sum(axis=0),
        n=2.0 * count * (optics.image_size / padded) ** 2,
    )


def _bin_index(k, optics, change_max, k_max):
    """(number of bins, bin of each frequency `k` [Å⁻¹] or -1): only bins that hold a pixel count.

    As narrow as a shell of the box, narrower where the phase asks for it.
    """
    shell = 1.0 / (optics.image_size * optics.pixel_size)
    ds = 2 * PHASE_PER_BIN / (np.pi * optics.wavelength * change_max)
    edges = [K_MIN]
    while edges[-1] < k_max:
        edges.append(min(edges[-1] + shell, math.sqrt(edges[-1] ** 2 + ds)))
    used, index = np.unique(np.searchsorted(edges, k, side="right"), return_inverse=True)
    below = int(used[0] == 0)  # pixels below K_MIN
    return len(used) - below, index - below


def _sector_slot(slot, seen_x, seen_y, bins):
    """`slot` within its sector of the azimuth, modulo half a turn."""
    sector = np.floor(np.arctan2(seen_y, seen_x) / np.pi * SECTORS).astype(int) % SECTORS
    within = np.where(slot < 3 * bins, sector * 3 * bins + slot, SECTORS * 3 * bins)
    return within.astype(np.uint16 if SECTORS * 3 * bins < 2**16 else np.uint32)


def block_fold(kx, ky, shrink):
    """Fold of the block that each pixel lies in: rings x wedges, alternately FIRST and SECOND.

    `shrink` turns pixels into those of the unpadded transform. Wedges divide half a turn, so Friedel
    mates stay together; the phase of the alternation is a fixed hash of the ring.
    """
    ring, place, _ = _blocks(kx, ky, shrink)
    return ((np.floor(place) + (ring * 7 + 3) // 2) % 2).astype(int)


def _fold(kx, ky, shrink):
    """Fold of each pixel: that of its block, GUARD where another block is near.

    Neighbouring pixels of a padded transform share noise, so pixels near a block's border belong
    to no fold.
    """
    ring, place, wedges = _blocks(kx, ky, shrink)
    radius = np.hypot(kx, ky) * shrink
    across = np.minimum(radius - ring * RING, (ring + 1) * RING - radius)
    aside = radius * np.sin(np.pi / wedges * np.minimum(place % 1, 1 - place % 1))
    near = np.minimum(across, aside) < GUARD
    return np.where(near, Fold.GUARD, block_fold(kx, ky, shrink))


def _blocks(kx, ky, shrink):
    """(ring, place in it counted in wedges, wedges of the ring) of each pixel."""
    ring = np.floor(np.hypot(kx, ky) * shrink / RING)
    wedges = 2 * np.maximum(1, np.round(np.pi * (ring + 0.5) / 2))
    return ring, np.mod(np.arctan2(ky, kx) / np.pi, 1.0) * wedges, wedges
