"""Scenes: what is asked for is what is drawn, and what cannot be is refused."""

import numpy as np
import pytest

from parfocal.conventions import DEGREE, plane_tilt, rotation_matrix
from parfocal.errors import InputError
from parfocal.simulate.scene import Scene
from parfocal.simulate.specimen import draw_specimen


def drawn(seed=5, **settings):
    settings = {"particles": 3000, "micrographs": 20, **settings}
    scene = Scene(**settings)
    return scene, *draw_specimen(scene, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"snr": 0}, "snr = 0"),
        ({"snr": float("nan")}, "snr = nan"),
        ({"b_factor": -1}, "b_factor = -1"),
        ({"box": 33}, "image_size"),
        ({"amplitude_contrast": 1.5}, "amplitude_contrast"),
        ({"sheets": 3}, "choose 0, 1 or 2"),
        ({"ice_tilt": 90}, "ice_tilt = 90"),
        ({"defocus": (2e4, 1e4)}, "lower defocus first"),
        ({"particles": 2, "micrographs": 3}, "more particles"),
        ({"micrograph_size": (100, 4096)}, "hold a box"),
        ({"half_map_resolution": 0}, "half_map_resolution"),
        ({"wrong": 1.0}, "wrong = 1"),
    ],
)
def test_impossible_scenes_are_refused_with_their_reason(settings, message):
    with pytest.raises(InputError, match=message):
        Scene(**settings)


def test_true_defocus_is_micrograph_plus_plane_plus_height():
    _, particles, true = drawn(defocus_error=70.0)
    rest = true.defocus - true.plane - true.height
    for number in range(20):
        mine = true.micrograph == number
        assert np.ptp(rest[mine]) < 1e-8
        assert np.ptp(particles.defocus[mine]) < 1e-8, "the file has one defocus a micrograph"
    error = (particles.defocus - rest)[np.unique(true.micrograph, return_index=True)[1]]
    assert error.std() == pytest.approx(70, rel=0.5)
    np.testing.assert_allclose((true.defocus_u + true.defocus_v) / 2, true.defocus)
    np.testing.assert_allclose(
        true.defocus_u - true.defocus_v, particles.defocus_u - particles.defocus_v
    )


def test_defoci_of_micrographs_fill_the_range():
    _, _, true = drawn(micrographs=500, defocus=(8e3, 9e3))
    centre = true.defocus - true.plane - true.height
    assert 8e3 <= centre.min() < 8.02e3
    assert 8.98e3 < centre.max() <= 9e3


def test_plane_rises_with_its_slope_from_the_middle_of_the_micrograph():
    scene, particles, true = drawn(ice_tilt=6.0, micrograph_size=(4000, 2000))
    middle = np.array([4000, 2000]) * scene.micrograph_pixel_size / 2
    expected = true.slope_x * (particles.coordinate_x - middle[0])
    expected += true.slope_y * (particles.coordinate_y - middle[1])
    np.testing.assert_allclose(true.plane, expected, atol=1e-9)
    angle, _ = plane_tilt(true.slope_x, true.slope_y)
    assert 0 <= angle.min() < angle.max() <= 6 * DEGREE


@pytest.mark.parametrize(
    ("sheets", "variance", "kurtosis"),
    [(0, 300**2 / 12 + 20**2, 1.8), (1, 20**2, 3.0), (2, 150**2 + 20**2, 1.0)],
)
def test_heights_follow_the_layer(sheets, variance, kurtosis):
    _, _, true = drawn(sheets=sheets, ice_thickness=300.0, height_scatter=20.0)
    assert true.height.var() == pytest.approx(variance, rel=0.1)
    assert np.mean(true.height**4) / true.height.var() ** 2 == pytest.approx(kurtosis, abs=0.35)
    assert true.height.mean() == pytest.approx(0, abs=5 * np.sqrt(variance / 3000))


def test_astigmatism_has_the_scatter_asked_for_and_no_direction():
    _, _, true = drawn(micrographs=3000, astigmatism=200.0)
    difference = true.defocus_u - true.defocus_v
    for part in (np.cos, np.sin):
        component = difference * part(2 * true.defocus_angle)
        assert component.std() == pytest.approx(200, rel=0.06)
        assert component.mean() == pytest.approx(0, abs=15)


def test_poses_have_no_preferred_direction():
    _, _, true = drawn()
    pose = rotation_matrix(true.rot, true.tilt, true.psi)
    np.testing.assert_allclose(pose.mean(axis=0), 0, atol=5 / np.sqrt(3 * 3000))
    np.testing.assert_allclose((pose**2).mean(axis=0), 1 / 3, atol=0.03)


def test_pose_and_shift_errors_are_as_large_as_asked_for():
    _, particles, true = drawn(pose_error=2.0, shift_error=0.8, shift=5.0)
    filed = rotation_matrix(particles.rot, particles.tilt, particles.psi)
    turn = filed @ np.swapaxes(rotation_matrix(true.rot, true.tilt, true.psi), -1, -2)
    angle = np.arccos(np.clip((np.trace(turn, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert np.sqrt(np.mean(angle**2)) == pytest.approx(np.sqrt(3) * 2 * DEGREE, rel=0.05)
    assert (particles.origin_x - true.origin_x).std() == pytest.approx(0.8, rel=0.06)
    assert true.origin_y.std() == pytest.approx(5.0, rel=0.06)


def test_without_errors_the_file_tells_the_truth():
    _, particles, true = drawn(defocus_error=0, ice_tilt=0, height_scatter=0)
    for name in ("rot", "tilt", "psi", "origin_x", "origin_y", "defocus_u", "defocus_angle"):
        np.testing.assert_allclose(getattr(particles, name), getattr(true, name), atol=1e-8)


def test_particles_are_laid_out_as_a_file_has_them():
    scene, particles, true = drawn(particles=31, micrographs=4, phase_shift=45.0)
    assert np.bincount(true.micrograph).tolist() == [8, 8, 8, 7]
    assert particles.particle_id[8] == "000001@particles/mic_0002.mrcs"
    assert particles.image_index[:9].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0]
    assert abs((particles.half_set == 1).sum() - (particles.half_set == 2).sum()) <= 1
    pairs = particles.half_set[:30].reshape(15, 2)
    assert (pairs.sum(axis=1) == 3).all()
    assert 0 < (pairs[:, 0] == 1).sum() < 15, "which is first is drawn"
    np.testing.assert_allclose(particles.phase_shift, np.pi / 4)
    margin = scene.box * scene.pixel_size / 2
    for place in (particles.coordinate_x, particles.coordinate_y):
        assert margin - 1 <= place.min() <= place.max() <= 4096 - margin + 1
        np.testing.assert_array_equal(place, np.rint(place))


def test_wrong_particles_are_half_empty_and_half_in_another_pose():
    _, clean, _ = drawn()
    _, particles, true = drawn(wrong=0.1)
    assert true.wrong.sum() == 300
    assert true.empty.sum() == 150
    assert not (true.empty & ~true.wrong).any()
    for name, column in clean.columns().items():
        np.testing.assert_array_equal(getattr(particles, name), column, err_msg=name)
    there = rotation_matrix(true.rot, true.tilt, true.psi)
    filed = rotation_matrix(particles.rot, particles.tilt, particles.psi)
    apart = np.abs(there - filed).max(axis=(1, 2))
    assert apart[~true.wrong].max() < 1e-9 < 1e-3 < apart[true.wrong].min()
