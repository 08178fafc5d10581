"""MRC files: headers, maps and stacks. Images of particles are in images.py."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import mrcfile
import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from parfocal.errors import InputError
from parfocal.io.files import PACKED, replacing

DATA_TYPES = {0: np.int8, 1: np.int16, 2: np.float32, 6: np.uint16, 12: np.float16}
BYTE_ORDERS: tuple[Literal["<", ">"], ...] = ("<", ">")
LARGEST_SIDE = 65535  # px; tells the byte order where the mode, being 0, does not


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What is needed to find the pixels of an MRC file, whatever its byte order."""

    shape: tuple[int, int, int]  # sections, rows, columns, as they lie in the file
    dtype: np.dtype
    offset: int  # bytes before the first pixel
    axes: tuple[int, int, int]  # 1 x, 2 y, 3 z: of sections, rows, columns
    voxel_size: tuple[float, float, float]  # Å along x, y, z; nan where the header has none

    @property
    def section_bytes(self) -> int:
        return self.shape[1] * self.shape[2] * self.dtype.itemsize

    @property
    def file_bytes(self) -> int:
        return self.offset + self.shape[0] * self.section_bytes


def read_header(path: str | os.PathLike) -> Header:
    """Header of an MRC file. InputError if it is missing, or not an MRC file that we can read."""
    try:
        with open(path, "rb") as file:
            return parse_header(file.read(HEADER_DTYPE.itemsize), path)
    except OSError as error:
        raise InputError.of_system(error, Path(path)) from None


def parse_header(raw: bytes, path: str | os.PathLike) -> Header:
    """Header from the first 1024 bytes of the file at `path`."""
    if len(raw) == HEADER_DTYPE.itemsize:
        for order in BYTE_ORDERS:
            fields = np.frombuffer(raw, HEADER_DTYPE.newbyteorder(order))[0]
            if int(fields["mode"]) in DATA_TYPES and _is_plausible(fields):
                return _header(fields, order)
    if raw.startswith(PACKED):
        raise InputError("a compressed file", where=path, mend="unpack it (gunzip, bunzip2)")
    known = ", ".join(map(str, DATA_TYPES))
    raise InputError(
        f"not an MRC file of mode {known}", where=path, mend="give a map or stack in MRC format"
    )


def _is_plausible(fields) -> bool:
    sides = int(fields["nx"]), int(fields["ny"])
    return all(0 < n <= LARGEST_SIDE for n in sides) and fields["nz"] > 0 and fields["nsymbt"] >= 0


def _header(fields, order: Literal["<", ">"]) -> Header:
    sections, rows, columns = (int(fields[name]) for name in ("maps", "mapr", "mapc"))
    known = sorted((sections, rows, columns)) == [1, 2, 3]
    x, y, z = (_voxel(float(fields["cella"][axis]), int(fields[f"m{axis}"])) for axis in "xyz")
    return Header(
        shape=(int(fields["nz"]), int(fields["ny"]), int(fields["nx"])),
        dtype=np.dtype(DATA_TYPES[int(fields["mode"])]).newbyteorder(order),
        offset=HEADER_DTYPE.itemsize + int(fields["nsymbt"]),
        axes=(sections, rows, columns) if known else (3, 2, 1),
        voxel_size=(x, y, z),
    )


def _voxel(length: float, samples: int) -> float:
    return length / samples if length > 0 and samples > 0 else float("nan")


def read_map(path: str | os.PathLike) -> tuple[np.ndarray, float]:
    """A 3D map as float32 (z, y, x), and its voxel size [Å]: nan if the header has none.

    InputError if the file is missing, truncated, not an MRC file, or its voxels are no cubes.
    """
    header = read_header(path)
    with open(path, "rb") as file:
        file.seek(header.offset)
        data = np.fromfile(file, header.dtype, int(np.prod(header.shape)))
    if data.size < np.prod(header.shape):
        what = f"truncated: {data.size} of {np.prod(header.shape)} voxels"
        raise InputError(what, where=path, mend="copy it again")
    size = header.voxel_size[0]
    if not np.allclose(header.voxel_size, size, rtol=1e-3, equal_nan=True):
        what = f"voxels of {header.voxel_size} Å are not cubes"
        raise InputError(what, where=path, mend="resample the map, or correct its header")
    to_zyx = [header.axes.index(axis) for axis in (3, 2, 1)]
    volume = data.reshape(header.shape).transpose(to_zyx)
    return np.ascontiguousarray(volume, dtype=np.float32), size


def write_map(path: str | os.PathLike, volume: np.ndarray, pixel_size: float) -> None:
    """Write a map (z, y, x) as float32."""
    _write(path, np.asarray(volume, np.float32), pixel_size, is_stack=False)


def write_stack(path: str | os.PathLike, images: np.ndarray, pixel_size: float) -> None:
    """Write images (n, y, x): float16 as they are, anything else as float32."""
    kind = np.float16 if images.dtype == np.float16 else np.float32
    _write(path, np.asarray(images, kind), pixel_size, is_stack=True)


def _write(path: str | os.PathLike, data: np.ndarray, pixel_size: float, *, is_stack: bool) -> None:
    with replacing(path) as file, mrcfile.new(file.name, overwrite=True) as mrc:
        mrc.set_data(data)
        if is_stack:
            mrc.set_image_stack()
        mrc.voxel_size = pixel_size
