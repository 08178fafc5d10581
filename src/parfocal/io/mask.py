"""Reading a mask for maps that are there already, or whose grid is known."""

from pathlib import Path

import numpy as np

from parfocal.errors import InputError
from parfocal.io.mrc import read_map

SAME_PIXEL = 0.01  # relative difference of pixel sizes that still counts as the same
BEYOND = 1e-3  # below 0 or above 1 that is rounding


def read_mask(path: Path, *, box: int, pixel_size: float) -> np.ndarray:
    """The mask of a file, float32 (box, box, box) in [0, 1], for maps of voxels of `pixel_size` [Å].

    A header without a voxel size is believed. InputError if it is on another grid, 0 everywhere, or
    has values that are not those of a mask.
    """
    mask, size = read_map(path)
    size = size if np.isfinite(size) and size > 0 else pixel_size
    if mask.shape != (box, box, box) or not abs(size / pixel_size - 1) < SAME_PIXEL:
        cube = len(set(mask.shape)) == 1
        sides = f"box {len(mask)}" if cube else f"{' × '.join(map(str, mask.shape[::-1]))} voxels"
        raise InputError(
            f"{sides} at {size:.4g} Å/px, but the maps have box {box} at {pixel_size:.4g} Å/px",
            where=path,
            mend="give the mask of these maps, or make one (parfocal mask)",
        )
    if not np.isfinite(mask).all() or mask.max() <= 0:
        what = "zero everywhere, or not finite"
        raise InputError(what, where=path, mend="make the mask again (parfocal mask)")
    if mask.min() < -BEYOND or mask.max() > 1 + BEYOND:
        raise InputError(
            f"values lie in [{mask.min():.3g}, {mask.max():.3g}], expected [0, 1]",
            where=path,
            mend="give a mask, not a map: parfocal mask makes one of it",
        )
    return np.clip(mask, 0, 1)
