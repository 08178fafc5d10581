"""The two folds: what their noise shares, exactly and in draws, and what that does to estimates."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.curves import scaled_curves
from parfocal.estimators import Profile
from parfocal.evidence import gather
from parfocal.folds import fold_difference_variance
from parfocal.grid import Fold
from parfocal.likelihood import terms_at
from parfocal.reference import map_reference
from parfocal.simulate.noise import Noise
from parfocal.spectra import spectra_of, views_of

from .conftest import SMALL, NoiseOnly, Pixels, make_case, sums_of

ROW = 3


class Scores:
    """Slope of <X, CTF_δ P> at the true defocus, in each fold, as a linear function of the image."""

    def __init__(self, case, padding):
        truth = case.simulation.truth
        self.particles = replace(
            case.particles, defocus_u=truth.defocus_u, defocus_v=truth.defocus_v
        )
        evidence = gather(self.particles, case.simulation.images, case.reference, padding=padding)
        self.model, self.volume = evidence.models[0], case.reference.volume(0)
        self.views = views_of(self.particles, self.model.grid)

    def __call__(self, image, grid=None):
        model = self.model if grid is None else replace(self.model, grid=grid)
        sums, _ = spectra_of(image, self.views, ROW, self.volume, model.grid)
        prior = np.repeat(self.particles.defocus[ROW], 3)
        sums = sums.astype(float)
        cross, _ = terms_at(sums, prior, model, np.tile([-5.0, 5.0], (3, 1)))
        return (cross[:, 1] - cross[:, 0]) / 10

    def covariance(self, grid=None):
        """(3, 3) in white noise, exact: from an image of each single pixel."""
        box = self.model.grid.optics.image_size
        pixels = np.eye(box**2, dtype=np.float32).reshape(-1, box, box)
        gradient = np.array([self(pixel, grid) for pixel in pixels])
        return gradient.T @ gradient


@pytest.fixture(scope="module")
def tight():
    """A few particles that are nearly as large as their box of 40."""
    return make_case(box=40, residues=100, particles=60, micrographs=1)


@pytest.fixture(scope="module")
def padded(tight):
    return Scores(tight, padding=2.0)


@pytest.fixture(scope="module")
def white(padded):
    return padded.covariance()


def correlation(covariance):
    return covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])


def test_unpadded_folds_are_as_independent_as_they_claim(tight):
    scores = Scores(tight, padding=1.0)
    ratio = fold_difference_variance(scores.particles, ROW, scores.volume, scores.model)
    assert ratio == pytest.approx(1, abs=1e-6)


@pytest.fixture(scope="module")
def chequered(padded):
    """The spoiled twin: folds of neighbouring pixels of the padded transform, without a guard."""
    grid = padded.model.grid
    kx, ky, fold, index = Pixels.of(grid)
    slot = np.where(fold < 3, (kx // 2 + ky // 2) % 2 * grid.bins + index, 3 * grid.bins)
    return replace(grid, slot=slot.astype(np.uint16))


@pytest.fixture(scope="module")
def spoilt(padded, chequered):
    return padded.covariance(chequered)


def exact_ratio(scores, tight, covariance, grid=None):
    """Variance of the difference, score over response to a true change, over what curves claim."""
    images = tight.simulation.images
    _, derivative = images.camera.image_and_derivative(ROW)
    first, second, _ = scores(np.float32(images.scale) * derivative, grid)
    share = np.array([1 / first, -1 / second, 0])
    return share @ covariance @ share / (1 / first + 1 / second)


def test_variance_of_the_folds_difference_is_what_single_pixels_say(tight, padded, white):
    found = fold_difference_variance(padded.particles, ROW, padded.volume, padded.model)
    assert found == pytest.approx(exact_ratio(padded, tight, white), abs=0.025)
    assert 0.85 < found < 0.97


def test_noise_that_folds_share_leaves_their_difference(tight, padded, chequered, spoilt):
    model = replace(padded.model, grid=chequered)
    found = fold_difference_variance(padded.particles, ROW, padded.volume, model)
    assert found == pytest.approx(exact_ratio(padded, tight, spoilt, chequered), rel=0.1)
    assert found < 0.8


@pytest.mark.parametrize("factor", [1e-30, 1e15])
def test_the_unit_of_the_amplitudes_is_of_no_matter(padded, factor):
    model = replace(padded.model, amplitude=padded.model.amplitude * factor)
    found = fold_difference_variance(padded.particles, ROW, padded.volume, model)
    same = fold_difference_variance(padded.particles, ROW, padded.volume, padded.model)
    assert found == pytest.approx(same, rel=1e-5)


def test_folds_that_signal_hardly_reaches_are_not_corrected(padded):
    """All of it in the guard, as where calibration finds no signal but at the lowest frequencies."""
    lowest = np.arange(padded.model.grid.bins) == 0
    assert not padded.model.grid.n[:2, 0].any()
    model = replace(padded.model, amplitude=lowest.astype(float))
    found = fold_difference_variance(padded.particles, ROW, padded.volume, model)
    assert found == 1.0


@pytest.mark.parametrize("resolution", [60.0, 200.0])
def test_few_pixels_make_no_nonsense(tight, resolution):
    """Where the box cuts away most of what a fold knows, the bare ratio is negative."""
    images = NoiseOnly(
        Noise(kind="white", size=40, pixel_size=tight.particles.optics[0].pixel_size)
    )
    reference = map_reference(
        tight.simulation.map, pixel_size=images.noise.pixel_size, resolution=resolution
    )
    for padding in (1.5, 2.0):
        model = gather(tight.particles, images, reference, padding=padding).models[0]
        for slope in (-8.0, 8.0):  # as far as calibration may go
            amplitude = np.exp(-slope * model.grid.s / model.grid.s.max())
            found = [
                fold_difference_variance(
                    tight.particles, row, reference.volume(0), replace(model, amplitude=amplitude)
                )
                for row in range(8)
            ]
            assert 0 < min(found) <= max(found) < 4


def test_white_noise_gives_folds_uncorrelated_scores(white):
    assert abs(correlation(white)) < 0.02


def test_folds_of_neighbouring_pixels_would_share_noise(spoilt):
    assert abs(correlation(spoilt)) > 0.2


@pytest.fixture(scope="module", params=["white", "coloured"])
def pure_noise(request, small):
    """(particles, evidence) of images that hold no particle at all, padded to twice."""
    rows = np.tile(np.arange(len(small.particles)), 4)
    columns = {name: column[rows] for name, column in small.particles.columns().items()}
    columns["particle_id"] = np.array([f"{i:06d}@none" for i in range(len(rows))])
    particles = replace(small.particles, **columns)
    images = NoiseOnly(Noise(kind=request.param, size=SMALL.box, pixel_size=SMALL.pixel_size))
    return particles, gather(particles, images, small.reference, padding=2.0)


def assert_uncorrelated(x, y):
    assert abs(np.corrcoef(x, y)[0, 1]) < 3 / np.sqrt(len(x))


def test_pure_noise_gives_folds_uncorrelated_scores_and_estimates(small, pure_noise):
    particles, evidence = pure_noise
    sums, prior = sums_of(evidence), particles.defocus
    weights = small.evidence.models[0]  # those of real particles, on a grid of another padding
    grid = evidence.models[0].grid
    amplitude = np.interp(grid.k, weights.grid.k, weights.amplitude)
    model = replace(evidence.models[0], amplitude=amplitude)
    at = np.tile([-5.0, 5.0], (len(prior), 1))
    scores = [np.diff(terms_at(sums[:, f], prior, model, at)[0])[:, 0] for f in (0, 1)]
    assert_uncorrelated(*scores)
    with pytest.raises(AssertionError):
        assert_uncorrelated(scores[0] + 0.2 * scores[1], scores[1])
    curves = scaled_curves(sums.sum(axis=1), prior, evidence.models[0], evidence.change())
    assert_uncorrelated(*(curves.of(sums[:, f]).peaks().change for f in (Fold.FIRST, Fold.SECOND)))


def test_pure_noise_gains_nothing_on_the_fold_held_out(pure_noise):
    particles, evidence = pure_noise
    gain = Profile().estimate(particles, evidence).held_out_gain
    assert abs(gain.mean()) < 3 * gain.std() / np.sqrt(len(gain))
