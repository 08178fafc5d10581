"""The same set in every dress gives the same defoci; and sets of unusual make are carried through."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import starfile
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from parfocal.conventions import DEGREE, rotation_matrix
from parfocal.io import edit_columns, read_estimates, read_particles, read_star, write_star
from parfocal.io.mrc import read_header, write_stack
from parfocal.particles import Particles
from parfocal.simulate import simulate, write_dataset

from .conftest import HALVES, SCENE, parfocal, with_columns, with_two_groups

ESTIMATES = Path("run/bayes/estimates.star")


def run(particles="particles.star", *more: str) -> dict:
    """Run on `particles`; the run's run.json."""
    said = parfocal("estimate", particles, *HALVES, "--out", "run", "--json", *more)
    assert said.code == 0, said.err
    return json.loads(said.out)


@pytest.fixture
def expected(finished):
    return read_estimates(finished[0] / "bayes" / "estimates.star")


def assert_same(found, expected, tolerance: float) -> None:
    """The same statuses, and defoci and errors within `tolerance` [Å]."""
    assert (found.status == expected.status).mean() > 0.97
    both = found.ok() & expected.ok()
    assert both.sum() > 50
    assert_allclose(found.defocus[both], expected.defocus[both], atol=tolerance)
    assert_allclose(found.defocus_error[both], expected.defocus_error[both], atol=tolerance)


def write_cs(path: str, particles: Particles, *, leave_out: str = "", **more) -> None:
    """A .cs file as cryoSPARC has it; fields whose name contains `leave_out` are not in it."""
    optics, n = particles.optics[0], len(particles)
    pose = rotation_matrix(particles.rot, particles.tilt, particles.psi)
    side = np.array(SCENE.micrograph_size) * SCENE.micrograph_pixel_size
    names = {
        key: [name.encode() for name in getattr(particles, key)] for key in ("stack", "micrograph")
    }
    fields = {
        "uid": ("<u8", np.arange(n) + 10**15),
        "blob/path": ("S99", [b">" + name for name in names["stack"]]),
        "blob/idx": ("<u4", particles.image_index),
        "blob/shape": ("<u4", np.full((n, 2), optics.image_size)),
        "blob/psize_A": ("<f4", np.full(n, optics.pixel_size)),
        "blob/sign": ("<f4", np.full(n, -1)),
        "ctf/exp_group_id": ("<u4", np.full(n, 3)),
        "ctf/accel_kv": ("<f4", np.full(n, optics.voltage)),
        "ctf/cs_mm": ("<f4", np.full(n, optics.spherical_aberration)),
        "ctf/amp_contrast": ("<f4", np.full(n, optics.amplitude_contrast)),
        "ctf/df1_A": ("<f4", particles.defocus_u),
        "ctf/df2_A": ("<f4", particles.defocus_v),
        "ctf/df_angle_rad": ("<f4", particles.defocus_angle),
        "ctf/phase_shift_rad": ("<f4", particles.phase_shift),
        "alignments3D/pose": ("<f4", Rotation.from_matrix(pose).inv().as_rotvec()),
        "alignments3D/shift": (
            "<f4",
            np.stack([particles.origin_x, particles.origin_y], axis=1) / optics.pixel_size,
        ),
        "alignments3D/psize_A": ("<f4", np.full(n, optics.pixel_size)),
        "alignments3D/split": ("<u4", particles.half_set - 1),
        "location/micrograph_path": ("S99", names["micrograph"]),
        "location/micrograph_shape": ("<u4", np.full((n, 2), SCENE.micrograph_size[::-1])),
        "location/micrograph_psize_A": ("<f4", np.full(n, SCENE.micrograph_pixel_size)),
        "location/center_x_frac": ("<f4", particles.coordinate_x / side[0]),
        "location/center_y_frac": ("<f4", 1 - particles.coordinate_y / side[1]),
        **more,
    }
    fields = {k: v for k, v in fields.items() if not leave_out or leave_out not in k}
    kinds = [(name, kind, np.shape(values)[1:]) for name, (kind, values) in fields.items()]
    records = np.zeros(n, kinds)
    for name, (_, values) in fields.items():
        records[name] = values
    with open(path, "wb") as file:
        np.save(file, records)


def test_cryosparc(project, simulation, expected):
    write_cs("particles.cs", simulation.particles)
    info = run("particles.cs")
    found = read_estimates(ESTIMATES)
    assert_same(found, expected, tolerance=0.5)
    assert found.particle_id[0] == str(10**15)
    assert found.micrograph.tolist() == expected.micrograph.tolist()
    assert_allclose(found.coordinate_y, expected.coordinate_y, atol=0.01)
    assert info["inputs"]["particles"] == "particles.cs"
    before, after = (np.load(f) for f in ("particles.cs", "run/bayes/particles.cs"))
    for name in before.dtype.names:
        if name not in ("ctf/df1_A", "ctf/df2_A"):
            assert (before[name] == after[name]).all()
    change = after["ctf/df1_A"] - before["ctf/df1_A"]
    assert_allclose(change, found.defocus_change, atol=0.002)  # they are float32
    assert_allclose(after["ctf/df2_A"] - before["ctf/df2_A"], change, atol=0.003)


def test_cryosparc_in_two_files(project, simulation, expected):
    write_cs("particles.cs", simulation.particles, leave_out="alignments3D")
    write_cs("through.cs", simulation.particles, leave_out="blob")
    records = np.random.default_rng(1).permutation(np.load("through.cs"))  # they join by uid
    with open("through.cs", "wb") as file:
        np.save(file, records)
    info = run("particles.cs", "--passthrough", "through.cs")
    assert_same(read_estimates(ESTIMATES), expected, tolerance=0.5)
    assert info["inputs"]["passthrough_1"] == "through.cs"
    assert len(info["input_sha256"]["passthrough_1"]) == 64


def test_a_study_of_cryosparc_in_two_files(project, simulation, expected):
    """Poses come from the second file at every step; defoci of another job are one more set."""
    write_cs("particles.cs", simulation.particles, leave_out="alignments3D")
    write_cs("through.cs", simulation.particles, leave_out="blob")
    write_cs("other.cs", simulation.particles, leave_out="alignments3D")
    words = ("--passthrough", "through.cs", "--method", "bayes", "--out", "study")
    said = parfocal("study", "particles.cs", "other=other.cs", *HALVES, *words)
    assert said.code == 0, said.err
    assert_same(read_estimates("study/estimate/bayes/estimates.star"), expected, tolerance=0.5)
    info = json.loads(Path("study/run.json").read_text())
    worth = {row["name"]: row["worth"]["value"] for row in info["validation"]}
    assert worth["other"] == pytest.approx(0, abs=1e-3)  # the same defoci, but for float32
    assert worth["bayes"] > worth["bayes-reversed"]
    before, after = (np.load(f) for f in ("particles.cs", "study/consensus/particles.cs"))
    assert (before["uid"] == after["uid"]).all()


def test_resuming_with_another_passthrough_is_refused(project, simulation):
    write_cs("particles.cs", simulation.particles, leave_out="alignments3D")
    write_cs("through.cs", simulation.particles)
    run("particles.cs", "--passthrough", "through.cs")
    records = np.load("through.cs")
    records["alignments3D/pose"] += 0.01
    with open("through.cs", "wb") as file:
        np.save(file, records)
    words = ("particles.cs", *HALVES, "--passthrough", "through.cs", "--out", "run", "--resume")
    said = parfocal("estimate", *words)
    assert said.code == 2
    assert "other inputs or settings" in said.err


def test_aberrations_whose_sign_is_unknown_can_be_ignored(project, simulation, expected):
    tilt = ("<f4", np.full((SCENE.particles, 2), 1e-4))
    write_cs("particles.cs", simulation.particles, **{"ctf/tilt_A": tilt, "ctf/tetra_A": tilt})
    said = parfocal("estimate", "particles.cs", *HALVES, "--out", "run")
    assert said.code == 2
    assert said.err.endswith("add --ignore ctf/tilt_A --ignore ctf/tetra_A\n")
    info = run("particles.cs", "--ignore", "ctf/tilt_A", "--ignore", "ctf/tetra_A")
    assert_same(read_estimates(ESTIMATES), expected, tolerance=0.5)
    assert info["settings"]["ignore"] == ["ctf/tilt_A", "ctf/tetra_A"]
    assert "ctf/tilt_A is left out, as asked" in info["warnings"]
    assert "ctf/tilt_A is left out, as asked" in Path("run/report.html").read_text()


def test_relion_30(project, simulation, expected):
    """One block, origins in pixels, the pixel size from the magnification."""
    particles, optics = simulation.particles, simulation.particles.optics[0]
    n = len(particles)
    columns = {
        "rlnImageName": particles.particle_id.tolist(),
        "rlnMicrographName": particles.micrograph.tolist(),
        "rlnVoltage": ["300"] * n,
        "rlnSphericalAberration": [f"{optics.spherical_aberration}"] * n,
        "rlnAmplitudeContrast": [f"{optics.amplitude_contrast}"] * n,
        "rlnMagnification": ["50000"] * n,
        "rlnDetectorPixelSize": [f"{optics.pixel_size * 5:.6f}"] * n,
        "rlnRandomSubset": list(map(str, particles.half_set)),
    }
    numbers = {
        "rlnDefocusU": particles.defocus_u,
        "rlnDefocusV": particles.defocus_v,
        "rlnDefocusAngle": particles.defocus_angle / DEGREE,
        "rlnAngleRot": particles.rot / DEGREE,
        "rlnAngleTilt": particles.tilt / DEGREE,
        "rlnAnglePsi": particles.psi / DEGREE,
        "rlnOriginX": particles.origin_x / optics.pixel_size,
        "rlnOriginY": particles.origin_y / optics.pixel_size,
        "rlnCoordinateX": particles.coordinate_x / optics.pixel_size,
        "rlnCoordinateY": particles.coordinate_y / optics.pixel_size,
    }
    columns |= {name: [f"{value:.9g}" for value in values] for name, values in numbers.items()}
    write_star("old.star", {"": columns})
    Path("particles/mic_0001.mrcs").rename("particles/later.mrcs")  # another stack tells the box
    run("old.star")
    assert_allclose(
        read_star("run/bayes/particles.star")[""].numbers("rlnOriginX"), numbers["rlnOriginX"]
    )
    Path("particles/later.mrcs").rename("particles/mic_0001.mrcs")
    said = parfocal("estimate", "old.star", *HALVES, "--out", "again")
    assert said.code == 0
    assert_same(read_estimates("again/bayes/estimates.star"), expected, tolerance=0.05)


def test_stacks_of_half_precision(project, simulation, expected):
    for stack in sorted(Path("particles").iterdir()):
        header = read_header(stack)
        pixels = np.fromfile(stack, header.dtype, offset=header.offset).reshape(header.shape)
        write_stack(stack, pixels.astype(np.float16), SCENE.pixel_size)
        assert read_header(stack).dtype == np.float16
    run()
    assert_same(read_estimates(ESTIMATES), expected, tolerance=2.0)


def test_two_optics_groups_with_the_same_settings(project, simulation, expected):
    with_two_groups(Path("particles.star"))
    info = run()
    assert info["padded_size"].keys() == {"opticsGroup1", "other"}
    found = read_estimates(ESTIMATES)
    assert found.particle_id.tolist() == expected.particle_id.tolist()
    both = found.ok() & expected.ok()
    assert both.sum() > 50  # each group learns its own noise, from half of the particles
    difference = (found.defocus - expected.defocus)[both] / expected.defocus_error[both]
    assert 0 < np.median(np.abs(difference)) < 0.3


def test_optics_groups_of_other_microscope_box_and_pixel_size(project, simulation):
    """Two sets of one protein in one file; the map fits the grid of the first."""
    other = replace(SCENE, box=56, pixel_size=1.9, voltage=200.0, spherical_aberration=1.4)
    second = simulate(other, np.random.default_rng(11))
    write_dataset(second, "second")
    blocks = [read_star(f"{folder}/particles.star") for folder in (".", "second")]
    optics, particles = (
        {
            name: blocks[0][block].text(name) + blocks[1][block].text(name)
            for name in blocks[0][block].columns
        }
        for block in ("optics", "particles")
    )
    n = SCENE.particles
    optics["rlnOpticsGroup"], optics["rlnOpticsGroupName"] = ["7", "4"], ["first", "second"]
    particles["rlnOpticsGroup"] = ["7"] * n + ["4"] * n
    names = particles["rlnImageName"]
    particles["rlnImageName"] = names[:n] + [name.replace("@", "@second/") for name in names[n:]]
    write_star("both.star", {"optics": optics, "particles": particles})
    info = run("both.star")
    assert info["padded_size"].keys() == {"first", "second"}
    found = read_estimates(ESTIMATES)
    truth = np.concatenate([simulation.truth.defocus, second.truth.defocus])
    for rows in (slice(0, n), slice(n, 2 * n)):
        ok = found.ok()[rows]
        assert ok.sum() > 50
        before, after = (
            np.sqrt(np.mean((values[rows] - truth[rows])[ok] ** 2))
            for values in (found.defocus_prior, found.defocus)
        )
        assert after < 0.7 * before
    blank = {name: ["x"] * (2 * n) for name in ("rlnDefocusU", "rlnDefocusV")}
    files = (Path("both.star"), Path("run/bayes/particles.star"))
    same = [edit_columns(path.read_bytes(), "particles", blank) for path in files]
    assert same[0] == same[1]


def test_a_symmetry_expanded_set(project, expected):
    """Every image twice: the copies have ids of their own, and nearly the same answer.

    Not the very same, as the ice is believed more firmly when every particle speaks twice.
    """
    table = read_star("particles.star")
    twice = {name: table["particles"].text(name) * 2 for name in table["particles"].columns}
    optics = {name: table["optics"].text(name) for name in table["optics"].columns}
    write_star("twice.star", {"optics": optics, "particles": twice})
    info = run("twice.star")
    n = SCENE.particles
    found = read_estimates(ESTIMATES)
    assert found.particle_id[:n].tolist() == expected.particle_id.tolist()
    assert found.particle_id[n] == f"{expected.particle_id[0]}~2"
    assert (found.defocus[:n] == found.defocus[n:]).all()
    first = replace(found, **{name: column[:n] for name, column in found.columns().items()})
    assert_same(first, expected, tolerance=15.0)
    after = read_particles("run/bayes/particles.star")
    assert_allclose(after.defocus, found.defocus, atol=1e-3)
    written = read_star("run/bayes/particles.star")["particles"]
    assert written.text("rlnImageName") == twice["rlnImageName"]
    assert any(line.startswith("72 of 144 particles share the image") for line in info["warnings"])
    frame = starfile.read(ESTIMATES)["estimates"]
    assert frame["parfocalParticleId"].tolist() == found.particle_id.tolist()


def test_particles_in_any_order_of_rows(project, expected):
    order = np.random.default_rng(5).permutation(SCENE.particles)
    table = read_star("particles.star")["particles"]
    with_columns(
        Path("particles.star"),
        **{name: np.array(table.text(name))[order].tolist() for name in table.columns},
    )
    run()
    found = read_estimates(ESTIMATES)
    assert found.particle_id.tolist() == expected.particle_id[order].tolist()
    assert_allclose(found.defocus, expected.defocus[order], atol=0.02)


def test_an_outside_map_needs_no_half_sets(project, expected):
    with_columns(Path("particles.star"), rlnRandomSubset=None)
    words = ("--map", "map.mrc", "--resolution", "5", "--out", "run")
    assert parfocal("estimate", "particles.star", *words).code == 0
    found = read_estimates(ESTIMATES)
    both = found.ok() & expected.ok()
    assert both.sum() > 50
    assert json.loads(Path("run/run.json").read_text())["resolution"] == 5
