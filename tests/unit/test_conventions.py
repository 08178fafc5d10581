"""Conventions, as cases whose answer is known without code."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from parfocal.conventions import (
    DEGREE,
    astigmatism_vector,
    changed_astigmatism,
    coordinate_from_cryosparc,
    euler_angles,
    nearest_turn,
    plane_tilt,
    pose_from_cryosparc,
    rotation_matrix,
)

X, Y, Z = np.eye(3)
QUARTER = np.pi / 2
angles = st.floats(-np.pi, np.pi)


@pytest.mark.parametrize(
    ("rot", "tilt", "psi", "point", "seen_at"),
    [
        (QUARTER, 0, 0, X, -Y),  # Rz = [[c, s, 0], [-s, c, 0], [0, 0, 1]]
        (QUARTER, 0, 0, Y, X),
        (0, 0, QUARTER, X, -Y),  # psi turns about the same axis when tilt is 0
        (0, QUARTER, 0, X, Z),  # Ry = [[c, 0, -s], [0, 1, 0], [s, 0, c]]
        (0, QUARTER, 0, Z, -X),
        (0, QUARTER, 0, Y, Y),
        (QUARTER, QUARTER, 0, X, -Y),  # rot first: x -> -y, which the tilt leaves there
        (0, QUARTER, QUARTER, Z, Y),  # tilt first: z -> -x, then psi: -x -> y
    ],
)
def test_a_turn_moves_a_known_point(rot, tilt, psi, point, seen_at):
    assert_allclose(rotation_matrix(rot, tilt, psi) @ point, seen_at, atol=1e-15)


@given(angles, angles, angles)
def test_a_pose_is_the_product_of_its_three_turns(rot, tilt, psi):
    product = rotation_matrix(0, 0, psi) @ rotation_matrix(0, tilt, 0) @ rotation_matrix(rot, 0, 0)
    assert_allclose(rotation_matrix(rot, tilt, psi), product, atol=1e-12)


@given(angles, angles, angles)
def test_a_pose_agrees_with_scipy(rot, tilt, psi):
    expected = Rotation.from_euler("ZYZ", [rot, tilt, psi]).as_matrix().T
    assert_allclose(rotation_matrix(rot, tilt, psi), expected, atol=1e-12)


@given(angles, st.one_of(st.floats(0, np.pi), st.sampled_from([0.0, np.pi, 1e-10])), angles)
def test_angles_of_a_pose_give_the_pose_back(rot, tilt, psi):
    pose = rotation_matrix(rot, tilt, psi)
    back = euler_angles(pose)
    assert_allclose(rotation_matrix(*back), pose, atol=1e-8)
    assert 0 <= back[1] <= np.pi


@given(angles, st.floats(0.01, np.pi - 0.01), angles)
def test_away_from_the_poles_the_angles_themselves_come_back(rot, tilt, psi):
    back = np.array(euler_angles(rotation_matrix(rot, tilt, psi)))
    turns = (back - [rot, tilt, psi]) / (2 * np.pi)
    assert_allclose(turns, np.rint(turns), atol=1e-9)


def test_poses_are_handled_as_arrays():
    rot, tilt, psi = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    poses = rotation_matrix(rot, tilt, psi)
    assert poses.shape == (2, 3, 3)
    assert_allclose(euler_angles(poses), (rot, tilt, psi), atol=1e-12)


def test_cryosparc_poses_agree_with_scipy():
    vectors = np.random.default_rng(1).normal(size=(50, 3)) * 1.5
    vectors[0] = 0
    vectors[1] = [1e-9, 0, 0]
    vectors[2] = [0, 0, np.pi]
    expected = Rotation.from_rotvec(vectors).as_matrix().swapaxes(1, 2)
    assert_allclose(pose_from_cryosparc(vectors), expected, atol=1e-12)


def test_a_cryosparc_quarter_turn_about_z_is_rot_90():
    pose = pose_from_cryosparc(np.array([[0, 0, QUARTER]]))[0]
    assert_allclose(pose @ X, rotation_matrix(QUARTER, 0, 0) @ X, atol=1e-15)


def test_cryosparc_counts_y_from_the_other_side():
    x, y = coordinate_from_cryosparc(
        np.array([0.25, 0.0]),
        np.array([0.25, 1.0]),
        shape=np.array([[400, 800], [400, 800]]),
        pixel_size=2.0,
    )
    assert_allclose(x, [400, 0])
    assert_allclose(y, [600, 0])


def test_turning_an_astigmatism_by_180_degrees_changes_nothing():
    here = astigmatism_vector(12e3, 9e3, 0.4)
    assert_allclose(astigmatism_vector(12e3, 9e3, 0.4 + np.pi), here, atol=1e-9)


def test_u_below_v_is_the_ellipse_turned_by_90_degrees():
    assert_allclose(
        astigmatism_vector(9e3, 12e3, 0.4), astigmatism_vector(12e3, 9e3, 0.4 + QUARTER), atol=1e-9
    )


DEFOCUS = st.floats(5e3, 30e3)
LENGTH = st.floats(-3e3, 3e3)


@given(DEFOCUS, DEFOCUS, st.floats(-7, 7), LENGTH, LENGTH)
def test_a_change_of_astigmatism_is_one_of_its_vector_alone(u, v, angle, x, y):
    before = astigmatism_vector(u, v, angle)
    new_u, new_v, new_angle = changed_astigmatism(u, v, angle, (x, y))
    after = astigmatism_vector(new_u, new_v, new_angle)
    assert_allclose(after, np.add(before, [0, x, y]), atol=1e-7)
    assert (new_u >= new_v) == (u >= v) or new_u == new_v
    assert abs(new_angle - angle) <= QUARTER + 1e-9


@pytest.mark.parametrize(("u", "v"), [(12e3, 9e3), (9e3, 12e3), (1e4, 1e4)])
def test_no_change_of_astigmatism_leaves_the_very_numbers(u, v):
    assert changed_astigmatism(u, v, 5.1, (0.0, 0.0)) == (u, v, 5.1)


@pytest.mark.parametrize(
    ("filed", "change", "expected"),
    [
        ((12e3, 9e3, 0.0), (500.0, 0.0), (12.5e3, 8.5e3, 0.0)),
        ((9e3, 12e3, 0.0), (500.0, 0.0), (9.5e3, 11.5e3, 0.0)),  # U < V stays so
        ((12e3, 9e3, np.pi), (0.0, 0.0), (12e3, 9e3, np.pi)),
        ((1e4, 1e4, 3.0), (0.0, 500.0), (10.5e3, 9.5e3, np.pi / 4 + np.pi)),  # 45° or 225°
        (
            (12e3, 9e3, 0.0),
            (-3e3, 0.0),
            (12e3, 9e3, -QUARTER),
        ),  # through 0, and out on the other side
    ],
)
def test_an_astigmatism_is_written_as_it_was(filed, change, expected):
    found = np.array(changed_astigmatism(*filed, change))
    found[2] = nearest_turn(found[2], expected[2])  # a quarter turn is as near as its opposite
    assert_allclose(found, expected, atol=1e-9)


@given(st.floats(-9, 9), st.floats(-9, 9))
def test_half_turns_are_taken_off_towards_the_nearest(angle, near):
    found = nearest_turn(angle, near)
    assert abs(found - near) <= QUARTER + 1e-9
    assert abs(np.sin(found - angle)) < 1e-9
    assert nearest_turn(near, near) == near


def test_the_mean_of_two_crossed_astigmatisms_is_round():
    mean = np.mean([astigmatism_vector(12e3, 9e3, 0.0), astigmatism_vector(12e3, 9e3, QUARTER)], 0)
    assert_allclose(mean, [10.5e3, 0, 0], atol=1e-9)


@pytest.mark.parametrize(
    ("slope", "angle", "axis"),
    [
        ((1.0, 0.0), 45.0, 90.0),  # defocus grows along x: the axis is y
        ((0.0, 1.0), 45.0, 0.0),
        ((0.0, -1.0), 45.0, 0.0),
        ((np.sqrt(3) / 2, np.sqrt(3) / 2), np.degrees(np.arctan(np.sqrt(1.5))), 135.0),
        ((np.sqrt(1 / 3), 0.0), 30.0, 90.0),
    ],
)
def test_tilt_of_a_plane(slope, angle, axis):
    assert_allclose(np.array(plane_tilt(*slope)) / DEGREE, [angle, axis], atol=1e-9)
