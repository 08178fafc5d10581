"""Insertion against the slices that it is the adjoint of, aberrations, shifts and magnification in."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.conventions import rotation_matrix
from parfocal.grid import spectra_grid
from parfocal.insertion import FourierSums, close, insert
from parfocal.projection import FourierVolume, project
from parfocal.spectra import views_of

from .conftest import Pixels, make_optics, make_particles

BOX = 24
OPTICS = make_optics(
    image_size=BOX,
    beam_tilt=(0.6, -0.4),
    even_zernike=(0.3, 0.0, 2.0),
    magnification=(1.02, 0.01, -0.02, 0.97),
)
N = 3


@pytest.fixture(scope="module")
def scene():
    """(particles, grid, views) of three particles whose images have every aberration."""
    grid = spectra_grid(OPTICS, padded=BOX, change_max=1000.0)
    particles = make_particles(OPTICS, N, seed=4, phase_shift=np.full(N, 0.4))
    return particles, grid, views_of(particles, grid)


def empty_sums(**settings):
    return FourierSums.zeros(BOX, OPTICS.pixel_size, **settings)


def random_volume(sums: FourierSums, rng) -> FourierVolume:
    """A volume on the grid of `sums`, any complex numbers, with the mates on its plane x = 0."""
    shape = sums.data.shape[:3]
    data = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    data[:, :, 0] += data[::-1, ::-1, 0].conj()
    return FourierVolume(data=data.astype(np.complex64), spacing=sums.spacing, k_max=sums.k_max)


def model(volume, particles, grid, views, row):
    """Transform of the noise-free image of `row`: CTF, odd phase, shift and slice; (BOX, BOX//2+1)."""
    pose = rotation_matrix(*(getattr(particles, n)[row] for n in ("rot", "tilt", "psi")))
    out = project(
        volume, pose, size=BOX, pixel_size=OPTICS.pixel_size, magnification=OPTICS.magnification
    )
    image = np.zeros_like(out)
    pixels = Pixels.of(grid)
    a, b, c, d = views.phase[row].astype(float)
    kx, ky = pixels.kx, pixels.ky
    transfer = np.sin(2 * np.pi * (a * kx**2 + b * kx * ky + c * ky**2 + d + grid.phase))
    at_rows = np.searchsorted(grid.ky, ky)
    image[ky, kx] = out[ky, kx] * transfer * grid.odd
    image[ky, kx] *= views.centre_x[row][kx] * views.centre_y[row][at_rows]
    return image


def product(first, second):
    """Real inner product over the whole plane, or volume, of halves that are kept for x >= 0."""
    terms = (first.conj() * second).real
    return 2 * terms.sum() - terms[..., 0].sum()


def test_insertion_is_the_adjoint_of_imaging(scene):
    """<image of V, X> = <V, insert X>, for any V and X: poses, CTF, shifts, stretch, odd phases."""
    particles, grid, views = scene
    rng = np.random.default_rng(5)
    sums = empty_sums()
    volume = random_volume(sums, rng)
    x = np.fft.rfft2(rng.normal(size=(N, BOX, BOX))).astype(np.complex64)
    for row in range(N):
        insert(sums, (x[row], 0.0), views, row, grid)
    close(sums)
    kx, ky = Pixels.of(grid).kx, Pixels.of(grid).ky
    asked = np.zeros((BOX, BOX // 2 + 1))
    asked[ky, kx] = 2.0  # a pixel of the half plane, and its mate
    images = [model(volume, particles, grid, views, row) for row in range(N)]
    expected = sum((asked * (m.conj() * y).real).sum() for m, y in zip(images, x, strict=True))
    scale = np.sqrt(sum((asked * np.abs(m * y) ** 2).sum() for m, y in zip(images, x, strict=True)))
    assert product(volume.data, sums.numerator) == pytest.approx(expected, abs=1e-5 * scale)
    for name in ("origin_x", "psi", "defocus_u", "defocus_angle"):  # each takes part
        other = replace(particles, **{name: -getattr(particles, name)})
        turned = model(volume, other, grid, views_of(other, grid), 0)
        assert np.linalg.norm(turned - images[0]) > 0.1 * np.linalg.norm(images[0])


def test_weights_are_what_a_point_in_the_centre_leaves(scene):
    """The image of a unit mass is the CTF itself, shifted: then Σ t CTF X = Σ t CTF²."""
    particles, grid, views = scene
    sums = empty_sums()
    flat = replace(random_volume(sums, np.random.default_rng(0)), data=np.ones_like(sums.numerator))
    for row in range(N):
        insert(sums, (model(flat, particles, grid, views, row), 0.0), views, row, grid)
    close(sums)
    m = len(sums.data) // 2
    sums.data[m, m, 0] = 0  # the zero frequency, which the model leaves out
    np.testing.assert_allclose(sums.numerator, sums.weight, atol=2e-5 * sums.weight.max())
    assert (sums.weight >= 0).all()


def test_every_pixel_counts_once_and_so_does_its_mate(scene):
    particles, grid, views = scene
    sums = empty_sums()
    insert(sums, (np.zeros((BOX, BOX // 2 + 1), np.complex64), 0.0), views, 1, grid)
    close(sums)
    flat = FourierVolume(data=np.ones_like(sums.numerator), spacing=sums.spacing, k_max=sums.k_max)
    transfer = np.abs(model(flat, particles, grid, views, 1))
    m = len(sums.data) // 2
    origin = sums.weight[m, m, 0]
    assert 0 < origin <= 1
    total = 2 * sums.weight.sum(dtype=float) - sums.weight[:, :, 0].sum(dtype=float)
    assert total == pytest.approx(2 * (transfer**2).sum() + origin, rel=1e-5)


def test_the_mean_of_an_image_goes_to_the_zero_frequency():
    """Alone, and with the CTF that is there: sin(phase shift + arcsin w)."""
    optics = make_optics(image_size=BOX)
    grid = spectra_grid(optics, padded=BOX, change_max=1000.0)
    views = views_of(make_particles(optics, 1, phase_shift=np.array([0.5])), grid)
    sums = FourierSums.zeros(BOX, optics.pixel_size)
    insert(sums, (np.zeros((BOX, BOX // 2 + 1), np.complex64), 2.0), views, 0, grid)
    close(sums)
    m = len(sums.data) // 2
    transfer = np.sin(0.5 + np.arcsin(optics.amplitude_contrast))
    assert sums.weight[m, m, 0] == pytest.approx(transfer**2, rel=1e-5)
    assert sums.numerator[m, m, 0] == pytest.approx(2.0 * BOX**2 * transfer, rel=1e-5)
    assert np.abs(sums.numerator).sum() == pytest.approx(2.0 * BOX**2 * transfer, rel=1e-5)


def test_closed_sums_are_hermitian(scene):
    sums = empty_sums(padding=1.5, k_max=0.25)
    x = np.fft.rfft2(np.random.default_rng(5).normal(size=(BOX, BOX))).astype(np.complex64)
    narrow = spectra_grid(OPTICS, padded=BOX, change_max=1000.0, k_max=0.25)
    insert(sums, (x, 0.0), views_of(scene[0], narrow), 0, narrow)
    plane = sums.numerator[:, :, 0]
    assert np.abs(plane - plane[::-1, ::-1].conj()).max() > 0.1 * np.abs(plane).max()
    close(sums)
    plane = sums.numerator[:, :, 0]
    np.testing.assert_array_equal(plane, plane[::-1, ::-1].conj())
    assert sums.size == 36
    assert len(sums.data) == 2 * (np.ceil(0.25 / sums.spacing) + 2) + 1


def test_an_image_of_larger_pixels_has_the_same_density():
    """A pixel holds the line integral through it, whatever its width: both sums agree."""
    sums = {}
    for factor in (1, 2):  # the same field of view, in fewer pixels
        optics = make_optics(image_size=48 // factor, pixel_size=1.5 * factor)
        grid = spectra_grid(optics, padded=optics.image_size, change_max=1000.0, k_max=0.12)
        views = views_of(make_particles(optics, 1, seed=3), grid)
        x = np.arange(48) - 24
        image = np.exp(-(x[:, None] ** 2 + x**2) / (2 * 4.0**2))
        binned = image.reshape(48 // factor, factor, 48 // factor, factor).mean(axis=(1, 3))
        binned = np.fft.rfft2(binned).astype(np.complex64)
        half_pixel = (factor - 1) / 2  # of a binned pixel's centre against its first pixel's
        ky, kx = np.fft.fftfreq(48 // factor), np.fft.rfftfreq(48 // factor)
        binned *= np.exp(-2j * np.pi * (ky[:, None] + kx) * half_pixel / factor)
        sums[factor] = FourierSums.zeros(48, 1.5, k_max=0.12)
        insert(sums[factor], (binned, 0.0), views, 0, grid)
    one, two = (s.numerator for s in sums.values())
    assert np.linalg.norm(one - two) < 0.02 * np.linalg.norm(one)
    np.testing.assert_allclose(sums[1].weight, sums[2].weight, atol=1e-4)
