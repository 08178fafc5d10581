"""Templates against formulas written out, and images moved and filtered as they should be."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import ndimage

from parfocal.conventions import DEGREE, rotation_matrix
from parfocal.optics import (
    Optics,
    ctf,
    defocus_along,
    defocus_phase,
    effective_frequency,
    even_phase,
    fixed_phase,
    odd_phase,
)
from parfocal.projection import fourier_volume, project
from parfocal.template import (
    filtered,
    moved,
    projection_of,
    shift_ramp,
    template,
    template_grid,
)

N = 32
PLAIN = Optics(
    name="plain",
    voltage=300.0,
    spherical_aberration=2.7,
    amplitude_contrast=0.1,
    pixel_size=1.5,
    image_size=N,
)
ABERRATED = Optics(
    name="aberrated",
    voltage=200.0,
    spherical_aberration=1.4,
    amplitude_contrast=0.07,
    pixel_size=1.5,
    image_size=N,
    beam_tilt=(0.5, -0.3),
    even_zernike=(0.0, 0.0, 0.0, 20.0),
    magnification=(1.02, 0.01, -0.01, 0.98),
)
DEFOCUS = (12_000.0, 10_500.0, 0.4)
POSE = rotation_matrix(0.3, 1.0, -2.0)


@pytest.fixture(scope="module")
def volume():
    density = np.zeros((N, N, N), dtype=np.float32)
    places = np.random.default_rng(1).integers(N // 2 - 6, N // 2 + 7, (20, 3))
    density[tuple(places.T)] = 1
    return fourier_volume(density, PLAIN.pixel_size)


def written_out(volume, optics, defocus, phase_shift, low_pass):
    """The same image from the formulas, in double precision."""
    kx, ky = np.meshgrid(
        np.fft.rfftfreq(N, optics.pixel_size), np.fft.fftfreq(N, optics.pixel_size)
    )
    seen = effective_frequency(kx, ky, optics)
    s, azimuth = seen[0] ** 2 + seen[1] ** 2, np.arctan2(seen[1], seen[0])
    u, v, angle = defocus
    along = defocus_along(azimuth, defocus_u=u, defocus_v=v, defocus_angle=angle)
    chi = defocus_phase(s, along, optics) + fixed_phase(s, optics) + even_phase(*seen, optics)
    part = project(
        volume, POSE, size=N, pixel_size=optics.pixel_size, magnification=optics.magnification
    )
    part = part * np.exp(1j * odd_phase(*seen, optics)) * (np.hypot(kx, ky) <= 1 / low_pass)
    return np.fft.fftshift(np.fft.irfft2(part * ctf(chi + phase_shift), s=(N, N)))


@pytest.mark.parametrize("optics", [PLAIN, ABERRATED], ids=lambda o: o.name)
@pytest.mark.parametrize("low_pass", [2.0, 5.0])
def test_template_is_the_formula(volume, optics, low_pass):
    grid = template_grid(optics, low_pass=low_pass)
    found = template(projection_of(volume, POSE, grid), DEFOCUS, 0.2, grid)
    expected = written_out(volume, optics, DEFOCUS, 0.2, low_pass)
    assert found.dtype == np.float32
    assert_allclose(found, expected, atol=3e-6 * np.abs(expected).max())
    for other in ((12_001.0, 10_500.0, 0.4), (12_000.0, 10_500.0, 0.41)):
        wrong = written_out(volume, optics, other, 0.2, low_pass)
        assert np.abs(found - wrong).max() > 3e-5 * np.abs(expected).max()


def test_a_ramp_moves_the_template(volume):
    grid = template_grid(PLAIN, low_pass=4.0)
    projection = projection_of(volume, POSE, grid)
    here = template(projection, DEFOCUS, 0.0, grid)
    there = template(projection * shift_ramp((3, -2), grid), DEFOCUS, 0.0, grid)
    assert_allclose(there, np.roll(here, (-2, 3), axis=(0, 1)), atol=3e-6 * np.abs(here).max())


def test_the_circle_fills_the_box():
    grid = template_grid(PLAIN, low_pass=4.0)
    x = np.arange(N) - N // 2
    inside = np.hypot(x, x[:, None]) <= N // 2
    column = np.arange(N)
    held = (column >= grid.across[:, :1]) & (column < grid.across[:, 1:])
    np.testing.assert_array_equal(held, inside)


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (0.25, 5.5), (-7.9, 0.1), (40, 0)])
def test_an_image_is_moved_by_linear_interpolation(shift):
    image = np.random.default_rng(2).normal(size=(N, N)).astype(np.float32)
    expected = ndimage.shift(image, shift[::-1], order=1, mode="grid-constant")
    assert_allclose(moved(image, shift), expected, atol=1e-5)


def test_low_pass_keeps_waves_below_and_stops_those_above():
    grid = template_grid(PLAIN, low_pass=6.0)  # limit at 0.25 cycles per pixel, gone by 0.27
    x = np.arange(N)
    slow, fast = np.cos(2 * np.pi * x * 7 / N), np.cos(2 * np.pi * x * 9 / N)
    image = np.broadcast_to(slow + fast + 5.0, (N, N)).astype(np.float32)
    assert_allclose(filtered(image, grid), np.broadcast_to(slow, (N, N)), atol=1e-5)
    assert 0 < grid.low_pass[0, -1] + grid.low_pass[0, 8] <= 1  # at the limit itself still passed


def test_the_astigmatism_angle_runs_from_x_to_y(volume):
    """Along x only the defocus U of an angle of 0 is seen."""
    grid = template_grid(PLAIN, low_pass=2.0)
    projection = projection_of(volume, POSE, grid)
    round_ = np.fft.rfft2(template(projection, (1e4, 1e4, 0.0), 0.0, grid))
    stretched = np.fft.rfft2(template(projection, (1e4, 1.3e4, 0.0), 0.0, grid))
    turned = np.fft.rfft2(template(projection, (1e4, 1.3e4, 90 * DEGREE), 0.0, grid))
    size = np.abs(round_).max()
    assert_allclose(stretched[0], round_[0], atol=1e-5 * size)
    assert np.abs(turned[0] - round_[0]).max() > 0.01 * size
