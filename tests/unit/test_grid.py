"""Folds and bins: nothing lost, nothing twice, narrow enough, and folds that share no noise."""

import math

import numpy as np
import pytest
import scipy.fft
from scipy.spatial import cKDTree

from parfocal.grid import GUARD, K_MIN, PHASE_PER_BIN, SECTORS, padded_size, spectra_grid
from parfocal.optics import effective_frequency

from .conftest import Pixels, make_optics

MAGNIFICATION = (1.03, 0.01, -0.004, 0.98)
PADDINGS = [1.0, 1.1, 1.25, 1.5, 2.0, 2.1]  # 1.1 and 2.1: pixels right at the borders of blocks


def make_grid(padding=1.0, change_max=1000.0, k_max=math.inf, astigmatism=False, **changes):
    optics = make_optics(**changes)
    padded = 2 * round(padding * optics.image_size / 2)
    return spectra_grid(
        optics, padded=padded, change_max=change_max, k_max=k_max, astigmatism=astigmatism
    )


@pytest.fixture(params=PADDINGS)
def grid(request):
    return make_grid(request.param, image_size=128)


def seen(grid):
    """|M k| [Å⁻¹] of each pixel of a grid."""
    kx, ky, *_ = Pixels.of(grid)
    step = 1 / (grid.padded_size * grid.optics.pixel_size)
    return np.hypot(*effective_frequency(kx * step, ky * step, grid.optics))


@pytest.mark.parametrize("magnification", [(1.0, 0.0, 0.0, 1.0), MAGNIFICATION])
@pytest.mark.parametrize("k_max", [math.inf, 0.07])
@pytest.mark.parametrize("padding", [1.0, 1.5])
def test_every_pixel_or_its_friedel_mate_is_counted_once(padding, k_max, magnification):
    grid = make_grid(padding, k_max=k_max, magnification=magnification, pixel_size=5.0)
    size, optics = grid.padded_size, grid.optics
    kx, ky, *_ = Pixels.of(grid).counted()
    with_mates = np.zeros((size, size), dtype=int)
    np.add.at(with_mates, (ky, kx), 1)
    np.add.at(with_mates, (-ky, -kx), 1)
    k = np.meshgrid(
        np.fft.fftfreq(size, optics.pixel_size), np.fft.fftfreq(size, optics.pixel_size)
    )
    specimen = np.hypot(*effective_frequency(*k, optics))
    wanted = (specimen >= K_MIN) & (specimen < min(k_max, optics.nyquist))
    wanted &= np.hypot(*k) < optics.nyquist
    np.testing.assert_array_equal(with_mates, wanted)


def test_nothing_is_seen_beyond_the_largest_frequency():
    grid = make_grid(k_max=0.3, magnification=MAGNIFICATION)
    assert 0.29 < seen(grid).max() < 0.3


def test_n_counts_the_independent_values_of_the_boxs_own_transform(grid):
    """Within circles through the gaps between bins, but for what a circle's edge cuts: 4 sigma."""
    box, px = grid.optics.image_size, grid.optics.pixel_size
    pixels = Pixels.of(grid)
    own = np.hypot(np.fft.fftfreq(box, px)[:, None], np.fft.fftfreq(box, px))
    inner = np.sqrt(2 * np.pi * K_MIN * box * px)
    for last in range(4, grid.bins, 6):
        edge = seen(grid)[(pixels.fold < 3) & (pixels.bin <= last)].max() * (1 + 1e-9)
        count = np.sum((own >= K_MIN) & (own <= edge))
        circumference = 2 * np.pi * edge * box * px
        assert abs(grid.n[:, : last + 1].sum() - count) < 2 * (np.sqrt(circumference) + inner)


@pytest.mark.parametrize("change_max", [300.0, 1000.0, 10_000.0])
@pytest.mark.parametrize("padding", [1.0, 1.5])
def test_bins_are_narrow_and_none_is_empty(change_max, padding):
    grid = make_grid(padding, change_max, image_size=64, pixel_size=1.0)
    optics, k, pixels = grid.optics, seen(grid), Pixels.of(grid)
    assert (np.diff(grid.s) > 0).all()
    assert (grid.n.sum(axis=0) > 0).all()
    for index in range(grid.bins):
        here = k[(pixels.fold < 3) & (pixels.bin == index)]
        half_turn = np.pi * optics.wavelength * change_max * np.ptp(here**2) / 2
        assert half_turn <= PHASE_PER_BIN * (1 + 1e-9)
        assert np.ptp(here) <= 1 / (optics.image_size * optics.pixel_size)
        assert grid.s[index] == pytest.approx(np.mean(here**2), rel=1e-12)


def test_small_changes_ask_for_no_more_than_a_bin_a_shell():
    grid = make_grid(change_max=100.0)
    assert abs(grid.bins - grid.optics.image_size / 2) <= 1


def test_phase_of_a_change():
    """300 kV, 4 Å, 1000 Å: π · 0.019687 · 1000 / 16 = 3.8655."""
    grid = make_grid()
    phase = grid.change_phase(np.array([0.0, 1000.0]))
    at_4 = np.interp(1 / 16, grid.s, phase[:, 1])
    assert at_4 == pytest.approx(3.8655, abs=1e-3)
    assert (phase[:, 0] == 0).all()


def test_pixels_of_different_folds_are_two_guards_apart(grid):
    """In pixels of the box's own transform, across Friedel's symmetry too."""
    kx, ky, fold, _ = Pixels.of(grid).counted()
    place = np.stack([kx, ky], axis=1) * grid.optics.image_size / grid.padded_size
    first, second = place[fold == 0], place[fold == 1]
    distance, _ = cKDTree(np.concatenate([second, -second])).query(first)
    assert distance.min() >= 2 * GUARD - 1e-9


def test_folds_are_balanced(grid):
    """All in all, and in each ring of blocks, which is as wide as twelve of the box's pixels."""
    first, second, guard = grid.n
    assert first.sum() == pytest.approx(second.sum(), rel=0.01)
    assert guard.sum() < 0.4 * grid.n.sum()
    ring = (grid.k * grid.optics.image_size * grid.optics.pixel_size // 12).astype(int)
    ones, twos = (np.bincount(ring, weights=n) for n in (first, second))
    np.testing.assert_allclose(ones[:5], twos[:5], rtol=0.1)


def test_isotropic_magnification_is_a_smaller_pixel():
    magnified = make_grid(k_max=0.3, magnification=(1.04, 0, 0, 1.04))
    smaller = make_grid(k_max=0.3, pixel_size=1.5 / 1.04)
    np.testing.assert_array_equal(magnified.first, smaller.first)
    np.testing.assert_allclose(magnified.phase, smaller.phase, atol=1e-6)
    for grid in (magnified, smaller):  # Σ |M k|² over the pixels in bins
        expected = 2 * np.sum(seen(smaller)[seen(smaller) >= K_MIN] ** 2)
        assert np.sum(grid.n * grid.s) == pytest.approx(expected, rel=1e-9)


def test_magnification_acts_on_the_frequency_of_the_image():
    """Along +x a matrix (m00 m01 m10 m11) sees (m00, m10) k: not (m00, m01)."""
    optics = make_optics(magnification=(1.0, 0.0, 0.3, 1.0), amplitude_contrast=0.0)
    grid = spectra_grid(optics, padded=48, change_max=1000.0)
    kx, ky, *_ = Pixels.of(grid)
    k = 5 / (48 * 1.5)
    quartic = -(optics.spherical_aberration * 1e7) * optics.wavelength**3 / 4  # χ / 2π k⁴
    for place, factor in (((0, 5), 1 + 0.3**2), ((5, 0), 1.0)):  # (ky, kx)
        found = grid.phase[(ky == place[0]) & (kx == place[1])]
        np.testing.assert_allclose(found, quartic * (factor * k**2) ** 2, rtol=1e-5)


def test_only_odd_aberrations_make_an_odd_phase():
    assert make_grid().odd.size == 0
    tilted = make_grid(beam_tilt=(0.5, 0.0))
    kx, ky, *_ = Pixels.of(tilted)
    turn = np.angle(tilted.odd[(ky == 0) & (kx < 10)])
    assert (turn < 0).all()  # -2π Cs λ² k³ along a tilt
    np.testing.assert_allclose(turn / turn[0], np.arange(1, 10) ** 3, rtol=1e-4)
    assert np.abs(np.angle(tilted.odd[kx == 0])).max() < 1e-6


@pytest.mark.parametrize("change_max", [1000.0, 400_000.0], ids=["16 bit", "32 bit"])
def test_sectors_split_each_slot_by_the_azimuth_of_the_specimen(change_max):
    grid = make_grid(change_max=change_max, astigmatism=True, magnification=MAGNIFICATION)
    assert grid.sectors == SECTORS
    kx, ky, *_ = Pixels.of(grid)
    seen_x, seen_y = effective_frequency(kx, ky, grid.optics)
    azimuth = np.mod(np.arctan2(seen_y, seen_x), np.pi)
    sector, within = np.divmod(grid.sector_slot.astype(int), 3 * grid.bins)
    counted = grid.slot < 3 * grid.bins
    np.testing.assert_array_equal(within[counted], grid.slot[counted])
    np.testing.assert_array_equal(sector[~counted], SECTORS)
    off = azimuth - (sector + 0.5) * np.pi / SECTORS
    assert np.abs(off[counted]).max() <= np.pi / SECTORS / 2 * (1 + 1e-9)
    assert set(sector[counted]) == set(range(SECTORS))


def test_without_astigmatism_there_are_no_sectors():
    plain, split = make_grid(), make_grid(astigmatism=True)
    assert plain.sectors == 0
    assert plain.sector_slot.size == 0
    np.testing.assert_array_equal(plain.slot, split.slot)


@pytest.mark.parametrize("radius", [10.0, 80.0])
@pytest.mark.parametrize("defocus", [0.0, 12_000.0, 25_000.0])
@pytest.mark.parametrize("box", [96, 110, 124])  # 125 is fast, but odd
def test_padding_holds_the_delocalised_particle_and_no_more(box, defocus, radius):
    optics = make_optics(image_size=box, spherical_aberration=0.0)
    size = padded_size(optics, defocus_max=defocus, radius=radius, k_max=0.25)
    reach = (optics.wavelength * defocus * 0.25 + radius) / optics.pixel_size

    def holds(candidate):
        fast = scipy.fft.next_fast_len(candidate, real=True) == candidate
        return fast and candidate % 2 == 0 and candidate >= max(box, box / 2 + reach)

    assert holds(size)
    assert not any(holds(smaller) for smaller in range(box, size))


def test_padding_stops_at_three_boxes():
    size = padded_size(make_optics(), defocus_max=1e6, radius=50.0, k_max=0.3)
    assert 3 * 48 <= size <= 1.1 * 3 * 48
