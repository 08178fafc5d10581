"""Reading half-maps in pairs, and a mask on their grid: for `parfocal fsc` and `parfocal localres`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from parfocal.errors import InputError
from parfocal.io import read_map
from parfocal.io.mask import read_mask
from parfocal.masks import make_mask, soft_sphere

AUTO, NO_MASK = "auto", "none"
SAME_PIXEL = 0.01  # relative difference of pixel sizes that still counts as the same
FEWEST = 16  # voxels along a side, of the smallest map that is one
LEAST, MOST = 1e-10, 1e10  # largest value of a map: squares of its transform are numbers in float32
WRITTEN = (".html", ".json", ".mrc", ".star", ".cxc")  # folders are not called like these files
UNKNOWN = 1.0  # Å, what some programs write as the voxel size when they do not know it
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
        if not re.fullmatch(r"\w[\w.+-]*", name) or name.endswith(WRITTEN):
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
            found = found if pixel_size is None else pixel_size
            if not (np.isfinite(found) and found > 0):
                what = "its header has no pixel size"
                raise InputError(what, where=path, mend="give --pixel-size in Å, such as 1.06")
            check_map(density, path)
            size = found if size is None else size
            shape = density.shape if shape is None else shape
            _check_grid((density.shape, found), (shape, size), path, first)
            halves.append(density)
        pairs.append(Pair(name, paths, *halves))
    assert size is not None
    return pairs, size


def check_map(density, path: Path) -> None:
    """InputError if a map is no cube or too small, or holds nothing, or what is no number."""
    if len(set(density.shape)) != 1:
        what = f"{' × '.join(map(str, density.shape[::-1]))} voxels are not a cube"
        raise InputError(what, where=path, mend="give a cubic map, as the refinement wrote it")
    if len(density) < FEWEST:
        what = f"a box of {len(density)} voxels is too small to be a map"
        raise InputError(what, where=path, mend=f"give one of {FEWEST} or more")
    if not np.isfinite(density).all():
        raise InputError("holds NaN or infinite voxels", where=path, mend="write the map again")
    if density.min() == density.max():
        raise InputError("is constant", where=path, mend="write the map again")
    largest = float(np.abs(density).max())
    if not LEAST < largest < MOST:
        what = f"values up to {largest:.2g}"
        raise InputError(what, where=path, mend=f"scale the map into {LEAST:g} to {MOST:g}")


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


def mask_of(choice: str, pairs: Sequence[Pair], pixel_size: float, **options: float) -> np.ndarray:
    """The mask of a file, one made of the mean of all maps (AUTO), or a sphere that fills the box.

    `options` are those of `make_mask`.
    """
    if choice == NO_MASK:
        return soft_sphere(len(pairs[0].half1))
    if choice == AUTO:
        total = sum(half for pair in pairs for half in (pair.half1, pair.half2))
        return make_mask(np.asarray(total) / (2 * len(pairs)), pixel_size, **options)
    return read_mask(Path(choice), box=len(pairs[0].half1), pixel_size=pixel_size)


def faults_of_headers(pixel_size: float, given: float | None) -> Iterator[str]:
    """A sentence on a pixel size that may be none; `given` is what the user said it is."""
    if given is None and pixel_size == UNKNOWN:
        yield (
            "The maps' headers say 1 Å/px, which some programs write when they do not know: if it is "
            "not so, every resolution is wrong. Say it with --pixel-size."
        )
