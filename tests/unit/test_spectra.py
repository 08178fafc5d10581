"""Defocus spectra against a plain sum over the transform, written out in float64."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.conventions import rotation_matrix
from parfocal.grid import PHASE_PER_BIN, SECTORS, spectra_grid
from parfocal.particles import ImageError
from parfocal.projection import fourier_volume, project
from parfocal.simulate.noise import Noise
from parfocal.spectra import HARMONICS, SUMS, image_transform, spectra_of, views_of

from .conftest import Pixels, make_optics, make_particles

CHANGE_MAX = 1000.0
ABERRATED = make_optics(
    beam_tilt=(0.7, -0.4),
    even_zernike=(0.0, 0.0, 0.0, 8.0, 0.0, 0.0, 0.4),  # Z₂² and Z₄⁰
    magnification=(1.02, 0.01, -0.02, 0.99),
)
PARTICLES = make_particles(ABERRATED, 4, seed=3, phase_shift=np.array([0.0, 0.4, 1.2, 2.9]))


def blob(n=48, seed=0):
    """A map of noise within a small ball."""
    x = np.arange(n) - n // 2
    fall = np.exp(-(x**2) / 2 / 5.0**2)
    noise = np.random.default_rng(seed).normal(size=(n, n, n))
    return (noise * fall[:, None, None] * fall[:, None] * fall).astype(np.float32)


VOLUME = fourier_volume(blob(), 1.4)  # finer than the images: it holds all that they see


def noise_image(n=48, seed=1):
    return np.random.default_rng(seed).normal(size=(n, n)).astype(np.float32)


def lay(optics=ABERRATED, padded=72, **asked):
    return spectra_grid(optics, padded=padded, change_max=CHANGE_MAX, **asked)


def sums_of(*arguments):
    """(3, bins, 8) of one particle."""
    return spectra_of(*arguments)[0]


def plain_terms(image, particles, row, grid):
    """(X, P with shift and odd aberrations, χ₀, s) of each pixel in a bin, from the formulas."""
    optics, size = grid.optics, grid.padded_size
    pixels = Pixels.of(grid).counted()
    step = 1 / (size * optics.pixel_size)
    m00, m01, m10, m11 = optics.magnification
    kx, ky = pixels.kx * step, pixels.ky * step
    x, y = m00 * kx + m01 * ky, m10 * kx + m11 * ky
    s, wavelength = x**2 + y**2, optics.wavelength
    u, v, angle = (getattr(particles, f"defocus_{c}")[row] for c in ("u", "v", "angle"))
    defocus = (u + v) / 2 + (u - v) / 2 * np.cos(2 * (np.arctan2(y, x) - angle))
    chi = np.pi * wavelength * defocus * s + particles.phase_shift[row]
    chi += np.arcsin(optics.amplitude_contrast) - np.pi / 2 * 2.7e7 * wavelength**3 * s**2
    z22, z40 = (optics.even_zernike + (0.0,) * 7)[3:7:3]
    chi -= z22 * (x**2 - y**2) + z40 * (6 * s**2 - 6 * s + 1)
    tilt = optics.beam_tilt[0] * x + optics.beam_tilt[1] * y
    odd = -2e-3 * np.pi * 2.7e7 * wavelength**2 * s * tilt
    place_x = 24 * optics.pixel_size - particles.origin_x[row]
    place_y = 24 * optics.pixel_size - particles.origin_y[row]
    padded = np.zeros((size, size))
    padded[:48, :48] = image - image.mean(dtype=float)
    pose = rotation_matrix(particles.rot[row], particles.tilt[row], particles.psi[row])
    shown = project(
        VOLUME, pose, size=size, pixel_size=optics.pixel_size, magnification=optics.magnification
    )
    at = pixels.ky, pixels.kx
    wave = np.exp(1j * odd - 2j * np.pi * (kx * place_x + ky * place_y))
    return np.fft.fft2(padded)[at], shown[at] * wave, chi, s


def plain_sums(image, particles, row, grid):
    """(3, bins, 8) sums over the whole plane, in the unit of the box's own transform."""
    x, p, chi, _ = plain_terms(image, particles, row, grid)
    once, twice = np.exp(1j * chi), np.exp(2j * chi)
    a, b = (x.conj() * p).real * once, np.abs(p) ** 2 * twice
    q, e = np.abs(x) ** 2 * twice, np.abs(p) ** 2
    parts = (a.real, a.imag, b.real, b.imag, q.real, q.imag, e, np.abs(x) ** 2)
    return binned(np.stack(parts, axis=-1), grid)


def binned(values, grid):
    """(3, bins, columns) sums of the pixels' `values` over the whole plane."""
    pixels = Pixels.of(grid).counted()
    out = np.zeros((3, grid.bins, values.shape[1]))
    np.add.at(out, (pixels.fold, pixels.bin), values)
    return 2 * out * (48 / grid.padded_size) ** 2


def deviation(sums, expected):
    """(8,) largest difference of each sum, over the most that it could be: √(E X), E or X."""
    e, x = expected[..., 6:].astype(float).T.swapaxes(1, 2) + 1e-30
    most = np.stack([np.sqrt(e * x)] * 2 + [e] * 2 + [x] * 2 + [e, x], axis=-1)
    return np.abs((sums - expected) / most).max(axis=(0, 1))


@pytest.mark.parametrize("padded", [48, 72, 96])
@pytest.mark.parametrize("optics", [make_optics(), ABERRATED], ids=["plain", "aberrated"])
def test_spectra_are_the_plain_sums(optics, padded):
    """To float32: 6e-8 of up to 30 turns is 1e-5 rad, twice that in B and Q."""
    particles, grid = replace(PARTICLES, optics=(optics,)), lay(optics, padded)
    views = views_of(particles, grid)
    for row in range(len(particles)):
        image = noise_image(seed=row)
        sums = sums_of(image, views, row, VOLUME, grid)
        found = deviation(sums, plain_sums(image, particles, row, grid))
        assert (found < 3e-5).all(), dict(zip(SUMS, found, strict=True))


SPOILT = {
    "U and V swapped": lambda p: replace(p, defocus_u=p.defocus_v, defocus_v=p.defocus_u),
    "angle turned": lambda p: replace(p, defocus_angle=-p.defocus_angle),
    "x shift turned": lambda p: replace(p, origin_x=-p.origin_x),
    "y shift turned": lambda p: replace(p, origin_y=-p.origin_y),
    "rot and psi swapped": lambda p: replace(p, rot=p.psi, psi=p.rot),
    "phase shift forgotten": lambda p: replace(p, phase_shift=0 * p.phase_shift),
    "beam tilt turned": lambda p: with_optics(p, beam_tilt=(-0.7, 0.4)),
    "even aberrations turned": lambda p: with_optics(p, even_zernike=(0,) * 3 + (-8.0, 0, 0, -0.4)),
    "magnification transposed": lambda p: with_optics(p, magnification=(1.02, -0.02, 0.01, 0.99)),
}


def with_optics(particles, **changes):
    return replace(particles, optics=(replace(particles.optics[0], **changes),))


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_wrong_convention_is_noticed(spoil):
    spoilt, image = spoil(PARTICLES), noise_image()
    expected = plain_sums(image, PARTICLES, 1, lay())[0]
    grid = lay(spoilt.optics[0])
    found = sums_of(image, views_of(spoilt, grid), 1, VOLUME, grid)[0]
    bins = min(len(found), len(expected))
    difference = np.linalg.norm((found - expected)[:bins, :2])
    assert difference > 0.2 * np.linalg.norm(expected[:bins, :2])


@pytest.mark.parametrize("padded", [48, 96])
@pytest.mark.parametrize("change", [0.0, 120.0, -700.0, CHANGE_MAX])
def test_any_change_of_defocus_is_answered_from_the_spectra(change, padded):
    """<X, CTF_δ P> and |CTF_δ P|²: a bin turns by no more than its width allows."""
    grid, image, row = lay(padded=padded), noise_image(), 2
    sums = sums_of(image, views_of(PARTICLES, grid), row, VOLUME, grid).astype(float)
    turn = grid.change_phase(change)
    cross = sums[..., 0] * np.sin(turn) + sums[..., 1] * np.cos(turn)
    norm = (sums[..., 6] - sums[..., 2] * np.cos(2 * turn) + sums[..., 3] * np.sin(2 * turn)) / 2
    x, p, chi, s = plain_terms(image, PARTICLES, row, grid)
    template = p * np.sin(chi + np.pi * grid.optics.wavelength * change * s)
    direct = np.stack([(x.conj() * template).real, np.abs(template) ** 2], axis=1)
    exact = binned(direct, grid)
    error = 2 * PHASE_PER_BIN * abs(change) / CHANGE_MAX + 1e-4
    assert (np.abs(cross - exact[..., 0]) <= error * np.sqrt(sums[..., 6] * sums[..., 7])).all()
    assert (np.abs(norm - exact[..., 1]) <= error * sums[..., 6]).all()
    assert norm.sum() == pytest.approx(exact[..., 1].sum(), rel=error / 10)


def test_an_image_that_is_the_template_matches_it():
    """Without padding: cross = norm = ‖CTF P‖² at no change, and less cross at any other."""
    optics = make_optics()
    particles, grid = replace(PARTICLES, optics=(optics,)), lay(optics, 48)
    _, p, chi, _ = plain_terms(noise_image(), particles, 0, grid)
    pixels = Pixels.of(grid).counted()
    plane = np.zeros((48, 25), dtype=complex)
    plane[pixels.ky, pixels.kx] = p * np.sin(chi)
    axis = pixels.kx == 0
    plane[-pixels.ky[axis], 0] = plane[pixels.ky[axis], 0].conj()
    image = np.fft.irfft2(plane, s=(48, 48)).astype(np.float32)
    sums = sums_of(image, views_of(particles, grid), 0, VOLUME, grid).sum(axis=0, dtype=float)
    turn = grid.change_phase(np.linspace(-CHANGE_MAX, CHANGE_MAX, 41))
    cross = sums[:, 0] @ np.sin(turn) + sums[:, 1] @ np.cos(turn)
    energy = sums[:, 7].sum()
    assert cross[20] == pytest.approx(energy, rel=1e-4)
    assert np.sum(sums[:, 6] - sums[:, 2]) / 2 == pytest.approx(energy, rel=1e-4)
    assert (np.delete(cross, 20) < 0.99 * energy).all()


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (0, -2)])
def test_a_particle_moved_with_its_origin_is_the_same(dx, dy):
    """Moved towards +x in the image, its origin falls: the particle sits at minus the origin."""
    optics, px = make_optics(), 1.5
    grid = lay(optics, 48)
    here = make_particles(optics, 1)
    there = replace(here, origin_x=here.origin_x - dx * px, origin_y=here.origin_y - dy * px)
    image = noise_image()
    moved = np.roll(image, (dy, dx), axis=(0, 1))
    first = sums_of(image, views_of(here, grid), 0, VOLUME, grid)
    second = sums_of(moved, views_of(there, grid), 0, VOLUME, grid)
    assert (deviation(second, first) < 3e-5).all()
    assert deviation(sums_of(moved, views_of(here, grid), 0, VOLUME, grid), first)[0] > 0.1


def test_sums_follow_the_images_scale_and_forget_its_mean():
    grid, image = lay(), noise_image()
    views = views_of(PARTICLES, grid)
    one, other = (sums_of(i, views, 0, VOLUME, grid) for i in (image, 100 * image + 50))
    np.testing.assert_allclose(other[..., :2], 100 * one[..., :2], rtol=1e-3, atol=1e-1)
    np.testing.assert_array_equal(other[..., [2, 3, 6]], one[..., [2, 3, 6]])
    np.testing.assert_allclose(other[..., 4:6], 1e4 * one[..., 4:6], rtol=1e-3, atol=1e2)
    np.testing.assert_allclose(other[..., 7], 1e4 * one[..., 7], rtol=1e-4)


@pytest.mark.parametrize("padded", [48, 72, 96])
@pytest.mark.parametrize("variance", [1.0, 25.0])
def test_white_noise_has_its_power_in_every_bin_and_fold(variance, padded):
    """X = n v box² within standard errors, √(2 n / images) v box² each."""
    grid, images = lay(padded=padded), 60
    views = views_of(PARTICLES, grid)
    noise = Noise(kind="white", size=48, pixel_size=1.5)
    rng, total = np.random.default_rng(7), np.zeros((3, grid.bins))
    for _ in range(images):
        image = np.sqrt(np.float32(variance)) * noise.draw(rng)
        total += sums_of(image, views, 0, VOLUME, grid)[..., 7]
    unit = variance * 48**2
    n = grid.n
    pull = (total / images / unit - n)[n > 0] / np.sqrt(2 * n[n > 0] / images)
    padding = padded / 48  # each value is seen in so many pixels' worth
    assert np.abs(pull).max() < 5 * padding
    whole = total.sum() / images / unit
    assert whole == pytest.approx(n.sum(), abs=4 * padding * np.sqrt(2 * n.sum() / images))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_image_with_one_bad_pixel_is_refused(value):
    grid, image = lay(), noise_image()
    image[3, 5] = value
    with pytest.raises(ImageError, match="NaN or infinite"):
        spectra_of(image, views_of(PARTICLES, grid), 0, VOLUME, grid)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -1 / 3, 1e-5, 31415.93])
@pytest.mark.parametrize("box", [48, 64, 192])
def test_a_constant_image_is_refused_whatever_its_rounding(value, box):
    grid = spectra_grid(make_optics(image_size=box), padded=box, change_max=300.0)
    with pytest.raises(ImageError, match="constant"):
        image_transform(np.full((box, box), value, np.float32), grid, box // 2)


def test_a_faint_image_on_a_high_background_is_not_constant():
    image_transform(10_000 + 0.1 * noise_image(), lay(), 25)


def test_the_image_is_left_as_it_was():
    image = noise_image()
    before = image.copy()
    spectra_of(image, views_of(PARTICLES, lay()), 0, VOLUME, lay())
    np.testing.assert_array_equal(image, before)


def waves_of(azimuth):
    """(..., 4) cos 2φ, sin 2φ, cos 4φ, sin 4φ."""
    return np.stack([f(n * azimuth) for n in (2, 4) for f in (np.cos, np.sin)], axis=-1)


def plain_harmonics(image, row, grid, *, by_sector):
    """(bins, 16) sums, with the waves of each pixel, or with their means over its sector."""
    x, p, chi, _ = plain_terms(image, PARTICLES, row, grid)
    pixels = Pixels.of(grid).counted()
    m00, m01, m10, m11 = grid.optics.magnification
    azimuth = np.arctan2(m10 * pixels.kx + m11 * pixels.ky, m00 * pixels.kx + m01 * pixels.ky)
    if by_sector:
        sector = np.floor(azimuth / np.pi * SECTORS) % SECTORS
        inside = (np.arange(1000) + 0.5) / 1000
        waves = waves_of((sector[:, None] + inside) * np.pi / SECTORS).mean(axis=1)
    else:
        waves = waves_of(azimuth)
    a, b = (x.conj() * p).real * np.exp(1j * chi), np.abs(p) ** 2 * np.exp(2j * chi)
    parts = np.stack([a.real, a.imag, b.real, b.imag], axis=-1)
    return binned((parts[..., None] * waves[:, None]).reshape(-1, 16), grid).sum(axis=0)


def harmonic_deviation(harmonics, expected, sums):
    """Root mean square difference of the harmonics of A and of B, over what they could be."""
    e, x = sums[..., 6:].sum(axis=0).T
    off = (harmonics - expected) / np.stack([np.sqrt(e * x)] * 8 + [e] * 8, axis=-1)
    return np.sqrt(np.mean(off.reshape(-1, 2, 8) ** 2, axis=(0, 2)))


@pytest.mark.parametrize("padded", [48, 72])
def test_harmonics_are_the_plain_sums(padded):
    grid, image = lay(padded=padded, astigmatism=True), noise_image()
    sums, harmonics = spectra_of(image, views_of(PARTICLES, grid), 1, VOLUME, grid)
    assert harmonics.shape == (grid.bins, len(HARMONICS))
    exact = plain_harmonics(image, 1, grid, by_sector=True)
    assert (harmonic_deviation(harmonics, exact, sums) < 1e-5).all()
    # within a sector the waves stray by π/4/√24 = 0.16 at the most, a bin holds 10 pixels and more
    pixels = plain_harmonics(image, 1, grid, by_sector=False)
    assert (harmonic_deviation(harmonics, pixels, sums) < 0.05).all()
    turned = pixels.reshape(-1, 4, 2, 2) * [1, -1]  # the azimuth counted the other way
    assert (harmonic_deviation(harmonics, turned.reshape(-1, 16), sums) > 0.06).all()


def test_sectors_change_nothing_else():
    views, image = views_of(PARTICLES, lay()), noise_image()
    plain, none = spectra_of(image, views, 0, VOLUME, lay())
    with_sectors, _ = spectra_of(image, views, 0, VOLUME, lay(astigmatism=True))
    assert none.shape == (0, len(HARMONICS))
    assert (deviation(with_sectors, plain) < 1e-5).all()
