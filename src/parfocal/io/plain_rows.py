"""The last loop of a STAR file, straight from its bytes where it is plain: quick, and small in memory.

Plain are rows of words without quotes, comments or text fields, as RELION and we write them. Whatever
else a STAR file may hold is for its own parser, which takes ten times the memory for the rest.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from parfocal.jit import exact

PIECE = 1 << 22  # bytes looked at in one go
ROWS = 1 << 14  # tokens turned into words in one go: what a cache holds
LONGEST = 255  # characters of a token
EXACT = 15  # digits of a whole number that a float64 surely holds
_NOTE = rb"(?:#[ -~\t\r]*+)?\n"
HEAD = re.compile(
    rb"\nloop_[ \t\r]*+" + _NOTE + rb"(?:[ \t\r]*+(?:_[!-~]++[ \t\r]*+)?" + _NOTE + rb")++"
)
TAG = re.compile(rb"^[ \t\r]*_(\S+)", re.MULTILINE)
POWERS = 10.0 ** np.arange(EXACT + 1)  # each exact
WITHIN, GAP, NOT_FIRST, MAY_BE_RESERVED, FOREIGN = range(5)  # what a byte may do in a token
KIND = np.full(256, FOREIGN, dtype=np.uint8)
KIND[ord("!") : ord("~") + 1] = WITHIN
KIND[list(b" \n\t\r")] = GAP
KIND[list(b"#_$'\";[]")] = NOT_FIRST
KIND[list(b"dDsSlLgG")] = MAY_BE_RESERVED
RESERVED = tuple(
    np.frombuffer(w, np.uint8) for w in (b"data_", b"save_", b"loop_", b"stop_", b"global_")
)
ZERO, POINT, PLUS, MINUS, NEWLINE = b"0.+-\n"
CASE = 32  # between a capital and its small letter


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
        letters, found = np.frombuffer(self.text, np.uint8), []
        new = np.flatnonzero(_differs(letters, self.start, self.length))
        for at in range(0, len(new), ROWS):
            rows = new[at : at + ROWS]
            words = _joined(letters, self.start[rows], self.length[rows])
            found += words[:-1].tobytes().decode().split("\n")
        if len(new) == len(self):
            return found
        times = np.diff(np.append(new, len(self)))
        return np.repeat(np.array(found, dtype=object), times).tolist()

    def numbers(self) -> np.ndarray:
        """(n,) float64, each the nearest to its token. ValueError if one is not a number."""
        letters = np.frombuffer(self.text, np.uint8)
        values, odd = _decimals(letters, self.start, self.length)
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
    letters, starts, lengths, at = np.frombuffer(text, np.uint8), [], [], begin
    while at < len(text):
        end = text.find(b"\n", at + PIECE) + 1 or len(text)
        start = np.empty((end - at) // 2 + 1, dtype=place)
        length = np.empty(len(start), dtype=np.uint8)
        if (count := _tokens(letters, at, end, start, length)) < 0:
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


@exact
def _tokens(letters, begin, end, start, length):
    """Fill `start` and `length` with the tokens of letters[begin:end]; their number, -1 if not plain."""
    count, at = 0, begin
    while at < end:
        kind = KIND[letters[at]]
        if kind == GAP:
            at += 1
            continue
        if kind in (NOT_FIRST, FOREIGN):
            return -1
        first = at
        while at < end and KIND[letters[at]] != GAP:
            if KIND[letters[at]] == FOREIGN:
                return -1
            at += 1
        if at - first > LONGEST or (kind == MAY_BE_RESERVED and _reserved(letters[first:at])):
            return -1
        start[count], length[count] = first, at - first
        count += 1
    return count


@exact
def _reserved(token):
    """Whether a token begins as a word of the format, in letters of either case."""
    for word in RESERVED:
        alike = len(token) >= len(word)
        for i in range(len(word) if alike else 0):
            letter = token[i]
            if ord("A") <= letter <= ord("Z"):
                letter += np.uint8(CASE)
            alike = alike and letter == word[i]
        if alike:
            return True
    return False


@exact
def _differs(letters, start, length):
    """(n,) whether a token is another than the one before it."""
    differs = np.ones(len(start), dtype=np.bool_)
    for i in range(1, len(start)):
        if length[i] == length[i - 1]:
            same, here, before = True, np.int64(start[i]), np.int64(start[i - 1])
            for j in range(length[i]):
                if letters[here + j] != letters[before + j]:
                    same = False
                    break
            differs[i] = not same
    return differs


@exact
def _joined(letters, start, length):
    """The bytes of all tokens, a newline after each."""
    total = len(start)
    for size in length:
        total += np.int64(size)
    out, at = np.empty(total, dtype=np.uint8), 0
    for i in range(len(start)):
        first = np.int64(start[i])
        for j in range(length[i]):
            out[at + j] = letters[first + j]
        at += np.int64(length[i]) + 1
        out[at - 1] = NEWLINE
    return out


@exact
def _decimals(letters, start, length):
    """Values of tokens such as -12.5, and a mask of those that are not written so.

    Exact: a whole number below 2^53, over a power of ten that a float64 holds.
    """
    n = len(start)
    values, odd = np.empty(n), np.empty(n, dtype=np.bool_)
    for i in range(n):
        at = np.int64(start[i])
        end, sign = at + np.int64(length[i]), letters[at]
        if sign in (MINUS, PLUS):
            at += 1
        whole, digits, right, point, plain = 0, 0, 0, False, True
        while at < end and plain:
            letter = letters[at]
            if ZERO <= letter <= ZERO + 9:
                whole = whole * 10 + (np.int64(letter) - ZERO)
                digits += 1
                right += point
                plain = digits <= EXACT
            else:
                plain = letter == POINT and not point
                point = True
            at += 1
        odd[i] = not plain or digits == 0
        value = 0.0 if odd[i] else whole / POWERS[right]
        values[i] = -value if sign == MINUS else value
    return values, odd
