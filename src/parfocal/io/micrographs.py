"""Whole micrographs, MRC or TIFF."""

import os
from pathlib import Path

import mrcfile
import numpy as np

from parfocal.errors import InputError
from parfocal.io.files import replacing
from parfocal.io.mrc import read_header

TIFF_NAMES = (".tif", ".tiff")
TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def read_micrograph(path: str | os.PathLike) -> tuple[np.ndarray, float]:
    """One micrograph as float32 (rows, columns), and its pixel size [Å]: nan if the file has none.

    TIFF (which never says its pixel size in a way that can be trusted) is turned upside down as
    RELION, IMOD and MotionCor do, so that y counts as in MRC. InputError if the file is missing,
    truncated, a stack or movie, or of a kind that we do not read.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            is_tiff = file.read(4) in TIFF_MAGIC
    except OSError as error:
        raise InputError.of_system(error, path) from None
    return _read_tiff(path) if is_tiff else _read_mrc(path)


def write_micrograph(path: str | os.PathLike, image: np.ndarray, pixel_size: float) -> None:
    """Write one micrograph (rows, columns) as MRC: float16 and int16 as they are, else float32."""
    kind = image.dtype if image.dtype in (np.float16, np.int16) else np.float32
    with replacing(path) as file, mrcfile.new(file.name, overwrite=True) as mrc:
        mrc.set_data(np.asarray(image, kind))
        mrc.voxel_size = pixel_size


def _read_mrc(path: Path) -> tuple[np.ndarray, float]:
    header = read_header(path)
    sections, rows, columns = header.shape
    if sections != 1:
        raise _not_one(path, sections)
    with path.open("rb") as file:
        file.seek(header.offset)
        data = np.fromfile(file, header.dtype, rows * columns)
    if data.size < rows * columns:
        what = f"truncated: {data.size} of {rows * columns} pixels"
        raise InputError(what, where=path, mend="copy it again")
    return data.reshape(rows, columns).astype(np.float32), header.voxel_size[0]


def _read_tiff(path: Path) -> tuple[np.ndarray, float]:
    try:
        import tifffile
    except ImportError:
        mend = "pip install 'parfocal[tiff]', or convert it to MRC"
        raise InputError("TIFF needs the package tifffile", where=path, mend=mend) from None
    try:
        with tifffile.TiffFile(path) as file:
            pages = len(file.pages)
            data = file.pages[0].asarray() if pages == 1 else np.zeros(0)
    except (tifffile.TiffFileError, ValueError, OSError) as error:  # ValueError: no such codec
        mend = "copy it again, pip install imagecodecs if it is compressed, or convert it to MRC"
        raise InputError(f"not a TIFF that can be read ({error})", where=path, mend=mend) from None
    if pages != 1:
        raise _not_one(path, pages)
    if data.ndim != 2:
        raise InputError("a colour image", where=path, mend="give a grey one")
    return np.ascontiguousarray(data[::-1], dtype=np.float32), float("nan")


def _not_one(path: Path, count: int) -> InputError:
    what = f"{count} images, not one micrograph"
    return InputError(what, where=path, mend="give the summed micrograph, not the movie")
