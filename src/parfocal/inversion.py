"""From Fourier sums to the map: gridding weights, inverse transform, kernel corrected."""

import numpy as np
import scipy.fft

from parfocal.insertion import FourierSums
from parfocal.jit import inlined, kernel

SLAB = 16  # planes that are transformed at a time
FSC_RANGE = (1e-3, 0.999)  # that the FSC is held to where it regularises
ITERATIONS = 10  # of the gridding weights at most, RELION's number
SETTLED = 0.02  # rms of the smoothed density of views about 1 at which they end
TAPS = np.array([1.0, 0.59, 0.11, 0.003], dtype=np.float32)  # of the smoothing along one axis
LEAST = np.float32(1e-6)  # smoothed density, its mean 1, below which a voxel is taken for empty
MOST = np.float32(1e30)  # what gridding weights may grow to where there is nothing to be weighed
EDGE = 3.0  # voxels, of the raised cosine that ends the map's sphere


def map_of(
    parts: list[FourierSums], box: int, *, turned: float = 0.0, fsc=None, iterations=ITERATIONS
) -> np.ndarray:
    """Map, float32 (box, box, box), of the sums of `parts` together: inverse transform of g N.

    N = Σ t CTF X and W = Σ t CTF². The gridding weights g make g (W + τ) flat once smoothed over
    about a voxel: g = 1 / W where views are dense, and where they are few W is shared by neighbours
    (Pipe & Menon, Magn. Reson. Med. 41, 1999, with the width that RELION takes). τ is 0, or with
    `fsc` (n,), in shells of 1 / (box pixel_size), (1 - FSC) / FSC times the mean W of a part.
    With at most `iterations`, RELION's number, the map is RELION's. They flatten what noise there is
    too: of few noisy views, one iteration makes the better map, its amplitudes some percent lower.

    The map is divided by the transform of the trilinear kernel t, sinc² along each axis, and for the
    share `turned` of the sums by that squared. It falls to 0 beyond the sphere that fills the box,
    where not every view has been: there would be noise only.
    """
    first, m = parts[0], len(parts[0].data) // 2
    data = tuple(part.data for part in parts)
    buffer = np.empty((2 * m + 1, max(2 * m + 1, 2 * box), m + 1), dtype=np.float32)
    weights = buffer[:, : 2 * m + 1]
    _gridding(weights, parts, box / first.size, fsc, iterations)
    # planes y of the weights give way, one by one, to the half-transformed planes: (y, z, x)
    half_way = buffer.reshape(2 * m + 1, -1)[:, : 2 * box * (m + 1)].view(np.complex64)
    half_way = half_way.reshape(2 * m + 1, box, m + 1)
    last = min(m, (first.size - 1) // 2)
    keep = np.arange(-last, last + 1)
    for y in range(0, 2 * m + 1, SLAB):
        values = np.zeros((first.size, min(SLAB, 2 * m + 1 - y), m + 1), dtype=np.complex64)
        _weigh(data, weights[y : y + SLAB], y, values)
        values = scipy.fft.ifft(values, axis=0, overwrite_x=True)
        _centre(values, half_way[y : y + SLAB].swapaxes(0, 1))
    out = np.empty((box, box, box), dtype=np.float32)
    for z in range(0, box, SLAB):
        values = np.zeros((first.size, min(SLAB, box - z), m + 1), dtype=np.complex64)
        values[keep] = half_way[keep + m, z : z + SLAB]
        values = scipy.fft.ifft(values, axis=0, overwrite_x=True)
        rows = np.empty((box, *values.shape[1:]), dtype=np.complex64)
        _centre(values, rows)
        real = scipy.fft.irfft(rows[..., : last + 1], n=first.size, axis=-1, overwrite_x=True)
        _centre(real.transpose(2, 1, 0), out[z : z + SLAB].transpose(2, 0, 1))
    place = (np.arange(box) - box // 2) / first.size
    _correct(out, np.sinc(place).astype(np.float32) ** 2, turned)
    return out


def _centre(values, out):
    """Fill `out` with the voxels of `values` about index 0 of the first axis, which goes to n//2."""
    half = len(out) // 2
    out[half:] = values[: len(out) - half]
    out[:half] = values[len(values) - half :]


def _gridding(weights, parts: list[FourierSums], shells_a_voxel, fsc, iterations) -> None:
    """Fill `weights` (y, z, x) with the gridding weights g of `parts`; 0 beyond their `k_max`."""
    data = tuple(part.data for part in parts)
    ratio, radius = np.float32(shells_a_voxel), np.float32(parts[0].k_max / parts[0].spacing)
    mean = _shell_means(data, ratio)
    tau = np.zeros(0)
    if fsc is not None:
        held = np.clip(np.asarray(fsc, dtype=float), *FSC_RANGE)
        held = np.interp(np.arange(len(mean)), np.arange(len(held)), held, right=FSC_RANGE[0])
        tau = mean / len(data) * (1 - held) / held
    weights[...] = 1 / mean.mean() if mean.any() else 0
    taps = TAPS / (TAPS[0] + 2 * TAPS[1:].sum())
    for _ in range(iterations):
        if _smooth_once(weights, data, (tau.astype(np.float32), ratio, radius), taps) < SETTLED:
            return


@kernel
def _weigh(parts, weights, first, out):
    """Put g N of the planes y of `weights` (planes, z, x), from `first` on, into `out` (z, planes, x).

    There z is counted from 0 and wraps, as the FFT has it. What lies beyond its reach is 0.
    """
    planes, edge, columns = weights.shape
    size, m = len(out), edge // 2
    last = min(m, (size - 1) // 2)
    for i in range(planes):
        for z in range(m - last, m + last + 1):
            there = out[z - m if z >= m else z - m + size, i]
            for part in parts:
                for x in range(columns):
                    voxel, g = part[z, first + i, x], weights[i, z, x]
                    there[x] += complex(g * voxel[0], g * voxel[1])


@kernel
def _correct(density, line, turned):
    """Divide `density`, in place, by the kernel's transform, and end it with the box's sphere."""
    n = len(density)
    radius, one, turned = n // 2, np.float32(1), np.float32(turned)
    for z in range(n):
        for y in range(n):
            square, across = (z - n // 2) ** 2 + (y - n // 2) ** 2, line[z] * line[y]
            row = density[z, y]
            for x in range(n):
                seen = across * line[x]
                row[x] /= seen * (one - turned + turned * seen)
            for x in range(n):
                r2 = square + (x - n // 2) ** 2
                if r2 > radius**2:
                    beyond = min((np.sqrt(np.float32(r2)) - radius) / EDGE, 1.0)
                    row[x] *= 0.5 + 0.5 * np.cos(np.pi * beyond)


@kernel
def _smooth_once(weights, parts, shells, taps):
    """Divide `weights`, in place, by weights (W + τ) smoothed; returns the rms of that about 1.

    Plane by plane: along x and z at once, along y from the last seven planes, of which those to come
    are not divided yet. A row begins with the Friedel mates of its first voxels.
    """
    edge, m = len(weights), len(weights) // 2
    radius = shells[2]
    near = np.zeros((edge, edge, 4), np.float32)
    for y in range(edge):
        for z in range(edge):
            _weigh_row(weights, parts, shells, (y, z, 4), near[y, z])
    row = np.zeros(m + 7, np.float32)
    along_x = np.zeros((edge + 6, m + 1), np.float32)
    ring = np.zeros((7, edge, m + 1), np.float32)
    smooth = np.zeros(m + 1, np.float32)
    square, count = 0.0, 1
    t0, t1, t2, t3 = taps[0], taps[1], taps[2], taps[3]
    for ahead in range(edge + 3):
        there = ring[ahead % 7]
        if ahead < edge:
            for z in range(edge):
                _weigh_row(weights, parts, shells, (ahead, z, m + 1), row[3 : m + 4])
                for i in range(3):
                    row[2 - i] = near[edge - 1 - ahead, edge - 1 - z, i + 1]
                out = along_x[z + 3]
                for x in range(m + 1):
                    out[x] = (
                        t0 * row[x + 3]
                        + t1 * (row[x + 2] + row[x + 4])
                        + t2 * (row[x + 1] + row[x + 5])
                        + t3 * (row[x] + row[x + 6])
                    )
            for z in range(edge):
                for x in range(m + 1):
                    there[z, x] = (
                        t0 * along_x[z + 3, x]
                        + t1 * (along_x[z + 2, x] + along_x[z + 4, x])
                        + t2 * (along_x[z + 1, x] + along_x[z + 5, x])
                        + t3 * (along_x[z, x] + along_x[z + 6, x])
                    )
        else:
            there[...] = 0
        y = ahead - 3
        if y < 0:
            continue
        for z in range(edge):
            reach = _reach(radius, y - m, z - m, m + 1)
            for x in range(reach):
                smooth[x] = (
                    t0 * ring[y % 7, z, x]
                    + t1 * (ring[(y + 6) % 7, z, x] + ring[(y + 1) % 7, z, x])
                    + t2 * (ring[(y + 5) % 7, z, x] + ring[(y + 2) % 7, z, x])
                    + t3 * (ring[(y + 4) % 7, z, x] + ring[(y + 3) % 7, z, x])
                )
            for x in range(reach):
                weights[y, z, x] = min(weights[y, z, x] / max(smooth[x], LEAST), MOST)
                square += (smooth[x] - np.float32(1)) ** 2
            weights[y, z, reach:] = 0
            count += reach
    return np.sqrt(square / count)


@inlined
def _weigh_row(weights, parts, shells, place, out):
    """weights (W + τ) of the first voxels of a row, 0 beyond the sphere; `place` = (y, z, how many)."""
    tau, ratio, radius = shells
    y, z, n = place
    m = len(weights) // 2
    square = np.float32((z - m) ** 2 + (y - m) ** 2)
    reach = _reach(radius, z - m, y - m, n)
    out[:] = 0
    for part in parts:
        for x in range(reach):
            out[x] += part[z, y, x, 2]
    if tau.size:
        for x in range(reach):
            r = np.sqrt(square + np.float32(x * x))
            out[x] += tau[np.int64(r * ratio + np.float32(0.5))]
    for x in range(reach):
        out[x] *= weights[y, z, x]


@inlined
def _reach(radius, z, y, n):
    """How many of the first `n` voxels of a row lie within `radius`."""
    room = radius * radius - np.float32(z * z + y * y)
    return min(n, np.int64(np.ceil(np.sqrt(room)))) if room > np.float32(0) else 0


@kernel
def _shell_means(parts, ratio):
    """Mean weight of the voxels of each shell of 1 / `ratio` voxels, the zero frequency's first."""
    edge, m = len(parts[0]), len(parts[0]) // 2
    shells = np.int64(m * ratio) + 2
    total, count = np.zeros(shells), np.zeros(shells)
    for z in range(edge):
        for y in range(edge):
            for x in range(_reach(np.float32(m), z - m, y - m, m + 1)):
                r = np.sqrt(np.float32((z - m) ** 2 + (y - m) ** 2 + x**2))
                shell = np.int64(r * ratio + np.float32(0.5))
                both = 1.0 if x == 0 else 2.0  # its Friedel mate is not kept
                for part in parts:
                    total[shell] += both * part[z, y, x, 2]
                count[shell] += both
    return total / np.maximum(count, 1.0)
