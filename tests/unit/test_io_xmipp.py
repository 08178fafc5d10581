"""Xmipp metadata: units, what is refused, what its refinement wrote, what a copy keeps."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from parfocal.conventions import DEGREE
from parfocal.errors import InputError
from parfocal.io import read_particles, read_star
from parfocal.io.mrc import write_stack
from parfocal.io.xmipp import read_xmipp, write_xmipp, xmipp_ids

PARTICLE = {
    "itemId": "7",
    "image": "000003@a.mrcs",
    "enabled": "1",
    "angleRot": "10",
    "angleTilt": "20",
    "anglePsi": "-30",
    "shiftX": "2",
    "shiftY": "-1.5",
    "flip": "0",
    "ctfDefocusU": "12000",
    "ctfDefocusV": "11000",
    "ctfDefocusAngle": "45",
    "ctfVoltage": "200",
    "ctfSphericalAberration": "1.4",
    "ctfQ0": "0.07",
}


@pytest.fixture
def write(tmp_path):
    """Function that writes a metadata file, a row for each change of PARTICLE, and its stack."""
    write_stack(tmp_path / "a.mrcs", np.zeros((5, 16, 16), np.float32), 1.7)

    def metadata(*changes: dict, block: str = "noname") -> Path:
        rows = [PARTICLE | change for change in changes or ({},)]
        names = [name for name, value in rows[0].items() if value is not None]
        text = f"# XMIPP_STAR_1 * \n# \ndata_{block}\nloop_\n"
        text += "".join(f" _{name}\n" for name in names)
        text += "".join("  ".join(row[name] for name in names) + " \n" for row in rows)
        path = tmp_path / "p.xmd"
        path.write_text(text)
        return path

    return metadata


def test_units(write):
    p = read_xmipp(write())
    assert p.particle_id.tolist() == ["000003@a.mrcs"]
    assert p.image_index.tolist() == [2]
    assert Path(p.stack[0]).is_file()
    assert_allclose([p.rot[0], p.tilt[0], p.psi[0]], np.multiply([10, 20, -30], DEGREE))
    assert_allclose([p.origin_x[0], p.origin_y[0]], [2 * 1.7, -1.5 * 1.7], rtol=1e-5)
    assert_allclose([p.defocus_u[0], p.defocus_v[0]], [12_000, 11_000])
    assert p.defocus_angle[0] == pytest.approx(np.pi / 4)
    assert p.micrograph.tolist() == ["a.mrcs"]
    assert np.isnan(p.coordinate_x).all()
    (optics,) = p.optics
    assert (optics.voltage, optics.spherical_aberration) == (200, 1.4)
    assert (optics.amplitude_contrast, optics.image_size) == (0.07, 16)
    assert optics.pixel_size == pytest.approx(1.7, abs=1e-4)


def test_columns_that_may_be_there(write):
    more = {"samplingRate": "2.0", "xcoor": "100", "ycoor": "50", "micrographId": "9"}
    p = read_xmipp(write(more))
    assert p.optics[0].pixel_size == 2.0
    assert (p.coordinate_x[0], p.coordinate_y[0], p.origin_x[0]) == (200, 100, 4)
    assert p.micrograph.tolist() == ["9"]
    assert read_xmipp(write(more | {"micrograph": "m.mrc"})).micrograph.tolist() == ["m.mrc"]


def test_without_pose_or_shift(write):
    none = dict.fromkeys(("angleRot", "angleTilt", "anglePsi", "shiftX", "shiftY"))
    p = read_xmipp(write(none))
    assert np.isnan([p.rot[0], p.psi[0], p.origin_x[0]]).all()
    assert read_xmipp(write({"shiftX": None})).origin_x.tolist() == [0]


def test_settings_that_differ_are_optics_groups(write):
    p = read_xmipp(write({}, {"ctfVoltage": "300"}, {}))
    assert p.optics_group.tolist() == [0, 1, 0]
    assert [optics.voltage for optics in p.optics] == [200, 300]
    assert p.particle_id.tolist() == ["000003@a.mrcs", "000003@a.mrcs~2", "000003@a.mrcs~3"]


def test_a_refined_file_is_of_the_original_images(write):
    refined = {
        "image": "000001@moved.stk",
        "imageOriginal": "000003@a.mrcs",
        "shiftX": "0",
        "shiftY": "0",
        "continuousX": "2",
        "continuousY": "-1.5",
        "continuousFlip": "0",
        "ctfDefocusAngle": "405",
    }
    before, after = read_xmipp(write()), read_xmipp(write(refined))
    for name, column in before.columns().items():
        if name != "defocus_angle":
            assert_array_equal(getattr(after, name), column, err_msg=name)
    assert after.defocus_angle[0] == pytest.approx(np.pi / 4)  # 405° is 45° and two half turns


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"flip": "1"}, "mirrored"),
        ({"continuousX": "0", "continuousFlip": "1"}, "mirrored"),
        ({"continuousScaleY": "0.01"}, "stretched"),
        ({"ctfVPPphaseshift": "1.5"}, "phase plate"),
        ({"ctfDefocusU": None}, "no particles"),
        ({"ctfVoltage": None}, "no column _ctfVoltage"),
        ({"image": "0@a.mrcs"}, "index@stack"),
        ({"image": "1@b.stk"}, "no stack tells the box .*b.stk: No such file"),
        ({"ctfDefocusV": "nan"}, "not a value one can start from"),
    ],
)
def test_what_cannot_be_used_is_refused(write, change, says):
    with pytest.raises(InputError, match=says):
        read_xmipp(write(change))


def test_a_stack_that_is_missing_has_the_others_box(write):
    p = read_xmipp(write({}, {"image": "000001@gone.mrcs"}))
    assert p.optics_group.tolist() == [0, 0]


def test_a_stack_without_a_pixel_size(write, tmp_path):
    path = write()
    stack = bytearray((tmp_path / "a.mrcs").read_bytes())
    stack[40:52] = bytes(12)  # the cell's lengths
    (tmp_path / "a.mrcs").write_bytes(stack)
    with pytest.raises(InputError, match="neither file nor stacks tell the pixel size"):
        read_xmipp(path)
    assert read_xmipp(write({"ctfSamplingRate": "1.5"})).optics[0].pixel_size == 1.5


def test_the_content_tells_the_format(write):
    path = write(block="particles")
    renamed = path.rename(path.with_suffix(".dat"))
    assert read_particles(renamed).particle_id.tolist() == xmipp_ids(renamed)


def test_a_copy_differs_in_its_defocus_only(write, tmp_path):
    source, copy = write({}, {"image": "000001@a.mrcs"}, {}), tmp_path / "copy.xmd"
    keep = np.array([True, True, False])
    write_xmipp(source, copy, np.array([12_000, 12_300.5, 0]), np.full(3, 11_000.0), keep=keep)
    table = read_star(copy)["noname"]
    assert table.text("ctfDefocusU") == ["12000", "12300.500000"]
    text = source.read_text().splitlines()
    assert copy.read_text().splitlines()[:-1] == text[:-2]
    assert copy.read_text().startswith("# XMIPP_STAR_1 *")


def test_xmipp_and_relion_files_of_one_set_agree(data):
    star, xmd = (
        read_particles(data / "peer_runs" / f"particles.{kind}") for kind in ("star", "xmd")
    )
    for name, column in star.columns().items():
        if name in ("micrograph", "coordinate_x", "coordinate_y", "half_set"):
            continue  # the .xmd has none of these
        other = getattr(xmd, name)
        if column.dtype.kind == "f":
            assert_allclose(other, column, atol=1e-9, err_msg=name)
        else:
            assert_array_equal(other, column, err_msg=name)
    assert star.optics == xmd.optics


@pytest.mark.parametrize("cost", ["CC", "L1"])
def test_what_xmipp_refined_is_its_change_and_nothing_else(data, cost):
    folder = data / "peer_runs"
    before, after = (
        read_particles(folder / "particles.xmd"),
        read_particles(folder / f"xmipp_{cost}.xmd"),
    )
    said = next(iter(read_star(folder / f"xmipp_{cost}.xmd").values())).numbers("ctfDefocusChange")
    assert_allclose(after.defocus - before.defocus, said, atol=2e-6)
    for name in ("particle_id", "image_index", "stack"):
        assert_array_equal(getattr(after, name), getattr(before, name))
    for name in ("rot", "tilt", "psi", "origin_x", "origin_y"):
        assert_allclose(getattr(after, name), getattr(before, name), atol=2e-6)
