"""MRC: every byte order, mode and axis order gives the same map."""

import gzip
import itertools

import mrcfile
import numpy as np
import pytest
from mrcfile.dtypes import HEADER_DTYPE
from numpy.testing import assert_array_equal

from parfocal.errors import InputError
from parfocal.io.mrc import DATA_TYPES, read_header, read_map, write_map, write_stack

VOLUME = np.arange(8 * 10 * 12).reshape(8, 10, 12) % 120 + 0.0  # z, y, x


def raw_map(path, *, mode=2, order="<", axes=(1, 2, 3), extended=0, cell=(24.0, 20.0, 16.0)):
    """VOLUME as an MRC file made by hand: `axes` are those of columns, rows, sections."""
    data = VOLUME.transpose([3 - axis for axis in reversed(axes)])
    header = np.zeros((), HEADER_DTYPE.newbyteorder(order))
    header["nz"], header["ny"], header["nx"] = data.shape
    header["mx"], header["my"], header["mz"] = VOLUME.shape[::-1]
    header["mapc"], header["mapr"], header["maps"] = axes
    for axis, length in zip("xyz", cell, strict=True):
        header["cella"][axis] = length
    header["mode"], header["nsymbt"] = mode, extended
    pixels = data.astype(np.dtype(DATA_TYPES[mode]).newbyteorder(order))
    path.write_bytes(header.tobytes() + b"\7" * extended + pixels.tobytes())
    return path


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("mode", DATA_TYPES)
@pytest.mark.parametrize("extended", [0, 80])
def test_every_mode_and_byte_order_is_read(tmp_path, order, mode, extended):
    path = raw_map(tmp_path / "m.mrc", mode=mode, order=order, extended=extended)
    volume, pixel_size = read_map(path)
    assert volume.dtype == np.float32
    assert volume.dtype.isnative
    assert_array_equal(volume, VOLUME)
    assert pixel_size == 2.0


@pytest.mark.parametrize("axes", list(itertools.permutations((1, 2, 3))))
def test_axes_are_put_in_order(tmp_path, axes):
    volume, pixel_size = read_map(raw_map(tmp_path / "m.mrc", axes=axes))
    assert_array_equal(volume, VOLUME)
    assert volume.flags.c_contiguous
    assert pixel_size == 2.0


def test_axes_that_are_not_set_are_the_usual_ones(tmp_path):
    path = raw_map(tmp_path / "m.mrc")
    content = bytearray(path.read_bytes())
    content[64:76] = bytes(12)
    path.write_bytes(content)
    assert_array_equal(read_map(path)[0], VOLUME)


def test_a_map_without_a_pixel_size_says_so(tmp_path):
    assert np.isnan(read_map(raw_map(tmp_path / "m.mrc", cell=(0.0, 0.0, 0.0)))[1])


def test_voxels_that_are_no_cubes_are_refused(tmp_path):
    with pytest.raises(InputError, match="are not cubes"):
        read_map(raw_map(tmp_path / "m.mrc", cell=(24.0, 21.0, 16.0)))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda content: content[:-1], "truncated: 959 of 960 voxels"),
        (lambda content: content[:1000], "not an MRC file of mode"),
        (gzip.compress, "a compressed file - unpack it"),
        (lambda content: content[:12] + b"\4" + content[13:], "not an MRC file of mode"),
        (lambda content: b"", "not an MRC file of mode"),
    ],
)
def test_a_broken_map_is_refused(tmp_path, spoil, says):
    path = raw_map(tmp_path / "m.mrc")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=rf"m\.mrc: {says}"):
        read_map(path)


def test_a_missing_map_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.mrc: No such file"):
        read_map(tmp_path / "nowhere.mrc")


def test_a_map_comes_back_and_mrcfile_agrees(tmp_path):
    write_map(tmp_path / "m.mrc", VOLUME, 1.25)
    volume, pixel_size = read_map(tmp_path / "m.mrc")
    assert_array_equal(volume, VOLUME)
    assert pixel_size == pytest.approx(1.25)
    assert mrcfile.validate(tmp_path / "m.mrc")
    with mrcfile.open(tmp_path / "m.mrc") as mrc:
        assert mrc.is_volume()
        assert_array_equal(mrc.data, VOLUME)


@pytest.mark.parametrize(
    ("given", "kept"),
    [(np.float16, np.float16), (np.float32, np.float32), (np.float64, np.float32)],
)
def test_a_stack_keeps_half_precision(tmp_path, given, kept):
    write_stack(tmp_path / "s.mrcs", VOLUME.astype(given), 1.25)
    with mrcfile.open(tmp_path / "s.mrcs") as mrc:
        assert mrc.is_image_stack()
        assert mrc.data.dtype == kept
        assert_array_equal(mrc.data, VOLUME)
    assert read_header(tmp_path / "s.mrcs").voxel_size[:2] == pytest.approx((1.25, 1.25))


def test_a_real_map(data):
    volume, pixel_size = read_map(data / "empiar10204" / "reference_5a1a.mrc")
    assert volume.shape == (64, 64, 64)
    assert pixel_size == pytest.approx(3.54)


def test_a_header_without_map_and_machine_stamp_is_read(data):
    header = read_header(data / "formats" / "relion31.mrcs")
    assert header.shape == (5, 256, 256)
    assert header.dtype == np.dtype("<f4")
