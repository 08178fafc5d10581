"""What particle files in STAR have in common: names `index@stack`, and a copy with other defoci."""

import os
from pathlib import Path

import numpy as np

from parfocal.errors import InputError
from parfocal.io.files import replacing
from parfocal.io.star import Table, edited


def image_places(table: Table, column: str) -> tuple[np.ndarray, list[str]]:
    """Image index from 0, and stack, of names `index@stack`; a name without index is one image."""
    names = table.text(column)
    index = np.zeros(len(names), dtype=np.int64)
    stacks = []
    for row, name in enumerate(names):
        number, at, stack = name.partition("@")
        if at and not (number.isdecimal() and int(number) > 0 and stack):
            what = f"{name!r} is not of the form index@stack, with an index from 1"
            raise InputError(what, where=table.cell(column, row), mend="correct that name")
        index[row] = int(number) - 1 if at else 0
        stacks.append(stack if at else name)
    return index, stacks


def write_defocus(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    block: str,
    table: Table,
    defocus: dict[str, np.ndarray],
    keep: np.ndarray | None = None,
) -> None:
    """Copy the STAR file `source` with other defoci [Å], by column of its `block`, all else unchanged.

    Where a defocus is the file's own, not even its text changes. `keep`, a mask over the rows,
    leaves out the others.
    """
    tokens = {}
    for name, column in defocus.items():
        old = zip(table.text(name), table.numbers(name), column, strict=True)
        tokens[name] = [text if new == before else f"{new:.6f}" for text, before, new in old]
    text = Path(source).read_bytes()
    with replacing(destination) as file:
        file.writelines(edited(text, block, tokens, keep=keep, where=source))
