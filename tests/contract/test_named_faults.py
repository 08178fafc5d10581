"""Faults written into the files of programs are named after the files are read and joined."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from parfocal.conventions import DEGREE
from parfocal.defocus_set import DefocusSet
from parfocal.estimates import DefocusEstimates
from parfocal.faults import find_faults
from parfocal.io import write_estimates, write_star
from parfocal.io.defocus_sets import read_defocus_set
from parfocal.join import join

from .. import spoil_sets as spoil
from ..spoil_sets import given, healthy_sets, specimen

PIXEL = 1.25  # Å
MICROGRAPHS = 40


def write_relion(path: Path, one: DefocusSet, unit: float = DEGREE) -> Path:
    """A RELION 3.1 file of a set; the angles in `unit` [rad]."""
    optics = {
        "rlnOpticsGroup": ["1"],
        "rlnOpticsGroupName": ["one"],
        "rlnVoltage": ["300"],
        "rlnSphericalAberration": ["2.7"],
        "rlnAmplitudeContrast": ["0.1"],
        "rlnImagePixelSize": [str(PIXEL)],
        "rlnMicrographOriginalPixelSize": [str(PIXEL)],
        "rlnImageSize": ["64"],
        "rlnImageDimensionality": ["2"],
    }
    numbers = {
        "rlnCoordinateX": one.coordinate_x / PIXEL,
        "rlnCoordinateY": one.coordinate_y / PIXEL,
        "rlnDefocusU": one.defocus + one.half_difference,
        "rlnDefocusV": one.defocus - one.half_difference,
        "rlnDefocusAngle": one.angle / unit,
    }
    particles = {
        "rlnImageName": one.particle_id.tolist(),
        "rlnMicrographName": one.micrograph.tolist(),
        "rlnOpticsGroup": ["1"] * len(one),
        **{name: [f"{v:.6f}" for v in column] for name, column in numbers.items()},
    }
    write_star(path, {"optics": optics, "particles": particles})
    return path


def write_cs(path: Path, one: DefocusSet, unit: float = 1.0) -> Path:
    """A cryoSPARC file of a set; the angles in `unit` [rad]."""
    columns = {
        "uid": ("<u8", one.image_index + 10**17),
        "blob/path": ("S30", b">J7/extract/stack.mrcs"),
        "blob/idx": ("<u4", one.image_index),
        "blob/shape": (("<u4", (2,)), 64),
        "blob/psize_A": ("<f4", PIXEL),
        "ctf/exp_group_id": ("<u4", 1),
        "ctf/accel_kv": ("<f4", 300),
        "ctf/cs_mm": ("<f4", 2.7),
        "ctf/amp_contrast": ("<f4", 0.1),
        "ctf/df1_A": ("<f4", one.defocus + one.half_difference),
        "ctf/df2_A": ("<f4", one.defocus - one.half_difference),
        "ctf/df_angle_rad": ("<f4", one.angle / unit),
    }
    dtype = [(name, *(t if isinstance(t, tuple) else (t,))) for name, (t, _) in columns.items()]
    records = np.zeros(len(one), dtype=dtype)
    for name, (_, values) in columns.items():
        records[name] = values
    with open(path, "wb") as file:
        np.save(file, records)
    return path


def write_ours(path: Path, one: DefocusSet, prior: np.ndarray) -> Path:
    """An estimates.star of a set that has all the particles of the prior."""
    n = len(one)
    estimates = DefocusEstimates(
        method="bayes",
        particle_id=one.particle_id.astype(str),
        micrograph=one.micrograph.astype(str),
        coordinate_x=one.coordinate_x,
        coordinate_y=one.coordinate_y,
        defocus_prior=prior,
        defocus_change=one.defocus - prior,
        defocus_error=np.full(n, 100.0),
        ice_height=np.full(n, np.nan),
        held_out_gain=np.zeros(n),
        status=np.zeros(n, dtype=int),
    )
    write_estimates(path, estimates)
    return path


@pytest.fixture
def rng():
    return np.random.default_rng(21)


@pytest.fixture
def scene(rng):
    return specimen(rng, micrographs=MICROGRAPHS, particles=2000, tilt=0.06)


@pytest.fixture
def sets(rng, scene):
    """Healthy sets, with the input's astigmatism but for the last."""
    made = healthy_sets(rng, scene, 3, noise=80.0)
    turned = scene.angle + rng.normal(0, 0.1, MICROGRAPHS)[scene.number]
    return [replace(one, angle=scene.angle) for one in made[:2]] + [replace(made[2], angle=turned)]


def faults_of(files: dict[str, Path], base: Path):
    read = (read_defocus_set(path, name) for name, path in files.items())
    return find_faults(join(read, read_defocus_set(base, "input")))


@pytest.fixture
def judged(tmp_path, scene, sets):
    """What is said of a set, and how it was written, beside two healthy files of other programs."""

    def judge(one: DefocusSet, write=write_relion, name="A.star"):
        files = {
            "A": write(tmp_path / name, one),
            "B": write_ours(tmp_path / "estimates.star", sets[1], scene.prior),
            "C": write_cs(tmp_path / "C.cs", sets[2]),
        }
        return faults_of(files, write_relion(tmp_path / "input.star", given(scene)))

    return judge


def test_healthy_files_have_no_fault(judged, sets):
    assert judged(sets[0]) == ()


@pytest.mark.parametrize(
    ("make", "kind", "severity"),
    [
        (spoil.shifted, "shifted", "fault"),
        (lambda one, rng: spoil.partly_shifted(one, rng, 900.0), "shifted", "fault"),
        (spoil.shuffled, "shuffled", "fault"),
        (spoil.partly_shuffled, "shuffled", "fault"),
        (spoil.swapped, "swapped U and V", "fault"),
        (spoil.missing, "rows missing", "fault"),
        (spoil.missing_micrographs, "rows missing", "fault"),
        (spoil.re_sorted, "rows re-sorted", "note"),
        (spoil.pasted, "rows re-sorted", "fault"),
        (spoil.mirrored_angle, "wrong sign of y", "fault"),
        (spoil.mirrored_coordinates, "wrong sign of y", "fault"),
        (spoil.mirrored_planes, "wrong sign of y", "fault"),
        (spoil.negative, "defocus negative", "fault"),
        (spoil.in_micrometres, "in µm", "fault"),
    ],
)
def test_a_fault_in_a_relion_file_is_named(judged, sets, rng, make, kind, severity):
    fault, *more = judged(make(sets[0], rng))
    assert (fault.name, fault.kind, fault.severity) == ("A", kind, severity)
    assert "\n" not in str(fault)
    assert {(f.name, f.kind, f.severity) for f in more} <= {("A", "rows re-sorted", "note")}


def test_radians_in_a_relion_file_are_named(judged, sets):
    (fault,) = judged(sets[0], lambda path, one: write_relion(path, one, unit=1.0))
    assert (fault.name, fault.kind) == ("A", "radians for degrees")


def test_degrees_in_a_cryosparc_file_are_named(judged, sets):
    (fault,) = judged(sets[0], lambda path, one: write_cs(path, one, unit=DEGREE), "A.cs")
    assert (fault.name, fault.kind) == ("A", "degrees for radians")


def test_faults_in_our_own_estimates_are_named(judged, sets, rng, scene):
    def ours(path, one):
        path.parent.joinpath("own").mkdir()
        return write_ours(path.parent / "own" / "estimates.star", one, scene.prior)

    (fault,) = judged(spoil.one_row_off(sets[0], rng), ours)
    assert (fault.name, fault.kind) == ("A", "rows re-sorted")
    assert "one row" in fault.text


def test_y_that_only_places_tell_of_is_named(tmp_path, scene, sets, rng):
    """Particles of another extraction are joined by place, with y counted the other way."""
    other = spoil.mirrored_coordinates(sets[0], rng)
    named = np.array([f"{i + 1}@again.mrcs" for i in range(len(other))], dtype=object)
    files = {
        "A": write_relion(tmp_path / "A.star", replace(other, particle_id=named)),
        "B": write_relion(tmp_path / "B.star", sets[1]),
    }
    faults = faults_of(files, write_relion(tmp_path / "input.star", given(scene)))
    assert ("A", "wrong sign of y") in {(f.name, f.kind) for f in faults}
    assert {f.name for f in faults if f.severity == "fault"} == {"A"}
