"""Defoci that no pixel had a say in which they are used on: what makes maps that chance cannot lift.

A defocus fitted to an image turns the CTF until the image's noise, too, resembles the reference. Both
half-maps take in that resemblance, for both references show the same structure, and their FSC rises
by as much for a change δ of defocus that is noise as for one that is true (to second order: the score
of the fit, not the truth, is what lifts it). Estimates of ours come from either fold of the Fourier
pixels too. Where a pixel of one fold is given the defocus that the other fold told, noise has no part
in the choice, and the FSC rises by what is true alone.
"""

from dataclasses import dataclass, replace

import numpy as np

from parfocal.grid import Fold, SpectraGrid, block_fold
from parfocal.particles import Particles


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The same particles twice, row by row: with the defoci of the pixels of either fold."""

    first: Particles  # for pixels of the first fold, with what the second fold told
    second: Particles

    def __post_init__(self) -> None:
        if not np.array_equal(self.first.particle_id, self.second.particle_id):
            raise ValueError("the folds are not of the same particles, row by row")

    def take(self, rows) -> "HeldOut":
        """As `Particles.take`, of both."""
        return HeldOut(first=self.first.take(rows), second=self.second.take(rows))


Defoci = Particles | HeldOut


def parts_of(one: Defoci) -> tuple[tuple[Particles, Fold | None], ...]:
    """Particles, and the fold of the pixels that are theirs; None: all."""
    if isinstance(one, Particles):
        return ((one, None),)
    return (one.first, Fold.FIRST), (one.second, Fold.SECOND)


def grid_of_fold(grid: SpectraGrid, fold: Fold) -> SpectraGrid:
    """The pixels of `grid` in the blocks of one fold, each run of neighbours a row.

    Guard pixels belong to the block that they lie in, so that the two folds hold every pixel once. The
    noise of a guard pixel was seen by the other fold by some 5 %, through the zero-padding; that is 1 %
    of all. `s` and `n` stay those of the whole.
    """
    row = np.repeat(np.arange(len(grid.ky)), np.diff(grid.first))
    kx = np.arange(len(row)) - grid.first[row] + grid.start[row]
    blocks = block_fold(kx, grid.ky[row], grid.optics.image_size / grid.padded_size)
    kept = np.flatnonzero(blocks == fold)
    begins = np.flatnonzero((np.diff(kept, prepend=-2) > 1) | (np.diff(row[kept], prepend=-1) > 0))
    return replace(
        grid,
        ky=grid.ky[row[kept[begins]]],
        start=kx[kept[begins]],
        first=np.append(begins, len(kept)),
        slot=grid.slot[kept],
        sector_slot=grid.sector_slot[kept] if grid.sector_slot.size else grid.sector_slot,
        phase=grid.phase[kept],
        odd=grid.odd[kept] if grid.odd.size else grid.odd,
    )
