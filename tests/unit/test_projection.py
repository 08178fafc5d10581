"""Slices against point masses, whose transform is known at every frequency and in every pose."""

from itertools import permutations, product

import numpy as np
import pytest

from parfocal.conventions import rotation_matrix
from parfocal.projection import FourierVolume, fourier_volume, project

N, OVERSAMPLED = 32, 64  # the map's box, and the grid that it is transformed on at oversampling 2
POINTS = np.array([[2, 0, 0], [0, -3, 0], [0, 0, 5], [4, -5, 3]])  # (x, y, z) from the centre
POSES = np.random.default_rng(1).uniform(-np.pi, np.pi, (6, 3))
ROTATIONS = [  # the 24 by right angles
    turned
    for order in permutations(range(3))
    for signs in product([1, -1], repeat=3)
    if np.linalg.det(turned := np.eye(3)[list(order)] * np.array(signs)) > 0
]


def point_map(*points, n=N):
    density = np.zeros((n, n, n), dtype=np.float32)
    for x, y, z in points:
        density[n // 2 + z, n // 2 + y, n // 2 + x] += 1
    return density


def frequencies(size, pixel_size=1.0):
    return np.meshgrid(np.fft.rfftfreq(size, pixel_size), np.fft.fftfreq(size, pixel_size))


def exact(point, pose, kx, ky):
    """Transform of a unit mass at `point`, seen at A r and projected along z."""
    x, y, _ = pose @ point
    return np.exp(-2j * np.pi * (kx * x + ky * y))


def alias(point):
    """Bound on a point's aliases: on each axis Σ (r / (r + jM))², all j but 0, times each other."""
    x = np.pi * np.array(point) / OVERSAMPLED
    return np.prod(1 / np.sinc(x / np.pi) ** 2) - 1


@pytest.mark.parametrize("point", POINTS, ids=str)
@pytest.mark.parametrize("angles", POSES)
def test_slice_of_a_point_is_its_wave(point, angles):
    volume, pose = fourier_volume(point_map(point), 1.0), rotation_matrix(*angles)
    kx, ky = frequencies(N)
    inside = np.hypot(kx, ky) < 0.5 - 1e-9
    error = np.abs(project(volume, pose, size=N, pixel_size=1.0) - exact(point, pose, kx, ky))
    assert error[inside].max() < alias(point) + 1e-5
    other = np.abs(project(volume, pose.T, size=N, pixel_size=1.0) - exact(point, pose, kx, ky))
    assert other[inside].max() > 10 * alias(point)


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_aliases_cancel_on_average_so_that_amplitudes_are_right(point):
    volume, pose = fourier_volume(point_map(point), 1.0), rotation_matrix(*POSES[3])
    kx, ky = frequencies(N)
    inside = np.hypot(kx, ky) < 0.5 - 1e-9
    ratio = project(volume, pose, size=N, pixel_size=1.0) * exact(point, pose, kx, ky).conj()
    assert ratio[inside].mean() == pytest.approx(1, abs=0.2 * alias(point))


def test_a_point_in_the_centre_has_no_alias():
    volume = fourier_volume(point_map((0, 0, 0)), 1.0)
    found = project(volume, rotation_matrix(0.4, 1.1, -2.0), size=N, pixel_size=1.0)
    inside = np.hypot(*frequencies(N)) < 0.5 - 1e-9
    np.testing.assert_allclose(found[inside], 1, atol=1e-5)


@pytest.mark.parametrize("n", [30, 31, 32])
def test_seen_along_an_axis_a_map_is_summed_along_it(n):
    """At identity and all right angles, against the DFT of the map's sum, moved to the origin."""
    x, rng = np.arange(n) - n // 2, np.random.default_rng(2)
    fall = np.exp(-(x**2) / (2 * 2.0**2))
    density = rng.normal(size=(n, n, n)) * fall[:, None, None] * fall[:, None] * fall
    volume = fourier_volume(density.astype(np.float32), 1.0)
    r = np.stack(np.meshgrid(x, x, x, indexing="ij")[::-1], axis=-1).reshape(-1, 3)  # x, y, z
    inside = np.hypot(*frequencies(n)) < 0.5 - 1e-9
    for pose in ROTATIONS:
        image = np.zeros((n, n))
        seen = np.rint(r @ pose.T).astype(int)[:, :2] % n
        np.add.at(image, (seen[:, 1], seen[:, 0]), density.ravel())
        expected = np.fft.rfft2(image)[inside]
        found = project(volume, pose, size=n, pixel_size=1.0)[inside]
        assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)
    assert len(ROTATIONS) == 24


def test_friedel_and_the_half_that_is_not_stored():
    """Turned in its plane by 180° a slice is its conjugate; so is one side of the column kx = 0."""
    volume = fourier_volume(point_map(*POINTS), 1.0)
    pose = rotation_matrix(0.5, 1.2, 0.7)
    found = project(volume, pose, size=N, pixel_size=1.0)
    half_turn = np.diag([-1.0, -1.0, 1.0]) @ pose
    np.testing.assert_allclose(
        project(volume, half_turn, size=N, pixel_size=1.0), found.conj(), atol=1e-4
    )
    column = found[:, 0]
    np.testing.assert_allclose(column[1 : N // 2], column[: N // 2 : -1].conj(), atol=1e-4)


@pytest.mark.parametrize(("size", "pixel_size"), [(32, 1.5), (48, 1.5), (30, 2.1), (64, 1.2)])
def test_image_and_map_may_differ_in_pixel_and_box(size, pixel_size):
    point, px, pose = np.array([4, -5, 3]), 1.2, rotation_matrix(*POSES[0])
    volume = fourier_volume(point_map(point), px)
    kx, ky = frequencies(size, pixel_size)
    inside = np.hypot(kx, ky) < 0.5 / max(px, pixel_size) - 1e-9
    found = project(volume, pose, size=size, pixel_size=pixel_size)
    error = np.abs(found - exact(point * px, pose, kx, ky))
    assert error[inside].max() < alias(point) + 1e-5


@pytest.mark.parametrize("magnification", [(1.05, 0.02, -0.03, 0.97), (0.9, 0.0, 0.0, 1.0)])
def test_magnification_acts_on_the_frequency_first(magnification):
    """The image's k shows the map's Aᵀ M k; nothing is shown beyond k_max / ‖M‖."""
    point, pose = POINTS[3], rotation_matrix(*POSES[1])
    m = np.reshape(magnification, (2, 2))
    kx, ky = frequencies(N)
    volume = fourier_volume(point_map(point), 1.0)
    found = project(volume, pose, size=N, pixel_size=1.0, magnification=magnification)
    limit = min(0.5, 0.5 / np.linalg.norm(m, 2))
    inside = np.hypot(kx, ky) < limit - 1e-9
    wave = exact(point, pose, m[0, 0] * kx + m[0, 1] * ky, m[1, 0] * kx + m[1, 1] * ky)
    assert np.abs(found - wave)[inside].max() < alias(point) + 1e-5
    assert (found[np.hypot(kx, ky) > limit + 1e-9] == 0).all()


def test_nothing_beyond_k_max_and_everything_below_it():
    density, pose = point_map(*POINTS), rotation_matrix(*POSES[2])
    whole = project(fourier_volume(density, 1.0), pose, size=N, pixel_size=1.0)
    cut = project(fourier_volume(density, 1.0, k_max=0.31), pose, size=N, pixel_size=1.0)
    inside = np.hypot(*frequencies(N)) < 0.31
    np.testing.assert_allclose(cut[inside], whole[inside], atol=1e-5)
    assert (cut[~inside] == 0).all()


def poisoned(volume, width=3):
    """The same volume in the middle of memory that holds NaN, with NaN around each plane too."""
    planes, rows, columns = volume.data.shape
    data = np.full((planes + 2 * width, rows, columns), np.nan, dtype=np.complex64)
    data[width:-width] = volume.data
    beyond = int(np.ceil(volume.k_max / volume.spacing)) + 1  # what lies farther is spare
    index = np.abs(np.arange(rows) - rows // 2) > beyond
    data[width:-width][index] = data[:, index] = data[:, :, beyond + 1 :] = np.nan
    return FourierVolume(data=data[width:-width], spacing=volume.spacing, k_max=volume.k_max)


@pytest.mark.parametrize("magnification", [(1.0, 0.0, 0.0, 1.0), (1.1, 0.02, 0.02, 0.95)])
@pytest.mark.parametrize("k_max", [None, 0.4])
@pytest.mark.parametrize("oversampling", [1.3, 2.0])
def test_nothing_outside_of_the_volume_is_read(oversampling, k_max, magnification):
    volume = poisoned(
        fourier_volume(point_map(*POINTS), 1.0, k_max=k_max, oversampling=oversampling)
    )
    for pose in (*ROTATIONS, *(rotation_matrix(*angles) for angles in POSES)):
        found = project(volume, pose, size=2 * N, pixel_size=1.0, magnification=magnification)
        assert np.isfinite(found).all()
    wider = FourierVolume(data=volume.data, spacing=volume.spacing, k_max=1.2 * volume.k_max)
    assert not np.isfinite(project(wider, np.eye(3), size=N, pixel_size=0.8)).all()
