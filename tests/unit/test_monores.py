"""MonoRes, piece by piece: the monogenic amplitude, the sweep, the mask, the map's scale."""

import numpy as np
import pytest
import scipy.fft

from parfocal.errors import InputError
from parfocal.local_resolution import cut, extended, frequency_axes
from parfocal.monores import Sweep, _Search, monogenic_amplitude, monores, signal_end


def plane_wave(n: int, index: tuple[int, int, int]):
    """cos of a wave with whole periods along (z, y, x) in a box of n voxels, float32."""
    z, y, x = np.meshgrid(*[np.arange(n)] * 3, indexing="ij")
    phase = 2 * np.pi * (index[0] * z + index[1] * y + index[2] * x) / n
    return np.cos(phase + 0.3).astype(np.float32)


def amplitude(volume, frequency):
    axes = frequency_axes(volume.shape)
    return monogenic_amplitude(scipy.fft.rfftn(volume), axes, volume.shape, frequency)


@pytest.mark.parametrize("n", [32, 33])
@pytest.mark.parametrize("index", [(5, 0, 0), (0, 7, 0), (0, 0, 6), (3, -4, 5), (-6, 2, 1)])
def test_a_plane_wave_has_its_own_amplitude_everywhere(n, index):
    found = amplitude(3 * plane_wave(n, index), 0.1)
    np.testing.assert_allclose(found, 3, rtol=1e-4)


@pytest.mark.parametrize("index", [(16, 0, 3), (3, 16, 5), (16, 16, 2)])
def test_a_wave_at_nyquist_along_one_axis_has_its_own_amplitude_too(index):
    np.testing.assert_allclose(amplitude(plane_wave(32, index), 0.3), 1, rtol=1e-4)


def test_the_wave_along_an_axis_at_nyquist_has_no_partner():
    """A real map holds only one phase there: the amplitude is the wave's own absolute value."""
    wave = plane_wave(16, (0, 0, 8))
    np.testing.assert_allclose(amplitude(wave, 0.45).mean(), np.abs(wave).mean(), rtol=1e-4)


def test_what_lies_below_the_high_pass_is_gone():
    slow, fast = plane_wave(32, (2, 0, 0)), plane_wave(32, (0, 8, 0))
    found = amplitude(slow + fast, 0.15)
    np.testing.assert_allclose(found, 1, rtol=1e-3)
    assert amplitude(slow, 0.15).max() < 1e-4


def test_a_voxel_keeps_what_it_passed_before_two_failures_in_a_row():
    noise = np.linspace(0, 1, 100)  # 95th percentile: 0.95
    steps = {  # voxel -> which resolutions it passes
        0: [1, 1, 1, 1, 1],
        1: [1, 0, 1, 1, 0],
        2: [1, 0, 0, 1, 1],
        3: [0, 0, 1, 1, 1],
        4: [0, 1, 0, 0, 1],
    }
    seen = np.ones((5, 100))
    for voxel, passed in steps.items():
        seen[:, voxel] = np.where(passed, 1.0, 0.5)
    search = _Search(100)
    for number, values in enumerate(seen):
        assert search.step(number, values, noise, 0.95)
    assert search.found[:5].tolist() == [4, 3, 0, -1, 1]


def test_the_sweep_ends_when_hardly_a_voxel_is_left():
    search = _Search(100)
    seen, noise = np.r_[np.ones(2), np.zeros(98)], np.linspace(0, 1, 100)
    search.failures[2:] = 2
    assert not search.step(0, seen + 5, noise, 0.95)


def test_the_sweep_ends_when_nothing_stands_out_any_more():
    search, noise = _Search(1000), np.random.default_rng(0).random(1000)
    assert search.step(0, noise + 1, noise, 0.95)
    assert not search.step(1, noise, noise, 0.95)


def test_resolutions_fall_to_the_finest_by_no_less_than_half_a_shell():
    sweep = Sweep(coarsest=20.0, step=0.25)
    found = sweep.resolutions(1.0, 64, signal_end=3.3)
    assert found[0] == 20.0
    assert found[-1] == pytest.approx(3.0)
    assert (np.diff(found) < 0).all()
    shells = np.diff(1 / found) * 64
    assert (shells[:-1] > 0.499).all()
    assert (np.diff(found)[:-1] < -0.2499).all()


def test_the_default_range_follows_the_pixel_size():
    assert Sweep().limits(1.0, 4.4) == pytest.approx((4.0, 18.0))
    assert Sweep().limits(3.5, 7.0) == pytest.approx((7.0, 28.0))
    assert Sweep(finest=1.0).limits(1.0, 4.4)[0] == 2.0  # Nyquist


@pytest.mark.parametrize(
    "settings", [{"step": 0.0}, {"step": np.nan}, {"significance": 1.0}, {"significance": 0.2}]
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(InputError):
        Sweep(**settings)


def test_a_range_that_is_none_is_refused():
    with pytest.raises(InputError, match="--max above --min"):
        Sweep(finest=8.0, coarsest=5.0).limits(1.0, 4.0)


def noisy(seed=0, n=40, cutoff=0.2, noise=0.5):
    """Two half-maps of a random map that ends at `cutoff` [cycles/px], in a ball, and the ball."""
    rng = np.random.default_rng(seed)
    x = np.arange(n) - n // 2
    ball = np.sqrt(x[:, None, None] ** 2 + x[None, :, None] ** 2 + x**2) < 12
    z, y, xx = frequency_axes((n,) * 3)
    white = scipy.fft.rfftn(rng.normal(size=(n,) * 3).astype(np.float32))
    kept = np.sqrt(z**2 + y**2 + xx**2) <= cutoff
    volume = scipy.fft.irfftn(white * kept, s=(n,) * 3)
    halves = [
        volume / volume.std() + noise * rng.normal(size=ball.shape).astype(np.float32)
        for _ in range(2)
    ]
    return [half.astype(np.float32) for half in halves], ball


@pytest.mark.parametrize("factor", [1e3, 1e-3, 1e12, -1.0])
def test_the_scale_of_the_maps_does_not_matter(factor):
    halves, ball = noisy()
    one = monores(*halves, ball, pixel_size=1.5)
    other = monores(*[half * np.float32(factor) for half in halves], ball, pixel_size=1.5)
    # a voxel at the threshold may pass in one and not in the other, by rounding
    assert np.mean(np.abs(one.values - other.values) > 1e-3 * one.values) < 1e-3
    assert other.median == pytest.approx(one.median, rel=1e-5)


def test_other_noise_does_matter():
    """The spoiled twin of the above: it is the ratio of signal and noise that counts."""
    weak, ball = noisy(noise=2.0)
    strong, _ = noisy(noise=0.5)
    found = [monores(*halves, ball, pixel_size=1.5).median for halves in (weak, strong)]
    assert found[0] > 1.05 * found[1]


def test_the_pixel_size_only_changes_the_unit():
    halves, ball = noisy()
    sweep = Sweep(finest=4.0, coarsest=16.0, step=0.25)
    one = monores(*halves, ball, pixel_size=1.0, sweep=sweep)
    twice = Sweep(finest=8.0, coarsest=32.0, step=0.5)
    other = monores(*halves, ball, pixel_size=2.0, sweep=twice)
    np.testing.assert_allclose(other.resolution, 2 * one.resolution, rtol=1e-4)


def test_outside_of_the_mask_the_nearest_value_is_repeated():
    halves, ball = noisy()
    found = monores(*halves, ball, pixel_size=1.0)
    assert np.isfinite(found.resolution).all()
    assert found.resolution[0, 0, 0] in found.values
    limits = found.limits
    assert (found.values >= limits[0] * 0.999).all()
    assert (found.values <= limits[1] * 1.001).all()


def test_the_end_of_the_signal_is_found():
    halves, _ = noisy(n=48, cutoff=0.25, noise=0.3)
    soft = np.ones((48,) * 3, dtype=np.float32)
    shell = 48 * 2.0 / signal_end(*halves, soft, 2.0)
    assert 12 < shell <= 15  # the signal ends at shell 12, and three shells are asked for
    assert signal_end(halves[0], halves[0], soft, 2.0) == 4.0  # never: two pixels


def test_halves_that_do_not_differ_are_refused():
    halves, ball = noisy()
    with pytest.raises(InputError, match="do not differ"):
        monores(halves[0], halves[0], ball, pixel_size=1.0)


def test_an_empty_mask_is_refused():
    halves, ball = noisy()
    with pytest.raises(InputError, match="zero everywhere"):
        monores(*halves, np.zeros(ball.shape), pixel_size=1.0)


def test_a_cut_map_falls_to_zero_where_it_was_cut_only():
    volume = np.ones((20, 20, 20))
    piece = cut(volume, (slice(0, 12), slice(4, 20), slice(0, 20)), 4)
    assert piece[-1].max() < 0.1
    assert piece[:, 0].max() < 0.1
    assert piece[0, -1, 0] == piece[0, -1, -1] == 1.0


def test_extended_repeats_the_nearest_value():
    inside = np.zeros((4, 4, 4), dtype=bool)
    inside[0, 0, 0] = inside[3, 3, 3] = True
    found = extended([5.0, 9.0], inside)
    assert found[1, 0, 0] == 5.0
    assert found[3, 3, 2] == 9.0
