"""Resolutions, their intervals, directions and B-factors against half-maps whose truth is known."""

from typing import NamedTuple

import numpy as np
import pytest
import scipy.fft

from parfocal.fsc import shell_index, squared_radius
from parfocal.fsc_curves import FscCurves, crossing, fsc_curves
from parfocal.fsc_directions import DirectionSums, direction_sums, directional
from parfocal.fsc_measure import FscSettings, measure
from parfocal.fsc_spread import fsc_noise, noise_in_cones, resolution_interval
from parfocal.masks import make_mask
from parfocal.report.fsc_words import UNEVEN, is_uneven
from parfocal.simulate import Scene, simulate
from parfocal.simulate.maps import half_maps, soft_mask

BOX, PIXEL, RESOLUTION = 48, 1.5, 6.0
PAIRS = 200
LEVELS = (0.143, 0.5)
COVERED = (0.60, 0.76)  # 68 % intervals; of 200 pairs the standard error of the share is 3.3 %


class Repeat(NamedTuple):
    """One pair of half-maps of the same structure, measured."""

    curves: FscCurves
    noise: np.ndarray  # (draws, shells)
    sums: DirectionSums


@pytest.fixture(scope="module")
def molecule():
    """(density, mask) of a small protein."""
    scene = Scene(particles=2, micrographs=1, box=BOX, pixel_size=PIXEL, residues=150)
    density = simulate(scene, np.random.default_rng(1)).map
    return density, soft_mask(density, pixel_size=PIXEL)


def pair_of(molecule, seed):
    options = {"pixel_size": PIXEL, "resolution": RESOLUTION}
    return half_maps(*molecule, rng=np.random.default_rng([7, seed]), **options)


@pytest.fixture(scope="module")
def repeats(molecule):
    """Pairs that differ in nothing but their noise."""
    found = []
    for seed in range(PAIRS):
        rng, halves, mask = np.random.default_rng([9, seed]), pair_of(molecule, seed), molecule[1]
        curves = fsc_curves(*halves, mask, pixel_size=PIXEL, rng=rng)
        sums = direction_sums(*halves, mask)
        noise = fsc_noise(sums, curves, draws=200, rng=rng)
        found.append(Repeat(curves, noise, sums))
    return found


def covered(repeats, level, noise_of) -> float:
    """Share of intervals, from what `noise_of` a repeat gives, that hold the truth.

    The truth is where the mean of all curves falls: noise has mean 0, so that is the FSC itself.
    """
    mean = np.mean([repeat.curves.corrected for repeat in repeats], axis=0)
    truth = BOX * PIXEL / crossing(mean, level)
    held = []
    for repeat in repeats:
        interval = resolution_interval(repeat.curves, noise_of(repeat), level)
        held.append(interval.fine <= truth <= interval.coarse)
    return float(np.mean(held))


@pytest.mark.parametrize("level", LEVELS)
def test_intervals_hold_the_truth_as_often_as_they_say(repeats, level):
    share = covered(repeats, level, lambda repeat: repeat.noise)
    print(f"FSC {level:g}: {100 * share:.1f} % of {PAIRS} intervals hold the truth")
    assert COVERED[0] <= share <= COVERED[1]


@pytest.mark.parametrize("level", LEVELS)
def test_intervals_that_take_voxels_for_independent_do_not(repeats, level):
    """The spoiled twin: the textbook error (1 - f²) / √(2 m), which knows nothing of the mask."""
    count = np.bincount(shell_index(BOX).ravel())[: BOX // 2 + 1]

    def textbook(repeat):
        error = (1 - np.clip(repeat.curves.corrected, 0, 1) ** 2) / np.sqrt(2 * count)
        return error * np.random.default_rng(0).standard_normal((200, len(count)))

    share = covered(repeats, level, textbook)
    print(f"FSC {level:g}: {100 * share:.1f} % of textbook intervals hold the truth")
    assert share < COVERED[0]


def test_the_error_band_is_the_scatter_of_the_curve(repeats):
    scatter = np.std([repeat.curves.corrected for repeat in repeats], axis=0)
    error = np.sqrt(np.mean([repeat.noise.var(axis=0) for repeat in repeats], axis=0))
    ratio = (error / scatter)[4:]
    print(f"error over scatter: {ratio.min():.2f} to {ratio.max():.2f}, mean {ratio.mean():.3f}")
    assert 0.9 < ratio.mean() < 1.1
    assert ratio.min() > 0.8
    assert ratio.max() < 1.25


def test_an_even_map_is_called_even(repeats):
    ratio = []
    for repeat in repeats[::5]:
        cones = directional(repeat.sums, repeat.curves)
        ratio.append(cones.spread() / noise_in_cones(repeat.sums, cones, repeat.noise))
    ratio = np.array(ratio)
    print(f"spread over directions / that of noise: {ratio.mean():.2f} ± {ratio.std():.2f}")
    assert 0.8 < ratio.mean() < 1.25
    assert np.mean(ratio > UNEVEN) <= 0.1


def with_noise_along_z(half, seed):
    """Noise added to all directions within 35° of z, as where views are missing."""
    transform = scipy.fft.rfftn(half)
    radius = np.sqrt(squared_radius(BOX))
    z = np.abs(np.fft.fftfreq(BOX, 1 / BOX))[:, None, None]
    near = z > np.cos(np.deg2rad(35)) * np.maximum(radius, 1)
    noise = scipy.fft.rfftn(np.random.default_rng(seed).standard_normal(half.shape))
    level = np.sqrt(np.mean(np.abs(transform[radius > 20]) ** 2) / np.mean(np.abs(noise) ** 2))
    return scipy.fft.irfftn(transform + 2 * level * near * noise, s=half.shape).astype(np.float32)


def test_a_map_that_is_worse_along_an_axis_is_called_so(molecule):
    halves = [with_noise_along_z(half, seed) for seed, half in enumerate(pair_of(molecule, 0))]
    rng = np.random.default_rng(0)
    found = measure(*halves, molecule[1], FscSettings(pixel_size=PIXEL), name="", rng=rng)
    assert is_uneven(found)
    cones = found.directional
    along = np.abs(cones.direction[:, 2])
    assert np.median(cones.resolution[along > 0.9]) > 1.2 * np.median(cones.resolution[along < 0.5])
    assert cones.sphericity() < 0.95


def test_the_b_factor_follows_what_the_map_was_damped_by():
    """B itself holds the molecule's own spectrum; the difference of two maps does not."""
    found = []
    for b_factor in (20.0, 100.0):
        scene = Scene(
            particles=2, micrographs=1, box=64, pixel_size=1.2, residues=250, b_factor=b_factor
        )
        density = simulate(scene, np.random.default_rng(1)).map
        mask = make_mask(density, 1.2)
        rng = np.random.default_rng(3)
        halves = half_maps(density, mask, pixel_size=1.2, resolution=3.2, rng=rng)
        one = measure(*halves, mask, FscSettings(pixel_size=1.2), name="", rng=rng)
        assert one.curves.resolution() == pytest.approx(3.2, abs=0.2)
        found.append(one.guinier)
    difference = found[1].b_factor - found[0].b_factor
    error = np.hypot(found[0].b_factor_error, found[1].b_factor_error)
    print(f"B-factors differ by {difference:.1f} Å², truth 80; their errors {error:.1f}")
    assert difference == pytest.approx(80, abs=15)
