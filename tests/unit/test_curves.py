"""Particle curves: scales of their own, folds that add up, gains that can be checked."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp

from parfocal.curves import WEAK, WRONG, robust, scaled_curves
from parfocal.evidence import gather
from parfocal.likelihood import terms_at

from .conftest import SMALL, Scaled, sums_of


def curves_of(case, images=None):
    """(curves, noise model) of a case, or of other images of its particles."""
    evidence = case.evidence
    if images is not None:
        evidence = gather(case.particles, images, case.reference)
    sums = sums_of(evidence).sum(axis=1)
    model = evidence.models[0]
    return scaled_curves(sums, case.particles.defocus, model, evidence.change()), model


@pytest.fixture(scope="module")
def curves(small):
    return curves_of(small)[0]


@pytest.fixture(scope="module")
def rescaled(small):
    """(factor, curves, model): images each times a factor of its own, around 1 by a third."""
    factor = np.exp(np.random.default_rng(3).normal(0, 0.33, len(small.particles)))
    return factor, *curves_of(small, Scaled(small.simulation.images, factor))


def test_a_factor_of_an_image_is_found_in_signal_and_noise(small, rescaled):
    """Signal to 1 / √(2 norm), noise to √(2 / n), each around what is common to all."""
    factor, curves, model = rescaled
    signal_error = 1 / np.sqrt(SMALL.snr * SMALL.box**2)  # of a scale: one over √ signal / noise
    pull = curves.signal / factor
    assert pull.std() / pull.mean() < 1.5 * signal_error
    pull = curves.noise / factor**2
    assert pull.std() / pull.mean() < 1.3 * np.sqrt(2 / model.grid.n.sum())
    absolute = pull.mean() * np.mean(model.noise[model.grid.k > 0.05]) / SMALL.box**2
    assert absolute == pytest.approx(1, abs=0.03)


def test_a_factor_of_an_image_leaves_its_defocus_and_error(curves, rescaled):
    peaks, other = curves.peaks(), rescaled[1].peaks()
    assert (np.abs(other.change - peaks.change) < 0.3 * peaks.error).all()
    np.testing.assert_allclose(other.error, peaks.error, rtol=0.1)


def test_scales_are_those_of_the_best_change_not_of_the_prior(small, rescaled):
    """The same images, all defoci on file 400 Å too low."""
    factor, curves, _ = rescaled
    lower = {f"defocus_{axis}": getattr(small.particles, f"defocus_{axis}") - 400 for axis in "uv"}
    off = small._replace(
        simulation=replace(small.simulation, particles=replace(small.particles, **lower))
    )
    again, _ = curves_of(off, Scaled(small.simulation.images, factor))
    np.testing.assert_allclose(again.signal, curves.signal, rtol=0.03)
    np.testing.assert_allclose(again.noise, curves.noise, rtol=0.03)


def test_equal_particles_keep_a_scale_of_1(curves):
    assert np.abs(curves.signal - 1).max() < 0.03
    assert curves.noise.mean() == pytest.approx(1, abs=0.01)


def test_noise_twice_as_strong_widens_errors_by_its_root(small):
    """Of one particle in two; the others stay as they are. 10 % since signals count as noise too."""

    class Noisier:
        def read_into(self, row, out):
            small.simulation.images.read_into(row, out)
            if row % 2:
                extra = np.random.default_rng((9, row)).standard_normal(out.shape, dtype=np.float32)
                out += extra

    noisier, _ = curves_of(small, Noisier())
    odd = np.arange(len(small.particles)) % 2 == 1
    assert np.median(noisier.noise[odd]) / np.median(noisier.noise[~odd]) == pytest.approx(2, 0.1)
    plain, _ = curves_of(small)
    ratio = noisier.peaks().error / plain.peaks().error
    assert np.median(ratio[odd]) == pytest.approx(np.sqrt(2), rel=0.1)
    assert np.median(ratio[~odd]) == pytest.approx(1, rel=0.1)


def test_curves_of_the_folds_and_the_guard_add_up_to_the_whole(small, curves):
    parts = sum(curves.of(small.sums[:, fold]).on_grid() for fold in range(3))
    np.testing.assert_allclose(parts, curves.on_grid(), rtol=1e-4, atol=0.02)


def test_points_and_grid_agree_and_gain_counts_from_the_prior(curves):
    grid = curves.grid
    column = np.random.default_rng(0).integers(len(grid), size=(len(curves.prior), 2))
    on_grid = curves.on_grid()
    np.testing.assert_allclose(
        curves.at(grid[column]), np.take_along_axis(on_grid, column, axis=1), atol=1e-6
    )
    gain = curves.gain(grid[column[:, 0]])
    middle = on_grid[:, len(grid) // 2]
    there = np.take_along_axis(on_grid, column[:, :1], axis=1)[:, 0]
    safe = [robust(value - curves.level(), WRONG) for value in (there, middle)]
    np.testing.assert_allclose(gain, safe[0] - safe[1], atol=1e-6)
    assert (curves.gain(np.zeros(len(gain))) == 0).all()


def test_the_level_of_a_wrong_image_is_the_mean_over_weak_templates(curves):
    scales = (np.arange(200_000) + 0.5) / 200_000 * WEAK
    terms = terms_at(curves.sums, curves.prior, curves.model, curves.best[:, None])
    cross, norm = ((term[:, 0] / curves.noise)[:8] for term in terms)
    value = scales[:, None] * cross - scales[:, None] ** 2 * norm
    expected = logsumexp(value, axis=0) - np.log(len(scales))
    np.testing.assert_allclose(curves.level()[:8], expected, rtol=1e-6, atol=1e-3)


def test_images_of_nothing_are_below_the_level(small):
    sums = small.sums.sum(axis=1)
    model, prior = small.evidence.models[0], small.particles.defocus
    grid = small.evidence.change()
    nothing = sums.copy()
    nothing[..., 0:2] = np.random.default_rng(3).normal(size=sums[..., 0:2].shape)

    def above(these):
        found = scaled_curves(these, prior, model, grid)
        return np.mean(found.on_grid().max(axis=1) > found.level())

    assert above(sums) > 0.97
    assert above(nothing) < 0.02


def test_scale_and_noise_enter_as_m_cross_less_m_square_norm_over_u(curves):
    """At twice the scale and four times the noise: half of cross, all of norm."""
    ones = np.ones(len(curves.prior))
    unit, other, template = (
        replace(curves, signal=m * ones, noise=u * ones).on_grid()
        for m, u in ((1, 1), (2, 4), (1e6, 1e12))  # cross - norm; cross/2 - norm; -norm
    )
    np.testing.assert_allclose(unit - other, (unit - template) / 2, atol=0.01)


def test_the_peak_is_no_lower_than_the_grid_and_curves_are_finite(curves):
    value, peaks = curves.on_grid(), curves.peaks()
    assert np.isfinite(value).all()
    assert (peaks.value >= value.max(axis=1)).all()
    np.testing.assert_allclose(peaks.value, curves.at(peaks.change[:, None])[:, 0], atol=0.01)


def test_estimates_scatter_around_the_truth_by_their_errors(small, curves):
    peaks = curves.peaks()
    pull = (peaks.change - small.true_change) / peaks.error
    assert abs(pull.mean()) < 4 / np.sqrt(len(pull))
    assert abs(pull.std() - 1) < 4 / np.sqrt(2 * len(pull))
