"""Local resolution of maps whose resolution is known by construction.

A protein-like map is filtered sharply, noise is added to two copies. SNR is that of signal to noise
power per Fourier voxel of the mean of the halves, in the mask, just below the filter's end: the
resolution that is put in is one that a method can see only where it is well above 1.
"""

from typing import NamedTuple

import numpy as np
import pytest
import scipy.fft

from parfocal.local_resolution import frequency_axes, local_difference, radius_of
from parfocal.masks import make_mask
from parfocal.monores import Sweep, monores
from parfocal.optics import Optics
from parfocal.simulate import protein_like
from parfocal.simulate.project import density
from parfocal.windowed_fsc import windowed_fsc

BOX, PIXEL = 96, 1.0  # Å
FINE, COARSE = 3.0, 6.0  # Å
WITHIN = 0.3  # Å, of the medians
AWAY = 6.0  # Å from the step between the parts
STEP = 8.0  # Å, its width
SWEEP = Sweep(coarsest=10.0)


class Truth(NamedTuple):
    """A map of two parts, and where these are."""

    whole: np.ndarray
    volume: np.ndarray  # filtered at FINE where x > 0, at COARSE where x < 0
    mask: np.ndarray
    fine: np.ndarray  # bool, voxels of the mask
    coarse: np.ndarray


def low_passed(volume, resolution: float):
    kept = radius_of(frequency_axes(volume.shape)) / PIXEL <= 1 / resolution
    return scipy.fft.irfftn(scipy.fft.rfftn(volume) * kept, s=volume.shape)


@pytest.fixture(scope="module")
def truth() -> Truth:
    optics = Optics(
        name="map",
        voltage=300.0,
        spherical_aberration=2.7,
        amplitude_contrast=0.1,
        pixel_size=PIXEL,
        image_size=BOX,
    )
    atoms = protein_like(np.random.default_rng(1), residues=500)
    whole = density(atoms, optics=optics, b_factor=40.0)
    mask = make_mask(whole, PIXEL, lowpass=10.0, extend=0.0, edge=3.0)
    x = (np.arange(BOX) - BOX // 2) * PIXEL
    step = (0.5 - 0.5 * np.cos(np.pi * np.clip(0.5 + x / STEP, 0, 1))).astype(np.float32)
    volume = step * low_passed(whole, FINE) + (1 - step) * low_passed(whole, COARSE)
    inside = mask > 0.5
    return Truth(whole, volume, mask, inside & (x > AWAY), inside & (x < -AWAY))


def noise_sd(truth: Truth, resolution: float, snr: float) -> float:
    """Of white noise in a half-map, for a mean of halves of `snr` just below `resolution`."""
    radius = radius_of(frequency_axes(truth.whole.shape)) / PIXEL
    band = (radius <= 1 / resolution) & (radius > 0.9 / resolution)
    held = scipy.fft.irfftn(scipy.fft.rfftn(truth.whole) * band, s=truth.whole.shape)
    power = np.mean(held[truth.mask > 0.5] ** 2) / (2 * band.sum() / truth.whole.size)
    return float(np.sqrt(2 * power / snr))


def half_maps(volume, sd: float, seed: int):
    rng = np.random.default_rng(seed)
    return [volume + sd * rng.standard_normal(volume.shape, dtype=np.float32) for _ in range(2)]


def medians(truth: Truth, found) -> tuple[float, float]:
    fine, coarse = (float(np.median(found.resolution[part])) for part in (truth.fine, truth.coarse))
    print(f"{found.method}: medians {fine:.2f} and {coarse:.2f} Å, unseen {found.unseen:.4f}")
    return fine, coarse


def holds(fine: float, coarse: float) -> bool:
    return abs(fine - FINE) < WITHIN and abs(coarse - COARSE) < WITHIN


@pytest.fixture(scope="module")
def by_snr(truth):
    """SNR -> (half-maps, MonoRes)."""
    found = {}
    for snr in (3, 40, 100):
        halves = half_maps(truth.volume, noise_sd(truth, FINE, snr), seed=snr)
        found[snr] = halves, monores(*halves, truth.mask, pixel_size=PIXEL, sweep=SWEEP)
    return found


@pytest.mark.parametrize("snr", [40, 100])
def test_monores_finds_both_resolutions_of_one_map(truth, by_snr, snr):
    fine, coarse = medians(truth, by_snr[snr][1])
    assert holds(fine, coarse)
    # spoiled twin: the parts exchanged
    assert not holds(coarse, fine)


def test_monores_says_less_than_there_is_where_noise_hides_it(truth, by_snr):
    """The limit of the method, told in its docstring: at low SNR it is too coarse, never too fine."""
    fine, coarse = medians(truth, by_snr[3][1])
    assert not holds(fine, coarse)
    assert fine > FINE + WITHIN
    assert coarse > COARSE + WITHIN
    assert fine < coarse


def test_monores_is_wrong_where_half_maps_share_noise(truth, by_snr):
    """Spoiled twin: the noise that it measures is not the map's own, and it sees too much."""
    first, second = by_snr[40][0]
    mixed = [0.9 * first + 0.1 * second, 0.1 * first + 0.9 * second]
    loud = [m + (first - truth.volume) * 2.0 for m in mixed]
    found = monores(*loud, truth.mask, pixel_size=PIXEL, sweep=SWEEP)
    assert not holds(*medians(truth, found))


@pytest.mark.parametrize("resolution", [FINE, COARSE])
def test_the_windowed_fsc_finds_the_resolution_of_a_map(truth, resolution):
    sd = noise_sd(truth, resolution, snr=4.0)
    volume, inside = low_passed(truth.whole, resolution), truth.mask > 0.5
    first, second = half_maps(volume, sd, seed=7)
    found = windowed_fsc(first, second, truth.mask, pixel_size=PIXEL)
    median = np.median(found.resolution[inside])
    # spoiled twin: a part of the noise is in both
    shared = 2 * sd * np.random.default_rng(8).standard_normal(volume.shape, dtype=np.float32)
    both = windowed_fsc(first + shared, second + shared, truth.mask, pixel_size=PIXEL)
    print(f"{resolution} Å: {median:.2f} Å, with shared noise {both.median:.2f} Å")
    assert abs(median - resolution) < WITHIN
    assert abs(both.median - resolution) > WITHIN


def test_the_gain_of_a_better_map_is_found_and_none_between_equals(truth, by_snr):
    base = by_snr[40][1].resolution
    halves = half_maps(truth.volume, noise_sd(truth, FINE, 40), seed=41)
    equal = monores(*halves, truth.mask, pixel_size=PIXEL, sweep=SWEEP).resolution
    better = by_snr[100][1].resolution
    rng = np.random.default_rng(0)
    null = local_difference(base, equal, truth.mask, rng=rng)
    gain = local_difference(base, better, truth.mask, rng=rng)
    print("equals", null)
    print("better", gain)
    assert abs(null.mean) < 3 * null.mean_error
    assert gain.mean > 3 * gain.mean_error
    # spoiled twin: the same values, but not voxel by voxel
    turned = local_difference(base, better[:, :, ::-1], truth.mask, rng=rng)
    print("turned", turned)
    assert not turned.mean > 3 * turned.mean_error
