"""Half-maps with each block of micrographs left out in turn: how sure an FSC is, set against set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import scipy.fft

from parfocal.chunks import one_by_one
from parfocal.fsc import shell_correlation
from parfocal.held_out import Defoci
from parfocal.insertion import FourierSums
from parfocal.micrograph_blocks import Blocks
from parfocal.particles import Images
from parfocal.reconstruct import Reconstruction, reconstruct_sets

PADDING = 1.0  # errors need no finer grid; an eighth of the memory and of the time of 2
ITERATIONS = 1  # of the gridding weights, likewise
SUBSETS = (1 / 8, 1 / 4, 1 / 2)  # of the blocks, for the fall of resolution with particles
Told = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Replicates:
    """Masked FSC of one set's half-maps, with all blocks, without each, and of the first few."""

    whole: np.ndarray  # (shells,)
    without: np.ndarray  # (blocks, shells)
    particles: np.ndarray  # (subsets,) how many are in the maps below, all of them last
    subsets: np.ndarray  # (subsets, shells)


def replicates(
    sets: Mapping[str, Defoci],
    images: Images,
    blocks: Blocks,
    mask: np.ndarray,
    *,
    symmetry: str = "C1",
    run: Callable = one_by_one,
    progress: Told = lambda stage, done, total: None,
) -> dict[str, Replicates]:
    """`Replicates` of every set, the same blocks left out of all.

    `sets` are row by row the same particles, all of them usable. Their images are read twice: for the
    sums of all, and block after block; a block's sums taken from those of all leave the rest's exactly,
    so that nothing is linearised. Maps are made without padding.
    """
    options = {"symmetry": symmetry, "padding": PADDING, "run": run}
    progress("blocks", 0, blocks.count + 1)
    totals = reconstruct_sets(sets, images, **options)
    names = list(sets)
    whole = _curves(totals, mask, run)
    without = {name: [] for name in names}
    grown: dict[str, Reconstruction] = {}
    marks = {max(1, round(share * blocks.count)) for share in SUBSETS}
    particles, subsets = [], {name: [] for name in names}
    for block in range(blocks.count):
        progress("blocks", block + 1, blocks.count + 1)
        rows = np.flatnonzero(blocks.index == block)
        taken = {name: one.take(rows) for name, one in sets.items()}
        parts = reconstruct_sets(taken, _Rows(images, rows), **options)
        rest = {name: _combined(totals[name], parts[name], -1) for name in names}
        for name, curve in _curves(rest, mask, run).items():
            without[name].append(curve)
        del rest
        if block < max(marks):
            grown = {
                name: _combined(grown[name], parts[name], 1) if grown else parts[name]
                for name in names
            }
        if block + 1 in marks:
            particles.append(int((blocks.index <= block).sum()))
            for name, curve in _curves(grown, mask, run).items():
                subsets[name].append(curve)
    progress("blocks", blocks.count + 1, blocks.count + 1)
    return {
        name: Replicates(
            whole=whole[name],
            without=np.stack(without[name]),
            particles=np.array([*particles, len(blocks.index)]),
            subsets=np.stack([*subsets[name], whole[name]]),
        )
        for name in names
    }


def _combined(first: Reconstruction, second: Reconstruction, sign: int) -> Reconstruction:
    """Sums of both, or those of `first` without those of `second`."""
    sums: dict[int, FourierSums] = {}
    for half, part in first.sums.items():
        other = second.sums.get(half)
        sums[half] = part if other is None else replace(part, data=part.data + sign * other.data)
    for half in second.sums.keys() - first.sums.keys():
        sums[half] = second.sums[half]
    return replace(first, sums=sums)


def _curves(made: Mapping[str, Reconstruction], mask, run) -> dict[str, np.ndarray]:
    """Masked FSC (shells,) of each set's half-maps; 0 where a half is empty."""
    names = list(made)

    def work(number):
        found = made[names[number]]
        if not {1, 2} <= found.sums.keys():
            return np.zeros(found.box // 2 + 1)
        halves = (found.half_map(half, iterations=ITERATIONS) * mask for half in (1, 2))
        return shell_correlation(*map(scipy.fft.rfftn, halves))

    found = dict(run(work, range(len(names))))
    return {name: found[number] for number, name in enumerate(names)}


class _Rows:
    """Some of the images, counted from 0."""

    def __init__(self, images: Images, rows: np.ndarray) -> None:
        self._images, self._rows = images, rows

    def read_into(self, row: int, out: np.ndarray) -> None:
        """As `parfocal.particles.Images` has it."""
        self._images.read_into(int(self._rows[row]), out)
