"""Whole micrographs: particles, neighbours, ice and noise are where and what the truth says."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from parfocal.conventions import DEGREE
from parfocal.io.images import StackImages
from parfocal.io.micrographs import read_micrograph
from parfocal.io.relion import read_relion
from parfocal.optics import ctf, defocus_phase, fixed_phase
from parfocal.simulate import Scene, simulate, write_dataset
from parfocal.simulate.micrograph import background
from parfocal.simulate.noise import Noise, noise_field

SCENE = Scene(
    particles=8,
    micrographs=2,
    box=48,
    pixel_size=3.0,
    residues=100,
    snr=4.0,
    defocus=(8e3, 12e3),
    whole_micrographs=True,
    micrograph_size=(256, 200),
    micrograph_pixel_size=3.0,
)
ICE = replace(SCENE, amorphous=4.0, micrograph_size=(1024, 1024), b_factor=80.0, astigmatism=0.0)


def run(scene=SCENE, seed=3, **how):
    return simulate(scene, np.random.default_rng(seed), **how)


def noise_of(made, number):
    rng, _ = np.random.default_rng((made.micrographs.seed, number)).spawn(2)
    width, height = made.scene.micrograph_size
    return noise_field(made.scene.noise, (height, width), made.scene.pixel_size, rng)


@pytest.fixture(scope="module")
def made():
    return run()


def test_a_particle_without_neighbours_is_its_clean_image():
    """But for ripples that wrap in the box's own image: a percent of it."""
    lone = run(replace(SCENE, particles=2))
    for row in range(2):
        drawn = lone.micrographs.draw(row)
        found = lone.micrographs.cut(drawn - noise_of(lone, row), row)
        clean = lone.images.clean(row)
        assert np.abs(found - clean).max() < 0.03 * clean.std()
        for shift in (-1, 1):  # a pixel beside is noticed
            assert np.abs(np.roll(found, shift, axis=0) - clean).max() > 0.3 * clean.std()


def test_neighbours_are_in_the_box(made):
    """What a box holds beyond its own particle is what another's box has at that place."""
    micrographs = made.micrographs
    drawn = micrographs.draw(0) - noise_of(made, 0)
    rows = np.flatnonzero(made.truth.micrograph == 0)
    rest = drawn.copy()
    for row in rows:
        micrographs.cut(rest, row)[...] -= made.images.clean(row)
    inside = np.array([micrographs.cut(rest, row).std() for row in rows])
    before = np.array([micrographs.cut(drawn, row).std() for row in rows])
    own = np.array([made.images.clean(row).std() for row in rows])
    # what is left of the others is beyond their boxes: fringes, small against what was there
    assert (inside < 0.25 * own).all()
    assert (before > 0.9 * own).all()


def test_images_are_cut_from_the_micrographs_however_they_are_made(made):
    again = run(keep_images=False)
    there = pickle.loads(pickle.dumps(again.images))
    images = np.empty((4, 48, 48), dtype=np.float32)
    for row in (5, 0, 7):
        expected = made.micrographs.cut(made.micrographs.draw(int(row > 3)), row)
        for out, source in zip(images, (made.images, again.images, there), strict=False):
            source.read_into(row, out)
            np.testing.assert_array_equal(out, expected)
    one, four = (made.micrographs.draw(1, workers=n) for n in (1, 4))
    np.testing.assert_array_equal(one, four)
    assert (one != made.micrographs.draw(0)).mean() > 0.99


def test_signal_and_truth_are_those_of_a_scene_without_micrographs(made):
    without = run(replace(SCENE, whole_micrographs=False))
    np.testing.assert_array_equal(without.truth.defocus, made.truth.defocus)
    np.testing.assert_allclose(without.truth.cramer_rao, made.truth.cramer_rao, rtol=1e-3)
    assert made.truth.signal_variance.mean() == pytest.approx(4.0, rel=1e-6)


def test_written_micrographs_hold_the_written_stacks(made, tmp_path):
    write_dataset(made, tmp_path)
    particles = read_relion(tmp_path / "particles.star")
    stacks, found = StackImages(particles), np.empty((48, 48), dtype=np.float32)
    for row, name in enumerate(particles.micrograph):
        image, pixel_size = read_micrograph(tmp_path / name)
        assert image.shape == (200, 256)
        assert pixel_size == pytest.approx(3.0)
        x, y = (c[row] / 3.0 for c in (particles.coordinate_x, particles.coordinate_y))
        stacks.read_into(row, found)
        np.testing.assert_array_equal(
            found, image[round(y) - 24 : round(y) + 24, round(x) - 24 : round(x) + 24]
        )


@pytest.mark.parametrize("kind", ["white", "coloured"])
def test_noise_of_a_micrograph_is_that_of_the_boxes(kind):
    noise = Noise(kind=kind, size=32, pixel_size=2.0)
    field = noise_field(kind, (640, 960), 2.0, np.random.default_rng(1))
    boxes = field.reshape(20, 32, 30, 32).swapaxes(1, 2).reshape(600, 32, 32)
    power = np.mean(np.abs(np.fft.rfft2(boxes)) ** 2, axis=0)
    ratio = power / noise.power
    assert ratio[:, 1:16].std() == pytest.approx(1 / np.sqrt(600), rel=0.15)
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    assert field.var() == pytest.approx(1, abs=0.03)


def ring_power(tile, pixel_size):
    """Rotational average of the power of a square `tile`, and its frequencies [Å⁻¹]."""
    n = len(tile)
    window = np.hanning(n)
    power = np.abs(np.fft.fft2(tile * window * window[:, None])) ** 2
    k = np.fft.fftfreq(n, pixel_size)
    ring = np.rint(np.hypot(k, k[:, None]) * n * pixel_size).astype(int)
    mean = np.bincount(ring.ravel(), power.ravel()) / np.bincount(ring.ravel())
    return mean[: n // 2], np.arange(n // 2) / (n * pixel_size)


@pytest.mark.parametrize("phase_shift", [0.0, 90.0])
def test_ice_shows_the_rings_of_its_own_defocus_everywhere(phase_shift):
    scene = replace(ICE, phase_shift=phase_shift)
    optics, slope = scene.optics(), (0.4, -0.2)
    image = background(
        scene,
        defocus=(10e3, 10e3),
        defocus_angle=0.0,
        slope=slope,
        rng=np.random.default_rng(5),
    )
    grid = np.arange(8.8e3, 11.2e3, 10)
    for row in (0, 1):
        for column in (0, 1):
            tile = image[512 * row : 512 * row + 512, 512 * column : 512 * column + 512]
            power, k = ring_power(tile, 3.0)
            band = (k > 1 / 30) & (k < 1 / 8)
            power, s = (power * np.exp(40 * k**2))[band], k[band] ** 2
            chi = defocus_phase(s, grid[:, None], optics) + fixed_phase(s, optics)
            match = [
                np.corrcoef(power, t)[0, 1] for t in ctf(chi + scene.phase_shift * DEGREE) ** 2
            ]
            here = 1e4 + slope[0] * 768 * (2 * column - 1) + slope[1] * 768 * (2 * row - 1)
            assert max(match) > 0.6
            assert grid[np.argmax(match)] == pytest.approx(here, abs=80)


def test_ice_has_the_variance_asked_for():
    image = background(
        ICE, defocus=(1e4, 1e4), defocus_angle=0.0, slope=(0, 0), rng=np.random.default_rng(6)
    )
    k = np.fft.fftfreq(512, 3.0)
    s = k**2 + k[:, None] ** 2
    chi = defocus_phase(s, 1e4, ICE.optics()) + fixed_phase(s, ICE.optics())
    expected = 4 * np.mean((s < (1 / 6) ** 2) * np.exp(-40 * s) * ctf(chi) ** 2)
    assert image.var() == pytest.approx(expected, rel=0.02)
