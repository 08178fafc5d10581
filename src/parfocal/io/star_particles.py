"""What particle files in STAR share: names `index@stack`, and a copy with another defocus."""

import os
from pathlib import Path

import numpy as np

from parfocal.conventions import DEGREE, nearest_turn
from parfocal.errors import InputError
from parfocal.io.files import replacing
from parfocal.io.star import Table
from parfocal.io.star_edit import edited

SAME = 1e-9  # Å or degrees, what a change of unit may do


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


def with_angle(
    defocus: dict[str, np.ndarray], table: Table, name: str, angle: np.ndarray | None
) -> dict[str, np.ndarray]:
    """The columns `defocus`, and angles [rad] as column `name`: degrees, nearest to the file's own.

    None leaves them as they are. InputError if the file has no such column.
    """
    if angle is None:
        return defocus
    if name not in table:
        mend = f"add _{name} to this block, 0 in every row, or refine without astigmatism"
        raise InputError(f"no column _{name} for a changed angle", where=table.where, mend=mend)
    return defocus | {name: nearest_turn(angle, table.numbers(name) * DEGREE) / DEGREE}


def write_defocus(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    block: str,
    table: Table,
    values: dict[str, np.ndarray],
    keep: np.ndarray | None = None,
) -> None:
    """Copy the STAR file `source` with other values in columns of its `block`, all else unchanged.

    Six decimals. Where a value is the file's own, not even its text changes. `keep`, a mask over the
    rows, leaves out the others.
    """
    tokens = {}
    for name, column in values.items():
        old = zip(table.text(name), table.numbers(name), column, strict=True)
        tokens[name] = [
            text if abs(new - before) < SAME else f"{new:.6f}" for text, before, new in old
        ]
    text = Path(source).read_bytes()
    with replacing(destination) as file:
        file.writelines(edited(text, block, tokens, keep=keep, where=source))
