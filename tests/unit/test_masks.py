"""Masks: on bodies whose size is known, and on a simulated molecule in noise."""

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage

from parfocal.errors import InputError
from parfocal.masks import (
    TIGHT,
    Cut,
    automatic_threshold,
    cut_map,
    low_passed,
    make_mask,
    mask_of_cut,
)
from parfocal.simulate.maps import half_maps
from parfocal.simulate.protein import protein_like

N, PIXEL = 64, 2.0


def distance_from(centre, n=N):
    z, y, x = np.indices((n, n, n)) - np.reshape(centre, (3, 1, 1, 1))
    return np.sqrt(x**2.0 + y**2 + z**2)


def ball(radius, centre=(32, 32, 32)):
    return (distance_from(centre) <= radius).astype(np.float32)


def test_a_ball_gets_a_soft_ball_around_it():
    mask = make_mask(ball(10), PIXEL, threshold=0.5, lowpass=0, extend=3, edge=6)
    r = distance_from((32, 32, 32))
    assert mask.dtype == np.float32
    assert (mask[r <= 12] == 1).all()
    assert (mask[r >= 20] == 0).all()
    np.testing.assert_allclose(mask[32, 32, 32 + 16], 0.5, atol=1e-6)  # 10 + 3 + half of 6
    along = mask[32, 32, 32:]
    assert (np.diff(along) <= 0).all()
    np.testing.assert_allclose(
        along[13:20], 0.5 + 0.5 * np.cos(np.pi * np.arange(7) / 6), atol=1e-6
    )


def test_without_an_edge_it_is_sharp_and_without_extension_as_large_as_the_body():
    mask = make_mask(ball(10), PIXEL, threshold=0.5, lowpass=0, extend=0, edge=0)
    np.testing.assert_array_equal(mask, ball(10))


def test_small_bodies_are_dropped_and_large_ones_kept():
    second, dust = ball(8, (16, 48, 16)), ball(2, (52, 52, 52))
    density = ball(10, (32, 20, 40)) + second + dust
    mask = make_mask(density, PIXEL, threshold=0.5, lowpass=0, extend=0, edge=0)
    assert (mask[second > 0] == 1).all()
    assert (mask[dust > 0] == 0).all()


def test_the_low_pass_halves_amplitudes_at_its_resolution_and_keeps_the_mean():
    density = np.random.default_rng(0).standard_normal((N, N, N)).astype(np.float32) + 3
    ratio = np.abs(scipy.fft.rfftn(low_passed(density, 8.0)) / scipy.fft.rfftn(density))
    assert ratio[0, 0, 0] == pytest.approx(1, rel=1e-5)
    assert ratio[8, 0, 0] == pytest.approx(0.5, rel=1e-3)  # 64 / 8
    assert ratio[0, 0, 16] == pytest.approx(2**-4, rel=1e-2)


@pytest.fixture(scope="module")
def molecule():
    """(density, body): atoms as Gaussians of 6 Å, and what lies within 3 Å of one of them."""
    atoms = protein_like(np.random.default_rng(3), residues=400)
    place = np.rint(atoms.position[:, ::-1] / PIXEL).astype(int) + N // 2
    count = np.zeros((N, N, N))
    np.add.at(count, tuple(place.T), 1.0)
    density = scipy.ndimage.gaussian_filter(count, 3.0 / PIXEL).astype(np.float32)
    return density, scipy.ndimage.distance_transform_edt(count == 0) * PIXEL <= 3


def noisy(density, body, resolution, seed=0):
    halves = half_maps(
        density,
        body.astype(np.float32),
        pixel_size=PIXEL,
        resolution=resolution,
        rng=np.random.default_rng(seed),
    )
    return sum(halves) / 2


def held(mask, density, resolution: float) -> float:
    """Share of the energy of what a map of that resolution can show of `density` in the mask."""
    shown = np.square(low_passed(density, resolution / PIXEL))
    return float((shown * mask).sum() / shown.sum())


@pytest.mark.parametrize("resolution", [4.5, 8.0, 12.0])
def test_the_automatic_mask_covers_the_molecule_and_not_the_noise(molecule, resolution):
    density, body = molecule
    found = noisy(density, body, resolution)
    away = scipy.ndimage.distance_transform_edt(~body) * PIXEL
    for bare in ({"lowpass": 15.0, "extend": 0, "edge": 0}, TIGHT):
        mask = make_mask(found, PIXEL, **bare)
        assert mask[body].mean() > 0.9
        assert held(mask, density, resolution) > 0.99
        assert mask[away > resolution + 3.0].sum() < 0.001 * mask.sum()
    soft = make_mask(found, PIXEL)
    assert soft[body].min() > 0.95  # with the default extension nothing is cut


def test_without_a_coarser_low_pass_noise_would_cut_the_molecule(molecule):
    density, body = molecule
    found = noisy(density, body, 12.0)
    smooth = low_passed(found, 15.0 / PIXEL)
    assert automatic_threshold(smooth) is None
    cut = Cut(smooth, 15.0, float(np.median(smooth) + 4.5 * smooth[~body].std()))  # clear of noise
    assert held(mask_of_cut(cut, extend=0, edge=0), density, 12.0) < 0.9
    assert cut_map(found, PIXEL, threshold=None, lowpass=15.0).lowpass > 20
    given = cut_map(found, PIXEL, threshold=cut.threshold, lowpass=15.0)
    assert (given.lowpass, given.threshold) == (15.0, cut.threshold)  # what is given holds


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_automatic_threshold_goes_with_the_scale_and_the_level(molecule, scale):
    density, body = molecule
    smooth = low_passed(noisy(density, body, 7.0), 20 / PIXEL)
    plain = automatic_threshold(smooth)
    assert plain is not None
    assert automatic_threshold(scale * smooth) == pytest.approx(scale * plain, rel=1e-3)
    offset = float(smooth.std())
    assert automatic_threshold(smooth + offset) == pytest.approx(plain + offset, rel=1e-2)


@pytest.mark.parametrize("radius", [20, 31])
def test_a_molecule_that_nearly_fills_its_box_is_held(radius):
    body = ball(radius) > 0
    noise = np.random.default_rng(1).standard_normal((N, N, N))
    mask = make_mask((body + noise).astype(np.float32), PIXEL, extend=0, edge=0)
    assert mask[body].mean() > 0.93
    assert mask[distance_from((32, 32, 32)) > radius + 6].mean() < 0.01


def test_half_as_dense_a_part_is_held(molecule):
    density, body = molecule
    weak = np.where(np.indices(density.shape)[0] < N // 2, 0.5, 1.0)
    mask = make_mask(noisy(density * weak, body, 7.0), PIXEL)
    assert mask[body].min() > 0.9


def test_noise_alone_and_thresholds_out_of_reach_are_refused():
    noise = np.random.default_rng(0).standard_normal((N, N, N)).astype(np.float32)
    with pytest.raises(InputError, match="no molecule stands out"):
        make_mask(noise, PIXEL)
    with pytest.raises(InputError, match="no voxel is above"):
        make_mask(ball(10), PIXEL, threshold=2.0)


@pytest.mark.parametrize("settings", [{"lowpass": -1.0}, {"extend": np.nan}, {"edge": -2.0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InputError, match=f"--{next(iter(settings))}"):
        make_mask(ball(10), PIXEL, threshold=0.5, **settings)
