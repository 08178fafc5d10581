"""The likelihood: two ways to sum it, the pixels' own sum of squares, and peaks of known shape."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.grid import spectra_grid
from parfocal.likelihood import (
    RETAINED_STEP,
    STEP_PHASE,
    Curves,
    NoiseModel,
    change_grid,
    defocus_table,
    find_peaks,
    retained_table,
    template_terms,
    terms_at,
)
from parfocal.reference import Reference

from .conftest import make_optics

GRID = spectra_grid(make_optics(), padded=48, change_max=1000.0)
CHANGE = np.linspace(-1000, 1000, 201)  # in steps of 10 Å
PRIOR = np.array([9_000.0, 10_010.0, 12_345.0])


def make_model(grid=GRID, seed=0, **changes) -> NoiseModel:
    """Random weights; the retained energy falls from 1 by a tenth over the table."""
    rng = np.random.default_rng(seed)
    table = np.arange(7_500, 14_000, RETAINED_STEP)
    settings = {
        "amplitude": rng.uniform(0.5, 2, grid.bins),
        "noise": rng.uniform(50, 200, grid.bins),
        "scale_sd": 0.0,
        "defocus": table,
        "retained": 1 - np.outer(np.linspace(0, 0.1, len(table)), np.linspace(0, 1, grid.bins)),
    }
    return NoiseModel(grid=grid, **(settings | changes))


def random_sums(n, bins, seed=1):
    """Spectra that could be: E, X > 0, and the others smaller than what they are part of."""
    rng = np.random.default_rng(seed)
    sums = rng.normal(size=(n, bins, 8))
    sums[..., 6:] = rng.uniform(8, 20, (n, bins, 2))
    return sums


def test_direct_sums_and_the_grids_agree():
    model, sums = make_model(), random_sums(3, GRID.bins)
    picked = np.array([[0, 50, 200], [7, 100, 101], [3, 133, 199]])
    cross, norm = template_terms(sums, PRIOR, model, CHANGE)
    at_cross, at_norm = terms_at(sums, PRIOR, model, CHANGE[picked])
    np.testing.assert_allclose(at_cross, np.take_along_axis(cross, picked, 1), rtol=1e-10)
    np.testing.assert_allclose(at_norm, np.take_along_axis(norm, picked, 1), rtol=1e-10)


def test_likelihood_is_the_sum_of_squares_over_the_pixels():
    """One pixel a bin, so that nothing is rounded: ℓ(δ) - ℓ(0) = Σ (|X - T_0|² - |X - T_δ|²) / 2v."""
    rng, count = np.random.default_rng(2), 40
    s = np.sort(rng.uniform(0.001, 0.1, count))
    x, p = rng.normal(size=(2, count)) + 1j * rng.normal(size=(2, count))
    chi = rng.uniform(0, 2 * np.pi, count)
    model = make_model(replace(GRID, s=s, n=np.full((3, count), 2 / 3)))
    model = replace(model, retained=np.ones_like(model.retained))
    a, b, q = (x.conj() * p).real, np.abs(p) ** 2, np.abs(x) ** 2
    once, twice = np.exp(1j * chi), np.exp(2j * chi)
    columns = [(a * once).real, (a * once).imag, (b * twice).real, (b * twice).imag, 0 * q, 0 * q]
    cross, norm = template_terms(np.stack([*columns, b, q], 1)[None], PRIOR[:1], model, CHANGE)

    def square(change):
        turn = np.pi * GRID.optics.wavelength * change * s
        template = model.amplitude * p * np.sin(chi + turn)
        return np.sum(np.abs(x - template) ** 2 / model.noise)

    expected = [(square(0) - square(change)) / 2 for change in CHANGE]
    likelihood = (cross - norm)[0]
    np.testing.assert_allclose(likelihood - likelihood[100], expected, atol=1e-10)


def test_the_templates_energy_follows_what_defocus_leaves_in_the_box():
    """Without oscillation norm is ¼ Σ a² g E / v, g read between the entries of its table."""
    model, sums = make_model(), random_sums(3, GRID.bins)
    sums[..., 2:4] = 0
    change = np.array([[-1000.0, 0.0, 612.5]] * 3)
    _, norm = terms_at(sums, PRIOR, model, change)
    share = (PRIOR[:, None] + change - model.defocus[0]) / np.ptp(model.defocus)
    g = 1 - 0.1 * share[..., None] * np.linspace(0, 1, GRID.bins)
    weight = model.amplitude**2 / model.noise / 4
    np.testing.assert_allclose(norm, np.einsum("mcb,b,mb->mc", g, weight, sums[..., 6]), rtol=1e-10)


def test_the_oscillation_shrinks_with_the_energy_at_the_prior():
    model, sums = make_model(), random_sums(3, GRID.bins)
    sums[..., 6] = 0
    halved = replace(model, retained=model.retained / 2)
    for terms, change in ((template_terms, CHANGE), (terms_at, np.tile(CHANGE, (3, 1)))):
        whole, half = (terms(sums, PRIOR, m, change)[1] for m in (model, halved))
        np.testing.assert_allclose(whole, 2 * half, rtol=1e-10)


def test_the_table_covers_every_particle_and_change():
    table = defocus_table(PRIOR, 1000.0)
    assert table[0] == PRIOR.min() - 1000
    assert PRIOR.max() + 1000 <= table[-1] <= PRIOR.max() + 1000 + RETAINED_STEP
    np.testing.assert_allclose(np.diff(table), RETAINED_STEP)


def test_retained_energy_is_all_in_focus_and_falls_with_defocus():
    optics = make_optics(spherical_aberration=0.0)
    grid = spectra_grid(optics, padded=48, change_max=1000.0)
    reference = Reference(
        volumes={}, weight=np.ones(25), box=48, pixel_size=1.5, radius=np.linspace(1, 20, 9)
    )
    table = retained_table(grid, reference, np.linspace(0, 20_000, 21))
    assert (table[0] == 1).all()
    assert (np.diff(table, axis=0) <= 0).all()
    assert (np.diff(table[10]) <= 0).all()  # and with frequency
    assert table[-1, -1] < 0.1
    np.testing.assert_array_equal(
        table, retained_table(grid, reference, -np.linspace(0, 20_000, 21))
    )


@pytest.mark.parametrize("highest", [0.1, 0.2, 0.3])
def test_changes_are_as_fine_as_the_highest_weighted_frequency_asks(highest):
    amplitude = np.where(GRID.k < highest, 1.0, 1e-3)
    change = change_grid(GRID, amplitude, 20_000.0)
    turn = np.pi * GRID.optics.wavelength * highest**2 * (change[1] - change[0])
    assert turn == pytest.approx(STEP_PHASE, rel=0.15)
    assert [change[0], change[len(change) // 2], change[-1]] == [-20_000, 0, 20_000]
    np.testing.assert_allclose(change, -change[::-1])


def test_a_short_range_has_points_enough():
    assert len(change_grid(GRID, np.ones(GRID.bins), 10.0)) == 65


def peaks_of(likelihood):
    """Peaks of one function of the change, or of several along a first axis."""
    value = np.atleast_2d(likelihood(CHANGE[None]))
    return find_peaks(Curves(change=CHANGE, value=value), likelihood)


def gaussian(centre, width):
    return lambda change: -((change - centre) ** 2) / (2 * width**2)


@pytest.mark.parametrize("centre", [0.0, 2.5, 5.0, 8.1, -333.3])  # the step is 10
@pytest.mark.parametrize("width", [0.01, 0.3, 4.0, 9.0, 14.0, 16.0, 25.0, 100.0])
def test_a_gaussian_curve_gives_its_width_wherever_it_lies_on_the_grid(width, centre):
    peaks = peaks_of(gaussian(centre, width))
    assert peaks.change[0] == pytest.approx(centre, abs=1e-6)
    assert peaks.value[0] == pytest.approx(0, abs=1e-6)
    assert peaks.error[0] == pytest.approx(width, rel=0.01)
    assert peaks.spread[0] == pytest.approx(width, rel=0.01)
    assert peaks.error_at_prior[0] == pytest.approx(np.hypot(centre, width), rel=0.01)
    assert peaks.rival[0] == np.inf
    assert not peaks.edge[0]


def test_a_flat_curve_knows_nothing():
    """Uniform over ±R: a spread of R / √3, and as far from the prior."""
    peaks = peaks_of(lambda change: np.zeros(change.shape))
    assert peaks.spread[0] == pytest.approx(1000 / np.sqrt(3), rel=0.01)
    assert peaks.error_at_prior[0] == pytest.approx(1000 / np.sqrt(3), rel=0.01)
    assert peaks.error[0] >= peaks.spread[0]


def test_an_asymmetric_curve_counts_distance_from_its_maximum():
    """ℓ rises as 2 ln(δ + 500) and falls as (δ + 500) / 100: a gamma, mode 200 on, mean 300 on."""

    def gamma(change):
        on = np.maximum(change + 500, 1e-9) / 100
        return 2 * np.log(on) - on

    peaks = peaks_of(gamma)
    assert peaks.change[0] == pytest.approx(-300, abs=0.1)
    assert peaks.spread[0] == pytest.approx(100 * np.sqrt(3), rel=0.01)
    assert peaks.error[0] == pytest.approx(200, rel=0.01)  # √(3 + 1) · 100
    assert peaks.error_at_prior[0] == pytest.approx(100 * np.sqrt(3 + 4), rel=0.01)


@pytest.mark.parametrize("lower", [0.0, 1.5, 10.0])
def test_a_second_peak_is_a_rival_by_its_height(lower):
    def two(change):
        return np.logaddexp(gaussian(-400, 30)(change), gaussian(400, 30)(change) - lower)

    peaks = peaks_of(two)
    assert peaks.rival[0] == pytest.approx(lower, abs=0.05)
    weight = 1 / (1 + np.exp(lower))
    assert peaks.error[0] == pytest.approx(np.sqrt(30**2 + weight * 800**2), rel=0.02)
    if lower:
        assert peaks.change[0] == pytest.approx(-400, abs=0.1)


def test_ripples_on_the_peak_itself_are_no_rivals():
    """The next one, 38 Å on and 0.1 nats lower, lies within the peak; at two widths it is 0.5."""

    def rippled(change):
        return gaussian(0, 80)(change) + 0.05 * np.cos(change / 6)

    assert peaks_of(rippled).rival[0] > 0.4


@pytest.mark.parametrize("slope", [0.01, -0.01])
def test_a_curve_that_rises_to_its_end_is_flagged_there(slope):
    peaks = peaks_of(lambda change: slope * change)
    assert peaks.edge[0]
    assert peaks.change[0] == np.sign(slope) * 1000
    assert peaks.value[0] == pytest.approx(10)
    assert peaks.error[0] == pytest.approx(np.sqrt(2) * 100, rel=0.05)  # exponential: mean square 2


def test_a_peak_just_inside_the_end_is_not_flagged():
    assert not peaks_of(gaussian(985.0, 20.0)).edge[0]
    assert peaks_of(gaussian(1015.0, 20.0)).edge[0]


def test_curves_do_not_see_each_other():
    centre = np.array([[-500.0], [3.0], [701.0]])
    width = np.array([[5.0], [50.0], [400.0]])
    together = peaks_of(gaussian(centre, width))
    for i in range(3):
        alone = peaks_of(gaussian(centre[i, 0], width[i, 0]))
        assert together.change[i] == pytest.approx(alone.change[0])
        assert together.error[i] == pytest.approx(alone.error[0])
