"""The Guinier plot: B-factors that are known by construction."""

import numpy as np
import pytest
import scipy.fft

from parfocal.fsc import shell_index, squared_radius
from parfocal.guinier import guinier

from .test_fsc import noise

M, PIXEL = 64, 1.2


def damped(b_factor, seed=1):
    """A map of noise damped by exp(-B k² / 4)."""
    k2 = squared_radius(M) / (M * PIXEL) ** 2
    transform = scipy.fft.rfftn(noise(seed, M)) * np.exp(-b_factor * k2 / 4)
    return scipy.fft.irfftn(transform, s=(M, M, M))


@pytest.mark.parametrize("b_factor", [0.0, 60.0, 150.0])
def test_a_known_fall_is_found(b_factor):
    ones = np.ones(M // 2 + 1)
    found = guinier(damped(b_factor), ones, pixel_size=PIXEL, resolution=3.0)
    assert found.b_factor == pytest.approx(b_factor, abs=4 * found.b_factor_error)
    assert found.b_factor_error < 3


def test_the_weights_take_the_noise_out():
    """Amplitudes of signal and noise, times √(FSC of the sum with the truth), are the signal's."""
    signal, rng = damped(120.0), np.random.default_rng(0)
    mean = signal + 0.05 * rng.standard_normal(signal.shape)
    power = [
        np.bincount(shell_index(M).ravel(), np.abs(scipy.fft.rfftn(m)).ravel() ** 2)[: M // 2 + 1]
        for m in (signal, mean)
    ]
    whole = power[0] / power[1]  # 2 FSC / (1 + FSC)
    fsc = whole / (2 - whole)
    plain = guinier(mean, np.ones_like(fsc), pixel_size=PIXEL, resolution=2.6)
    weighted = guinier(mean, fsc, pixel_size=PIXEL, resolution=2.6)
    assert weighted.b_factor == pytest.approx(120, abs=5)
    assert plain.b_factor < 110


def test_what_has_no_signal_is_not_weighed_and_too_few_shells_give_no_line():
    fsc = np.where(np.arange(M // 2 + 1) < 20, 1.0, -0.01)
    found = guinier(damped(50.0), fsc, pixel_size=PIXEL, resolution=3.0)
    assert np.isfinite(found.weighted[:20]).all()
    assert np.isnan(found.weighted[20:]).all()
    assert np.isfinite(found.b_factor)
    assert np.isnan(guinier(damped(50.0), fsc, pixel_size=PIXEL, resolution=9.5).b_factor)
    assert np.isnan(guinier(damped(50.0), fsc, pixel_size=PIXEL, resolution=np.nan).b_factor)
