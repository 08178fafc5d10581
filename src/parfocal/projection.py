"""Central slices of a map's Fourier transform, by trilinear interpolation of an oversampled volume."""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from parfocal.jit import blend_rows, inlined, kernel, prefetch


@dataclass(frozen=True, kw_only=True)
class FourierVolume:
    """The transform of a map with its centre at the origin, on an oversampled grid.

    `data` is complex64 (2m+1, 2m+1, m+1), indexed (z+m, y+m, x); only x >= 0 is kept, the rest
    follows from Friedel's law. One index step is `spacing` Å⁻¹; slices are valid to `k_max`.
    """

    data: np.ndarray
    spacing: float
    k_max: float

    @property
    def floats(self) -> np.ndarray:
        """`data` as the kernels take it: flat float32, real and imaginary in turn."""
        return self.data.reshape(-1).view(np.float32)


def fourier_volume(density, pixel_size, *, k_max=None, oversampling=2.0) -> FourierVolume:
    """Transform a cubic map (float, (n, n, n), z y x) for slicing up to `k_max` [Å⁻¹].

    The map is divided by the transform of the trilinear kernel, sinc² along each axis, so that
    interpolated slices have the right amplitude. What remains are aliases of relative amplitude
    (r/(M-r))² for density at distance r from the centre on a grid of M = oversampling n points:
    a map whose density reaches the box edge is served badly at oversampling 2.
    """
    n = density.shape[0]
    size = scipy.fft.next_fast_len(int(np.ceil(oversampling * n)), real=True)
    spacing = 1.0 / (size * pixel_size)
    nyquist = 0.5 / pixel_size
    k_max = nyquist if k_max is None else min(k_max, nyquist)
    keep = int(np.ceil(k_max / spacing)) + 2  # room for the right neighbour, rounding included
    correction = 1.0 / np.sinc((np.arange(n) - n // 2) / size) ** 2
    out = np.asarray(density, dtype=np.float32)
    for axis in (2, 1, 0):
        shape = [1, 1, 1]
        shape[axis] = n
        out = out * correction.astype(np.float32).reshape(shape)
        out = _transform_axis(out, axis, size, keep)
    return FourierVolume(data=np.ascontiguousarray(out), spacing=spacing, k_max=k_max)


def _transform_axis(values, axis, size, keep):
    """Zero-pad one axis around its centre to `size`, transform, keep |index| <= `keep`, centred."""
    values = np.moveaxis(values, axis, -1)
    centre = values.shape[-1] // 2
    padded = np.zeros((*values.shape[:-1], size), dtype=values.dtype)
    padded[..., : values.shape[-1] - centre] = values[..., centre:]
    padded[..., size - centre :] = values[..., :centre]
    if axis != 2:
        full = scipy.fft.fft(padded, axis=-1, overwrite_x=True)
        return np.moveaxis(full[..., np.arange(-keep, keep + 1) % size], -1, axis)
    half = scipy.fft.rfft(padded, axis=-1, overwrite_x=True)[..., : keep + 1]
    beyond = keep + 1 - half.shape[-1]  # past the map's Nyquist there is nothing
    return np.pad(half, ((0, 0), (0, 0), (0, beyond))) if beyond > 0 else half


def slice_axes(pose, magnification, scale):
    """Steps in the volume's index space, (2, 3) float32 as (x, y, z), for one step of kx and of ky.

    The slice of pose A lies along Aᵀ(M k): RELION's anisotropic magnification M acts on k first.
    `scale` is the frequency step of the image's grid over the volume's.
    """
    matrix = np.asarray(magnification, dtype=float).reshape(2, 2)
    return (matrix.T @ np.asarray(pose)[:2] * scale).astype(np.float32)


@kernel
def slice_row(volume, edge, axes, span, cell, out):
    """Fill `out` with the slice along one row: kx = x0 ... x0 + n - 1 at ky, `span` = (ky, x0, n).

    `volume` is FourierVolume.floats, `edge` its number of planes, `axes` from `slice_axes`; `cell`
    is work space from `cell_buffers`. First all addresses, in wide registers; then a prefetch of
    each, for a slice meets the volume in no order that the hardware could guess; then the values.
    """
    offset, fx, fy, fz, sign = cell
    n = span[2]
    one = np.float32(1.0)  # an integer literal would turn all into float64
    row = np.int64(edge + 1)
    plane = row * edge
    place_row(edge, np.int64(2), axes, span, cell)
    for j in range(n):
        for step in (np.int64(0), row, plane, plane + row):
            prefetch(volume, offset[j] + step)  # pyright: ignore[reportCallIssue]
    for j in range(n):
        a, gy, gz = offset[j], one - fy[j], one - fz[j]
        rows = (a, a + row, a + plane, a + plane + row)
        weights = (gz * gy, gz * fy[j], fz[j] * gy, fz[j] * fy[j])
        re, im = blend_rows(volume, rows, weights, fx[j])  # pyright: ignore[reportCallIssue]
        out[j] = complex(re, im * sign[j])


@inlined
def place_row(edge, parts, axes, span, cell):
    """Fill `cell` for one row: where each pixel's voxel lies, and how far along it lies in there.

    `parts` floats make a voxel of a volume of `edge` planes; `span` and `cell` as in `slice_row`.
    """
    offset, fx, fy, fz, sign = cell
    ky, x0, n = span
    one, m = np.float32(1.0), np.float32(edge // 2)
    row = np.int64(parts * (edge // 2 + 1))
    plane = row * edge
    bx, by, bz = ky * axes[1, 0], ky * axes[1, 1], ky * axes[1, 2]
    for j in range(n):
        kx = np.float32(x0 + j)
        x, y, z = kx * axes[0, 0] + bx, kx * axes[0, 1] + by, kx * axes[0, 2] + bz
        flip = np.float32(-1.0) if x < np.float32(0.0) else one  # Friedel: the half x >= 0 is kept
        x, y, z = x * flip, y * flip + m, z * flip + m
        ix, iy, iz = np.int32(x), np.int32(y), np.int32(z)
        fx[j], fy[j], fz[j] = x - np.float32(ix), y - np.float32(iy), z - np.float32(iz)
        sign[j] = flip
        offset[j] = iz * plane + iy * row + parts * ix


@inlined
def cell_buffers(n):
    """Work space of `place_row` for rows of up to n pixels: offset, three fractions, sign."""
    return (
        np.empty(n, np.int64),
        np.empty(n, np.float32),
        np.empty(n, np.float32),
        np.empty(n, np.float32),
        np.empty(n, np.float32),
    )


@kernel
def _fill_slice(volume, edge, axes, k_limit, out):
    ny, nx = out.shape
    cell = cell_buffers(nx)
    for iy in range(ny):
        ky = iy if iy <= ny // 2 else iy - ny
        room = k_limit * k_limit - ky * ky
        if room > 0:
            n = min(nx, np.int64(np.ceil(np.sqrt(room))))
            slice_row(volume, edge, axes, (np.float32(ky), 0, n), cell, out[iy])


def project(volume: FourierVolume, pose, *, size, pixel_size, magnification=(1.0, 0.0, 0.0, 1.0)):
    """Transform of the projection along z of the map seen at `pose`: complex64 (size, size//2+1).

    Layout and sign of numpy.fft.rfft2, map centre at the transform's origin, one step 1/(size
    pixel_size); a pixel of the image is the sum of voxels along z. Zero beyond `volume.k_max`,
    which a magnification M reaches at |k| = k_max / ‖M‖.
    """
    step = 1.0 / (size * pixel_size)
    out = np.zeros((size, size // 2 + 1), dtype=np.complex64)
    stretch = np.linalg.norm(np.reshape(magnification, (2, 2)), 2)
    limit = min(volume.k_max / stretch, 0.5 / pixel_size) / step
    axes = slice_axes(pose, magnification, step / volume.spacing)
    _fill_slice(volume.floats, len(volume.data), axes, limit, out)
    return out
