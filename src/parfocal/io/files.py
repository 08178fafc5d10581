"""Files on disk: replaced whole or not at all, and found by the names in other files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4


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
    finally:
        temporary.unlink(missing_ok=True)


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
