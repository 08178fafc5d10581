"""What shows the Thon rings: particle images through their spectra, or the tiles of a micrograph."""

import numpy as np
import scipy.fft

from parfocal.conventions import astigmatism_vector
from parfocal.estimators.neighbourhood import Seen
from parfocal.estimators.style import Piece
from parfocal.estimators.thon import Band, rings
from parfocal.particles import Particles

X, RE_Q, IM_Q = 7, 4, 5  # places among the defocus spectra


def in_images(particles: Particles, piece: Piece, band: Band) -> Seen:
    """What the images of the particles of a micrograph show, each at its own place and CTF.

    With no look at the images: Σ |X|² and Σ |X|² exp(2iχ₀) are among their defocus spectra.
    """
    rows = piece.rows
    known: dict[tuple, np.ndarray] = {}  # most often a micrograph has one CTF
    keys = [tuple(row) for row in np.stack(_ctf(particles, rows), axis=1).tolist()]
    for key in keys:
        if key not in known:
            known[key] = band.complex_sums(band.phase(np.array(key[:3]), key[3]))
    sums = piece.sums.astype(float)
    seen = rings(
        sums[..., X],
        sums[..., RE_Q] + 1j * sums[..., IM_Q],
        np.array([known[key] for key in keys]),
        band,
    )
    middle = float(np.median(particles.defocus[rows]))
    return Seen(
        band=band,
        rings=seen.turned(band, middle - particles.defocus[rows]),
        place=places(particles, rows),
        middle=middle,
    )


def in_micrograph(particles: Particles, piece: Piece, image, band: Band, *, overlap: float) -> Seen:
    """What the tiles of a whole micrograph (rows, columns) show, at its particles' median CTF."""
    *vector, phase_shift = (float(np.median(column)) for column in _ctf(particles, piece.rows))
    phase = band.phase(np.array(vector), phase_shift)
    centre, power, along = tile_spectra(image, phase, band, overlap=overlap)
    return Seen(
        band=band,
        rings=rings(power, along, band.complex_sums(phase), band),
        place=centre * band.grid.optics.pixel_size,
        middle=vector[0],
    )


def places(particles: Particles, rows) -> np.ndarray:
    """(m, 2) x and y [Å] of particles in their micrograph."""
    return np.stack([particles.coordinate_x[rows], particles.coordinate_y[rows]], axis=1)


def _ctf(particles: Particles, rows):
    """Mean, A cos 2φ and A sin 2φ [Å], and phase shift [rad]: what a CTF varies by."""
    vector = astigmatism_vector(
        particles.defocus_u[rows], particles.defocus_v[rows], particles.defocus_angle[rows]
    )
    return *vector, particles.phase_shift[rows]


def tile_spectra(
    micrograph, phase, band: Band, *, overlap: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre (t, 2) x, y [px], X (t, 3, bins) and Q (t, 3, bins) of the tiles of a micrograph.

    They are as large as the band's image, evenly laid from edge to edge, with at least `overlap`.
    phase: exp(2iχ₀) of the band's pixels. A tile loses its mean and is tapered (Hann), or the rings'
    low contrast would drown in what the edges spread. Constant tiles are left out, such as a dark
    border, and those with pixels that are not finite.
    """
    size = band.grid.optics.image_size
    starts = [_starts(length, size, overlap) for length in micrograph.shape]
    taper = np.hanning(size + 2)[1:-1].astype(np.float32)
    taper = taper[:, None] * taper
    centre, power, along = [], [], []
    for top in starts[0]:
        for left in starts[1]:
            tile = micrograph[top : top + size, left : left + size]
            spread = tile.std()
            if not np.isfinite(spread) or spread == 0:
                continue
            transform = scipy.fft.rfft2((tile - tile.mean()) / spread * taper)[band.ky, band.kx]
            square = transform.real**2 + transform.imag**2
            centre.append((left + size / 2, top + size / 2))
            power.append(band.sums(square))
            along.append(band.complex_sums(square * phase))
    shape = (len(centre), 3, band.grid.bins)
    return (
        np.array(centre, dtype=float).reshape(-1, 2),
        np.array(power, dtype=float).reshape(shape),
        np.array(along, dtype=complex).reshape(shape),
    )


def _starts(length: int, size: int, overlap: float) -> np.ndarray:
    """Where tiles begin along an axis: from edge to edge."""
    if length < size:
        return np.zeros(0, dtype=int)
    count = 1 + int(np.ceil((length - size) / (size * (1 - overlap))))
    return np.rint(np.linspace(0, length - size, count)).astype(int)
