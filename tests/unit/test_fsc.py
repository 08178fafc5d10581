"""Fourier shell correlation: cases known without code, and what a mask alone makes."""

import numpy as np
import pytest
import scipy.fft

from parfocal.fsc import masked_fsc, shell_correlation, shell_index

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


def test_what_the_mask_makes_is_taken_out():
    """Noise on a common background, under a mask: plainly correlated, corrected to nothing."""
    mask, rng, draws = sphere(7), np.random.default_rng(0), 25
    plain, corrected = [], []
    for draw in range(draws):
        halves = [5 + noise(seed) for seed in (2 * draw, 2 * draw + 1)]
        plain.append(shell_correlation(*(scipy.fft.rfftn(half * mask) for half in halves)))
        corrected.append(masked_fsc(*halves, mask, rng=rng))
    error = standard_error() * np.sqrt(N**3 / np.sum(mask**2) / draws)  # of fewer values
    plain, corrected = np.mean(plain, axis=0), np.mean(corrected, axis=0)
    below = np.flatnonzero(plain < 0.7)[0] + 3  # past the shells where phases begin to be random
    assert np.sum(plain[below:] / error[below:] > 10) >= 3
    assert np.abs(corrected[below:] / error[below:]).max() < 5


def test_of_equal_halves_it_is_one():
    half = noise(1)
    np.testing.assert_allclose(
        masked_fsc(half, half, sphere(12), rng=np.random.default_rng(0)), 1, atol=1e-5
    )


def test_a_signal_that_ends_is_found_to_end_there():
    """Noise of equal power everywhere on a map that holds nothing beyond shell 10."""
    band = scipy.fft.rfftn(noise(5)) * (shell_index(N) <= 10)
    common = 5 * scipy.fft.irfftn(band, s=(N, N, N))
    halves = [common + noise(seed) for seed in (1, 2)]
    found = masked_fsc(*halves, sphere(12), rng=np.random.default_rng(0))
    np.testing.assert_allclose(found[1:9], 25 / 26, atol=0.03)
    blurred = standard_error() * np.sqrt(N**3 / np.sum(sphere(12) ** 2))
    assert np.abs(found[14:] / blurred[14:]).max() < 4


def test_the_halves_are_left_as_they_were_and_the_result_repeats():
    halves = [noise(1), noise(2)]
    before = [half.copy() for half in halves]
    first, second = (masked_fsc(*halves, sphere(9), rng=np.random.default_rng(4)) for _ in "12")
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(halves, before)
    assert np.abs(first).max() <= 1
