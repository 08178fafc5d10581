"""Simulated images are slices of the simulated map times the CTF, on the map's own scale.

The slices are those of `parfocal.projection`, which knows nothing of atoms.
"""

import numpy as np
import pytest
import scipy.fft

from parfocal.conventions import rotation_matrix
from parfocal.projection import fourier_volume, project
from parfocal.simulate import Scene, simulate
from parfocal.simulate.project import ImageFormation

PLAIN = {"particles": 4, "micrographs": 2, "box": 64, "pixel_size": 2.5, "residues": 300}
ABERRATED = {
    "beam_tilt": (0.4, -0.3),
    "even_zernike": (0.2, 10.0),
    "magnification": (1.03, 0.01, -0.02, 0.98),
    "phase_shift": 40.0,
    "shift": 8.0,
}


def rebuilt(made, row, size):
    """The image of `row`, from the map and the particle file alone."""
    particles, optics = made.particles, made.particles.optics[0]
    pose = rotation_matrix(particles.rot[row], particles.tilt[row], particles.psi[row])
    volume = fourier_volume(made.map, optics.pixel_size, oversampling=3.0)
    spectrum = project(
        volume, pose, size=size, pixel_size=optics.pixel_size, magnification=optics.magnification
    )
    kx = np.fft.rfftfreq(size, optics.pixel_size)
    ky = np.fft.fftfreq(size, optics.pixel_size)[:, None]
    middle = size // 2 * optics.pixel_size
    x, y = middle - particles.origin_x[row], middle - particles.origin_y[row]
    formation = ImageFormation(optics, size=size)
    chi = formation.phase(
        made.truth.defocus_u[row],
        made.truth.defocus_v[row],
        particles.defocus_angle[row],
        particles.phase_shift[row],
    )
    shifted = (spectrum * np.exp(-2j * np.pi * (kx * x + ky * y))).astype(np.complex64)
    return formation.image(shifted, chi)


@pytest.mark.parametrize("settings", [{}, ABERRATED], ids=["plain", "aberrated"])
def test_images_are_slices_of_the_map_times_the_ctf(settings):
    made = simulate(Scene(**PLAIN, **settings), np.random.default_rng(2))
    for row in range(4):
        clean, expected = made.images.clean(row), rebuilt(made, row, size=160)
        slope = np.vdot(expected, clean) / np.vdot(expected, expected)
        assert slope == pytest.approx(1.0, abs=0.01)
        assert np.linalg.norm(clean - expected) < 0.04 * np.linalg.norm(clean)


def test_measured_images_regress_on_clean_ones_with_slope_one():
    made = simulate(Scene(**{**PLAIN, "particles": 40, "snr": 0.5}), np.random.default_rng(2))
    noisy, cross, norm = np.empty((64, 64), dtype=np.float32), 0.0, 0.0
    for row in range(40):
        made.images.read_into(row, noisy)
        clean = made.images.clean(row)
        cross += np.vdot(clean, noisy)
        norm += np.vdot(clean, clean)
    assert cross / norm == pytest.approx(1.0, abs=float(5 / np.sqrt(norm)))


def test_the_transform_of_an_image_has_the_scale_of_numpy():
    """At k = 0 the image's transform is the map's sum times the amplitude contrast."""
    scene = Scene(**{**PLAIN, "box": 128}, defocus=(500.0, 600.0), shift=0.0, ice_tilt=0.0)
    made = simulate(scene, np.random.default_rng(3))
    mean = np.mean([scipy.fft.rfft2(made.images.clean(row))[0, 0].real for row in range(4)])
    assert mean / made.map.sum() == pytest.approx(0.1, abs=0.01)
