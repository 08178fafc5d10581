"""simulate: signal and noise as asked for, the bound, and the same set from the same seed."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from parfocal.errors import InputError
from parfocal.simulate import Scene, simulate

SCENE = Scene(
    particles=24,
    micrographs=3,
    box=48,
    pixel_size=3.0,
    residues=120,
    half_map_resolution=8.0,
    defocus=(8e3, 12e3),
)


def run(scene=SCENE, seed=11, **how):
    return simulate(scene, np.random.default_rng(seed), **how)


def images_of(simulation):
    images = np.empty((len(simulation.particles), 48, 48), dtype=np.float32)
    for row, image in enumerate(images):
        simulation.images.read_into(row, image)
    return images


@pytest.fixture(scope="module")
def simulation():
    return run()


@pytest.mark.parametrize("noise", ["white", "coloured"])
def test_signal_to_noise_is_that_asked_for(noise):
    scene = replace(SCENE, snr=0.4, noise=noise)
    made = run(scene)
    assert made.truth.signal_variance.mean() == pytest.approx(0.4, rel=1e-6)
    clean = np.array([made.images.clean(row) for row in range(24)])
    np.testing.assert_allclose(clean.var(axis=(1, 2)), made.truth.signal_variance, rtol=1e-4)
    noise = images_of(made) - clean
    # 24 x 48² pixels; in coloured noise fewer are independent of each other.
    assert noise.var() == pytest.approx(1.0, abs=0.05)


def test_bound_is_that_of_the_derivative_in_white_noise(simulation):
    camera, scale = simulation.images.camera, simulation.images.scale
    for row in (0, 17):
        _, derivative = camera.image_and_derivative(row)
        expected = 1 / np.sqrt(((scale * derivative.astype(float)) ** 2).sum())
        assert simulation.truth.cramer_rao[row] == pytest.approx(expected, rel=1e-5)


def test_bound_falls_with_the_root_of_snr(simulation):
    better = run(replace(SCENE, snr=4 * SCENE.snr))
    np.testing.assert_allclose(better.truth.cramer_rao, simulation.truth.cramer_rao / 2, rtol=1e-5)
    np.testing.assert_array_equal(better.truth.defocus, simulation.truth.defocus)


@pytest.mark.parametrize("how", [{"keep_images": False}, {"workers": 1}])
def test_same_seed_same_set_however_it_is_made(simulation, how):
    again = run(**how)
    np.testing.assert_array_equal(images_of(again), images_of(simulation))
    np.testing.assert_array_equal(again.truth.cramer_rao, simulation.truth.cramer_rao)
    np.testing.assert_array_equal(again.half_maps[1], simulation.half_maps[1])


def test_another_seed_another_set(simulation):
    other = run(seed=12)
    assert (images_of(other) != images_of(simulation)).any(axis=(1, 2)).all()
    assert (other.truth.defocus != simulation.truth.defocus).all()


def test_wrong_particles_hold_nothing_or_another_view(simulation):
    made = run(replace(SCENE, wrong=0.5))
    true, clean = made.truth, np.array([made.images.clean(row) for row in range(24)])
    assert true.wrong.sum() == 12
    np.testing.assert_array_equal(np.isinf(true.cramer_rao), true.wrong)
    np.testing.assert_array_equal((clean == 0).all(axis=(1, 2)), true.empty)
    np.testing.assert_array_equal(true.signal_variance == 0, true.empty)
    assert true.signal_variance[~true.wrong].mean() == pytest.approx(SCENE.snr, rel=1e-6)
    before = np.array([simulation.images.clean(row) for row in range(24)])
    full = np.flatnonzero(~true.empty)
    alike = np.array([np.corrcoef(clean[i].ravel(), before[i].ravel())[0, 1] for i in full])
    wrong = true.wrong[full]
    assert alike[~wrong].min() > 0.9999 > alike[wrong].max()


def test_rows_have_noise_of_their_own_and_keep_it(simulation):
    noise = images_of(simulation) - [simulation.images.clean(row) for row in range(24)]
    assert np.abs(np.corrcoef(noise.reshape(24, -1)) - np.eye(24)).max() < 0.1
    np.testing.assert_array_equal(images_of(simulation), images_of(simulation))


def test_images_can_be_sent_to_another_process(simulation):
    there = pickle.loads(pickle.dumps(run(keep_images=False).images))
    out = np.empty((48, 48), dtype=np.float32)
    there.read_into(5, out)
    np.testing.assert_array_equal(out, images_of(simulation)[5])


def test_a_particle_larger_than_its_box_is_refused():
    with pytest.raises(InputError, match="does not fit"):
        run(replace(SCENE, pixel_size=1.0))


def test_a_structure_from_a_file_is_used(tmp_path):
    path = tmp_path / "carbon.pdb"
    path.write_text(
        "ATOM      1  C   GLY A   1       1.000   2.000   3.000  1.00 10.00           C\n"
    )
    made = run(replace(SCENE, structure=path))
    assert np.unravel_index(made.map.argmax(), made.map.shape) == (24, 24, 24)
