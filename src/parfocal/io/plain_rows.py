"""The last loop of a STAR file, straight from its bytes where it is plain: quick, and small in memory.

Plain are rows of words without quotes, comments or text fields, as RELION and we write them. Whatever
else a STAR file may hold is for its own parser, which takes ten times the memory for the rest.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

PIECE = 1 << 19  # bytes looked at in one go
ROWS = 1 << 14  # tokens turned into numbers in one go: what a cache holds
LONGEST = 255  # characters of a token
EXACT = 14  # digits that a float64 surely holds, with a place more for the point
_NOTE = rb"(?:#[ -~\t\r]*+)?\n"
HEAD = re.compile(
    rb"\nloop_[ \t\r]*+" + _NOTE + rb"(?:[ \t\r]*+(?:_[!-~]++[ \t\r]*+)?" + _NOTE + rb")++"
)
TAG = re.compile(rb"^[ \t\r]*_(\S+)", re.MULTILINE)
BYTES = np.arange(256)
NOT_PLAIN = np.isin(BYTES, list(b"#_$'\";[]"))  # as first letters of a token
MAY_BE_RESERVED = np.isin(BYTES, list(b"dDsSlLgG"))
RESERVED = re.compile(rb"(?i:data_|save_|loop_|stop_|global_)")
ZERO, POINT, PLUS, MINUS, UNDERSCORE = b"0.+-_"


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
        """(n,) the words."""
        found: list[str] = []
        for at in range(0, len(self), ROWS):
            start = self.start[at : at + ROWS].astype(np.int64)
            end = start + self.length[at : at + ROWS]
            first, last = int(start[0]), int(end[-1])
            text = self.text[first:last].decode()
            places = zip((start - first).tolist(), (end - first).tolist(), strict=True)
            found += [text[a:b] for a, b in places]
        return found

    def numbers(self) -> np.ndarray:
        """(n,) float64, each the nearest to its token. ValueError if one is not a number."""
        values, odd = np.empty(len(self)), np.empty(len(self), dtype=bool)
        letters = np.frombuffer(self.text, np.uint8)
        for at in range(0, len(self), ROWS):
            here = slice(at, at + ROWS)
            values[here], odd[here] = _decimals(letters, self.start[here], self.length[here])
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
    place = np.uint32 if len(text) < 2**32 else np.uint64
    starts, lengths, at = [], [], begin
    while at < len(text):
        end = text.find(b"\n", at + PIECE) + 1 or len(text)
        if (found := _tokens(text[at:end])) is None:
            return None
        starts.append((found[0] + at).astype(place))
        lengths.append(found[1])
        at = end
    if not starts or not width:
        return None
    start, length = np.concatenate(starts), np.concatenate(lengths)
    if not len(start) or len(start) % width:
        return None
    return [
        PlainColumn(text=text, start=start[k::width], length=length[k::width]) for k in range(width)
    ]


def _tokens(piece: bytes) -> tuple[np.ndarray, np.ndarray] | None:
    """Where the tokens of `piece` begin, and their lengths; None if it is not plain."""
    letters = np.frombuffer(b"\n" + piece + b"\n", np.uint8)
    gap = letters <= ord(" ")
    edge = np.flatnonzero(gap[1:] != gap[:-1])
    start, end = edge[::2], edge[1::2]
    length, first = end - start, letters[start + 1]
    spaces = sum(np.count_nonzero(letters == space) for space in b" \n\t\r")
    if np.count_nonzero(gap) > spaces or not piece.isascii() or b"\x7f" in piece:
        return None
    if NOT_PLAIN[first].any() or length.max(initial=0) > LONGEST:
        return None
    words = start[MAY_BE_RESERVED[first]]
    after = [letters[np.minimum(words + far, len(piece))] == UNDERSCORE for far in (5, 7)]
    words = words[after[0] | after[1]]
    if any(RESERVED.match(piece, at) for at in words.tolist()):
        return None
    return start, length.astype(np.uint8)


def _decimals(letters: np.ndarray, start, length) -> tuple[np.ndarray, np.ndarray]:
    """Values of tokens such as -12.5, and a mask of those that are not written so.

    Exact: a whole number below 2^53, over a power of ten that a float64 holds.
    """
    n, place = len(start), start.astype(np.int64) + length - 1
    whole, right, scale = np.zeros((3, n))  # the digits as if the point were a 0; those right of it
    points, digits = np.zeros((2, n), dtype=np.uint8)
    for after in range(int(length.max(initial=0))):  # from the right
        letter, inside = letters.take(place, mode="clip"), length > after
        digit = letter - np.uint8(ZERO)  # of any other letter, 10 or more
        counts, point = inside & (digit < 10), inside & (letter == POINT)
        if point.any():
            np.copyto(right, whole, where=point)
            np.copyto(scale, 10.0**after, where=point)
            points += point
        whole += np.where(counts, digit, 0) * 10.0**after
        digits += counts
        place -= 1
    sign = letters[start]
    negative = sign == MINUS
    known = digits + points + (negative | (sign == PLUS))
    odd = (known != length) | (points > 1) | (digits == 0) | (digits > EXACT)
    value = np.where(scale > 0, ((whole - right) / 10 + right) / np.maximum(scale, 1), whole)
    return np.where(negative, -value, value), odd
