"""The two calls for every format: which reader, and what is written."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.recfunctions import repack_fields

from parfocal.conventions import astigmatism_vector
from parfocal.errors import InputError
from parfocal.estimates import DefocusEstimates
from parfocal.io import edit_columns, read_particles, read_star, write_particles, write_star
from parfocal.io.formats import FORMATS, format_of, has_angle
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


def reshaped(particles: Particles, change, seed=0, some=1.0) -> DefocusEstimates:
    """`moved`, with another astigmatism for a share `some` of the particles."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0, 150, (2, len(particles))) * (rng.random(len(particles)) < some)
    estimates = moved(particles, change)
    return replace(estimates, astigmatism_change_x=x, astigmatism_change_y=y)


def vector(particles: Particles) -> np.ndarray:
    """(3, n) mean defocus and astigmatism [Å]."""
    return np.array(
        astigmatism_vector(particles.defocus_u, particles.defocus_v, particles.defocus_angle)
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


FILES = {  # format -> its file, and to what it holds a length of some 10⁴ Å
    "RELION": ("empiar10204/particles.star", 3e-5),
    "cryoSPARC": ("formats/empiar_10076_7.cs", 2e-3),  # float32
    "Xmipp": ("peer_runs/xmipp_L1.xmd", 3e-5),
}


@pytest.fixture(params=FILES)
def sample(request, data):
    """Particles of each format, and the precision of their file [Å]."""
    name, precision = FILES[request.param]
    particles = read_particles(data / name)
    assert format_of(particles.source).name == request.param
    return particles, precision


def written(particles, estimates, folder) -> Particles:
    """What the copy of the particles' file holds."""
    path = folder / f"copy{particles.source.suffix}"
    write_particles(particles, estimates, path)
    for stack in set(particles.stack.tolist()):  # an .xmd leaves the box to the stack
        place = Path(stack)
        known = place.is_relative_to(particles.source.parent)
        link = folder / (place.relative_to(particles.source.parent) if known else place.name)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(stack)
    return read_particles(path)


def test_every_format_is_tried():
    assert FILES.keys() == {kind.name for kind in FORMATS}


def test_a_change_of_astigmatism_comes_back_from_every_format(sample, tmp_path):
    particles, precision = sample
    estimates = reshaped(particles, 30.0)
    after = written(particles, estimates, tmp_path)
    x, y = estimates.astigmatism_change_x, estimates.astigmatism_change_y
    mean, cosine, sine = vector(particles)
    expected = mean + 30, cosine + x, sine + y
    np.testing.assert_allclose(vector(after), expected, atol=precision, rtol=0)
    mirrored = mean + 30, cosine + x, sine - y  # the spoiled twin
    assert np.abs(vector(after) - mirrored).max() > 100
    same = {"defocus_u", "defocus_v", "defocus_angle", "stack"}
    for name, column in particles.columns().items():
        if name not in same:
            np.testing.assert_array_equal(getattr(after, name), column, err_msg=name)


def test_without_a_change_of_astigmatism_no_angle_is_touched(sample, tmp_path, data):
    """Not even where other particles' are; and U and V move together, to the last digit."""
    particles, precision = sample
    after = written(particles, estimates := reshaped(particles, 30.0, some=0.5), tmp_path)
    alone = estimates.astigmatism_change_x == 0
    assert 0 < alone.sum() < len(alone)
    np.testing.assert_array_equal(after.defocus_angle[alone], particles.defocus_angle[alone])
    for name in ("defocus_u", "defocus_v"):
        change = getattr(after, name)[alone] - getattr(particles, name)[alone]
        np.testing.assert_allclose(change, 30.0, atol=precision)
    assert (after.defocus_angle[~alone] != particles.defocus_angle[~alone]).all()


def test_no_change_at_all_is_the_same_file(sample, tmp_path):
    particles, _ = sample
    path = tmp_path / f"copy{particles.source.suffix}"
    write_particles(particles, moved(particles, 0.0), path)
    contents = [
        np.load(file).tobytes() if file.suffix == ".cs" else file.read_bytes()
        for file in (path, particles.source)
    ]
    assert contents[0] == contents[1]


@pytest.mark.parametrize("angle", ["-170.5", "405", "1.25e2"])
@pytest.mark.parametrize("name", ["p.star", "p.xmd"])
def test_an_angle_stays_in_its_own_turn(tmp_path, data, name, angle):
    """The file's own, though a reader may have taken half turns off."""
    folder = data / "peer_runs"
    path = tmp_path / name
    source = folder / f"particles{path.suffix}"
    column = "ctfDefocusAngle" if path.suffix == ".xmd" else "rlnDefocusAngle"
    block = next(key for key, table in read_star(source).items() if column in table)
    tokens = {column: [angle] * len(read_star(source)[block])}
    path.write_bytes(edit_columns(source.read_bytes(), block, tokens))
    (tmp_path / "particles").symlink_to(folder / "particles")
    particles = read_particles(path)
    estimates = reshaped(particles, 0.0, some=0.5)
    write_particles(particles, estimates, tmp_path / f"copy{path.suffix}")
    table = read_star(tmp_path / f"copy{path.suffix}")[block]
    alone = estimates.astigmatism_change_x == 0
    assert {text for text, a in zip(table.text(column), alone, strict=True) if a} == {angle}
    assert np.abs(table.numbers(column) - float(angle)).max() <= 90 + 1e-6


@pytest.mark.parametrize("name", ["RELION", "cryoSPARC"])
def test_a_file_without_angles_cannot_take_one(tmp_path, data, name):
    kind = ".cs" if name == "cryoSPARC" else ".star"
    source = data / "formats" / f"empiar_10076_7{kind}"
    path = tmp_path / source.name
    if kind == ".cs":
        records = np.load(source)
        rest = [field for field in records.dtype.names if field != "ctf/df_angle_rad"]
        with path.open("wb") as file:
            np.save(file, repack_fields(records[rest]))
    else:
        table = read_star(source)[""]
        columns = {c: table.text(c) for c in table.columns if c != "rlnDefocusAngle"}
        columns["rlnImageSize"] = ["320"] * len(table)
        write_star(path, {"": columns})
    particles = read_particles(path)
    assert has_angle(source)
    assert not has_angle(path)
    with pytest.raises(InputError, match="for a changed angle"):
        write_particles(particles, reshaped(particles, 0.0), tmp_path / f"copy{kind}")
    write_particles(particles, moved(particles, 5.0), tmp_path / f"copy{kind}")
    np.testing.assert_allclose(
        read_particles(tmp_path / f"copy{kind}").defocus, particles.defocus + 5, atol=2e-3
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
