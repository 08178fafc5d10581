"""The four FSC curves and where they fall: cases known without code, and the mean of random phases."""

import numpy as np
import pytest
import scipy.fft

from parfocal.errors import InputError
from parfocal.fsc import shell_correlation, shell_index, squared_radius
from parfocal.fsc_curves import FscCurves, crossing, fsc_curves
from parfocal.masks import soft_sphere

from .test_fsc import N, noise, sphere, standard_error


def curves_of(values, pixel_size=1.0, box=None):
    values = np.asarray(values, dtype=float)
    box = 2 * (len(values) - 1) if box is None else box
    k = np.arange(len(values)) / (box * pixel_size)
    return FscCurves(
        k=k,
        unmasked=values,
        masked=values,
        randomised=values,
        corrected=values,
        randomised_from=len(values),
        pixel_size=pixel_size,
    )


@pytest.mark.parametrize(
    ("curve", "shell"),
    [
        ([1, 1, 0.6, 0.4, 0.1, 0, 0, 0], 2.5),
        ([1, 1, 0.5, 0.5, 0.1, 0, 0, 0], 3.0),
        ([1, 1, 0.6, 0.4, 0.6, 0.4, 0, 0], 4.5),  # one noisy shell is no fall
        ([1, 1, 0.6, 0.4, 0.4, 0.4, 0.9, 0.9], 2.5),  # three in a row are
        ([1, 1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.4], 6.8),  # as far as there are shells
        ([1, 1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9], 7.0),  # never
        ([1, 0.2, 0.2, 0.2, 0.2, 0, 0, 0], 0.0),  # from the start
        ([0, 1, 0.6, 0.4, 0.1, 0, 0, 0], 2.5),  # the mean density does not count
    ],
)
def test_where_a_curve_falls(curve, shell):
    assert crossing(np.array(curve, dtype=float), 0.5) == pytest.approx(shell)


def test_a_resolution_is_in_angstroms_and_says_where_the_pixel_limits_it():
    falls = curves_of([1, 1, 0.6, 0.4, 0.1, 0, 0, 0, 0], pixel_size=1.5)
    assert falls.resolution(0.5) == pytest.approx(16 * 1.5 / 2.5)
    assert not falls.reaches_nyquist(0.5)
    never = curves_of(np.ones(9), pixel_size=1.5)
    assert never.resolution(0.5) == pytest.approx(3.0)
    assert never.reaches_nyquist(0.5)
    assert np.isnan(curves_of([1, 0, 0, 0, 0]).resolution(0.5))


def signal_and_noise(shell=9):
    """Two maps of one structure that ends at `shell`, each with its own noise."""
    band = scipy.fft.rfftn(noise(5)) * (squared_radius(N) <= shell**2)
    common = 4 * scipy.fft.irfftn(band, s=(N, N, N)) * sphere(10)
    return [(common + noise(seed)).astype(np.float32) for seed in (1, 2)]


def test_the_plain_curves_are_plain_fscs():
    halves, mask = signal_and_noise(), sphere(12)
    found = fsc_curves(*halves, mask, pixel_size=2.0, rng=np.random.default_rng(0))
    plain = shell_correlation(*(scipy.fft.rfftn(half) for half in halves))
    masked = shell_correlation(*(scipy.fft.rfftn(half * mask) for half in halves))
    np.testing.assert_allclose(found.unmasked, plain, atol=1e-6)
    np.testing.assert_allclose(found.masked, masked, atol=1e-6)
    np.testing.assert_allclose(found.k, np.arange(N // 2 + 1) / (N * 2.0))
    assert found.randomised_from == np.flatnonzero(plain[1:] < 0.8)[0] + 1


def scrambled(transform, start, rng):
    """The map of a transform whose phases are random from a radius on."""
    beyond = squared_radius(N) >= start**2
    made = transform.copy()
    made[beyond] = np.abs(made[beyond]) * np.exp(2j * np.pi * rng.random(int(beyond.sum())))
    return scipy.fft.irfftn(made, s=(N, N, N))


def test_the_randomised_curve_is_the_mean_over_random_phases():
    """Against the FSC of maps whose phases are random indeed, drawn many times."""
    (one, other), mask, start, draws = signal_and_noise(), sphere(9), 6, 60
    options = {"pixel_size": 1.0, "randomise_from": start}
    found = fsc_curves(one, other, mask, rng=np.random.default_rng(0), **options)
    rng = np.random.default_rng(3)
    transforms = [scipy.fft.rfftn(half) for half in (one, other)]
    drawn = np.array(
        [
            shell_correlation(
                *(scipy.fft.rfftn(scrambled(t, start, rng) * mask) for t in transforms)
            )
            for _ in range(draws)
        ]
    )
    error = drawn.std(axis=0, ddof=1) / np.sqrt(draws)
    after = slice(start, None)
    pull = ((found.randomised - drawn.mean(axis=0)) / error)[after]
    assert np.abs(pull).max() < 4.5  # the denominator is of one draw: a little more than of noise
    assert found.randomised[start] > 0.3  # and there is something to take out
    again = fsc_curves(one, other, mask, rng=np.random.default_rng(9), **options)
    one_draw = drawn.std(axis=0, ddof=1)
    assert (np.abs(again.randomised - found.randomised) < 0.5 * one_draw + 1e-3)[after].all()


def test_the_corrected_curve_follows_from_the_others():
    start = 6
    found = fsc_curves(
        *signal_and_noise(),
        sphere(9),
        pixel_size=1.0,
        rng=np.random.default_rng(0),
        randomise_from=start,
    )
    np.testing.assert_array_equal(found.corrected[: start + 2], found.masked[: start + 2])
    share = found.randomised[start + 2 :]
    wanted = (found.masked[start + 2 :] - share) / (1 - share)
    np.testing.assert_allclose(found.corrected[start + 2 :], wanted, atol=1e-9)


def test_what_the_mask_makes_is_taken_out():
    """Noise on a common background, under a mask: plainly correlated, corrected to nothing."""
    mask, rng, draws = sphere(7), np.random.default_rng(0), 25
    plain, corrected = [], []
    for draw in range(draws):
        halves = [5 + noise(seed) for seed in (2 * draw, 2 * draw + 1)]
        plain.append(shell_correlation(*(scipy.fft.rfftn(half * mask) for half in halves)))
        corrected.append(fsc_curves(*halves, mask, pixel_size=1.0, rng=rng).corrected)
    error = standard_error() * np.sqrt(N**3 / np.sum(mask**2) / draws)  # of fewer values
    plain, corrected = np.mean(plain, axis=0), np.mean(corrected, axis=0)
    below = np.flatnonzero(plain < 0.7)[0] + 3  # past the shells where phases begin to be random
    assert np.sum(plain[below:] / error[below:] > 10) >= 3
    assert np.abs(corrected[below:] / error[below:]).max() < 5


def test_equal_halves_correlate_fully():
    half, rng = noise(1), np.random.default_rng(0)
    found = fsc_curves(half, half, sphere(12), pixel_size=1.0, rng=rng)
    np.testing.assert_allclose(found.corrected, 1, atol=1e-5)


def test_a_signal_that_ends_is_found_to_end_there():
    """Noise of equal power everywhere on a map that holds nothing beyond shell 10."""
    band = scipy.fft.rfftn(noise(5)) * (shell_index(N) <= 10)
    common = 5 * scipy.fft.irfftn(band, s=(N, N, N))
    halves = [common + noise(seed) for seed in (1, 2)]
    rng = np.random.default_rng(0)
    found = fsc_curves(*halves, sphere(12), pixel_size=1.0, rng=rng).corrected
    np.testing.assert_allclose(found[1:9], 25 / 26, atol=0.03)
    blurred = standard_error() * np.sqrt(N**3 / np.sum(sphere(12) ** 2))
    assert np.abs(found[14:] / blurred[14:]).max() < 4


def test_no_mask_is_a_sphere_that_fills_the_box():
    halves = signal_and_noise()
    bare, sphered = (
        fsc_curves(*halves, mask, pixel_size=1.0, rng=np.random.default_rng(0))
        for mask in (None, soft_sphere(N))
    )
    np.testing.assert_array_equal(bare.corrected, sphered.corrected)


def test_scale_is_of_no_matter_and_halves_stay_as_they_were():
    one, other = signal_and_noise()
    before = one.copy(), other.copy()
    plain, scaled = (
        fsc_curves(one * factor, other / factor, sphere(9), pixel_size=1.0, rng=rng)
        for factor, rng in ((1, np.random.default_rng(0)), (1000, np.random.default_rng(0)))
    )
    np.testing.assert_allclose(scaled.corrected, plain.corrected, atol=1e-4)
    np.testing.assert_array_equal((one, other), before)


@pytest.mark.parametrize(
    ("half2", "mask", "where"),
    [
        (noise(2, 32), sphere(9), "half-map 2"),
        (noise(2), sphere(9, 32), "mask"),
        (np.zeros((N, N, N)), sphere(9), "half-map 2"),
        (np.full((N, N, N), np.nan), sphere(9), "half-map 2"),
        (noise(2), np.zeros((N, N, N)), "mask"),
    ],
)
def test_what_cannot_be_compared_is_refused(half2, mask, where):
    with pytest.raises(InputError) as refused:
        fsc_curves(noise(1), half2, mask, pixel_size=1.0, rng=np.random.default_rng(0))
    assert refused.value.where == where
