"""Electron optics, as cases whose answer is known without code."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from parfocal.optics import (
    Optics,
    ctf,
    defocus_along,
    defocus_phase,
    delocalisation,
    effective_frequency,
    even_phase,
    fixed_phase,
    odd_phase,
    resolution_limit,
    wavelength,
    zernike,
)

KRIOS = {
    "name": "krios",
    "voltage": 300.0,
    "spherical_aberration": 2.7,
    "amplitude_contrast": 0.1,
    "pixel_size": 1.0,
    "image_size": 256,
}
PLANE = st.floats(-0.4, 0.4)


def optics(**changes) -> Optics:
    return Optics(**(KRIOS | changes))


@pytest.mark.parametrize(("kilovolt", "published"), [(300, 0.019687), (200, 0.025079)])
def test_wavelength(kilovolt, published):
    assert wavelength(kilovolt) == pytest.approx(published, abs=1e-6)


@pytest.mark.parametrize(("u", "v"), [(12e3, 9e3), (9e3, 12e3), (1e4, 1e4)])
def test_swapping_u_and_v_is_a_quarter_turn(u, v):
    azimuth = np.linspace(0, np.pi, 50)
    here = defocus_along(azimuth, defocus_u=u, defocus_v=v, defocus_angle=0.3)
    there = defocus_along(azimuth, defocus_u=v, defocus_v=u, defocus_angle=0.3 + np.pi / 2)
    assert_allclose(here, there, rtol=1e-12)


@pytest.mark.parametrize(("u", "v"), [(12e3, 9e3), (9e3, 12e3)])
def test_u_is_seen_along_the_angle_and_v_across_it(u, v):
    seen = defocus_along(
        np.array([0.3, 0.3 + np.pi / 2]), defocus_u=u, defocus_v=v, defocus_angle=0.3
    )
    assert_allclose(seen, [u, v])


def test_at_45_degrees_both_image_axes_see_the_mean_defocus():
    seen = defocus_along(
        np.array([0, np.pi / 2]), defocus_u=12e3, defocus_v=9e3, defocus_angle=np.pi / 4
    )
    assert_allclose(seen, 10.5e3, rtol=1e-12)


def test_the_ctf_starts_at_the_amplitude_contrast_and_rises_when_underfocused():
    at_zero, soon = ctf(
        fixed_phase(np.array([0.0, 1e-4]), optics())
        + defocus_phase(np.array([0.0, 1e-4]), 1e4, optics())
    )
    assert at_zero == pytest.approx(0.1)
    assert soon > at_zero


def test_the_first_zero_of_the_ctf_without_cs_is_where_lambda_defocus_s_is_one():
    plain = optics(spherical_aberration=0.0, amplitude_contrast=0.0)
    s = 1 / (plain.wavelength * 1e4)
    assert_allclose(ctf(defocus_phase(s, 1e4, plain)), 0, atol=1e-12)
    assert ctf(defocus_phase(s / 2, 1e4, plain)) == pytest.approx(1)


def test_at_scherzer_like_focus_defocus_and_cs_cancel():
    k = 0.25
    plain = optics(amplitude_contrast=0.0)
    balanced = 2.7e7 * plain.wavelength**2 * k**2 / 2
    assert defocus_phase(k**2, balanced, plain) + fixed_phase(k**2, plain) == pytest.approx(0)


@pytest.mark.parametrize("defocus", [5e3, 2e4])
def test_delocalisation_is_the_slope_of_the_phase(defocus):
    k, step = 0.3, 1e-6
    chi = [
        defocus_phase(x**2, defocus, optics()) + fixed_phase(x**2, optics())
        for x in (k - step, k + step)
    ]
    slope = abs(chi[1] - chi[0]) / (2 * step)
    assert delocalisation(k, defocus, optics()) == pytest.approx(slope / (2 * np.pi), rel=1e-6)


def test_resolution_limit_is_where_the_phase_is_off_by_a_quarter_turn():
    limit = resolution_limit(100.0, optics())
    assert defocus_phase(1 / limit**2, 100.0, optics()) == pytest.approx(np.pi / 2)
    assert limit == pytest.approx(np.sqrt(2 * 0.019687 * 100), rel=1e-4)


@pytest.mark.parametrize(
    ("m", "n", "by_hand"),
    [
        (0, 0, lambda x, y: 1),
        (-1, 1, lambda x, y: y),
        (1, 1, lambda x, y: x),
        (0, 2, lambda x, y: 2 * (x * x + y * y) - 1),
        (-2, 2, lambda x, y: 2 * x * y),
        (2, 2, lambda x, y: x * x - y * y),
        (1, 3, lambda x, y: (3 * (x * x + y * y) - 2) * x),
        (-1, 3, lambda x, y: (3 * (x * x + y * y) - 2) * y),
        (3, 3, lambda x, y: x**3 - 3 * x * y * y),
        (-3, 3, lambda x, y: 3 * x * x * y - y**3),
        (0, 4, lambda x, y: 6 * (x * x + y * y) ** 2 - 6 * (x * x + y * y) + 1),
        (2, 4, lambda x, y: (4 * (x * x + y * y) - 3) * (x * x - y * y)),
        (-4, 4, lambda x, y: 4 * x**3 * y - 4 * x * y**3),
    ],
)
def test_zernike_polynomials_by_hand(m, n, by_hand):
    x, y = np.meshgrid([-0.7, 0.0, 0.2], [-0.3, 0.0, 0.9])
    assert_allclose(zernike(m, n, x, y), by_hand(x, y) * np.ones_like(x), atol=1e-12)


@pytest.mark.parametrize(
    ("place", "by_hand"),
    [
        (0, lambda x, y: y),  # Z(-1, 1)
        (1, lambda x, y: x),
        (2, lambda x, y: 3 * x * x * y - y**3),  # Z(-3, 3)
        (3, lambda x, y: (3 * (x * x + y * y) - 2) * y),
        (4, lambda x, y: (3 * (x * x + y * y) - 2) * x),
        (5, lambda x, y: x**3 - 3 * x * y * y),
        (6, lambda x, y: np.hypot(x, y) ** 5 * np.sin(5 * np.arctan2(y, x))),  # Z(-5, 5)
    ],
)
def test_relions_order_of_odd_zernikes(place, by_hand):
    group = optics(odd_zernike=(0.0,) * place + (2.0,))
    assert_allclose(odd_phase(0.2, -0.3, group), 2 * by_hand(0.2, -0.3))


@pytest.mark.parametrize(
    ("place", "by_hand"),
    [
        (0, lambda x, y: 1),
        (1, lambda x, y: 2 * x * y),  # Z(-2, 2)
        (2, lambda x, y: 2 * (x * x + y * y) - 1),
        (3, lambda x, y: x * x - y * y),
        (4, lambda x, y: 4 * x**3 * y - 4 * x * y**3),  # Z(-4, 4)
        (6, lambda x, y: 6 * (x * x + y * y) ** 2 - 6 * (x * x + y * y) + 1),
    ],
)
def test_relions_order_and_sign_of_even_zernikes(place, by_hand):
    group = optics(even_zernike=(0.0,) * place + (2.0,))
    assert_allclose(even_phase(0.2, -0.3, group), -2 * by_hand(0.2, -0.3))


def test_a_beam_tilt_is_the_odd_zernikes_that_relion_makes_of_it():
    # RELION: Z(1,3) = -a t/3 and Z(1,1) = -2 a t/3, with a = 2e4 π Cs[mm] λ²
    a = 2e4 * np.pi * 2.7 * wavelength(300) ** 2
    tilted = optics(beam_tilt=(0.3, -0.2))
    zernikes = (0.2 * a * 2 / 3, -0.3 * a * 2 / 3, 0.0, 0.2 * a / 3, -0.3 * a / 3)
    kx, ky = np.meshgrid(np.linspace(-0.4, 0.4, 7), np.linspace(-0.4, 0.4, 7))
    expected = odd_phase(kx, ky, optics(odd_zernike=zernikes))
    assert_allclose(odd_phase(kx, ky, tilted), expected, atol=1e-12)
    assert odd_phase(0.3, 0.0, tilted) == pytest.approx(-a * 0.3 * 0.3**3)


@given(PLANE, PLANE)
def test_odd_and_even_phases_have_their_symmetry(kx, ky):
    group = optics(beam_tilt=(1.0, 2.0), odd_zernike=(1, 2, 3, 4, 5, 6), even_zernike=(1,) * 9)
    assert_allclose(odd_phase(-kx, -ky, group), -odd_phase(kx, ky, group), atol=1e-9)
    assert_allclose(even_phase(-kx, -ky, group), even_phase(kx, ky, group), atol=1e-9)


def test_magnification_rows_are_m00_m01_and_m10_m11():
    group = optics(magnification=(1.0, 0.1, 0.2, 1.25))
    assert effective_frequency(1.0, 0.0, group) == (1.0, 0.2)
    assert effective_frequency(0.0, 1.0, group) == (0.1, 1.25)


def test_refined_settings_beyond_what_a_lens_has_are_possible():
    assert optics(spherical_aberration=-0.3).spherical_aberration == -0.3
    assert optics(amplitude_contrast=1.0).amplitude_contrast == 1.0


@pytest.mark.parametrize(
    "impossible",
    [
        {"voltage": 3e5},
        {"voltage": float("nan")},
        {"spherical_aberration": 2.7e7},
        {"amplitude_contrast": -0.1},
        {"amplitude_contrast": 7.0},
        {"pixel_size": 0.0},
        {"image_size": 255},
        {"image_size": 0},
        {"beam_tilt": (0.0, float("nan"))},
        {"beam_tilt": (200.0, 0.0)},
        {"odd_zernike": (float("nan"),)},
        {"even_zernike": (0.0, float("inf"))},
        {"magnification": (float("nan"), 0.0, 0.0, 1.0)},
        {"magnification": (1.0, 0.0, 0.0, 0.0)},
        {"magnification": (2.0, 0.0, 0.0, 2.0)},
    ],
)
def test_impossible_settings_are_refused_by_name(impossible):
    name = next(iter(impossible)).removeprefix("odd_").removeprefix("even_")
    with pytest.raises(ValueError, match=rf"(?i)^{name}.* is not possible in optics group"):
        optics(**impossible)
