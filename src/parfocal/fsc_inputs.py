"""Reading what `parfocal fsc` and `parfocal mask` need: half-maps in pairs, and a mask on their grid."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from parfocal.errors import InputError
from parfocal.io import read_map
from parfocal.io.mask import read_mask
from parfocal.masks import make_mask
from parfocal.reference import soft_sphere

AUTO, NO_MASK = "auto", "none"
SAME_PIXEL = 0.01  # relative difference of pixel sizes that still counts as the same
USAGE = "give two half-maps, or one or more NAME=HALF1,HALF2"


class Pair(NamedTuple):
    """Two half-maps (n, n, n) of one name, on the grid of all others."""

    name: str
    files: tuple[Path, Path]
    half1: np.ndarray
    half2: np.ndarray


def named_pairs(arguments: Sequence[str]) -> dict[str, tuple[Path, Path]]:
    """Name -> two files, of `HALF1 HALF2` or of `NAME=HALF1,HALF2 ...`. InputError.

    Without a name the pair is called by what its files' names share.
    """
    if len(arguments) == 2 and not any("," in argument for argument in arguments):
        first, second = map(Path, arguments)
        return {_shared_name(first, second): (first, second)}
    pairs: dict[str, tuple[Path, Path]] = {}
    for argument in arguments:
        name, equals, files = argument.partition("=")
        halves = files.split(",")
        if not equals or len(halves) != 2 or not all(halves):
            raise InputError(f"{argument!r} is no pair of half-maps", mend=USAGE)
        if not re.fullmatch(r"[\w.+-]+", name) or name.startswith("."):
            mend = "use letters, digits, - and _: a folder is called so"
            raise InputError(f"a pair called {name!r}", mend=mend)
        if name in pairs:
            raise InputError(f"two pairs are called {name!r}", mend="give each its own name")
        pairs[name] = (Path(halves[0]), Path(halves[1]))
    if not pairs:
        raise InputError("no half-maps", mend=USAGE)
    return pairs


def _shared_name(first: Path, second: Path) -> str:
    """run_half1_class001.mrc and run_half2_class001.mrc -> run_class001."""
    half = r"[_-]?half[_-]?(?:map[_-]?)?[12ab]|[_-]?[12ab]$"
    parts = re.split(half, first.stem, maxsplit=1, flags=re.IGNORECASE)
    name = "".join(parts).strip("_-.")
    return name if len(parts) == 2 and name else "half-maps"


def read_pairs(
    files: Mapping[str, tuple[Path, Path]], pixel_size: float | None = None
) -> tuple[list[Pair], float]:
    """The half-maps of each pair, all on one grid, and their pixel size [Å]. InputError.

    `pixel_size` is that of the headers if not given.
    """
    if pixel_size is not None and not (np.isfinite(pixel_size) and pixel_size > 0):
        raise InputError(f"--pixel-size of {pixel_size:g}", mend="give it in Å, such as 1.06")
    first = next(iter(files.values()))[0]
    shape, size, pairs = None, pixel_size, []
    for name, paths in files.items():
        halves = []
        for path in paths:
            density, found = read_map(path)
            size = _pixel_size(found, path) if size is None else size
            check_map(density, path)
            shape = density.shape if shape is None else shape
            _check_grid(
                (density.shape, found if pixel_size is None else size), (shape, size), path, first
            )
            halves.append(density)
        pairs.append(Pair(name, paths, *halves))
    assert size is not None
    return pairs, size


def _pixel_size(found: float, path: Path) -> float:
    if np.isfinite(found) and found > 0:
        return found
    raise InputError("its header has no pixel size", where=path, mend="give --pixel-size")


def check_map(density, path: Path) -> None:
    """InputError if a map is no cube, or holds nothing, or what is no number."""
    if len(set(density.shape)) != 1:
        what = f"{' × '.join(map(str, density.shape[::-1]))} voxels are not a cube"
        raise InputError(what, where=path, mend="give a cubic map, as the refinement wrote it")
    if not np.isfinite(density).all():
        raise InputError("holds NaN or infinite voxels", where=path, mend="write the map again")
    if density.min() == density.max():
        raise InputError("is constant", where=path, mend="write the map again")


def _check_grid(found, wanted, path: Path, first: Path) -> None:
    """That the (shape, pixel size) of a map is that of the first one."""
    (shape, size), (first_shape, first_size) = found, wanted
    if shape != first_shape or not abs(size / first_size - 1) < SAME_PIXEL:
        raise InputError(
            f"box {shape[0]} at {size:.4g} Å/px, but {first.name} has box {first_shape[0]} at "
            f"{first_size:.4g} Å/px",
            where=path,
            mend="give half-maps and mask of one refinement",
        )


def mask_of(choice: str, pairs: Sequence[Pair], pixel_size: float) -> np.ndarray:
    """The mask of a file, one made of the mean of all maps (AUTO), or a sphere that fills the box."""
    if choice == NO_MASK:
        return soft_sphere(len(pairs[0].half1))
    if choice == AUTO:
        total = sum(half for pair in pairs for half in (pair.half1, pair.half2))
        return make_mask(np.asarray(total) / (2 * len(pairs)), pixel_size)
    return read_mask(Path(choice), box=len(pairs[0].half1), pixel_size=pixel_size)
