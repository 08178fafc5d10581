"""Large arrays of zeros in memory of their own, of which what stays 0 can be given back."""

import math
import mmap
from collections.abc import Iterable

import numpy as np

SMALL = 4096  # bytes, of the pages that are given back


def zeros(shape: tuple[int, ...]) -> np.ndarray:
    """float32 zeros of `shape`, on large pages where the system has them.

    What is read and written all over the place is twice as slow on small ones, which np.zeros has.
    """
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        data = np.empty(shape, dtype=np.float32)
        data.fill(0)
        return data
    pages = mmap.mmap(-1, 4 * math.prod(shape), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, dtype=np.float32).reshape(shape)


def give_back(data: np.ndarray, spans: Iterable[tuple[int, int]]) -> int:
    """Let go of the memory of those `spans` of `data`, counted in numbers, that hold 0 alone.

    They read as 0 ever after. Returns how many bytes that were; 0 for an array that is not of `zeros`.
    """
    pages, flat, given = _pages(data), data.reshape(-1), 0
    if pages is None:
        return 0
    for start, end in spans:
        first, last = -(-4 * start // SMALL) * SMALL, 4 * end // SMALL * SMALL
        if first < last and not flat[first // 4 : last // 4].any():
            pages.madvise(mmap.MADV_DONTNEED, first, last - first)
            given += last - first
    return given


def _pages(data) -> mmap.mmap | None:
    """The memory that an array of `zeros` lies in."""
    while isinstance(data, np.ndarray):
        data = data.base
    if isinstance(data, memoryview):
        data = data.obj
    return data if isinstance(data, mmap.mmap) else None
