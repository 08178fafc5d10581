"""The error of a cost in pixels: its noise, and what of it an L1 cost sees."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.estimators.cost_error import Cost, _noise_behind, _passed, _response, cost_error
from parfocal.template import moved

WHITE = Cost(low_pass=0.5, interpolated=False)


@pytest.fixture(scope="module")
def model(small):
    """The noise model of the small simulated set, its noise made white."""
    model = next(iter(small.evidence.models.values()))
    return replace(model, noise=np.full(len(model.noise), 2.0))


def test_white_noise_costs_l1_half_of_pi(model):
    assert _noise_behind(model, WHITE) == pytest.approx(2.0)
    assert _noise_behind(model, replace(WHITE, l1=True)) == pytest.approx(np.pi)


def test_smooth_noise_costs_l1_less(model):
    pixel_size = model.grid.optics.pixel_size
    smooth = Cost(low_pass=8 * pixel_size, interpolated=False)
    inside = model.grid.k < 0.9 / smooth.low_pass
    signs, squares = (
        _noise_behind(model, cost)[inside] for cost in (replace(smooth, l1=True), smooth)
    )
    ratio = signs / squares
    assert 1 < ratio.min() < ratio.max() < 1.3


def test_signs_of_smooth_noise_have_the_power_that_is_said(model):
    """Drawn: the transform of sign(noise), scaled as the cost's curvature has it."""
    n, pixel_size = model.grid.optics.image_size, model.grid.optics.pixel_size
    cost = Cost(low_pass=4 * pixel_size, interpolated=False, l1=True)
    k = np.hypot(np.fft.rfftfreq(n), np.fft.fftfreq(n)[:, None])
    edge = np.clip((k - 0.25) / 0.02, 0, 1)
    rng = np.random.default_rng(1)
    noise = rng.normal(0, np.sqrt(2.0), (400, n, n))  # 2 a pixel of the transform, over n²
    smooth = np.fft.irfft2(np.fft.rfft2(noise) * (0.5 + 0.5 * np.cos(np.pi * edge)), s=(n, n))
    signs = np.abs(np.fft.rfft2(np.sign(smooth))) ** 2 / n**2 * smooth.var() * np.pi / 2
    inside = (k > 0.1) & (k < 0.2)
    expected = _noise_behind(model, cost)
    at = (model.grid.k * pixel_size > 0.1) & (model.grid.k * pixel_size < 0.2)
    assert signs.mean(axis=0)[inside].mean() == pytest.approx(expected[at].mean(), rel=0.03)


def test_interpolation_passes_what_is_said():
    """On average over shifts: sinc² of a wave's amplitude, and the noise power of `_passed`."""
    rng, n = np.random.default_rng(2), 64
    kx, ky = np.fft.rfftfreq(n), np.fft.fftfreq(n)[:, None]
    ring = np.abs(np.hypot(kx, ky) - 0.3) < 0.02
    power, cross, passed = 0.0, 0.0, 0.0
    for shift in rng.uniform(0, 1, (300, 2)):
        image = rng.normal(size=(n, n)).astype(np.float32)
        before, after = np.fft.rfft2(image)[ring], np.fft.rfft2(moved(image, shift))[ring]
        ramp = np.exp(-2j * np.pi * (kx * shift[0] + ky * shift[1]))[ring]
        power += np.sum(np.abs(before) ** 2)
        cross += np.sum((after * np.conj(before * ramp)).real)
        passed += np.sum(np.abs(after) ** 2)
    assert cross / power == pytest.approx(_response(np.array([0.3]))[0], rel=0.02)
    expected = np.mean((_passed(kx) * _passed(ky))[ring])
    assert passed / power == pytest.approx(expected, rel=0.02)


def test_errors_follow_noise_and_low_pass(small):
    model = next(iter(small.evidence.models.values()))
    sums, prior = small.sums[:40].sum(axis=1), small.particles.defocus[:40]
    reference = small.evidence.reference

    def errors(**settings):
        cost = replace(Cost(low_pass=4.0, interpolated=True), **settings)
        return cost_error(sums, prior, np.zeros(40), model, reference, cost)

    assert (errors(l1=True) > errors()).all()
    assert (errors(l1=True) < np.sqrt(np.pi / 2) * errors() * 1.001).all()
    assert np.median(errors(low_pass=9.0) / errors()) > 1.1
