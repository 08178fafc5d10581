"""Reading the defoci of any file: under which name, by which reader, and what a folder holds."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from parfocal.errors import InputError
from parfocal.io.defocus_sets import named_files, read_defocus_set
from parfocal.io.estimates import write_estimates
from parfocal.io.star import read_star, write_star

from .test_io_estimates import estimates


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two runs, one of them of one method, and a particle file."""
    for name in ("one/bayes", "one/profile", "two/bayes"):
        write_estimates(tmp_path / name / "estimates.star", estimates())
    for name in ("one/particles.star", "one/a=b.star"):
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a=one/bayes/estimates.star"], {"a": "one/bayes/estimates.star"}),
        (["one/bayes/estimates.star"], {"bayes": "one/bayes/estimates.star"}),
        (["one/particles.star"], {"particles": "one/particles.star"}),
        (["b=one/particles.star"], {"b": "one/particles.star"}),
        (["one/a=b.star"], {"a=b": "one/a=b.star"}),  # a file that has an = in its name
        (["a=one/a=b.star"], {"a": "one/a=b.star"}),
        (["=one/particles.star"], {"particles": "one/particles.star"}),
        (
            ["one"],
            {"bayes": "one/bayes/estimates.star", "profile": "one/profile/estimates.star"},
        ),
        (["one/bayes"], {"bayes": "one/bayes/estimates.star"}),
        (["x=one/bayes"], {"x": "one/bayes/estimates.star"}),
        (["x=two"], {"x/bayes": "two/bayes/estimates.star"}),
        (
            ["x=two", "y=one/bayes"],
            {"x/bayes": "two/bayes/estimates.star", "y": "one/bayes/estimates.star"},
        ),
        (["missing.star"], {"missing": "missing.star"}),  # its reader will say so
    ],
)
def test_files_go_by_their_names(folder, arguments, expected):
    assert named_files(arguments) == {name: Path(path) for name, path in expected.items()}


def test_an_estimates_star_of_the_current_folder_goes_by_that(folder, monkeypatch):
    monkeypatch.chdir(folder / "one" / "bayes")
    assert list(named_files(["estimates.star"])) == ["bayes"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["one", "two"], "one/bayes/estimates.star and two/bayes/estimates.star are both called"),
        (["a=one/bayes", "a=two/bayes"], "both called 'a'"),
        (["."], "no estimates.star in this folder"),
        (["a="], "'a=' names no file"),
    ],
)
def test_names_that_cannot_be_are_refused(folder, arguments, says):
    with pytest.raises(InputError, match=says):
        named_files(arguments)


def test_estimates_are_read_as_such_whatever_their_file_is_called(tmp_path):
    before = estimates()
    for name in ("estimates.star", "renamed.txt"):
        write_estimates(tmp_path / name, before)
        one = read_defocus_set(tmp_path / name, "mine")
        assert (one.name, one.source) == ("mine", tmp_path / name)
        assert_array_equal(one.particle_id, before.particle_id)
        assert_array_equal(one.ok, before.ok())
        assert_allclose(one.defocus, before.defocus, atol=1e-4)
        assert_allclose(one.prior, before.defocus_prior, atol=1e-4)
        assert_allclose(one.fold_2, before.defocus_of_fold_2, atol=1e-4)


def test_an_estimates_star_before_folds_were_written_has_none(tmp_path):
    path = tmp_path / "estimates.star"
    write_estimates(path, estimates())
    blocks = {
        block: {name: table.text(name) for name in table.columns if "Fold" not in name}
        for block, table in read_star(path).items()
    }
    run = {name: tokens[0] for name, tokens in blocks["parfocal_run"].items()}
    write_star(path, blocks | {"parfocal_run": run})
    one = read_defocus_set(path, "old")
    assert np.isnan([one.fold_1, one.fold_2]).all()
    assert_allclose(one.defocus, estimates().defocus, atol=1e-4)


STAR = """
data_

loop_
_rlnImageName #1
_rlnMicrographName #2
_rlnCoordinateX #3
_rlnCoordinateY #4
_rlnDefocusU #5
_rlnDefocusV #6
_rlnDefocusAngle #7
_rlnVoltage #8
_rlnSphericalAberration #9
_rlnAmplitudeContrast #10
_rlnMagnification #11
_rlnDetectorPixelSize #12
_rlnImageSize #13
1@a.mrcs m.mrc 100 200 9300 9000 45 300 2.7 0.1 10000 2 128
2@a.mrcs m.mrc 110 250 9100 9100 0 300 2.7 0.1 10000 2 128
"""


def test_a_particle_file_is_read_by_its_own_reader(tmp_path):
    path = tmp_path / "particles.star"
    path.write_text(STAR)
    one = read_defocus_set(path, "theirs")
    assert (one.name, one.source) == ("theirs", path)
    assert_array_equal(one.defocus, [9150.0, 9100.0])
    assert_allclose(one.astigmatism, [[0, 150], [0, 0]], atol=1e-9)
    assert_allclose(one.coordinate_x, [200.0, 220.0])  # 2 Å a pixel
    assert one.ok.all()
    assert np.isnan([one.prior, one.error, one.fold_1]).all()


def cryosparc(path, **fields):
    """Two particles, with the fields that a reader cannot do without."""
    n = 2
    columns = {
        "uid": np.array([11, 12], dtype="<u8"),
        "blob/path": np.array([b">J1/extract/m_particles.mrc"] * n),
        "blob/idx": np.arange(n, dtype="<u4"),
        "blob/shape": np.full((n, 2), 128, dtype="<u4"),
        "blob/psize_A": np.full(n, 2.0),
        "ctf/accel_kv": np.full(n, 300.0),
        "ctf/cs_mm": np.full(n, 2.7),
        "ctf/amp_contrast": np.full(n, 0.1),
        "ctf/df1_A": np.array([9300.0, 9100.0]),
        "ctf/df2_A": np.array([9000.0, 9100.0]),
    } | fields
    columns = {name: column for name, column in columns.items() if column is not None}
    kinds = [(name, column.dtype, column.shape[1:]) for name, column in columns.items()]
    records = np.zeros(n, dtype=kinds)
    for name, column in columns.items():
        records[name] = column
    with path.open("wb") as file:
        np.save(file, records)


def test_of_a_cryosparc_file_aberrations_do_not_matter(tmp_path):
    cryosparc(tmp_path / "p.cs", **{"ctf/tilt_A": np.array([[1.0, 2.0], [0.0, 0.0]])})
    one = read_defocus_set(tmp_path / "p.cs", "cs")
    assert_array_equal(one.particle_id, ["11", "12"])
    assert_array_equal(one.defocus, [9150.0, 9100.0])
    assert one.image_keys() == ["1@m_particles", "2@m_particles"]


def test_a_passthrough_file_may_hold_the_coordinates(tmp_path):
    cryosparc(tmp_path / "p.cs")
    place = {
        "location/micrograph_path": np.array([b"J2/m_patch_aligned.mrc"] * 2),
        "location/micrograph_shape": np.full((2, 2), 1000, dtype="<u4"),
        "location/center_x_frac": np.array([0.1, 0.2]),
        "location/center_y_frac": np.array([0.3, 0.4]),
    }
    cryosparc(tmp_path / "more.cs", **place, uid=np.array([12, 11], dtype="<u8"))
    one = read_defocus_set(tmp_path / "p.cs", "cs", [tmp_path / "more.cs"])
    assert_allclose(one.coordinate_x, [400.0, 200.0])
    assert_allclose(one.coordinate_y, [1200.0, 1400.0])  # y counts from the other edge
    assert one.micrograph_keys() == ["m", "m"]
    (tmp_path / "p.star").write_text(STAR)  # other formats do without
    assert len(read_defocus_set(tmp_path / "p.star", "s", [tmp_path / "more.cs"])) == 2


@pytest.mark.parametrize("name", ["missing.star", "folder.star"])
def test_a_file_that_is_not_there_is_told_of(tmp_path, name):
    (tmp_path / "folder.star").mkdir()
    with pytest.raises(InputError, match=name):
        read_defocus_set(tmp_path / name, "x")
