"""How far the two folds of a padded transform are from being independent.

A fold keeps blocks of Fourier pixels. In real space that smears a template beyond the box, where
the zero-padded image has no noise, and lets the two folds' templates overlap inside of it. So the
difference of the folds' estimates varies a few percent less than their own curves say, by a factor
that follows from geometry alone and is worked out here for single particles.
"""

import numpy as np
import scipy.fft

from parfocal.conventions import rotation_matrix
from parfocal.grid import Fold
from parfocal.likelihood import NoiseModel
from parfocal.optics import ctf, defocus_along, defocus_phase, effective_frequency
from parfocal.particles import Particles
from parfocal.projection import FourierVolume, project


def fold_difference_variance(
    particles: Particles, row: int, volume: FourierVolume, model: NoiseModel
) -> float:
    """Variance of the folds' difference over the sum of the variances their own curves claim.

    For the particle in `row`, with noise that is white in the box; 1 for an unpadded transform, and
    where cutting to the box takes half of what a fold knows of the defocus: so few pixels carry
    signal then that their curves' claims mean nothing, and nothing is corrected.
    """
    grid, optics = model.grid, model.grid.optics
    size, step = grid.padded_size, 1.0 / (grid.padded_size * grid.optics.pixel_size)
    ky = np.repeat(grid.ky, np.diff(grid.first))
    kx = np.arange(grid.first[-1]) - np.repeat(grid.first[:-1] - grid.start, np.diff(grid.first))
    seen = effective_frequency(kx * step, ky * step, optics)
    s = seen[0] ** 2 + seen[1] ** 2
    defocus = defocus_along(
        np.arctan2(seen[1], seen[0]),
        defocus_u=particles.defocus_u[row],
        defocus_v=particles.defocus_v[row],
        defocus_angle=particles.defocus_angle[row],
    )
    chi = defocus_phase(s, defocus, optics) + 2 * np.pi * grid.phase + particles.phase_shift[row]
    pose = rotation_matrix(particles.rot[row], particles.tilt[row], particles.psi[row])
    reference = project(
        volume,
        pose,
        size=size,
        pixel_size=optics.pixel_size,
        magnification=optics.magnification,
    )
    fold, place = np.divmod(grid.slot, grid.bins)
    inside = grid.slot < 3 * grid.bins
    weight = np.where(inside, (model.amplitude / np.sqrt(model.noise))[place], 0.0)
    slope = weight * s * ctf(chi + np.pi / 2) * reference[ky, kx]  # d CTF / dδ, but for a factor
    slope /= max(np.abs(slope).max(), np.finfo(float).tiny)  # float32 holds its square
    boxed = [_boxed(np.where(fold == f, slope, 0), (ky, kx), grid) for f in Fold]
    gram = np.array([[float(np.vdot(a, b)) for a in boxed] for b in boxed])
    response = gram.sum(axis=1)  # what a change of the whole template does to each fold's score
    first, second = Fold.FIRST, Fold.SECOND
    if any(response[f] <= gram[f, f] / 2 for f in (first, second)):
        return 1.0
    real = (
        gram[first, first] / response[first] ** 2
        + gram[second, second] / response[second] ** 2
        - 2 * gram[first, second] / (response[first] * response[second])
    )
    return real / (1 / response[first] + 1 / response[second])


def _boxed(values, place, grid):
    """Real-space template of half-plane `values`, centred, cut to the box."""
    size, box = grid.padded_size, grid.optics.image_size
    ky, kx = place
    plane = np.zeros((size, size // 2 + 1), dtype=np.complex64)
    plane[ky, kx] = values
    plane[-ky[kx == 0], 0] = plane[ky[kx == 0], 0].conj()
    edge = size // 2 - box // 2
    template = scipy.fft.fftshift(scipy.fft.irfft2(plane, s=(size, size)))
    return template[edge : edge + box, edge : edge + box]
