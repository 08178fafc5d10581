"""Noise has the variance and the spectrum that it says, and half-maps the FSC asked for."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from parfocal.errors import InputError
from parfocal.fsc import shell_correlation
from parfocal.optics import Optics
from parfocal.simulate.maps import half_maps, soft_mask, target_fsc
from parfocal.simulate.noise import Noise
from parfocal.simulate.project import density as simulate_density
from parfocal.simulate.protein import protein_like

SIZE, DRAWS = 32, 1500
PROTEIN = protein_like(np.random.default_rng(2), residues=250)


@pytest.fixture(scope="module", params=["white", "coloured"])
def drawn(request):
    noise = Noise(kind=request.param, size=SIZE, pixel_size=2.0)
    rng = np.random.default_rng(6)
    return noise, np.array([noise.draw(rng) for _ in range(DRAWS)])


def test_noise_has_variance_one_and_mean_zero(drawn):
    _, images = drawn
    per_image = np.mean(images.astype(float) ** 2, axis=(1, 2))
    assert abs(per_image.mean() - 1) < 5 * per_image.std() / np.sqrt(DRAWS)
    assert per_image.std() < 0.2
    assert abs(images.mean()) < 5 * images.mean(axis=(1, 2)).std() / np.sqrt(DRAWS)
    assert images.dtype == np.float32


def test_noise_has_the_power_that_it_says(drawn):
    noise, images = drawn
    ratio = np.mean(np.abs(np.fft.rfft2(images)) ** 2, axis=0) / noise.power
    assert np.abs(ratio - 1).max() < 6 * np.sqrt(2 / DRAWS)  # real coefficients: χ² of 1
    assert abs(ratio.mean() - 1) < 5 / np.sqrt(DRAWS * SIZE**2 / 2)


def test_coloured_noise_is_strong_at_low_frequency_and_falls_to_a_floor():
    power = Noise(kind="coloured", size=64, pixel_size=2.0).power / 64**2
    assert 5 < power[0, 0] / power[0, -1] < 13
    assert power[0, 0] > power[0, 4] > power[0, 12] > power[0, -1]
    assert power[0, 20] / power[0, 32] < 1.2
    np.testing.assert_allclose(power[1:32, 0], power[0, 1:32], rtol=1e-4)


def test_coloured_noise_does_not_wrap_around_the_box():
    """Pixels of one edge know no more of those of the other than distance allows."""
    noise = Noise(kind="coloured", size=SIZE, pixel_size=2.0)
    rng = np.random.default_rng(8)
    images = np.array([noise.draw(rng) for _ in range(DRAWS)])
    neighbours = np.mean(images[:, :, 0] * images[:, :, 1])
    across = np.mean(images[:, :, 0] * images[:, :, -1])
    assert neighbours > 0.1
    assert abs(across) < 0.02


def test_energy_is_the_squared_norm_in_white_noise():
    image = np.random.default_rng(1).normal(size=(SIZE, SIZE))
    noise = Noise(kind="white", size=SIZE, pixel_size=2.0)
    assert noise.energy(image) == pytest.approx((image**2).sum())


def test_unknown_noise_is_refused():
    with pytest.raises(InputError, match="white or coloured"):
        Noise(kind="pink", size=SIZE, pixel_size=2.0)


@pytest.fixture(scope="module")
def density():
    optics = Optics(
        name="",
        voltage=300,
        spherical_aberration=2.7,
        amplitude_contrast=0.1,
        pixel_size=2.0,
        image_size=64,
    )
    return simulate_density(PROTEIN, optics=optics, b_factor=50)


def test_target_passes_0143_at_the_resolution():
    assert target_fsc(1 / 5.0, 5.0) == pytest.approx(0.143)
    assert target_fsc(0.0, 5.0) > 0.99
    assert target_fsc(1 / 2.5, 5.0) < 1e-3


def test_half_maps_have_the_fsc_asked_for_under_the_mask(density):
    mask = soft_mask(density, pixel_size=2.0)
    rng = np.random.default_rng(4)
    pairs = [half_maps(density, mask, pixel_size=2.0, resolution=8.0, rng=rng) for _ in range(10)]

    def measured(weight):  # a small particle has few independent voxels in a shell: take the mean
        return np.mean(
            [shell_correlation(*(np.fft.rfftn(half * weight) for half in p)) for p in pairs], axis=0
        )

    expected = target_fsc(np.arange(33) / (64 * 2.0), 8.0)
    under_mask = measured(mask)
    assert np.abs(under_mask - expected)[:33].max() < 0.15
    crossing = np.flatnonzero(under_mask < 0.143)[0]
    assert 64 * 2.0 / crossing == pytest.approx(8.0, rel=0.07)
    halves = pairs[0]
    errors = [half - density for half in halves]
    assert abs(np.corrcoef(errors[0].ravel(), errors[1].ravel())[0, 1]) < 0.02
    assert measured(1.0)[15:18].mean() < 0.07, "without a mask there is more noise"


def test_half_map_noise_stays_bounded_where_the_map_does_not_fall(density):
    rng = np.random.default_rng(4)
    flat = rng.normal(size=(48, 48, 48)).astype(np.float32)
    half, _ = half_maps(flat, np.ones_like(flat), pixel_size=2.0, resolution=16.0, rng=rng)
    assert 5 < np.var(half - flat) / np.var(flat) < 100


def test_mask_is_one_on_the_particle_and_zero_far_from_it(density):
    mask = soft_mask(density, pixel_size=2.0)
    z, y, x = np.indices(mask.shape) - 32
    distance, _ = cKDTree(PROTEIN.position).query(np.stack([x, y, z], axis=-1) * 2.0)
    assert np.quantile(mask[distance < 2], 0.01) > 0.95
    assert mask[distance > 14].max() < 0.05
    assert 0 <= mask.min() <= mask.max() <= 1
