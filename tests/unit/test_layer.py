"""The ice layer, where it can be worked out by hand: Gaussian curves, planes and heights."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.curves import robust
from parfocal.layer import Heights, Layer, PlanePrior, design, fit_layer, posterior
from parfocal.learning import LEAST_WIDTH, Micrograph, allowed_widths, learn

GRID = np.linspace(-1500.0, 1500.0, 151)


SEEN = 40.0  # nats by which an image of the template tells itself from one that holds nothing


def gaussian_curves(centre, error):
    return SEEN - 0.5 * ((GRID - centre[:, None]) / error[:, None]) ** 2


def draw(rng, *, n=60, width=100.0, error=150.0, offset=80.0, slope=(0.05, -0.03), stray=0.0):
    """(micrograph, true changes) of n particles in tilted ice."""
    x, y = rng.uniform(0, 4000, (2, n))
    place = design(x, y)
    truth = place @ np.array([offset, *slope]) + rng.normal(0, width, n)
    errors = np.full(n, error)
    seen = truth + rng.normal(0, error, n)
    seen = np.where(rng.random(n) < stray, rng.uniform(-1400, 1400, n), seen)
    return Micrograph(gaussian_curves(seen, errors), place), truth, seen


@pytest.mark.parametrize(
    ("heights", "variance"),
    [
        (Heights(width=80.0), 80.0**2),
        (Heights(kind="two sheets", width=30.0, distance=300.0), 30.0**2 + 150.0**2),
        (Heights(kind="slab", width=20.0, distance=400.0), 20.0**2 + 400.0**2 / 12),
    ],
)
def test_a_density_of_heights_has_mass_one_and_the_variance_of_its_kind(heights, variance):
    z = np.linspace(-1500, 1500, 60001)
    q = heights.density(z)
    assert np.trapezoid(q, z) == pytest.approx(1, abs=1e-6)
    assert np.trapezoid(q * z**2, z) == pytest.approx(variance, rel=1e-4)
    blurred = heights.density(z, blur=50.0**2)
    assert np.trapezoid(blurred * z**2, z) == pytest.approx(variance + 50.0**2, rel=1e-4)


def test_gaussian_curves_give_the_closed_form_of_weighted_least_squares():
    rng = np.random.default_rng(1)
    micrograph, _, seen = draw(rng)
    layer = Layer(
        heights=Heights(width=100.0, stray=0.0), plane=PlanePrior(slope_sd=0.05), wrong=0.0
    )
    fit = fit_layer(micrograph.curves, GRID, micrograph.place, layer)
    mean, precision = layer.plane.moments()
    noise = 100.0**2 + 150.0**2
    hessian = micrograph.place.T @ micrograph.place / noise + precision
    expected = np.linalg.solve(hessian, micrograph.place.T @ seen / noise + precision @ mean)
    np.testing.assert_allclose(fit.coefficients, expected, rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(fit.covariance, np.linalg.inv(hessian), rtol=0.02, atol=1e-6)


def test_a_particles_own_data_count_once():
    """Its posterior is its curve times the prior that the *other* particles give."""
    rng = np.random.default_rng(2)
    micrograph, _, seen = draw(rng, n=12)
    layer = Layer(
        heights=Heights(width=100.0, stray=0.0), plane=PlanePrior(slope_sd=0.05), wrong=0.0
    )
    fit = fit_layer(micrograph.curves, GRID, micrograph.place, layer)
    density = posterior(micrograph.curves, GRID, fit, layer).density
    others = np.arange(12) != 5
    alone = fit_layer(micrograph.curves[others], GRID, micrograph.place[others], layer)
    at = micrograph.place[5]
    prior_variance = 100.0**2 + at @ alone.covariance @ at
    weight = 1 / (1 / prior_variance + 1 / 150.0**2)
    expected = weight * (at @ alone.coefficients / prior_variance + seen[5] / 150.0**2)
    assert density[5] @ GRID == pytest.approx(expected, abs=1.0)
    spread = np.sqrt(density[5] @ GRID**2 - (density[5] @ GRID) ** 2)
    assert spread == pytest.approx(np.sqrt(weight), rel=0.02)


def test_widths_are_learned_from_the_data():
    rng = np.random.default_rng(3)
    drawn = []
    for _ in range(30):
        offset, slope = rng.normal(0, 120.0), rng.normal(0, 0.04, 2)
        drawn.append(draw(rng, offset=offset, slope=slope, width=90.0)[0])
    layer = learn(drawn, GRID, Layer())
    n = 30 * 60
    assert layer.heights.kind == "sheet"
    # the width's error: of the spread of width and error together, each particle once
    error = (90.0**2 + 150.0**2) / 90.0 / np.sqrt(2 * n)
    assert layer.heights.width == pytest.approx(90.0, abs=4 * error)
    assert layer.plane.offset_sd == pytest.approx(120.0, rel=4 / np.sqrt(2 * 30))
    assert layer.plane.slope_sd == pytest.approx(0.04, rel=4 / np.sqrt(2 * 60))


def test_two_sheets_are_told_from_one():
    rng = np.random.default_rng(4)
    drawn = []
    for _ in range(12):
        micrograph, _, _ = draw(rng, width=30.0, error=100.0)
        side = rng.choice([-250.0, 250.0], 60)
        centre = micrograph.place @ np.array([0.0, 0.02, 0.0]) + side + rng.normal(0, 105.0, 60)
        drawn.append(Micrograph(gaussian_curves(centre, np.full(60, 100.0)), micrograph.place))
    heights = learn(drawn, GRID, Layer()).heights
    assert heights.kind == "two sheets"
    assert heights.distance == pytest.approx(500.0, abs=60.0)


def test_stray_particles_do_not_bend_the_plane():
    rng = np.random.default_rng(5)
    drawn = [draw(rng, n=100, error=60.0, stray=0.15) for _ in range(10)]
    layer = learn([d[0] for d in drawn], GRID, Layer())
    assert layer.heights.stray == pytest.approx(0.15, abs=0.06)
    slopes = [fit_layer(m.curves, GRID, m.place, layer).coefficients[1:] for m, _, _ in drawn]
    error = np.hypot(100.0, 60.0) / 1155.0 / np.sqrt(85 * 10)  # 1155: spread of coordinates
    np.testing.assert_allclose(np.mean(slopes, axis=0), [0.05, -0.03], atol=4 * error)


def with_junk(rng, micrograph, share):
    """The same micrograph, but some images hold nothing: a steep curve, far below 0, to one side."""
    junk = rng.random(len(micrograph.curves)) < share
    steep = -150.0 + 0.05 * GRID
    return Micrograph(np.where(junk[:, None], steep, micrograph.curves), micrograph.place), junk


def test_junk_is_counted_and_falls_back_to_the_plane():
    rng = np.random.default_rng(8)
    drawn = [with_junk(rng, draw(rng, n=100, error=60.0)[0], 0.3) for _ in range(10)]
    layer = learn([m for m, _ in drawn], GRID, Layer())
    share = np.mean([junk.mean() for _, junk in drawn])
    assert layer.wrong == pytest.approx(share, abs=1e-6)
    micrograph, junk = drawn[0]
    safe = robust(micrograph.curves, layer.wrong)
    fit = fit_layer(safe, GRID, micrograph.place, layer)
    found = posterior(safe, GRID, fit, layer).density @ GRID
    plane = micrograph.place @ fit.coefficients
    np.testing.assert_allclose(found[junk], plane[junk], atol=3.0)
    assert np.abs(found - plane)[~junk].max() > 30
    # the spoiled twin: believed, the junk drags everything to the end of the range
    believed = replace(layer, wrong=0.0, heights=replace(layer.heights, stray=0.0))
    bent = fit_layer(micrograph.curves, GRID, micrograph.place, believed)
    assert abs(bent.coefficients[0] - 80.0) > 10 * abs(fit.coefficients[0] - 80.0)


def test_the_sheet_that_a_particle_is_in():
    rng = np.random.default_rng(9)
    place = design(*rng.uniform(0, 4000, (2, 60)))
    upper = rng.random(60) < 0.5
    centre = np.where(upper, 150.0, -150.0) + rng.normal(0, 60.0, 60)
    curves = gaussian_curves(centre, np.full(60, 60.0))
    layer = Layer(heights=Heights(kind="two sheets", width=10.0, distance=300.0))
    found = posterior(curves, GRID, fit_layer(curves, GRID, place, layer), layer).upper
    assert np.mean((found > 0.5) == upper) > 0.95
    assert found[upper].mean() > 0.9 > 0.1 > found[~upper].mean()
    single = Layer(heights=Heights(width=100.0))
    alone = posterior(curves, GRID, fit_layer(curves, GRID, place, single), single).upper
    assert np.isnan(alone).all()


def test_whether_widths_vary_over_micrographs_is_learned():
    rng = np.random.default_rng(10)
    alike = [draw(rng, width=90.0, error=60.0)[0] for _ in range(20)]
    apart = [draw(rng, width=w, error=60.0)[0] for w in 90.0 * 2.5 ** rng.normal(0, 1, 20)]
    layer = Layer(heights=Heights(width=90.0))
    same, varied = (allowed_widths(sample, GRID, layer) for sample in (alike, apart))
    assert not same.own
    assert varied.own
    nothing = np.zeros(len(same.layers))
    assert same.weights(nothing).sum() == pytest.approx(1)
    assert same.weights(nothing)[[3, 4, 5]].sum() > 0.95  # of 90 Å, give or take a quarter


def test_a_width_of_nothing_from_few_particles_is_not_believed():
    """Of 20 particles of 40 Å scatter and 60 Å error the maximum is at 0 more often than not."""
    rng = np.random.default_rng(11)
    few = [draw(rng, n=20, width=0.0, error=60.0)[0]]
    many = [draw(rng, n=60, width=0.0, error=60.0)[0] for _ in range(30)]
    layer = Layer(heights=Heights(width=2.0))
    wide = []
    for sample in (few, many):
        found = allowed_widths(sample, GRID, layer)
        widths = np.array([other.heights.width for other in found.layers])
        wide.append(found.weights(np.zeros(len(widths))) @ widths)
    assert wide[0] > 20 > wide[1]


def test_without_information_everything_falls_back_to_the_input():
    rng = np.random.default_rng(6)
    flat = [Micrograph(np.zeros((60, len(GRID))), draw(rng)[0].place) for _ in range(5)]
    layer = Layer(heights=Heights(width=50.0, stray=0.0), wrong=0.0)
    fit = fit_layer(flat[0].curves, GRID, flat[0].place, layer)
    density = posterior(flat[0].curves, GRID, fit, layer).density
    np.testing.assert_allclose(density @ GRID, 0, atol=1e-6)


def test_a_plane_without_heights_stays_without():
    rng = np.random.default_rng(7)
    drawn = [draw(rng)[0] for _ in range(5)]
    layer = learn(drawn, GRID, Layer(heights=Heights(width=LEAST_WIDTH)), heights=False)
    assert layer.heights.width == LEAST_WIDTH


def test_without_coordinates_only_the_offset_is_left():
    place = design(np.full(4, np.nan), np.full(4, np.nan))
    np.testing.assert_array_equal(place, [[1, 0, 0]] * 4)
