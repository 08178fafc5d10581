"""A change of astigmatism from the harmonics, against spectra taken with the changed base phase."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.astigmatism import complex_sums, cross, norm, turn
from parfocal.conventions import astigmatism_vector
from parfocal.grid import spectra_grid
from parfocal.optics import Optics
from parfocal.projection import fourier_volume
from parfocal.spectra import spectra_of, views_of

from .conftest import make_optics, make_particles

BOX = 96  # enough pixels in a bin that its sectors are filled
OPTICS: Optics = make_optics(image_size=BOX, magnification=(1.02, 0.01, -0.02, 0.99))
CHANGES = [(25.0, 0.0), (0.0, -25.0), (-18.0, 18.0)]  # 0.5 rad for B at the highest frequency


def blob(seed=0):
    """A map of noise within a small ball."""
    x = np.arange(BOX) - BOX // 2
    fall = np.exp(-(x**2) / 2 / 8.0**2)
    noise = np.random.default_rng(seed).normal(size=(BOX,) * 3)
    return (noise * fall[:, None, None] * fall[:, None] * fall).astype(np.float32)


VOLUME = fourier_volume(blob(), 1.5)
IMAGE = np.random.default_rng(1).normal(size=(BOX, BOX)).astype(np.float32)
GRID = spectra_grid(OPTICS, padded=BOX, change_max=500.0, astigmatism=True)
RATE = GRID.change_phase(1.0)


def changed(particle, a, b):
    """The particle with its astigmatism vector changed."""
    mean, cosine, sine = astigmatism_vector(
        particle.defocus_u, particle.defocus_v, particle.defocus_angle
    )
    cosine, sine = cosine + a, sine + b
    half = np.hypot(cosine, sine)
    angle = np.arctan2(sine, cosine) / 2
    return replace(particle, defocus_u=mean + half, defocus_v=mean - half, defocus_angle=angle)


def spectra(particle, image=IMAGE):
    sums, harmonics = spectra_of(image, views_of(particle, GRID), 0, VOLUME, GRID)
    return sums.sum(axis=0, dtype=float)[None], harmonics[None].astype(float)


def terms(sums, change):
    """(cross, norm) (bins,) of spectra at a change of mean defocus."""
    turned = GRID.change_phase(change)
    a, b, *_ = complex_sums(sums, np.zeros((1, GRID.bins, 16)))
    swing = np.real(b * np.exp(2j * turned))
    return np.imag(a * np.exp(1j * turned))[0], (sums[0, :, 6] - swing[0]) / 2


@pytest.fixture(scope="module")
def particle():
    return make_particles(OPTICS, 1, seed=3)


def off(particle, a, b, taken=(1, 1), change=150.0):
    """Error of cross and of norm over the effect of (a, b), which the harmonics take as `taken`."""
    x, p = spectra(particle)
    asked = np.array([[a * taken[0], b * taken[1]]])
    expected = terms(spectra(changed(particle, a, b))[0], change)
    found = [f(np.array([change]), asked, x, p, GRID)[0] for f in (cross, norm)]
    without = terms(x, change)
    pairs = zip(found, without, expected, strict=True)
    return [np.linalg.norm(f - e) / np.linalg.norm(w - e) for f, w, e in pairs]


@pytest.mark.parametrize(("a", "b"), CHANGES)
def test_cross_and_norm_are_those_of_the_changed_phase(particle, a, b):
    """But for what sectors cannot see: a wave's spread within one, 0.11 for 2φ of 0.7."""
    assert max(off(particle, a, b)) < 0.2


@pytest.mark.parametrize("taken", [(0, 0), (-1, 1), (1, -1)])
def test_a_change_forgotten_or_turned_is_noticed(particle, taken):
    assert min(off(particle, -18.0, 18.0, taken)) > 0.9


@pytest.mark.parametrize("at", [(0.0, 0.0), (1.0, 1.0), (30.0, -50.0)])  # by series, and beyond
def test_derivatives_are_finite_differences(particle, at):
    whole, _, waves, _ = complex_sums(*spectra(particle))
    here, h = np.array([at]), 1e-3
    found = turn(whole, waves, RATE, here)
    for slope, step in ((found.by_a, [[h, 0.0]]), (found.by_b, [[0.0, h]])):
        up, down = (turn(whole, waves, RATE, here + s * np.array(step)).value for s in (1, -1))
        difference = (up - down) / (2 * h)
        np.testing.assert_allclose(slope, difference, atol=1e-6 * np.abs(difference).max())


def test_no_change_is_no_change(particle):
    sums, harmonics = spectra(particle)
    for f, expected in zip((cross, norm), terms(sums, 40.0), strict=True):
        found = f(np.array([40.0]), np.zeros((1, 2)), sums, harmonics, GRID)[0]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_what_is_dropped_is_as_small_as_said():
    """Of a wave of unit amplitude in the worst direction: 2 J₃(ρ), which is ρ³ / 24 or less."""
    azimuth = (np.arange(4096) + 0.5) * np.pi / 4096
    for rho, bound in ((0.5, 0.006), (1.0, 0.042)):
        phase = rho * np.cos(2 * azimuth)
        for order in range(4):
            wave = np.exp(2j * order * azimuth)
            whole = np.mean(wave)[None, None]
            waves = [f(n * azimuth) for n in (2, 4) for f in (np.cos, np.sin)]
            waves = np.array([np.mean(wave * w) for w in waves])[None, None]
            found = turn(whole, waves, np.ones(1), np.array([[rho, 0.0]])).value[0, 0]
            assert abs(found - np.mean(wave * np.exp(1j * phase))) < bound
