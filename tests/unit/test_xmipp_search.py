"""Costs over the circle, and what the searches of xmipp and highres find without noise."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from parfocal.conventions import DEGREE, rotation_matrix
from parfocal.errors import InputError
from parfocal.estimators.circle import anticorrelation, mean_deviation
from parfocal.estimators.highres import PLACE, POSE, HighRes
from parfocal.estimators.xmipp import A, B, U, V, View, Xmipp
from parfocal.optics import Optics
from parfocal.projection import fourier_volume
from parfocal.template import projection_of, shift_ramp, template, template_grid

N = 48
OPTICS = Optics(
    name="one",
    voltage=300.0,
    spherical_aberration=2.7,
    amplitude_contrast=0.1,
    pixel_size=1.6,
    image_size=N,
)
GRID = template_grid(OPTICS, low_pass=4.0)
ANGLES = (0.3, 1.0, -2.0)
DEFOCUS = (8_000.0, 7_600.0, 0.4)


@pytest.fixture(scope="module")
def volume():
    rng = np.random.default_rng(4)
    density = np.zeros((N, N, N), dtype=np.float32)
    places = N // 2 + rng.integers(-8, 9, (150, 3))
    np.add.at(density, tuple(places.T), 1.0)
    return fourier_volume(density, OPTICS.pixel_size)


def view(volume, change=(0.0, 0.0), *, shift=(0.0, 0.0), turn=(0.0, 0.0, 0.0)) -> View:
    """A particle whose image is a template without noise, `change` [Å] from its defocus on file."""
    angles = np.add(ANGLES, np.multiply(turn, DEGREE))
    projection = projection_of(volume, rotation_matrix(*angles), GRID) * shift_ramp(shift, GRID)
    defocus = (DEFOCUS[0] + change[0], DEFOCUS[1] + change[1], DEFOCUS[2])
    image = template(projection, defocus, 0.0, GRID)
    spread = float(image.std())
    return View(
        grid=GRID,
        image=image / np.float32(spread),
        scale=1 / spread,
        volume=volume,
        angles=ANGLES,
        origin=(0.0, 0.0),
        defocus=DEFOCUS,
        phase_shift=0.0,
    )


def test_costs_are_their_formulas():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, N, N)).astype(np.float32)
    b += a
    x = np.arange(N) - N // 2
    inside = np.hypot(x, x[:, None]) <= N // 2
    expected = np.corrcoef(a[inside], b[inside])[0, 1]
    assert anticorrelation(a, b, GRID.across) == pytest.approx(-expected, abs=1e-5)
    assert np.abs(expected - np.corrcoef(a.ravel(), b.ravel())[0, 1]) > 1e-3
    deviation = np.abs(1.3 * a - 0.2 - b)[inside].mean()
    assert mean_deviation(a, b, GRID.across, 1.3, -0.2) == pytest.approx(deviation, rel=1e-5)
    assert anticorrelation(a, np.ones_like(a), GRID.across) == 0


@pytest.mark.parametrize("cost", ["l1", "cc"])
@pytest.mark.parametrize("change", [(80.0, 80.0), (-150.0, -60.0)])
def test_a_change_is_found(volume, cost, change):
    """Without noise the cost falls far, so that sweeps go on until U and V have settled."""
    found = Xmipp(cost=cost).search(view(volume, change))
    assert_allclose(found.place[[U, V]], change, atol=12)
    assert found.place[[U, V]].mean() == pytest.approx(np.mean(change), abs=2)
    assert_allclose(found.place[[A, B]], [1, 0], atol=0.005)


@pytest.mark.parametrize("cost", ["l1", "cc"])
def test_no_change_is_found_where_there_is_none(volume, cost):
    found = Xmipp(cost=cost).search(view(volume))
    assert np.abs(found.place[[U, V]]).max() < 1


@pytest.mark.parametrize("cost", ["l1", "cc"])
def test_the_limit_stops_it(volume, cost):
    found = Xmipp(cost=cost, max_change=50.0).search(view(volume, (150.0, 150.0)))
    assert 49 < np.abs(found.place[[U, V]]).max() <= 50


def test_one_defocus_for_both(volume):
    """Without astigmatism on file's U: V follows U, and the mean is that of the image."""
    found = Xmipp(cost="cc", same_defocus=True).search(view(volume, (0.0, 500.0)))
    assert found.place[U] == found.place[V]
    assert DEFOCUS[0] + found.place[U] == pytest.approx(8_050, abs=5)


def test_a_particle_that_is_not_in_the_centre(volume):
    off = replace(view(volume, (80.0, 80.0), shift=(-2, 3)), origin=(2.0, -3.0))
    found = Xmipp(cost="cc").search(off)
    assert found.place[[U, V]].mean() == pytest.approx(80, abs=8)
    wrong = Xmipp(cost="cc").search(replace(off, origin=(-2.0, 3.0)))
    assert wrong.cost > found.cost + 0.1


def test_highres_finds_shift_angles_and_defocus(volume):
    shift, turn = (0.4, -0.3), (1.0, -1.5, 2.0)
    off = view(volume, (90.0, 90.0), shift=shift, turn=turn)
    found = HighRes().search(off)
    assert_allclose(found.place[PLACE], shift, atol=0.1)
    assert_allclose(found.place[POSE][1], turn[1], atol=0.5)
    assert_allclose(found.place[POSE][0] + found.place[POSE][2], 3.0, atol=1.5)
    assert found.place[[-3, -2]].mean() == pytest.approx(90, abs=10)
    fixed = HighRes(max_shift=0, max_angle=0).search(off)
    assert (fixed.place[:-3] == 0).all()
    assert fixed.cost > found.cost + 0.02


def test_highres_keeps_within_its_limits(volume):
    off = view(volume, (400.0, 400.0), shift=(2.0, 0.0), turn=(0.0, 9.0, 0.0))
    place = HighRes(max_shift=0.02, max_angle=2.0).search(off).place
    assert np.hypot(*place[PLACE]) <= 0.02 * N
    assert np.abs(place[POSE]).max() <= 2
    assert np.abs(place[[-3, -2]]).max() <= 200


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: Xmipp(cost="l2"), "unknown cost"),
        (lambda: Xmipp(max_change=0), "max_change"),
        (lambda: HighRes(low_pass=0.1), "low_pass"),
        (lambda: HighRes(max_angle=-1), "below 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        wrong()
