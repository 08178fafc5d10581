"""Blocks of whole micrographs: what is left out in turn to learn how sure a map's quality is."""

from typing import NamedTuple

import numpy as np

from parfocal.grouped import groups_of
from parfocal.particles import Particles

BLOCKS = 20  # few enough to be quick; an error bar from them is known to 1 / √(2 · 19), 16 %
FEWEST = 6  # micrographs, below which particles are dealt out instead


class Blocks(NamedTuple):
    """A block for each particle, and what the blocks are made of."""

    index: np.ndarray  # (n,) int
    count: int
    whole_micrographs: bool


def blocks_of(particles: Particles, used: np.ndarray, wanted: int = BLOCKS) -> Blocks:
    """At most `wanted` blocks of like numbers of `used` (n,) particles, micrographs kept whole.

    Particles of one micrograph share its ice, its dose and the error of its defocus, so they are no
    independent draws. With fewer than 6 micrographs there is no choice: particles are dealt out one by
    one, and what micrographs have in common is missing from the errors.
    """
    groups = groups_of(particles.micrograph)
    size = np.bincount(groups.index, weights=used, minlength=len(groups))
    some = np.flatnonzero(size > 0)
    if len(some) < FEWEST:
        order = np.lexsort((groups.index, particles.half_set))
        index = np.empty(len(particles), dtype=int)
        index[order] = np.arange(len(particles)) % wanted
        return Blocks(index, wanted, False)
    count = min(wanted, len(some))
    held, block = np.zeros(count), np.zeros(len(groups), dtype=int)
    for micrograph in some[np.argsort(-size[some], kind="stable")].tolist():
        block[micrograph] = np.argmin(held)
        held[block[micrograph]] += size[micrograph]
    return Blocks(block[groups.index], count, True)
