"""Fourier shell correlation: cases known without code."""

import numpy as np
import pytest
import scipy.fft

from parfocal.fsc import shell_correlation, shell_index

N = 40


def noise(seed, n=N):
    return np.random.default_rng(seed).standard_normal((n, n, n), dtype=np.float32)


def sphere(radius, n=N):
    x = np.arange(n) - n // 2
    r = np.sqrt(x[:, None, None] ** 2 + x[:, None] ** 2 + x**2)
    return np.clip(radius + 0.5 - r, 0, 1)


def standard_error(n=N):
    """Of the FSC of two noise maps: one over the root of the values in each shell."""
    return 1 / np.sqrt(np.bincount(shell_index(n).ravel())[: n // 2 + 1])


@pytest.mark.parametrize("n", [8, 9])
def test_shells_are_rounded_distances(n):
    shells = shell_index(n)
    assert shells.shape == (n, n, n // 2 + 1)
    assert shells[0, 0, 0] == 0
    assert shells[2, 0, 1] == shells[-2, 0, 1] == 2  # √5
    assert shells[2, 2, 0] == shells[-2, 2, 0] == 3  # √8
    assert shells[0, 0, n // 2] == n // 2


def test_a_map_correlates_with_itself_whatever_its_scale():
    transform = scipy.fft.rfftn(noise(1))
    np.testing.assert_allclose(shell_correlation(transform, 7 * transform), 1, rtol=1e-5)
    np.testing.assert_allclose(shell_correlation(transform, -transform), -1, rtol=1e-5)


def test_a_shell_without_power_has_no_correlation():
    transform = scipy.fft.rfftn(noise(1))
    transform[shell_index(N) == 5] = 0
    assert shell_correlation(transform, transform)[5] == 0


def test_independent_noise_does_not_correlate():
    found = shell_correlation(*(scipy.fft.rfftn(noise(seed)) for seed in (1, 2)))
    pull = found / standard_error()
    assert np.abs(pull[1:]).max() < 4
    assert 0.6 < pull[1:].std() < 1.6


@pytest.mark.parametrize("signal", [0.5, 1.0, 3.0])
def test_signal_in_noise_correlates_as_its_share_of_the_power(signal):
    common = np.sqrt(signal) * noise(3)
    found = shell_correlation(*(scipy.fft.rfftn(common + noise(seed)) for seed in (1, 2)))
    share = signal / (signal + 1)
    pull = (found - share) / ((1 - share**2) * standard_error())
    assert np.abs(pull[2:]).max() < 5
    assert abs(pull[2:].mean()) < 4 * 1.5 / np.sqrt(len(pull))
