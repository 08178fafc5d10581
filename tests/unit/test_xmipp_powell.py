"""Powell's search: what one sweep does, where it ends, and what it meets on the way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from parfocal.estimators.powell import OUTSIDE, Latest, powell

BEND = np.array([[3.0, 1.0], [1.0, 3.0]])


def bowl(target, floor=1.0):
    return lambda place: floor + (place - target) @ BEND @ (place - target) / 1e4


@given(st.floats(-300, 300), st.floats(-300, 300))
def test_a_strict_tolerance_finds_the_minimum(u, v):
    found = powell(bowl([u, v]), [0.0, 0.0], [0, 1], tolerance=1e-12)
    assert_allclose(found.place, [u, v], atol=0.1 + 4e-4 * np.hypot(u, v))
    assert found.cost == pytest.approx(1, abs=1e-5)


def test_one_sweep_overshoots_by_a_ninth():
    """Along U to 4/3 of the change, then along V to 8/9: the mean is 10/9 of it."""
    found = powell(bowl([90.0, 90.0]), [0.0, 0.0], [0, 1], tolerance=2.0)
    assert found.sweeps == 1
    assert_allclose(found.place, [120, 80], atol=0.1)
    assert found.place.mean() == pytest.approx(100, abs=0.1)


def test_noise_of_one_sweep():
    """SWEEP_SPREAD of the module xmipp: gradients that scatter as the cost bends."""
    noise = np.random.default_rng(1).multivariate_normal([0, 0], BEND, 100_000)
    u = noise[:, 0] / 3
    v = (noise[:, 1] - u) / 3
    settled = noise @ np.linalg.inv(BEND)
    ratio = np.var((u + v) / 2) / np.var(settled.mean(axis=1))
    assert ratio == pytest.approx(34 / 27, rel=0.03)


def test_variables_that_are_not_free_stay():
    found = powell(bowl([50.0, -50.0]), [0.0, 7.0], [0], tolerance=1e-9)
    assert found.place[1] == 7.0
    assert found.place[0] == pytest.approx(50 - 57 / 3, abs=0.05)


@pytest.mark.parametrize("side", [-1, 1])
def test_a_wall_stops_the_search(side):
    cost = bowl([side * 300.0, side * 300.0])

    def walled(place):
        return OUTSIDE if np.abs(place).max() > 100 else cost(place)

    found = powell(walled, [0.0, 0.0], [0, 1])
    assert_allclose(found.place, [side * 100, side * 100], atol=1.0)
    assert np.abs(found.place).max() <= 100


def test_a_step_that_leads_outside_at_once_does_not_end_it():
    found = powell(lambda p: OUTSIDE if abs(p[0]) > 0.5 else (p[0] - 0.3) ** 2 + 1, [0.0], [0])
    assert found.place[0] == pytest.approx(0.3, abs=1e-3)


def test_a_flat_cost_moves_nothing():
    found = powell(lambda place: 2.0, [1.0, 2.0], [0, 1])
    assert found.place.tolist() == [1.0, 2.0]
    assert (found.cost, found.sweeps) == (2.0, 1)


def test_a_valley_along_the_diagonal_is_followed():
    """Where lines along the axes creep, the direction of a whole sweep takes over."""

    def valley(place):
        return 1 + 50 * (place[0] - place[1]) ** 2 + (place.sum() - 200) ** 2 / 100

    found = powell(valley, [0.0, 1.0], [0, 1], tolerance=1e-10)
    assert_allclose(found.place, [100, 100], atol=0.5)
    assert found.sweeps < 20


def test_the_latest_value_is_not_made_twice():
    made = []
    latest = Latest(lambda argument: made.append(argument) or np.array(argument))
    for argument in ([1.0], [1.0], [2.0], [1.0]):
        assert latest(argument).tolist() == argument
    assert made == [[1.0], [2.0], [1.0]]
