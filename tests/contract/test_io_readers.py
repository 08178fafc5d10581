"""What must hold of every particle format, on every real file of it."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from parfocal.estimates import DefocusEstimates
from parfocal.io import read_particles, write_particles
from parfocal.io.formats import FORMATS

FILES = {  # name -> has poses
    "empiar10204/particles.star": True,
    "formats/relion31.star": True,
    "formats/relion31_bgal_refined.star": True,
    "formats/sample_particles_relion30.star": True,
    "formats/empiar_10076_7.star": False,
    "formats/empiar_10076_7.cs": False,
    "formats/t20s_particles.cs": True,
    "peer_runs/particles.star": True,
    "peer_runs/relion_default.star": True,
    "peer_runs/particles.xmd": True,
    "peer_runs/xmipp_L1.xmd": True,
}


def test_every_format_has_a_file():
    assert {kind.suffix for kind in FORMATS} == {Path(name).suffix for name in FILES}


@pytest.fixture(params=FILES)
def name(request) -> str:
    return request.param


@pytest.fixture
def particles(name, data):
    return read_particles(data / name)


def test_columns_are_whole_and_make_sense(particles, name, data):
    assert particles.source == data / name
    assert len(particles) == len(set(particles.particle_id.tolist())) >= 5
    for column in (particles.defocus_u, particles.defocus_v):
        assert column.dtype == np.float64
        assert ((column > 1e3) & (column < 1e5)).all()
    for column in (particles.defocus_angle, particles.rot, particles.tilt, particles.psi):
        assert np.nanmax(np.abs(column), initial=0) <= 2 * np.pi  # radians, not degrees
    assert np.isin(particles.half_set, (0, 1, 2)).all()
    assert (particles.image_index >= 0).all()
    assert np.isfinite(particles.rot).all() == FILES[name]
    if FILES[name]:
        assert np.abs(particles.origin_x).max() < 200  # Å
        assert np.isfinite(particles.origin_y).all()
    for kind in (particles.particle_id, particles.stack, particles.micrograph):
        assert all(type(value) is str for value in kind.tolist())


def test_reading_twice_gives_the_same(particles, name, data):
    again = read_particles(data / name)
    for column, values in particles.columns().items():
        assert_array_equal(getattr(again, column), values, err_msg=column)


def test_what_is_written_differs_by_the_change_and_nothing_else(particles, name, tmp_path):
    n = len(particles)
    change = np.random.default_rng(3).normal(0, 200, n)
    estimates = DefocusEstimates(
        method="test",
        particle_id=particles.particle_id,
        micrograph=particles.micrograph,
        coordinate_x=particles.coordinate_x,
        coordinate_y=particles.coordinate_y,
        defocus_prior=particles.defocus,
        defocus_change=change,
        defocus_error=np.ones(n),
        ice_height=np.zeros(n),
        held_out_gain=np.zeros(n),
        status=np.zeros(n, int),
    )
    before = particles.source.read_bytes()
    path = tmp_path / f"moved{particles.source.suffix}"
    write_particles(particles, estimates, path)
    assert particles.source.read_bytes() == before
    for stack in set(particles.stack.tolist()):  # some files leave the box to the stack
        folder, place = particles.source.parent, Path(stack)
        known = place.is_relative_to(folder)
        link = tmp_path / (place.relative_to(folder) if known else place.name)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(stack)
    after = read_particles(path)
    assert_allclose(after.defocus_u, particles.defocus_u + change, atol=2e-3)
    assert_allclose(after.defocus_v, particles.defocus_v + change, atol=2e-3)
    for column, values in particles.columns().items():
        if column not in ("defocus_u", "defocus_v", "stack"):
            assert_array_equal(getattr(after, column), values, err_msg=column)
    assert after.optics == particles.optics
