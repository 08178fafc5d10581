"""STAR files: columns read on demand, our own written."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from gemmi import cif  # pyright: ignore[reportMissingModuleSource]

from parfocal.errors import InputError
from parfocal.io.files import replacing
from parfocal.io.plain_rows import PlainColumn, last_loop

ROWS = 10_000  # written in one go
_PLAIN = re.compile(r"(?!(?i:data_|save_|loop_|stop_|global_))[!%&(-:<-^`a-~][!-~]*")


@dataclass(frozen=True)
class Rounded:
    """A column of numbers, to be written with so many decimals; nan as `nan`."""

    values: np.ndarray
    decimals: int

    def __len__(self) -> int:
        return len(self.values)

    @property
    def format(self) -> str:
        return f"%.{self.decimals}f"


Column = Sequence[str] | Rounded
Block = Mapping[str, str | Column]


@dataclass(frozen=True, kw_only=True)
class Table:
    """One data block: its columns by name, without the leading underscore.

    Tokens are converted when asked for. A name outside of a loop is a column of one row.
    """

    where: str  # file and block, for messages
    columns: Mapping[str, cif.Column | PlainColumn]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __len__(self) -> int:
        return max((len(column) for column in self.columns.values()), default=0)

    def text(self, name: str) -> list[str]:
        """The column's tokens, quotes removed. InputError if the block has no such column."""
        column = self._column(name)
        if isinstance(column, PlainColumn):
            tokens = column.tokens()
        else:
            tokens = [cif.as_string(t) if t[0] in "'\";" else t for t in column]
        return tokens if len(tokens) == len(self) else tokens * len(self)

    def numbers(self, name: str, default: float | None = None) -> np.ndarray:
        """The column as float64, or `default` in every row where the block has no such column.

        InputError if there is neither, or a token is not a number; `nan` and `inf` are numbers.
        """
        if name not in self and default is not None:
            return np.full(len(self), default)
        column = self._column(name)
        try:
            if isinstance(column, PlainColumn):
                values = column.numbers()
            else:
                values = np.fromiter(map(float, column), float, len(column))
        except ValueError:  # a quoted number, or none at all
            tokens = self.text(name)
        else:
            return values if len(values) == len(self) else np.full(len(self), values[0])
        if (row := next((r for r, t in enumerate(tokens) if not _is_number(t)), None)) is not None:
            where = self.cell(name, row)
            raise InputError(f"{tokens[row]!r} is not a number", where=where, mend="correct it")
        return np.array(tokens, dtype=float)

    def finite(self, name: str) -> np.ndarray:
        """The column as float64. InputError if a value is nan or infinite."""
        values = self.numbers(name)
        lost = np.flatnonzero(~np.isfinite(values))
        if lost.size:
            raise InputError(
                f"{values[lost[0]]} is not a value one can start from ({lost.size} such rows)",
                where=self.cell(name, int(lost[0])),
                mend="remove those particles or give them a value",
            )
        return values

    def integers(self, name: str) -> np.ndarray:
        """The column as integers. InputError if a token is not one."""
        values = self.finite(name)
        if (broken := np.flatnonzero(values != np.rint(values))).size:
            where = self.cell(name, int(broken[0]))
            what = f"{values[broken[0]]} is not a whole number"
            raise InputError(what, where=where, mend="correct it")
        return values.astype(np.int64)

    def cell(self, name: str, row: int) -> str:
        """Where a value stands, for messages: rows count from 1."""
        return f"{self.where}, _{name}, row {row + 1}"

    def _column(self, name: str) -> cif.Column | PlainColumn:
        """The column; of one value, if it stands for all rows."""
        if name not in self:
            mend = f"add _{name} to this block"
            raise InputError(f"no column _{name}", where=self.where, mend=mend)
        column = self.columns[name]
        if len(column) not in (1, len(self)):
            what = f"_{name} has {len(column)} rows, another column {len(self)}"
            raise InputError(what, where=self.where, mend="keep one loop in a block")
        return column


def _is_number(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True


def read_star(path: str | os.PathLike) -> dict[str, Table]:
    """Block name -> its Table. InputError if the file is missing or is not a STAR file."""
    try:
        with open(path, "rb"):  # gemmi's own complaints are harder to read
            return _quickly(Path(path)) or _fully(Path(path))
    except OSError as error:
        raise InputError.of_system(error, Path(path)) from None


def _quickly(path: Path) -> dict[str, Table]:
    """As `_fully`, where the last loop is plain; empty where it is not, or anything is wrong."""
    if (found := last_loop(path.read_bytes())) is None:
        return {}
    before, columns = found
    try:
        document = cif.read_string(before.decode())
    except (ValueError, RuntimeError):
        return {}
    tables = {block.name.strip(): _table(block, path) for block in document}
    last = next(reversed(tables.values()), None)
    if last is None or columns.keys() & last.columns.keys():
        return {}
    name = document[-1].name.strip()
    return tables | {name: replace(last, columns={**last.columns, **columns})}


def _fully(path: Path) -> dict[str, Table]:
    try:
        document = cif.read(str(path))
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"not a readable STAR file ({str(error).removeprefix(f'{path}:')})",
            where=path,
            mend="a row may have a value too many or too few, or an unquoted character that is "
            "not ASCII",
        ) from None
    return {block.name.strip(): _table(block, path) for block in document}


def _table(block: cif.Block, path: Path) -> Table:
    tags: list[str] = []
    for item in block:
        if item.loop:
            tags += item.loop.tags
        elif item.pair:
            tags.append(cast("list[str]", item.pair)[0])
    columns = {tag[1:]: block.find_values(tag) for tag in tags}
    return Table(where=f"{path}: data_{block.name.strip()}", columns=columns)


def write_star(path: str | os.PathLike, blocks: Mapping[str, Block]) -> None:
    """Write blocks, each a loop of columns, or pairs if its values are single tokens."""
    with replacing(path) as file:
        for name, block in blocks.items():
            file.write(f"\ndata_{name}\n\n".encode())
            file.writelines(text.encode() for text in _pieces(block))


def _pieces(block: Block) -> Iterator[str]:
    if all(isinstance(value, str) for value in block.values()):
        yield from (f"_{name} {as_token(str(value))}\n" for name, value in block.items())
        return
    yield "loop_\n"
    yield from (f"_{name} #{number}\n" for number, name in enumerate(block, 1))
    columns = list(block.values())
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"a column is shorter than another: {', '.join(block)}")
    line = " ".join(c.format if isinstance(c, Rounded) else "%s" for c in columns) + "\n"
    for at in range(0, len(columns[0]), ROWS):
        here = slice(at, at + ROWS)
        cells = (
            c.values[here].tolist() if isinstance(c, Rounded) else map(as_token, c[here])
            for c in columns
        )
        yield "".join(map(line.__mod__, zip(*cells, strict=True)))


def as_token(text: str) -> str:
    """`text` as one token: quoted where STAR would otherwise read it as something else."""
    if _PLAIN.fullmatch(text):
        return text
    quoted = cif.quote(text)
    return f"\n{quoted}\n" if quoted.startswith(";") else quoted
