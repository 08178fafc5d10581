"""Files on disk: replaced whole or not at all, and found by the names in other files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from parfocal.errors import InputError

PACKED = (b"\x1f\x8b", b"BZh")  # how files of gzip and bzip2 begin


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends without an error.

    A reader, or a run that dies half-way, sees the old file or the new one, never a part. Missing
    folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        with temporary.open("xb") as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        error.filename = str(path)  # a full disk names no file, others the temporary one
        raise
    finally:
        with suppress(OSError):  # of a disk that cannot be written to: the first error tells more
            temporary.unlink(missing_ok=True)


def check_free(folder: Path, mend: str = "choose another --out") -> None:
    """InputError if results cannot go to `folder` because something is there already."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise InputError("is a file, not a folder", where=there, mend="choose another --out")
    if folder.exists() and any(folder.iterdir()):
        raise InputError("is there already and not empty", where=folder, mend=mend)


def find_file(name: str, origin: Path) -> str:
    """Where the file that `origin` calls `name` lies; `name` itself when it lies nowhere.

    Names in a particle file are relative to the project's folder, which is the folder of the
    particle file or one above it, or else the current one.
    """
    folder = Path(os.path.abspath(origin)).parent
    for base in (folder, *folder.parents, Path.cwd()):
        candidate = base / name
        if candidate.is_file():
            return str(candidate)
    return name
