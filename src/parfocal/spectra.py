"""The pass over the images: particles + reference -> defocus spectra, to ask any question of.

A change δ of a particle's mean defocus adds the phase π λ δ s, s = |k|², to χ. For image transform
X and reference slice P (shift and odd aberrations applied, no CTF), with base phase χ₀, all that a
radially weighted cost can ask is in these sums over narrow bins b of s:

    A_b = Σ Re[X* P] exp(iχ₀)   B_b = Σ |P|² exp(2iχ₀)   Q_b = Σ |X|² exp(2iχ₀)
    E_b = Σ |P|²                X_b = Σ |X|²             n_b = number of independent real values

A change of astigmatism adds a phase that turns with the azimuth φ of k as cos 2φ and sin 2φ. What it
does is held, where asked for, by the harmonics of A and B: the same sums times cos 2φ ... sin 4φ.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from parfocal.conventions import astigmatism_vector, rotation_matrix
from parfocal.grid import SECTORS, SpectraGrid
from parfocal.jit import kernel
from parfocal.particles import ImageError, Particles
from parfocal.projection import FourierVolume, cell_buffers, slice_row

SUMS = ("A", "iA", "B", "iB", "Q", "iQ", "E", "X")
WAVES = ("cos 2φ", "sin 2φ", "cos 4φ", "sin 4φ")
HARMONICS = tuple(f"{name} {wave}" for name in SUMS[:4] for wave in WAVES)
ROUNDING = 5e-7  # of float32 numbers: an image that varies by less around its mean is constant


@dataclass(frozen=True, kw_only=True)
class Views:
    """How m particles are seen: all that turns a slice of the reference into their image."""

    axes: np.ndarray  # (m, 2, 3) float32, steps of the slice in index space times volume spacing
    phase: np.ndarray  # (m, 4) float32, turns: χ₀ / 2π = a kx² + b kx ky + c ky² + d + grid.phase
    centre_x: np.ndarray  # (m, columns) complex64, exp(-2πi kx cx), c the particle's place
    centre_y: np.ndarray  # (m, rows)


def views_of(particles: Particles, grid: SpectraGrid) -> Views:
    """Poses, base phases and shifts of `particles`, all of the optics group of `grid`."""
    optics, size = grid.optics, grid.padded_size
    step = 1.0 / (size * optics.pixel_size)
    m = np.asarray(optics.magnification, dtype=float).reshape(2, 2)
    pose = rotation_matrix(particles.rot, particles.tilt, particles.psi)
    mean, cosine, sine = astigmatism_vector(
        particles.defocus_u, particles.defocus_v, particles.defocus_angle
    )
    seen = np.array([[mean + cosine, sine], [sine, mean - cosine]]).transpose(2, 0, 1)
    form = m.T @ seen @ m * (optics.wavelength / 2 * step**2)  # z |M k|² = kᵀ form k
    coefficients = [form[:, 0, 0], 2 * form[:, 0, 1], form[:, 1, 1]]
    coefficients.append(particles.phase_shift / (2 * np.pi))
    centre = optics.image_size // 2
    columns = np.arange((grid.start + np.diff(grid.first)).max())
    x = (centre - particles.origin_x / optics.pixel_size) / size
    y = (centre - particles.origin_y / optics.pixel_size) / size
    return Views(
        axes=(m.T @ pose[:, :2] * step).astype(np.float32),
        phase=np.stack(coefficients, axis=1).astype(np.float32),
        centre_x=np.exp(-2j * np.pi * np.outer(x, columns)).astype(np.complex64),
        centre_y=np.exp(-2j * np.pi * np.outer(y, grid.ky)).astype(np.complex64),
    )


def spectra_of(
    image, views: Views, index: int, volume: FourierVolume, grid: SpectraGrid
) -> tuple[np.ndarray, np.ndarray]:
    """Defocus spectra of one particle: float32 (3, bins, 8), folds by bins by SUMS; and harmonics.

    `image` is float32 (box, box), `index` its place in `views`. The sums are scaled to the box's
    own transform, whole plane: white noise of variance v gives X = n v box². The harmonics are
    (bins, 16), bins by HARMONICS, over all folds; (0, 16) where the grid has no sectors. Raises
    ImageError for an image that is not finite or constant.
    """
    transform = image_transform(image, grid, views.centre_x.shape[1])
    sectors = max(1, grid.sectors)
    slot = grid.sector_slot if grid.sectors else grid.slot
    acc = np.zeros((sectors * 3 * grid.bins + 1, len(SUMS)), dtype=np.float32)
    _accumulate(
        transform,
        volume.floats,
        len(volume.data),
        views.axes[index] / np.float32(volume.spacing),
        views.phase[index],
        (views.centre_x[index], views.centre_y[index]),
        (grid.ky, grid.start, grid.first, slot, grid.phase, grid.odd),
        acc,
    )
    # the half plane counts twice; a padded transform has more pixels than independent values
    scale = np.float32(2.0 * (grid.optics.image_size / grid.padded_size) ** 2)
    parts = acc[:-1].reshape(sectors, 3, grid.bins, len(SUMS))
    harmonics = _harmonics(parts) if grid.sectors else np.zeros((0, len(HARMONICS)), np.float32)
    return parts.sum(axis=0) * scale, harmonics * scale


def _harmonics(parts):
    """(bins, 16) of the sums `parts` (SECTORS, 3, bins, 8) of each sector."""
    middle = np.pi * (np.arange(SECTORS) + 0.5) / SECTORS
    waves = []
    for order in (2, 4):
        mean = np.sinc(order / (2 * SECTORS))  # of a wave over a sector: sin x / x, x half its turn
        waves += [mean * np.cos(order * middle), mean * np.sin(order * middle)]
    whole = parts[:, 0] + parts[:, 1] + parts[:, 2]
    turned = np.dot(np.array(waves, np.float32), whole.reshape(SECTORS, -1))
    turned = turned.reshape(len(WAVES), -1, len(SUMS))[..., : len(HARMONICS) // len(WAVES)]
    return np.moveaxis(turned, 0, -1).reshape(-1, len(HARMONICS))


def image_transform(image, grid: SpectraGrid, columns: int):
    """The first `columns` of the zero-padded image's transform, complex64 (padded, columns)."""
    with np.errstate(invalid="ignore", over="ignore"):
        mean = image.mean()
        centred = image - mean  # or the box's edge would ring through the padding
        power = np.vdot(centred, centred)
    if not np.isfinite(power):
        raise ImageError("NaN or infinite pixels")
    if power <= image.size * (ROUNDING * mean) ** 2:
        raise ImageError("constant image")
    rows = scipy.fft.rfft(centred, n=grid.padded_size, axis=1)[:, :columns]
    return scipy.fft.fft(rows, n=grid.padded_size, axis=0)


@kernel
def _accumulate(transform, volume, edge, axes, coefficients, centre, layout, acc):
    """Add one particle's sums to `acc` (slots, 8). Row by row: phases, slice, then bins."""
    along_x, along_y = centre
    ky_of, start, first, slot, fixed, odd = layout
    size, columns = transform.shape
    cosine, sine = np.empty(columns, np.float32), np.empty(columns, np.float32)
    image, reference = np.empty(columns, np.complex64), np.empty(columns, np.complex64)
    cell = cell_buffers(columns)
    for row in range(ky_of.size):
        x0, base = start[row], first[row]
        n = first[row + 1] - base
        ky = np.float32(ky_of[row])
        slice_row(volume, edge, axes, (ky, x0, n), cell, reference)
        row_phases(coefficients, ky, x0, fixed[base : base + n], cosine, sine)
        source = transform[ky_of[row] if ky_of[row] >= 0 else ky_of[row] + size]
        wy = along_y[row]
        for j in range(n):
            image[j] = np.conj(source[x0 + j]) * (along_x[x0 + j] * wy)
        if odd.size:
            for j in range(n):
                image[j] *= odd[base + j]
        for j in range(n):
            w, p, c, s = image[j], reference[j], cosine[j], sine[j]
            a = w.real * p.real - w.imag * p.imag
            e = p.real * p.real + p.imag * p.imag
            x = w.real * w.real + w.imag * w.imag
            c2, s2 = c * c - s * s, np.float32(2) * c * s
            out = acc[slot[base + j]]
            out[0] += a * c
            out[1] += a * s
            out[2] += e * c2
            out[3] += e * s2
            out[4] += x * c2
            out[5] += x * s2
            out[6] += e
            out[7] += x


@kernel
def row_phases(coefficients, ky, x0, fixed, cosine, sine):
    """cos and sin of χ₀ along a row, branch-free so that the compiler can use wide registers."""
    a, b = coefficients[0], coefficients[1] * ky
    d = coefficients[2] * ky * ky + coefficients[3]
    for j in range(fixed.size):
        kx = np.float32(x0 + j)
        turns = (a * kx + b) * kx + d + fixed[j]
        u = turns - np.floor(turns + np.float32(0.5))  # in [-1/2, 1/2]
        # Taylor sums of sin and cos of π u, |π u| <= π / 2, good to 1e-7; then the double angle
        v = u * u
        half_sine = u * (
            np.float32(3.1415927)
            + v
            * (
                np.float32(-5.1677128)
                + v
                * (
                    np.float32(2.5501640)
                    + v
                    * (
                        np.float32(-0.59926453)
                        + v * (np.float32(0.08214589) + v * np.float32(-0.0073704310))
                    )
                )
            )
        )
        sine_square = half_sine * half_sine
        cosine[j] = np.float32(1) - np.float32(2) * sine_square
        half_cosine = np.float32(1) + v * (
            np.float32(-4.9348022)
            + v
            * (
                np.float32(4.0587121)
                + v
                * (
                    np.float32(-1.3352627)
                    + v
                    * (
                        np.float32(0.23533063)
                        + v * (np.float32(-0.025806891) + v * np.float32(0.0019295743))
                    )
                )
            )
        )
        sine[j] = np.float32(2) * half_sine * half_cosine
