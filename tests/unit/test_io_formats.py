"""The two calls for every format: which reader, and what is written."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from parfocal.errors import InputError
from parfocal.estimates import DefocusEstimates
from parfocal.io import read_particles, read_star, write_particles
from parfocal.particles import Particles


def moved(particles: Particles, change) -> DefocusEstimates:
    n = len(particles)
    return DefocusEstimates(
        method="test",
        particle_id=particles.particle_id,
        micrograph=particles.micrograph,
        coordinate_x=particles.coordinate_x,
        coordinate_y=particles.coordinate_y,
        defocus_prior=particles.defocus,
        defocus_change=np.broadcast_to(change, n) + 0.0,
        defocus_error=np.ones(n),
        ice_height=np.zeros(n),
        held_out_gain=np.zeros(n),
        status=np.zeros(n, int),
    )


def test_the_content_tells_the_format_when_the_name_does_not(tmp_path, data):
    renamed = tmp_path / "particles.dat"
    renamed.write_bytes((data / "formats" / "empiar_10076_7.cs").read_bytes())
    assert len(read_particles(renamed)) == 7


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "p.sqlite",
            b"SQLite format 3\0",
            r"not a particle file that we know - give \.star",
        ),
        ("p.csg", b"metafile: '>a.cs'\n", r"a list of cryoSPARC files - .* a\.cs"),
        ("p.cs", b"\x94CSDAT", "CSDAT"),
        ("p.csl", b"\x94CSDAT", "CSDAT"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says):
        read_particles(tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.star: No such file"):
        read_particles(tmp_path / "nowhere.star")


def test_a_passthrough_beside_a_star_file_is_refused(data):
    star = data / "formats" / "empiar_10076_7.star"
    with pytest.raises(InputError, match="passthrough"):
        read_particles(star, [data / "formats" / "empiar_10076_7.cs"])


def test_estimates_in_another_order_are_matched_by_id(tmp_path, data):
    particles = read_particles(data / "peer_runs" / "particles.star")
    order = np.random.default_rng(0).permutation(len(particles))
    change = np.arange(len(particles)) * 10.0
    write_particles(particles, moved(particles.take(order), change[order]), tmp_path / "p.star")
    after = read_particles(tmp_path / "p.star")
    np.testing.assert_allclose(after.defocus_u - particles.defocus_u, change, atol=1e-5)


def test_some_particles_of_a_file_in_any_order_are_written_in_the_files(tmp_path, data):
    particles = read_particles(data / "peer_runs" / "particles.star")
    some = particles.take([12, 3, 7])
    write_particles(some, moved(some, [1.0, 2.0, 3.0]), tmp_path / "p.star")
    after = read_particles(tmp_path / "p.star")
    assert after.particle_id.tolist() == particles.particle_id[[3, 7, 12]].tolist()
    np.testing.assert_allclose(
        after.defocus_v - particles.defocus_v[[3, 7, 12]], [2, 3, 1], atol=1e-5
    )


def test_what_cannot_be_written_is_refused(tmp_path, data):
    source = data / "peer_runs" / "particles.star"
    particles = read_particles(source)
    estimates = moved(particles, 1.0)
    out = tmp_path / "out.star"
    with pytest.raises(InputError, match="not read from a file"):
        write_particles(replace(particles, source=None), estimates, out)
    other = replace(estimates, particle_id=np.array([f"x{row}" for row in range(150)]))
    with pytest.raises(
        InputError, match="150 particles have no estimate, 150 estimates no particle"
    ):
        write_particles(particles, other, out)
    with pytest.raises(InputError, match="1 particles have no estimate, 0 estimates"):
        write_particles(particles, moved(particles.take(np.arange(149)), 1.0), out)
    copy = tmp_path / "copy.star"
    copy.write_bytes(source.read_bytes())
    with pytest.raises(InputError, match="would replace the particles' own file"):
        write_particles(replace(particles, source=copy), estimates, copy)
    copy.write_text(
        copy.read_text().replace("000017@particles/mic_002", "000099@particles/mic_002")
    )
    with pytest.raises(InputError, match="1 particles are no longer in this file"):
        write_particles(replace(particles, source=copy), estimates, out)
    assert not out.exists()


def test_zero_change_in_one_micrograph_keeps_its_numbers(tmp_path, data):
    particles = read_particles(data / "empiar10204" / "particles.star")
    write_particles(particles, moved(particles, 0.0), tmp_path / "p.star")
    before, after = (read_star(p)["particles"] for p in (particles.source, tmp_path / "p.star"))
    assert before.text("rlnDefocusU") == after.text("rlnDefocusU")


def test_io_loads_neither_scipy_nor_numba():
    code = "import sys, parfocal.io; print(sorted({'scipy', 'numba', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
