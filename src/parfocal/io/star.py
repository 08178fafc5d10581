"""STAR files: columns read on demand, text edited so that nothing else changes, our own written."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from gemmi import cif  # pyright: ignore[reportMissingModuleSource]

from parfocal.errors import InputError
from parfocal.io.files import replacing

CHANGED = "the file was changed since it was read: run again"
Block = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Table:
    """One data block: its columns by name, without the leading underscore.

    Tokens are converted when asked for. A name outside of a loop is a column of one row.
    """

    where: str  # file and block, for messages
    columns: Mapping[str, cif.Column]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __len__(self) -> int:
        return max((len(column) for column in self.columns.values()), default=0)

    def text(self, name: str) -> list[str]:
        """The column's tokens, quotes removed. InputError if the block has no such column."""
        return [cif.as_string(t) if t[0] in "'\";" else t for t in self._raw(name)]

    def numbers(self, name: str, default: float | None = None) -> np.ndarray:
        """The column as float64, or `default` in every row where the block has no such column.

        InputError if there is neither, or a token is not a number; `nan` and `inf` are numbers.
        """
        if name not in self and default is not None:
            return np.full(len(self), default)
        tokens = self._raw(name)
        try:
            return np.fromiter(map(float, tokens), float, len(tokens))
        except ValueError:  # a quoted number, or none at all
            tokens = self.text(name)
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

    def _raw(self, name: str) -> list[str]:
        if name not in self:
            mend = f"add _{name} to this block"
            raise InputError(f"no column _{name}", where=self.where, mend=mend)
        tokens = list(self.columns[name])
        if len(tokens) not in (1, len(self)):
            what = f"_{name} has {len(tokens)} rows, another column {len(self)}"
            raise InputError(what, where=self.where, mend="keep one loop in a block")
        return tokens * len(self) if len(tokens) == 1 else tokens


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
            document = cif.read(str(path))
    except OSError as error:
        raise InputError.of_system(error, Path(path)) from None
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"not a readable STAR file ({str(error).removeprefix(f'{path}:')})",
            where=path,
            mend="a row may have a value too many or too few, or an unquoted character that is "
            "not ASCII",
        ) from None
    return {block.name.strip(): _table(block, Path(path)) for block in document}


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
    """Write blocks, each a loop of columns of tokens, or pairs if its values are single tokens."""
    with replacing(path) as file:
        for name, block in blocks.items():
            file.write(f"\ndata_{name}\n\n".encode())
            file.writelines(line.encode() for line in _lines(block))


def _lines(block: Block) -> Iterator[str]:
    if all(isinstance(value, str) for value in block.values()):
        yield from (f"_{name} {_as_token(str(value))}\n" for name, value in block.items())
        return
    yield "loop_\n"
    yield from (f"_{name} #{number}\n" for number, name in enumerate(block, 1))
    for row in zip(*block.values(), strict=True):
        yield " ".join(map(_as_token, row)) + "\n"


# The grammar of CIF, in bytes. Every repeat is possessive, so that no match can go back on itself.
_SKIP = rb"(?:[ \t\r\n]++|#[^\n]*+)*+"
_WORD = (
    rb"(?:[^\s'\"#_;$dDsSlLgG]\S*+|"
    rb"(?!(?i:data_|save_|(?:loop_|stop_|global_)(?:\s|\Z)))[^\s'\"#_;$]\S*+)"
)
_QUOTED = rb"(?:'(?:[^'\n]|'(?=\S))*+'|\"(?:[^\"\n]|\"(?=\S))*+\")"
_FIELD = rb"(?>(?<=\n);(?s:.*?)\n;)"
_VALUE = rb"(?:" + _WORD + rb"|" + _QUOTED + rb"|" + _FIELD + rb"|(?<!\n);\S*+)"
_ANY = re.compile(_SKIP + rb"(?:(?P<value>" + _VALUE + rb")|(?P<name>\S++)|\Z)")
_PLAIN = re.compile(r"(?!(?i:data_|save_|loop_|stop_|global_))[!%&(-:<-^`a-~][!-~]*")


def _as_token(text: str) -> str:
    """`text` as one token: quoted where STAR would otherwise read it as something else."""
    if _PLAIN.fullmatch(text):
        return text
    quoted = cif.quote(text)
    return f"\n{quoted}\n" if quoted.startswith(";") else quoted


def edit_columns(
    text: bytes,
    block: str,
    columns: Mapping[str, Sequence[str]],
    *,
    keep: np.ndarray | None = None,
    where: object = "",
) -> bytes:
    """The STAR file `text` with new tokens in some columns of one loop; see `edited`."""
    return b"".join(edited(text, block, columns, keep=keep, where=where))


def edited(
    text: bytes,
    block: str,
    columns: Mapping[str, Sequence[str]],
    *,
    keep: np.ndarray | None = None,
    where: object = "",
) -> Iterator[bytes]:
    """The STAR file `text` with new tokens in some columns of one loop; every other byte stays.

    `columns` gives, by name, a token for each row of the loop of `block` that has those columns.
    `keep`, a mask over the rows, leaves out the others. In pieces, for there can be a million
    rows. InputError if there is no such loop or the number of tokens is not that of its rows.
    """
    start, names = _find_loop(text, block, columns, where)
    order = sorted(columns, key=names.index)
    n = len(columns[order[0]])
    pattern = _row_pattern([names.index(name) for name in order], len(names))
    yield text[:start]
    done = at = start
    rows = zip(*(columns[name] for name in order), strict=True)
    for tokens, kept in zip(rows, [True] * n if keep is None else keep, strict=True):
        if not (row := pattern.match(text, at)):
            raise InputError(f"data_{block} has fewer rows than {n}", where=where, mend=CHANGED)
        at = row.end()
        if not kept:
            yield text[done : row.start()]
            done = at
            continue
        for group, token in enumerate(tokens, 1):
            yield text[done : row.start(group)]
            yield _as_token(token).encode()
            done = row.end(group)
    if pattern.match(text, at):
        raise InputError(f"data_{block} has more rows than {n}", where=where, mend=CHANGED)
    yield text[done:]


def _find_loop(text: bytes, block: str, columns, where) -> tuple[int, list[str]]:
    """Where the rows of the loop start, and the names of all its columns."""
    inside, names = False, None  # None: not in the head of a loop
    for token in _ANY.finditer(text):
        word = (token["name"] or b"").decode()
        if word.startswith("_"):
            if names is not None:
                names.append(word[1:])
        elif names and token["value"]:
            if set(columns) <= set(names):
                return token.start(), names
            names = None
        elif word.lower().startswith("data_"):
            inside, names = word[5:] == block, None
        else:
            names = [] if inside and word.lower() == "loop_" else None
    what = f"data_{block} has no loop with {', '.join(columns)}"
    raise InputError(what, where=where, mend=CHANGED)


def _row_pattern(positions: Sequence[int], width: int) -> re.Pattern[bytes]:
    """Matches one row of `width` values, with a group for the value at each position."""
    pattern, done = b"", 0
    for position in positions:
        pattern += rb"(?:%b%b){%d}%b(%b)" % (_SKIP, _VALUE, position - done, _SKIP, _VALUE)
        done = position + 1
    return re.compile(pattern + rb"(?:%b%b){%d}" % (_SKIP, _VALUE, width - done))
