"""The last loop of a STAR file, straight from its bytes where it is plain: quick, and small in memory.

Plain are rows of words without quotes, comments or text fields, as RELION and we write them. Whatever
else a STAR file may hold is for its own parser, which takes ten times the memory for the rest.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

PIECE = 1 << 22  # bytes looked at in one go
ROWS = 1 << 14  # tokens turned into words in one go: what a cache holds
_NOTE = rb"(?:#[ -~\t\r]*+)?\n"
HEAD = re.compile(
    rb"\nloop_[ \t\r]*+" + _NOTE + rb"(?:[ \t\r]*+(?:_[!-~]++[ \t\r]*+)?" + _NOTE + rb")++"
)
TAG = re.compile(rb"^[ \t\r]*_(\S+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class PlainColumn:
    """The tokens of one column: bytes of `text`, decoded when asked for."""

    text: bytes
    start: np.ndarray  # (n,) where each token begins
    length: np.ndarray  # (n,) uint8

    def __len__(self) -> int:
        return len(self.start)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tokens())

    def tokens(self) -> list[str]:
        """(n,) the words; one that is as the one before is the same object."""
        from parfocal.io import plain_kernels

        letters, found = np.frombuffer(self.text, np.uint8), []
        new = np.flatnonzero(plain_kernels.differs(letters, self.start, self.length))
        for at in range(0, len(new), ROWS):
            rows = new[at : at + ROWS]
            words = plain_kernels.joined(letters, self.start[rows], self.length[rows])
            found += words[:-1].tobytes().decode().split("\n")
        if len(new) == len(self):
            return found
        times = np.diff(np.append(new, len(self)))
        return np.repeat(np.array(found, dtype=object), times).tolist()

    def numbers(self) -> np.ndarray:
        """(n,) float64, each the nearest to its token. ValueError if one is not a number."""
        from parfocal.io import plain_kernels

        letters = np.frombuffer(self.text, np.uint8)
        values, odd = plain_kernels.decimals(letters, self.start, self.length)
        for row in np.flatnonzero(odd).tolist():
            at = int(self.start[row])
            values[row] = float(self.text[at : at + int(self.length[row])])
        return values


def last_loop(text: bytes) -> tuple[bytes, dict[str, PlainColumn]] | None:
    """What stands before the last loop of a STAR file, and its columns; None if it is not plain."""
    head = HEAD.match(text, text.rfind(b"\nloop_")) if b"\nloop_" in text else None
    if head is None:
        return None
    names = TAG.findall(head[0])
    once = len({name.lower() for name in names}) == len(names)
    if not once or (columns := _columns(text, head.end(), len(names))) is None:
        return None
    return text[: head.start()], {n.decode(): c for n, c in zip(names, columns, strict=True)}


def _columns(text: bytes, begin: int, width: int) -> list[PlainColumn] | None:
    """The columns of rows of `width` values, which are all of `text` from `begin`; None if not."""
    from parfocal.io import plain_kernels  # numba takes longer to load than many a file to read

    place = np.uint32 if len(text) < 2**32 else np.uint64
    letters, starts, lengths, at = np.frombuffer(text, np.uint8), [], [], begin
    while at < len(text):
        end = text.find(b"\n", at + PIECE) + 1 or len(text)
        start = np.empty((end - at) // 2 + 1, dtype=place)
        length = np.empty(len(start), dtype=np.uint8)
        if (count := plain_kernels.tokens(letters, at, end, start, length)) < 0:
            return None
        starts.append(start[:count].copy())
        lengths.append(length[:count].copy())
        at = end
    if not starts or not width:
        return None
    start, length = np.concatenate(starts), np.concatenate(lengths)
    if not len(start) or len(start) % width:
        return None
    return [
        PlainColumn(text=text, start=start[k::width], length=length[k::width]) for k in range(width)
    ]
