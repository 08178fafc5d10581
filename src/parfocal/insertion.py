"""Insertion of images into a Fourier volume: the adjoint of `projection.slice_row`, CTF-weighted."""

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft

from parfocal import pages
from parfocal.ewald import Sphere
from parfocal.grid import SpectraGrid
from parfocal.jit import inlined, kernel, prefetch
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
        size, shape = _layout(box, pixel_size, padding, k_max)
        k_max = min(k_max, 0.5 / pixel_size)
        return cls(data=pages.zeros(shape), size=size, pixel_size=pixel_size, k_max=k_max)

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


def sums_bytes(box: int, pixel_size: float, *, padding=2.0, k_max=np.inf) -> int:
    """Memory that `FourierSums.zeros` of these takes, in bytes."""
    return math.prod(_layout(box, pixel_size, padding, k_max)[1]) * 4


def _layout(box, pixel_size, padding, k_max) -> tuple[int, tuple[int, int, int, int]]:
    """Voxels along an edge of the whole grid, and the shape of what is kept of it."""
    size = scipy.fft.next_fast_len(int(np.ceil(padding * box)), real=True)
    m = (
        int(np.ceil(min(k_max, 0.5 / pixel_size) * size * pixel_size)) + 2
    )  # a right neighbour's room
    return size, (2 * m + 1, 2 * m + 1, m + 1, PARTS)


def insert(
    sums: FourierSums,
    image,
    views: Views,
    index: int,
    grid: SpectraGrid,
    sphere: Sphere | None = None,
) -> None:
    """Add image `index` of `views`, turned back by its odd phase and shift, times its CTF.

    `image` is (transform, mean): that of the image less its mean, by `spectra.image_transform`; with a
    mean of None the zero frequency is left out. A pixel and its Friedel mate count as one: `close`
    completes the plane x = 0. On a `sphere` the image goes to two bent slices, see `ewald`.
    """
    transform, mean = image
    # a pixel's value is a line integral in voxels of the map: the same whatever the pixel's size
    scale = (grid.optics.pixel_size / sums.pixel_size) ** 2
    if mean is not None:
        chi = fixed_phase(0.0, grid.optics) + even_phase(0.0, 0.0, grid.optics)
        _add_origin(sums.data, mean * scale * grid.optics.image_size**2, chi, views.phase[index, 3])
    axes = views.axes[index] / np.float32(sums.spacing)
    contrast = views.phase[index], np.float32(scale)
    centre = views.centre_x[index], views.centre_y[index]
    layout = grid.ky, grid.start, grid.first, grid.phase, grid.odd
    volume = sums.data.reshape(-1)
    if sphere is None:
        _insert(transform, volume, len(sums.data), axes, contrast, centre, layout)
        return
    beam = np.cross(axes[0], axes[1])  # the beam's direction in the map
    bend = (beam / np.linalg.norm(beam) * sphere.bend * sums.spacing).astype(np.float32)
    bent = np.concatenate([axes, bend[None]])
    _insert_bent(
        transform, volume, len(sums.data), bent, contrast, centre, (*layout, sphere.overlap)
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
    ky_of, start, first, fixed, odd = layout
    columns = transform.shape[1]
    cosine, sine = np.empty(columns, np.float32), np.empty(columns, np.float32)
    cell = cell_buffers(columns)
    value, weight = np.empty(columns, np.complex64), np.empty(columns, np.float32)
    for r in range(ky_of.size):
        x0, base = start[r], first[r]
        n = first[r + 1] - base
        ky = np.float32(ky_of[r])
        row_phases(coefficients, ky, x0, fixed[base : base + n], cosine, sine)
        place_row(edge, np.int64(PARTS), axes, (ky, x0, n), cell)
        _turn_back(transform, centre, (r, ky_of[r], x0, n), odd[base : base + n], value)
        for j in range(n):
            value[j] *= scale * sine[j]
            weight[j] = sine[j] * sine[j]
        _scatter(volume, edge, cell, n, value, weight)


@kernel
def _insert_bent(transform, volume, edge, axes, contrast, centre, layout):
    """As `_insert`, to the slices kz = ∓ bend s; `axes` (3, 3) ends with the beam times bend."""
    coefficients, scale = contrast
    ky_of, start, first, fixed, odd, overlap = layout
    columns, half, one = transform.shape[1], np.float32(0.5), np.float32(1)
    cosine, sine = np.empty(columns, np.float32), np.empty(columns, np.float32)
    cell = cell_buffers(columns)
    value, weight = np.empty(columns, np.complex64), np.empty(columns, np.float32)
    part = np.empty(columns, np.complex64)
    along, across = np.empty(columns, np.float32), np.empty(columns, np.float32)
    for r in range(ky_of.size):
        x0, base = start[r], first[r]
        n = first[r + 1] - base
        ky = np.float32(ky_of[r])
        row_phases(coefficients, ky, x0, fixed[base : base + n], cosine, sine)
        _turn_back(transform, centre, (r, ky_of[r], x0, n), odd[base : base + n], value)
        for j in range(n):  # both are halves of the plane's own where the slices are alike: c = 1
            c = overlap[base + j]
            across[j] = half * scale * cosine[j] * (one - c) / (one + c)
            along[j] = half * scale * sine[j]
            weight[j] = half * half * (one + c) * sine[j] * sine[j]
            weight[j] += half * half * (one - c) ** 2 / (one + c) * cosine[j] * cosine[j]
        for side in (-one, one):
            _place_bent(edge, axes, side, (ky, x0, n), cell)
            for j in range(n):
                part[j] = value[j] * complex(along[j], -side * across[j])
            _scatter(volume, edge, cell, n, part, weight)


@inlined
def _turn_back(transform, centre, row, odd, value):
    """Fill `value` with one row of an image, shift and odd phase undone; `row` = (r, ky, x0, n)."""
    along_x, along_y = centre
    r, ky, x0, n = row
    source = transform[ky if ky >= 0 else ky + transform.shape[0]]
    wy = along_y[r]
    for j in range(n):
        value[j] = source[x0 + j] * np.conj(along_x[x0 + j] * wy)
    if odd.size:
        for j in range(n):
            value[j] *= np.conj(odd[j])


@inlined
def _place_bent(edge, axes, side, span, cell):
    """As `projection.place_row`, off the plane by `side` times |k|² along the third of `axes`."""
    offset, fx, fy, fz, sign = cell
    ky, x0, n = span
    one, m = np.float32(1.0), np.float32(edge // 2)
    row = np.int64(PARTS * (edge // 2 + 1))
    plane = row * edge
    bx, by, bz = ky * axes[1, 0], ky * axes[1, 1], ky * axes[1, 2]
    for j in range(n):
        kx = np.float32(x0 + j)
        x, y, z = kx * axes[0, 0] + bx, kx * axes[0, 1] + by, kx * axes[0, 2] + bz
        off = side * (x * x + y * y + z * z)
        x, y, z = x + off * axes[2, 0], y + off * axes[2, 1], z + off * axes[2, 2]
        flip = np.float32(-1.0) if x < np.float32(0.0) else one
        x, y, z = x * flip, y * flip + m, z * flip + m
        ix, iy, iz = np.int32(x), np.int32(y), np.int32(z)
        fx[j], fy[j], fz[j] = x - np.float32(ix), y - np.float32(iy), z - np.float32(iz)
        sign[j] = flip
        offset[j] = iz * plane + iy * row + PARTS * ix


@inlined
def _scatter(volume, edge, cell, n, value, weight):
    """Add a row of values and weights to the eight voxels around each pixel, prefetched first."""
    offset, fx, fy, fz, sign = cell
    one = np.float32(1.0)
    row = np.int64(PARTS * (edge // 2 + 1))
    plane = row * edge
    for j in range(n):
        for step in (np.int64(0), row, plane, plane + row):
            prefetch(volume, offset[j] + step)  # pyright: ignore[reportCallIssue]
    for j in range(n):
        re, im, w = value[j].real, value[j].imag * sign[j], weight[j]
        gy, gz, gx = one - fy[j], one - fz[j], one - fx[j]
        a = offset[j]
        rows = (a, a + row, a + plane, a + plane + row)
        shares = (gz * gy, gz * fy[j], fz[j] * gy, fz[j] * fy[j])
        for corner in range(4):
            b, near, far = rows[corner], shares[corner] * gx, shares[corner] * fx[j]
            volume[b] += near * re
            volume[b + 1] += near * im
            volume[b + 2] += near * w
            volume[b + 3] += far * re
            volume[b + 4] += far * im
            volume[b + 5] += far * w


def close(sums: FourierSums) -> None:
    """Complete the plane x = 0, in place and once: a voxel there takes in its Friedel mate's sums."""
    plane = sums.data[:, :, 0]
    mate = plane[::-1, ::-1] * np.array([1, -1, 1], dtype=np.float32)
    plane += mate


def give_back_corners(sums: FourierSums) -> int:
    """Let go of the memory beyond the sphere that images reach, a fifth of all; returns the bytes."""
    edge, row = len(sums.data), sums.data[0, 0].size
    m = edge // 2
    away = np.abs(np.arange(edge) - m)
    room = (
        sums.k_max / sums.spacing + 2
    ) ** 2 - away**2  # 2: a right neighbour's room, as `_layout`
    reach = np.where(room > 0, np.ceil(np.sqrt(np.maximum(room, 0))), -1).astype(int)
    rows = np.arange(edge) * edge
    begins = (rows + np.clip(m - reach, 0, edge)) * row  # of what each plane z keeps
    ends = np.where(reach < 0, begins, (rows + np.clip(m + reach + 1, 0, edge)) * row)
    return pages.give_back(
        sums.data,
        zip([0, *ends.tolist()], [*begins.tolist(), sums.data.size], strict=True),
    )
