"""The windowed FSC piece by piece, and the difference of two local resolutions with its error."""

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage

from parfocal.errors import InputError
from parfocal.fsc import shell_correlation
from parfocal.local_resolution import (
    LocalResolution,
    correlation_length,
    local_difference,
)
from parfocal.windowed_fsc import Window, _Average, _Crossing, soft_sphere, windowed_fsc

from .test_monores import noisy


def ball(n: int, radius: float):
    x = np.arange(n) - n // 2
    return np.sqrt(x[:, None, None] ** 2 + x[None, :, None] ** 2 + x**2) < radius


def test_the_average_is_a_sum_under_the_window_over_the_mask_only():
    rng = np.random.default_rng(0)
    volume, kept = rng.normal(size=(24, 24, 24)).astype(np.float32), ball(24, 6)
    found = _Average(kept, 5.0, 1)(volume)
    place = np.argwhere(kept)[40]
    distance = np.linalg.norm(np.argwhere(kept) - place, axis=1)
    weight = (0.5 + 0.5 * np.cos(np.pi * np.clip((distance / 5 - 0.5) / 0.5, 0, 1))) ** 2
    assert found[40] == pytest.approx(np.sum(weight * volume[kept]), rel=1e-4)


def test_the_window_is_centred_and_ends_at_its_radius():
    sphere = soft_sphere((16, 15, 14), 6.0)
    assert sphere[0, 0, 0] == sphere[2, 0, 0] == sphere[-3, 0, 0] == 1.0
    assert sphere[6, 0, 0] == sphere[0, 7, 0] == pytest.approx(0.0, abs=1e-6)
    assert sphere[0, 4, 0] == sphere[0, 0, -4] > 0.4


def test_a_window_that_holds_the_whole_map_gives_its_fsc():
    """Whole map in the window: the band's correlation is the FSC of these shells."""
    (half1, half2), _ = noisy(n=40, cutoff=0.3, noise=1.0)
    transforms = [scipy.fft.rfftn(h) for h in (half1, half2)]
    fsc = shell_correlation(*transforms)
    z = np.fft.fftfreq(40)
    radius = np.sqrt(z[:, None, None] ** 2 + z[:, None] ** 2 + np.fft.rfftfreq(40) ** 2)
    band = np.abs(radius - 0.2) <= 0.5 / 40
    first, second = (scipy.fft.irfftn(t * band, (40,) * 3) for t in transforms)
    local = _Average(np.ones((40,) * 3, dtype=bool), 4000.0, 1)
    found = local(first * second) / np.sqrt(local(first**2) * local(second**2))
    np.testing.assert_allclose(found, fsc[8], atol=0.01)


def test_the_first_fall_below_the_level_counts():
    found = _Crossing(4, 0.1, 0.5)
    curves = np.array([[0.9, 0.4, 0.9], [0.9, 0.8, 0.2], [0.9, 0.9, 0.9], [0.0, 0.9, 0.9]])
    for centre, values in zip((0.2, 0.3, 0.4), curves.T, strict=True):
        found.step(centre, values)
    expected = [0.2 + 0.1 * 0.4 / 0.5, 0.3 + 0.1 * 0.3 / 0.6, 0.5, 0.1 + 0.1 * 0.5]
    np.testing.assert_allclose(found.frequency, expected)


def test_the_scale_of_the_maps_does_not_matter():
    halves, mask = noisy()
    window = Window(diameter=18.0)
    one = windowed_fsc(*halves, mask, pixel_size=1.5, window=window)
    scaled = [halves[0] * np.float32(1e3), halves[1] * np.float32(1e-3)]
    other = windowed_fsc(*scaled, mask, pixel_size=1.5, window=window)
    np.testing.assert_allclose(other.values, one.values, rtol=2e-3)


def test_pure_noise_is_seen_nowhere():
    rng = np.random.default_rng(1)
    halves = rng.normal(size=(2, 40, 40, 40)).astype(np.float32)
    found = windowed_fsc(*halves, ball(40, 14), pixel_size=1.0, window=Window(diameter=16.0))
    assert found.unseen < 0.5  # the first bands hold few numbers
    assert found.median > 10.0
    same = windowed_fsc(halves[0], halves[0], ball(40, 14), pixel_size=1.0)
    assert same.median == 2.0  # shared noise looks like signal up to Nyquist


@pytest.mark.parametrize("settings", [{"level": 0.0}, {"level": 1.0}])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(InputError, match="--level"):
        Window(**settings)


@pytest.mark.parametrize("diameter", [5.0, 500.0, -3.0])
def test_a_window_that_does_not_fit_is_refused(diameter):
    halves, mask = noisy()
    with pytest.raises(InputError, match=r"--window from 12\.0 to 40\.0"):
        windowed_fsc(*halves, mask, pixel_size=1.0, window=Window(diameter=diameter))


def smooth_field(rng, n: int, sigma: float):
    """Gaussian noise with a Gaussian correlation of standard deviation √2 sigma, variance 1."""
    field = scipy.ndimage.gaussian_filter(rng.normal(size=(n,) * 3), sigma, mode="wrap")
    return field / field.std()


def test_the_correlation_length_is_found():
    field, mask = smooth_field(np.random.default_rng(3), 64, 2.0), ball(64, 26)
    length = correlation_length(np.where(mask, field - field[mask].mean(), 0), mask)
    assert length == pytest.approx(2 * np.sqrt(2), rel=0.15)


def pulls(runs: int = 60):
    """Mean difference over its error, by blocks and by independent voxels, where truth is zero."""
    mask, found = ball(40, 16), []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        field = smooth_field(rng, 40, 1.0)
        d = local_difference(field, np.zeros_like(field), mask, rng=rng)
        naive = field[mask].std() / np.sqrt(mask.sum())
        found.append((d.mean / d.mean_error, d.median / d.median_error, d.mean / naive))
    return np.array(found).T


def test_errors_of_differences_are_calibrated_and_those_of_independent_voxels_are_not():
    runs = 60
    by_mean, by_median, naive = pulls(runs)
    print("sd of pulls: mean, median, naive", by_mean.std(), by_median.std(), naive.std())
    # Blocks of six correlation lengths leave some 50 degrees of freedom in each error.
    slack = 3 * np.sqrt(0.5 / runs + 0.5 / 50)
    for pull in (by_mean, by_median):
        assert abs(pull.std() - 1) < slack
        assert abs(pull.mean()) < 3 / np.sqrt(runs)
    assert naive.std() > 3


def test_a_difference_is_found_with_its_sign():
    rng = np.random.default_rng(5)
    field, mask = smooth_field(rng, 40, 1.0), ball(40, 16)
    d = local_difference(field + 4.5, field + 4.0, mask, rng=rng)
    assert d[:4] == pytest.approx((0.5, 0.0, 0.5, 0.0), abs=1e-9)
    d = local_difference(4 + field, np.full(field.shape, 3.5), mask, rng=rng)
    assert d.mean == pytest.approx(0.5, abs=5 * d.mean_error)
    assert d.mean > 3 * d.mean_error


def test_a_small_mask_tells_no_error():
    rng = np.random.default_rng(6)
    field = smooth_field(rng, 40, 4.0)
    d = local_difference(field, 0 * field, ball(40, 10), rng=rng)
    assert np.isnan(d.mean_error)
    assert np.isnan(d.median_error)


def test_maps_of_other_grids_are_refused():
    with pytest.raises(InputError, match="one grid"):
        local_difference(
            np.ones((4, 4, 4)), np.ones((5, 5, 5)), np.ones((4, 4, 4)), rng=np.random.default_rng(0)
        )


def test_numbers_of_a_record_are_over_the_mask():
    inside = np.zeros((3, 3, 3), dtype=bool)
    inside[0, 0] = True
    resolution = np.full((3, 3, 3), 9.0)
    resolution[0, 0] = [2.0, 3.0, 5.0]
    found = LocalResolution(
        method="fsc",
        resolution=resolution,
        inside=inside,
        pixel_size=1.0,
        limits=(2.0, 9.0),
        unseen=0.0,
    )
    assert found.median == 3.0
    assert found.quantiles().tolist() == [2.5, 3.0, 4.0]
