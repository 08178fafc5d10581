"""The Ewald sphere, on images of points at many heights, each imaged with the defocus of its height."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import scipy.fft

from parfocal.conventions import rotation_matrix
from parfocal.errors import InputError
from parfocal.ewald import Ewald, ball_overlap, sphere_of
from parfocal.fsc import shell_correlation
from parfocal.grid import spectra_grid
from parfocal.insertion import FourierSums, insert
from parfocal.optics import defocus_along, defocus_phase, effective_frequency, fixed_phase
from parfocal.particles import Particles
from parfocal.reconstruct import reconstruct
from parfocal.spectra import views_of

from .conftest import Pixels, make_optics, make_particles

BOX, PIXEL = 56, 1.0
DIAMETER = 38.0  # Å; at 10 kV its edge is out of phase by 1.8 rad at Nyquist
WIDTH = 0.7  # Å, sd of the Gaussian that a point is
OPTICS = make_optics(image_size=BOX, pixel_size=PIXEL, voltage=10.0, spherical_aberration=0.0)
COARSE = slice(2, int(0.2 * BOX))  # shells, to 0.4 of Nyquist
FINE = slice(24, 27)  # from 0.86 to 0.93 of it


def points(count=40, seed=3):
    """Places [Å] in a ball of DIAMETER, (count, 3) as x, y, z."""
    rng = np.random.default_rng(seed)
    places = rng.normal(size=(count, 3))
    radius = DIAMETER / 2 * rng.random(count) ** (1 / 3)
    return places / np.linalg.norm(places, axis=1, keepdims=True) * radius[:, None]


def density(places):
    """Map of the points, float64 (BOX, BOX, BOX)."""
    x = (np.arange(BOX) - BOX // 2) * PIXEL
    along = np.exp(-((x[:, None, None] - places) ** 2) / (2 * WIDTH**2))
    return np.einsum("xp,yp,zp->zyx", *np.moveaxis(along, 2, 0)) / (2 * np.pi * WIDTH**2) ** 1.5


class Thick(NamedTuple):
    """Images of points, each with the CTF of its own height; `hand` is the sign of that change."""

    places: np.ndarray
    particles: Particles
    hand: int

    def read_into(self, row: int, out: np.ndarray) -> None:
        p = self.particles
        optics = p.optics[p.optics_group[row]]
        n, px = optics.image_size, optics.pixel_size
        kx, ky = np.meshgrid(np.fft.rfftfreq(n, px), np.fft.fftfreq(n, px))
        mx, my = effective_frequency(kx, ky, optics)
        s = mx**2 + my**2
        along = defocus_along(
            np.arctan2(my, mx),
            defocus_u=p.defocus_u[row],
            defocus_v=p.defocus_v[row],
            defocus_angle=p.defocus_angle[row],
        )
        chi = defocus_phase(s, along, optics) + fixed_phase(s, optics)
        pose = rotation_matrix(p.rot[row], p.tilt[row], p.psi[row])
        total = np.zeros(s.shape, dtype=complex)
        for x, y, z in self.places @ pose.T:
            turn = np.exp(-2j * np.pi * (mx * x + my * y))
            total += turn * np.sin(chi + self.hand * np.pi * optics.wavelength * s * z)
        total *= np.exp(-2 * np.pi**2 * WIDTH**2 * s) / px**3
        x, y = (n // 2 * px - origin[row] for origin in (p.origin_x, p.origin_y))
        out[...] = scipy.fft.irfft2(total * np.exp(-2j * np.pi * (kx * x + ky * y)), s=out.shape)


class Held(NamedTuple):
    """Images in memory, drawn once, with noise."""

    pixels: np.ndarray

    def read_into(self, row: int, out: np.ndarray) -> None:
        out[...] = self.pixels[row]


def specimen(hand, count=400):
    """Particles, and images with a quarter of noise in their power; `hand` as in Thick."""
    rng = np.random.default_rng(8)
    defocus = rng.uniform(1_000, 3_000, count)
    particles = make_particles(
        OPTICS, count, seed=5, defocus_u=defocus + 40, defocus_v=defocus - 40
    )
    drawn = Thick(points(), particles, hand)
    pixels = np.empty((count, BOX, BOX), dtype=np.float32)
    for row, image in enumerate(pixels):
        drawn.read_into(row, image)
    return particles, Held(
        pixels + rng.normal(0, pixels.std() / 2, pixels.shape).astype(np.float32)
    )


def truth_fsc(particles, images, sign=None):
    """FSC with the truth of the map made with the sphere bent by `sign`, or flat."""
    ewald = Ewald(diameter=DIAMETER, sign=sign) if sign else None
    found = reconstruct(particles, images, ewald=ewald).full()
    return shell_correlation(scipy.fft.rfftn(found), scipy.fft.rfftn(density(points())))


@pytest.mark.parametrize("hand", [1, -1])
def test_correction_raises_the_fsc_and_the_wrong_sign_lowers_it(hand):
    """Against the truth, at high resolution, whichever the hand; at low resolution nothing changes."""
    particles, images = specimen(hand)
    right, flat, wrong = (truth_fsc(particles, images, sign) for sign in (hand, None, -hand))
    assert (right[FINE] > flat[FINE] + 0.03).all()
    assert (wrong[FINE] < flat[FINE] - 0.03).all()
    np.testing.assert_allclose(right[COARSE], flat[COARSE], atol=0.002)


def bending(optics, diameter):
    """Largest difference of the sums with and without the sphere's bending, over the largest sum."""
    particles = make_particles(optics, 20, seed=2)
    images = Held(np.random.default_rng(3).normal(size=(20, BOX, BOX)).astype(np.float32))
    bent, flat = (
        reconstruct(particles, images, ewald=ewald).sums[1].data
        for ewald in (Ewald(diameter=diameter), None)
    )
    return np.abs(bent - flat).max() / np.abs(flat).max()


def test_where_the_sphere_is_flat_the_sums_are_those_of_the_plane():
    """Slices of large pixels are a small part of a voxel apart, and of a small particle alike."""
    coarse = make_optics(image_size=BOX, pixel_size=20.0)
    assert bending(coarse, diameter=20.0) < 0.01
    assert bending(make_optics(image_size=BOX, pixel_size=2.0), diameter=20.0) > 0.1
    assert bending(replace(coarse, voltage=10.0), diameter=10_000.0) > 0.03


def test_slices_of_a_ball_overlap_as_its_transform():
    """The formula against a sum over the ball; 1 at no distance, and smooth where the series ends."""
    apart = np.array([0.0, 0.01, 0.0318, 0.0319, 0.3, 1.0, 2.5])
    z = (np.arange(20_000) + 0.5) / 10_000 - 1  # in radii; the ball's cross-section there is 1 - z²
    sums = [np.sum((1 - z**2) * np.cos(np.pi * d * z)) / np.sum(1 - z**2) for d in apart]
    np.testing.assert_allclose(ball_overlap(apart), sums, atol=1e-6)


def test_the_sphere_knows_where_its_pixels_are():
    """Overlap by |M k|², row by row as the grid's phases lie, with anisotropic magnification M."""
    optics = make_optics(image_size=BOX, magnification=(1.05, 0.0, 0.02, 0.95))
    grid = spectra_grid(optics, padded=BOX, change_max=1000.0)
    sphere = sphere_of(grid, Ewald(diameter=500.0))
    assert sphere.bend == -optics.wavelength / 2
    step = 1 / (BOX * optics.pixel_size)
    for row in (0, 7, len(grid.ky) - 1):
        pixel = grid.first[row] + 2
        mx, my = effective_frequency((grid.start[row] + 2) * step, grid.ky[row] * step, optics)
        expected = ball_overlap(500.0 * optics.wavelength * (mx**2 + my**2))
        assert sphere.overlap[pixel] == pytest.approx(expected, rel=1e-6)


def test_all_weight_and_value_of_an_image_are_those_of_the_formula():
    """|h|² / (1 + c) and conj(h) X / (1 + c) over both slices, h = [exp(iχ) - c exp(-iχ)] / 2i."""
    optics = make_optics(image_size=BOX, pixel_size=2.0, voltage=10.0)
    grid = spectra_grid(optics, padded=BOX, change_max=1000.0)
    particles = make_particles(optics, 1, rot=np.zeros(1), tilt=np.zeros(1), psi=np.zeros(1))
    defocus = np.full(1, 900.0)
    particles = replace(particles, defocus_u=defocus, defocus_v=defocus)
    rng = np.random.default_rng(4)
    views, pixels = views_of(particles, grid), Pixels.of(grid)
    transform = np.zeros((BOX, BOX // 2 + 1), dtype=np.complex64)
    transform[pixels.ky, pixels.kx] = rng.normal(size=(len(pixels.kx), 2)) @ (1, 1j)
    sphere = sphere_of(grid, Ewald(diameter=60.0))
    sums = FourierSums.zeros(BOX, optics.pixel_size)
    insert(sums, (transform, 0.0), views, 0, grid, sphere)
    step = 1 / (BOX * optics.pixel_size)
    s = (pixels.kx**2 + pixels.ky**2) * step**2
    chi, c = defocus_phase(s, 900.0, optics) + fixed_phase(s, optics), sphere.overlap
    h = (np.exp(1j * chi) - c * np.exp(-1j * chi)) / 2j
    origin = np.sin(fixed_phase(0.0, optics)) ** 2 / 2
    weight = 2 * np.sum(np.abs(h) ** 2 / (1 + c)) + origin
    assert sums.weight.sum(dtype=float) == pytest.approx(weight, rel=1e-4)
    x, y = (BOX // 2 - o[0] / optics.pixel_size for o in (particles.origin_x, particles.origin_y))
    centred = transform[pixels.ky, pixels.kx]
    centred = centred * np.exp(2j * np.pi * (pixels.kx * x + pixels.ky * y) / BOX)
    value = np.sum(np.sin(chi) * centred.real)  # the cosine's part cancels over both slices
    assert sums.data[..., 0].sum(dtype=float) == pytest.approx(value, abs=0.01 * np.sqrt(weight))


@pytest.mark.parametrize("diameter", [0.0, np.nan, -100.0, 1e6])
def test_a_diameter_that_cannot_be_is_refused(diameter):
    with pytest.raises(InputError, match=r"particle of .* Å"):
        Ewald(diameter=diameter)
