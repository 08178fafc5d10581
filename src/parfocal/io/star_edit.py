"""STAR files edited as text: new tokens in some columns of one loop, every other byte as it was."""

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from parfocal.errors import InputError
from parfocal.io.star import as_token

CHANGED = "the file was changed since it was read: run again"

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
            yield as_token(token).encode()
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
