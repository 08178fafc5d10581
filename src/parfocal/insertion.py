"""Insertion of images into a Fourier volume: the adjoint of `projection.slice_row`, CTF-weighted."""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from parfocal.grid import SpectraGrid
from parfocal.jit import kernel, prefetch
from parfocal.optics import even_phase, fixed_phase
from parfocal.projection import cell_buffers, place_row
from parfocal.spectra import Views, row_phases

PARTS = 3  # numbers in a voxel: real and imaginary part of Σ t CTF X, and Σ t CTF²


@dataclass(frozen=True, kw_only=True)
class FourierSums:
    """Σ t CTF X and Σ t CTF² of the images inserted so far, t the trilinear weight of the voxel.

    `data` is float32 (2m+1, 2m+1, m+1, PARTS), laid out as `FourierVolume.data`: (z+m, y+m, x), only
    x >= 0 kept. One index step is 1 / (size pixel_size) Å⁻¹; images reach up to `k_max` [Å⁻¹].
    """

    data: np.ndarray
    size: int  # voxels along an edge of the whole grid: padding times the box
    pixel_size: float  # Å, of the map
    k_max: float

    @classmethod
    def zeros(cls, box: int, pixel_size: float, *, padding=2.0, k_max=np.inf) -> "FourierSums":
        """Empty sums for a map of `box` voxels of `pixel_size` [Å], oversampled by `padding`."""
        size = scipy.fft.next_fast_len(int(np.ceil(padding * box)), real=True)
        k_max = min(k_max, 0.5 / pixel_size)
        m = int(np.ceil(k_max * size * pixel_size)) + 2  # room for the right neighbour
        data = np.empty((2 * m + 1, 2 * m + 1, m + 1, PARTS), dtype=np.float32)
        data.fill(0)  # not np.zeros, whose small pages of memory make insertion twice as slow
        return cls(data=data, size=size, pixel_size=pixel_size, k_max=k_max)

    @property
    def spacing(self) -> float:
        """Å⁻¹."""
        return 1.0 / (self.size * self.pixel_size)

    @property
    def numerator(self) -> np.ndarray:
        """Σ t CTF X, complex64, a copy laid out as `FourierVolume.data`."""
        return self.data[..., 0] + np.complex64(1j) * self.data[..., 1]

    @property
    def weight(self) -> np.ndarray:
        """Σ t CTF², float32, a view."""
        return self.data[..., 2]


def insert(sums: FourierSums, image, views: Views, index: int, grid: SpectraGrid) -> None:
    """Add image `index` of `views`, turned back by its odd phase and shift, times its CTF.

    `image` is (transform, mean): that of the image less its mean, by `spectra.image_transform`. A pixel
    and its Friedel mate count as one: `close` completes the plane x = 0.
    """
    transform, mean = image
    # a pixel's value is a line integral in voxels of the map: the same whatever the pixel's size
    scale = (grid.optics.pixel_size / sums.pixel_size) ** 2
    chi = fixed_phase(0.0, grid.optics) + even_phase(0.0, 0.0, grid.optics)
    _add_origin(sums.data, mean * scale * grid.optics.image_size**2, chi, views.phase[index, 3])
    _insert(
        transform,
        sums.data.reshape(-1),
        len(sums.data),
        views.axes[index] / np.float32(sums.spacing),
        (views.phase[index], np.float32(scale)),
        (views.centre_x[index], views.centre_y[index]),
        (grid.ky, grid.start, grid.first, grid.phase, grid.odd),
    )


def _add_origin(data, total, chi, turns):
    """The zero frequency, which the pixels of the grid leave out; by half, for `close` doubles it."""
    m = len(data) // 2
    transfer = np.sin(chi + 2 * np.pi * turns)
    data[m, m, 0, 0] += total * transfer / 2
    data[m, m, 0, 2] += transfer**2 / 2


@kernel
def _insert(transform, volume, edge, axes, contrast, centre, layout):
    """Add one image to `volume`. Row by row: phases, addresses, a prefetch of each, then the sums."""
    coefficients, scale = contrast
    along_x, along_y = centre
    ky_of, start, first, fixed, odd = layout
    size, columns = transform.shape
    cosine, sine = np.empty(columns, np.float32), np.empty(columns, np.float32)
    offset, fx, fy, fz, sign = cell_buffers(columns)
    value, one = np.empty(columns, np.complex64), np.float32(1.0)
    row = np.int64(PARTS * (edge // 2 + 1))
    plane = row * edge
    for r in range(ky_of.size):
        x0, base = start[r], first[r]
        n = first[r + 1] - base
        ky = np.float32(ky_of[r])
        row_phases(coefficients, ky, x0, fixed[base : base + n], cosine, sine)
        place_row(edge, np.int64(PARTS), axes, (ky, x0, n), (offset, fx, fy, fz, sign))
        source = transform[ky_of[r] if ky_of[r] >= 0 else ky_of[r] + size]
        wy = along_y[r]
        for j in range(n):
            value[j] = source[x0 + j] * np.conj(along_x[x0 + j] * wy)
        if odd.size:
            for j in range(n):
                value[j] *= np.conj(odd[base + j])
        for j in range(n):
            for step in (np.int64(0), row, plane, plane + row):
                prefetch(volume, offset[j] + step)  # pyright: ignore[reportCallIssue]
        for j in range(n):
            transfer = sine[j]
            re = value[j].real * scale * transfer
            im = value[j].imag * sign[j] * scale * transfer
            weight = transfer * transfer
            gy, gz, gx = one - fy[j], one - fz[j], one - fx[j]
            a = offset[j]
            rows = (a, a + row, a + plane, a + plane + row)
            shares = (gz * gy, gz * fy[j], fz[j] * gy, fz[j] * fy[j])
            for corner in range(4):
                b, near, far = rows[corner], shares[corner] * gx, shares[corner] * fx[j]
                volume[b] += near * re
                volume[b + 1] += near * im
                volume[b + 2] += near * weight
                volume[b + 3] += far * re
                volume[b + 4] += far * im
                volume[b + 5] += far * weight


def close(sums: FourierSums) -> None:
    """Complete the plane x = 0, in place and once: a voxel there takes in its Friedel mate's sums."""
    plane = sums.data[:, :, 0]
    mate = plane[::-1, ::-1] * np.array([1, -1, 1], dtype=np.float32)
    plane += mate
