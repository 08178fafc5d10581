"""Sums over directions: they add up, opposite directions are one, and uneven maps are seen."""

import numpy as np
import pytest
import scipy.fft

from parfocal.fsc_curves import fsc_curves
from parfocal.fsc_directions import (
    SIDE,
    Directional,
    DirectionSums,
    cell_directions,
    cell_of,
    direction_sums,
    directional,
    even_directions,
)
from parfocal.symmetry import rotations

from .test_fsc import noise, sphere


def unit_vectors(count, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_opposite_directions_share_a_cell_and_cells_are_of_like_size():
    vectors = unit_vectors(200_000)
    cells = cell_of(*vectors.T)
    np.testing.assert_array_equal(cells, cell_of(*-vectors.T))
    count = np.bincount(cells, minlength=3 * SIDE**2)
    assert len(count) == 3 * SIDE**2
    assert count.min() > 0.5 * count.mean()
    assert count.max() < 1.5 * count.mean()


def test_the_middle_of_a_cell_is_near_all_that_is_in_it():
    vectors = unit_vectors(20_000)
    middle = cell_directions()[cell_of(*vectors.T)]
    away = np.arccos(np.minimum(np.abs((vectors * middle).sum(axis=1)), 1))
    assert away.max() < np.deg2rad(90 / SIDE)
    np.testing.assert_array_equal(cell_of(*cell_directions().T), np.arange(3 * SIDE**2))


@pytest.mark.parametrize("n", [16, 17])
def test_sums_are_those_of_the_whole_transform_with_each_pair_of_mates_once(n):
    halves = noise(1, n), noise(2, n)
    sums = direction_sums(*halves, np.ones((n, n, n), np.float32))
    first, second = (scipy.fft.fftn(half) for half in halves)
    k = np.fft.fftfreq(n, 1 / n)
    shell = np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)).astype(int).ravel()

    def wanted(values):
        return np.bincount(shell, weights=values.ravel() / 2)[1 : n // 2 + 1]

    for found, values in (
        (sums.cross, (first * second.conj()).real),
        (sums.power1, np.abs(first) ** 2),
        (sums.power2, np.abs(second) ** 2),
        (sums.count, np.ones(first.shape)),
    ):
        np.testing.assert_allclose(found.sum(axis=1)[1:], wanted(values), rtol=1e-5, atol=1e-3)


def test_larger_cells_hold_the_sums_of_the_smaller_ones():
    n = 24
    sums = direction_sums(noise(1, n), noise(2, n), sphere(9, n))
    joined = sums.joined(3)
    assert joined.cross.shape == (n // 2 + 1, 27)
    np.testing.assert_allclose(joined.power1.sum(axis=1), sums.power1.sum(axis=1))
    cells = cell_of(*unit_vectors(500).T)
    face, u, v = cells // SIDE**2, cells // SIDE % SIDE, cells % SIDE
    coarse = (face * 3 + u // 8) * 3 + v // 8
    members = sums.power1[:, np.unique(cells[coarse == coarse[0]])]
    assert (joined.power1[:, coarse[0]] >= members.sum(axis=1) - 1e-6).all()


@pytest.mark.parametrize("name", ["C2", "C3", "D2", "O"])
def test_with_a_symmetry_directions_are_one_that_it_takes_into_each_other(name):
    """Turned by any rotation of the group, the joined sums are the same."""
    group = rotations(name)
    values = np.random.default_rng(0).random((1, 3 * SIDE**2))
    even = dict.fromkeys(("cross", "power1", "power2", "count"), values)
    whole = DirectionSums(**even).joined(12)
    joined = DirectionSums(**even).joined(12, group)
    assert joined.cross.sum() == pytest.approx(values.sum())
    assert joined.cross.shape[1] < 2.2 * whole.cross.shape[1] / len(group)


def test_directions_are_spread_evenly():
    directions = even_directions(200)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    cosine = np.abs(directions @ directions.T) - 2 * np.eye(200)
    nearest = np.rad2deg(np.arccos(cosine.max(axis=1)))
    apart = np.rad2deg(np.sqrt(2 * np.pi / 200))  # were each alone in a square
    assert nearest.min() > 0.5 * apart
    assert nearest.max() < apart


def ellipsoid(axes):
    """Frequencies on an ellipsoid of these half axes."""
    direction = even_directions(400)
    frequency = 1 / np.linalg.norm(direction / axes, axis=1)
    return Directional(
        direction=direction, resolution=1 / frequency, fsc=np.zeros((400, 5)), level=0.143
    )


def test_sphericity_is_that_of_a_known_body():
    assert ellipsoid([0.25, 0.25, 0.25]).sphericity() == pytest.approx(1)
    assert ellipsoid([0.25, 0.25, 0.25]).spread() == pytest.approx(0)
    a, c = 0.3, 0.15  # oblate: area 2πa²(1 + (1 - e²) / e artanh e), volume 4π/3 a² c
    e = np.sqrt(1 - c**2 / a**2)
    area = 2 * np.pi * a**2 * (1 + (1 - e**2) / e * np.arctanh(e))
    wanted = np.pi ** (1 / 3) * (8 * np.pi * a**2 * c) ** (2 / 3) / area
    assert ellipsoid([a, a, c]).sphericity() == pytest.approx(wanted, abs=0.005)


def test_a_map_that_is_noisy_along_an_axis_is_worse_there():
    n = 48
    k = np.fft.fftfreq(n)
    kz, ky, kx = np.meshgrid(k, k, np.fft.rfftfreq(n), indexing="ij")
    radius = np.sqrt(kx**2 + ky**2 + kz**2)
    with np.errstate(invalid="ignore"):
        near = np.nan_to_num(np.abs(kx) / radius) > np.cos(np.deg2rad(35))
    common = scipy.fft.rfftn(noise(1, n)) * np.exp(-30 * radius**2) * 3
    halves = []
    for seed in (2, 3):
        added = scipy.fft.rfftn(noise(seed, n)) * np.where(near, 3.0, 1.0)
        halves.append(scipy.fft.irfftn(common + added, s=(n, n, n)).astype(np.float32))
    mask = np.ones((n, n, n), np.float32)
    rng = np.random.default_rng(0)
    curves = fsc_curves(*halves, mask, pixel_size=1.0, rng=rng)
    found = directional(direction_sums(*halves, mask), curves)
    along = np.abs(found.direction[:, 0])
    across = found.resolution[along < 0.4]
    assert np.median(found.resolution[along > 0.95]) > across.max()
    assert found.worst() > 1.2 * found.best()
