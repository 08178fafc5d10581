"""The non-uniform FFT against the sum that it stands for, and against finufft."""

import finufft
import numpy as np
import pytest

from parfocal.simulate.nufft import transform

SHAPES = [(64, 48), (32, 90), (24, 32, 20)]


def scatter(shape, n=200, seed=3):
    """Points that span most of an array, partly outside of it, and weights of both signs."""
    rng = np.random.default_rng(seed)
    side = np.array(shape)[:, None]
    return rng.uniform(-0.3 * side, 0.4 * side, (len(shape), n)), rng.normal(size=n)


def relative_error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def direct_sum(points, weights, shape):
    *rows, last = (np.fft.fftfreq(n) for n in shape[:-1]), np.fft.rfftfreq(shape[-1])
    k = np.stack(np.meshgrid(*rows[0], last, indexing="ij"), axis=-1)
    return np.exp(-2j * np.pi * (k @ points)) @ weights


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_direct_sum(shape):
    points, weights = scatter(shape)
    expected = direct_sum(points, weights, shape)
    assert relative_error(transform(points, weights, shape), expected) < 1e-5
    mirrored = transform(-points, weights, shape)
    assert relative_error(mirrored, expected) > 0.1, "the sign of the exponent does not show"


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_finufft(shape):
    points, weights = scatter(shape, n=3000)
    angle = [2 * np.pi * row / n for row, n in zip(points, shape, strict=True)]
    oracle = {2: finufft.nufft2d1, 3: finufft.nufft3d1}[len(shape)]
    full = oracle(*angle, weights.astype(complex), shape, eps=1e-12, isign=-1, modeord=1)
    below_nyquist = shape[-1] // 2
    found = transform(points, weights, shape)[..., :below_nyquist]
    assert relative_error(found, full[..., :below_nyquist]) < 1e-5


def test_a_mass_on_a_pixel_is_that_pixel():
    pixel = np.zeros((16, 20))
    pixel[3, 7] = 2.0
    found = transform([[3.0], [7.0]], [2.0], pixel.shape)
    np.testing.assert_allclose(found, np.fft.rfft2(pixel), atol=2e-5)


def test_points_that_span_more_than_the_array_are_refused():
    with pytest.raises(ValueError, match="span more"):
        transform([[0.0, 31.0], [0.0, 2.0]], [1.0, 1.0], (32, 32))
