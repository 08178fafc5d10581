"""A written set reads back as the set that was made."""

from dataclasses import fields, replace

import numpy as np
import pytest

from parfocal.io.images import StackImages
from parfocal.io.mrc import read_map
from parfocal.io.relion import read_relion
from parfocal.io.star import read_star, write_star
from parfocal.simulate import Scene, Truth, read_truth, simulate, write_dataset

PLAIN = Scene(particles=10, micrographs=3, box=48, pixel_size=3.0, residues=100, shift_error=1.0)
ABERRATED = replace(
    PLAIN,
    phase_shift=35.0,
    beam_tilt=(0.2, -0.1),
    odd_zernike=(0.0, 0.1, -0.2),
    even_zernike=(0.05, 0.1),
    magnification=(1.01, 0.002, -0.001, 0.99),
    micrograph_pixel_size=1.5,
    wrong=0.3,
)


@pytest.fixture(scope="module", params=[PLAIN, ABERRATED], ids=["plain", "aberrated"])
def written(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    simulation = simulate(request.param, np.random.default_rng(3))
    write_dataset(simulation, folder)
    return simulation, folder


def test_particles_read_back(written):
    simulation, folder = written
    read = read_relion(folder / "particles.star")
    assert read.optics == simulation.particles.optics
    for name, column in simulation.particles.columns().items():
        found = read.columns()[name]
        if name == "stack":  # readers say where the file lies
            assert [str(folder / path) for path in column] == found.tolist()
        elif column.dtype.kind == "f":
            np.testing.assert_allclose(found, column, rtol=1e-10, atol=1e-9, err_msg=name)
        else:
            np.testing.assert_array_equal(found, column, err_msg=name)


def test_images_read_back(written):
    simulation, folder = written
    stacks = StackImages(read_relion(folder / "particles.star"))
    found, expected = np.empty((2, 48, 48), dtype=np.float32)
    for row in range(10):
        stacks.read_into(row, found)
        simulation.images.read_into(row, expected)
        np.testing.assert_array_equal(found, expected)


def test_maps_read_back(written):
    simulation, folder = written
    maps = (simulation.map, *simulation.half_maps, simulation.mask)
    for name, expected in zip(("map", "half1", "half2", "mask"), maps, strict=True):
        found, pixel_size = read_map(folder / f"{name}.mrc")
        np.testing.assert_array_equal(found, expected)
        assert pixel_size == pytest.approx(3.0)


def test_truth_reads_back(written):
    simulation, folder = written
    read = read_truth(folder / "truth.star")
    for field in fields(Truth):
        expected = getattr(simulation.truth, field.name)
        np.testing.assert_allclose(getattr(read, field.name), expected, rtol=1e-10, atol=1e-9)
    names = read_star(folder / "truth.star")["truth"].text("parfocalParticleId")
    assert names == simulation.particles.particle_id.tolist()


def test_a_truth_that_does_not_know_of_wrong_particles_has_none(written, tmp_path):
    simulation, folder = written
    table = read_star(folder / "truth.star")["truth"]
    older = {
        n: table.text(n)
        for n in table.columns
        if n not in ("parfocalTrueWrong", "parfocalTrueEmpty")
    }
    write_star(tmp_path / "truth.star", {"truth": older})
    read = read_truth(tmp_path / "truth.star")
    assert not read.wrong.any()
    np.testing.assert_allclose(read.defocus, simulation.truth.defocus)


def test_angles_are_degrees_and_coordinates_pixels_in_the_file(written):
    simulation, folder = written
    table = read_star(folder / "particles.star")["particles"]
    tilt = np.degrees(simulation.particles.tilt)
    np.testing.assert_allclose(table.numbers("rlnAngleTilt"), tilt, atol=1e-9)
    coordinate = table.numbers("rlnCoordinateX")
    pixel = simulation.scene.micrograph_pixel_size
    np.testing.assert_allclose(coordinate * pixel, simulation.particles.coordinate_x)
    assert ("rlnPhaseShift" in table) == (simulation.scene.phase_shift != 0)
