"""The reference: whose half a particle meets, what weighs it, and what of it stays in the box."""

import numpy as np
import pytest

from parfocal.errors import InputError
from parfocal.masks import soft_sphere
from parfocal.projection import fourier_volume
from parfocal.reference import Reference, half_map_reference, map_reference

N, PX = 32, 2.0
X = np.arange(N) - N // 2
R = np.sqrt(X[:, None, None] ** 2 + X[:, None] ** 2 + X**2)
BALL = (R <= 9).astype(np.float32)
FSC = np.clip(1.2 - np.arange(N // 2 + 1) / 10, -0.1, 1)


def noise(seed):
    return np.random.default_rng(seed).standard_normal((N, N, N), dtype=np.float32)


def with_radius(*radius):
    """A reference of which only the radii of its energy matter."""
    return Reference(
        volumes={}, weight=np.ones(9), box=16, pixel_size=PX, radius=np.array(radius, dtype=float)
    )


def test_a_particle_meets_the_map_of_its_own_half():
    halves = noise(1), noise(2)
    reference = half_map_reference(*halves, pixel_size=PX, mask=BALL, fsc=FSC)
    for half_set in (1, 2):
        volume = reference.volume(half_set)
        own, k_max = halves[half_set - 1] * BALL, reference.k_max
        steps = 1 / (volume.spacing * PX * N)  # oversampling
        same = fourier_volume(own, PX, k_max=k_max, oversampling=steps)
        np.testing.assert_allclose(volume.data, same.data, atol=1e-3)


def test_one_map_is_for_all():
    reference = map_reference(noise(1), pixel_size=PX)
    assert reference.volume(0) is reference.volume(1) is reference.volume(2)


def test_weight_is_the_fsc_between_0_and_1_and_ends_at_nyquist():
    reference = half_map_reference(noise(1), noise(2), pixel_size=PX, mask=BALL, fsc=FSC)
    shell = 1 / (N * PX)
    assert reference.weight_at(5 * shell) == pytest.approx(0.7)
    assert reference.weight_at(5.5 * shell) == pytest.approx(0.65)
    assert reference.weight_at(1 * shell) == 1
    assert reference.weight_at(13 * shell) == 0
    assert reference.weight_at(0.5 / PX + 1e-6) == 0
    assert reference.k_max == pytest.approx(12 * shell)  # shell 11 is the last with weight


@pytest.mark.parametrize(("resolution", "shells"), [(8.0, 8), (None, 16)])
def test_a_map_weighs_1_up_to_its_resolution_and_0_a_shell_further(resolution, shells):
    reference = map_reference(noise(1), pixel_size=PX, resolution=resolution)
    k = np.arange(17) / (N * PX)
    np.testing.assert_allclose(reference.weight_at(k), np.arange(17) <= shells)
    assert reference.weight_at(0.5 / PX + 1e-6) == 0
    assert reference.k_max == pytest.approx(min((shells + 1) / (N * PX), 0.25))


def test_the_fsc_is_measured_where_it_is_not_given():
    common = 30 * noise(3) * (R < 9)
    reference = half_map_reference(common + noise(1), common + noise(2), pixel_size=PX, mask=BALL)
    assert (reference.weight[1:] > 0.95).all()
    apart = half_map_reference(noise(1), noise(2), pixel_size=PX, mask=BALL)
    assert np.abs(apart.weight[4:].mean()) < 0.1


def test_radii_are_quantiles_of_the_energys_distance():
    """Within a ball of radius R a share q of the energy lies inside R q^(1/3)."""
    reference = map_reference(BALL, pixel_size=PX)
    share = np.append((np.arange(32) + 0.5) / 32, 0.999)
    np.testing.assert_allclose(reference.radius, 9 * PX * np.cbrt(share), atol=0.5 * PX)
    assert (np.diff(reference.radius) > 0).all()


def test_a_particle_that_stays_is_retained_whole_and_one_that_left_not_at_all():
    reference, half_width = with_radius(5.0, 20.0, 40.0), 64.0
    distance = np.linspace(0, 200, 81)
    share = reference.retained(distance, half_width)
    assert (share[distance <= 24] == 1).all()
    assert (share[distance > 40 + np.sqrt(2) * 64 + 4] == 0).all()
    assert (np.diff(share) <= 0).all()
    assert ((share >= 0) & (share <= 1)).all()


@pytest.mark.parametrize("distance", [0.0, 50.0, 62.0, 70.0, 80.0, 88.0, 95.0])
def test_a_point_leaves_a_square_first_along_its_axes(distance):
    """At distance t in all directions from the middle of a square, share 1 - 4 acos(h/t) / π."""
    half_width = 64.0
    share = 1 - 4 / np.pi * np.arccos(min(1.0, half_width / max(distance, 1e-9)))
    found = with_radius(0.0).retained(distance, half_width)
    assert found == pytest.approx(max(share, 0), abs=1 / 16 + 0.05)  # steps: 8 directions, 4 Å


def test_a_shell_is_retained_as_points_drawn_on_it_say():
    rng, half_width, radius = np.random.default_rng(4), 50.0, 30.0
    points = rng.normal(size=(200_000, 3))
    points *= radius / np.linalg.norm(points, axis=1, keepdims=True)
    turn = rng.uniform(0, 2 * np.pi, len(points))
    for distance in (15.0, 40.0, 60.0, 85.0):
        x, y = points[:, 0] + distance * np.cos(turn), points[:, 1] + distance * np.sin(turn)
        drawn = np.mean((np.abs(x) < half_width) & (np.abs(y) < half_width))
        assert with_radius(radius).retained(distance, half_width) == pytest.approx(drawn, abs=0.02)


def test_a_soft_sphere_fills_the_box_and_falls_to_0_within_it():
    mask = soft_sphere(N)
    assert mask[N // 2, N // 2, N // 2] == 1
    assert (mask[R <= 9 - 1e-6] == 1).all()
    assert (mask[R >= 15] == 0).all()
    half = mask[N // 2, N // 2, N // 2 + 12]
    assert half == pytest.approx(0.5, abs=1e-6)


def build(**changes):
    settings = {"half2": noise(2), "pixel_size": PX, "mask": BALL, "fsc": FSC}
    return half_map_reference(noise(1), **(settings | changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"half2": np.ones((N, N, N), np.float32)}, "half-map 2.* constant"),
        ({"half2": noise(2)[:, :, 1:]}, "half-map 2.* not a cube"),
        ({"half2": noise(2)[1:, 1:, 1:]}, "half-maps.* differ"),
        ({"half2": np.where(R < 1, np.nan, noise(2))}, "NaN"),
        ({"mask": BALL[1:, 1:, 1:]}, "mask.* box"),
        ({"mask": 0 * BALL}, "zero everywhere"),
        ({"mask": 255 * BALL}, r"expected \[0, 1\]"),
        ({"mask": BALL - 0.5}, r"expected \[0, 1\]"),
        ({"mask": np.where(R < 1, np.nan, BALL)}, "not finite"),
        ({"fsc": FSC[:-1]}, "16 shells"),
        ({"fsc": -np.abs(FSC)}, "nowhere above zero"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_input_is_named(changes, says):
    with pytest.raises(InputError, match=says):
        build(**changes)
