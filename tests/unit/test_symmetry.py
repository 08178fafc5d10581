"""Point groups, and sums made symmetric, against a sum over the group voxel by voxel."""

import numpy as np
import pytest
import scipy.ndimage

from parfocal.errors import InputError
from parfocal.insertion import FourierSums, close
from parfocal.symmetry import off_grid, on_grid, rotations, symmetrise

ORDERS = {"C1": 1, "C4": 4, "c7": 7, "D1": 2, "D2": 4, "D5": 10, "T": 12, "O": 24}
ORDERS |= dict.fromkeys(("I", "I1", "I2", "I3", "I4"), 60)
GOLDEN = (1 + np.sqrt(5)) / 2


def has(group, rotation):
    return np.abs(group - rotation).max(axis=(1, 2)).min() < 1e-9


def turn(axis, fold):
    """Rotation by 2π / fold about `axis`."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = 2 * np.pi / fold
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


@pytest.mark.parametrize(("name", "order"), ORDERS.items())
def test_a_group_is_closed_and_has_its_order(name, order):
    group = rotations(name)
    assert len(group) == order
    np.testing.assert_array_equal(group[0], np.eye(3))
    np.testing.assert_allclose(
        group @ group.swapaxes(1, 2), np.tile(np.eye(3), (order, 1, 1)), atol=1e-9
    )
    np.testing.assert_allclose(np.linalg.det(group), 1)
    assert all(has(group, a @ b) for a in group for b in group)
    distance = np.abs(group[:, None] - group).max(axis=(2, 3)) + np.eye(order)
    assert distance.min() > 0.01


@pytest.mark.parametrize(
    ("name", "axis", "fold"),
    [
        ("C5", (0, 0, 1), 5),
        ("D3", (0, 0, 1), 3),
        ("D3", (1, 0, 0), 2),
        ("T", (0, 0, 1), 3),
        ("T", (0, np.sqrt(2), 1), 2),
        *[("O", axis, 4) for axis in np.eye(3)],
        ("O", (1, -1, 1), 3),
        *[(name, axis, 2) for axis in np.eye(3) for name in ("I1", "I2")],
        ("I1", (GOLDEN, 0, -1), 5),
        ("I2", (1, 0, GOLDEN), 5),
        ("I3", (0, 0, 1), 5),
        ("I3", (-1, 0, GOLDEN), 2),
        ("I4", (0, 0, 1), 5),
        ("I4", (1, 0, GOLDEN), 2),
    ],
)
def test_axes_lie_where_they_are_said_to_lie(name, axis, fold):
    assert has(rotations(name), turn(axis, fold))
    assert not has(rotations(name), turn((0.3, 0.5, 0.2), fold))


def test_the_two_settings_of_an_icosahedron_differ():
    for one, other in (("I1", "I2"), ("I3", "I4")):
        assert not all(has(rotations(other), g) for g in rotations(one))
    np.testing.assert_array_equal(rotations("I"), rotations("I2"))


@pytest.mark.parametrize("name", ["C0", "C100", "D", "I5", "K", "", "4", "C-1"])
def test_an_unknown_group_is_refused(name):
    with pytest.raises(InputError, match="is not known - choose one of C1"):
        rotations(name)


@pytest.mark.parametrize(
    ("name", "exact"), [("C1", 1), ("C3", 1), ("C6", 2), ("D3", 2), ("T", 1), ("O", 24), ("I", 12)]
)
def test_rotations_on_the_grid_and_the_cosets_of_the_others(name, exact):
    group = rotations(name)
    whole, others = on_grid(group), off_grid(group)
    assert len(whole) == exact
    assert (1 + len(others)) * exact == len(group)
    products = np.concatenate([whole, *(g @ whole for g in others)])
    assert all(has(products, g) for g in group)


def random_sums(m_to: float) -> FourierSums:
    """Closed sums of random numbers within `m_to` voxels of the zero frequency."""
    sums = FourierSums.zeros(8, 1.0)
    rng = np.random.default_rng(3)
    m = len(sums.data) // 2
    x = np.arange(-m, m + 1)
    r = np.sqrt(x[:, None, None] ** 2 + x[:, None] ** 2 + x[m:] ** 2)
    sums.data[...] = rng.normal(size=sums.data.shape) * (r < m_to)[..., None]
    close(sums)
    return sums


def whole(sums: FourierSums):
    """(numerator, weight) with both halves, complex and float (edge, edge, edge)."""
    n, w = sums.numerator, sums.weight
    return (
        np.concatenate([n[::-1, ::-1, :0:-1].conj(), n], axis=2),
        np.concatenate([w[::-1, ::-1, :0:-1], w], axis=2),
    )


def turned(values, rotation):
    """`values` at `rotation` times each voxel's place (x, y, z), interpolated trilinearly."""
    m = len(values) // 2
    z, y, x = np.meshgrid(*[np.arange(-m, m + 1)] * 3, indexing="ij")
    place = np.tensordot(rotation, np.stack([x, y, z]), axes=1)[::-1] + m
    return scipy.ndimage.map_coordinates(values, place, order=1)


@pytest.mark.parametrize("name", ["C1", "C2", "C3", "C4", "D2", "D3", "T", "O", "I1", "I2", "I4"])
def test_symmetric_sums_are_the_sum_over_the_group(name):
    """Exactly on the grid; and off it, where cosets share their interpolation, to its accuracy."""
    group = rotations(name)
    sums = random_sums(7.5)
    before = whole(sums)
    symmetrise(sums, group)
    m = len(sums.data) // 2
    x = np.arange(-m, m + 1)
    inside = x[:, None, None] ** 2 + x[:, None] ** 2 + x**2 < 7.5**2
    for values, found in zip(before, whole(sums), strict=True):
        first = sum((turned(values, g) for g in off_grid(group)), values)
        expected = sum(turned(first, h.astype(float)) for h in on_grid(group))
        error = np.abs(found - expected)[inside]
        assert error.max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["D2", "O", "C4"])
def test_on_the_grid_the_result_is_symmetric_to_the_last_voxel(name):
    sums = random_sums(7.5)
    symmetrise(sums, rotations(name))
    n, w = whole(sums)
    for g in on_grid(rotations(name)).astype(float):
        np.testing.assert_allclose(turned(n, g), n, atol=1e-4)
        np.testing.assert_allclose(turned(w, g), w, atol=1e-4)
    assert np.abs(turned(n, turn((0, 0, 1), 4.5)) - n).max() > 0.1
