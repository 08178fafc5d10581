"""Compiled loops over the bytes of a STAR file: where its words are, and what numbers they are."""

import numpy as np

from parfocal.jit import exact

LONGEST = 255  # characters of a token
EXACT = 15  # digits of a whole number that a float64 surely holds
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


@exact
def tokens(letters, begin, end, start, length):
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
def differs(letters, start, length):
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
def joined(letters, start, length):
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
def decimals(letters, start, length):
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
