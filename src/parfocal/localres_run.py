"""`parfocal localres`: from half-maps and a mask to a folder with local resolutions and a page."""

import json
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

import parfocal
from parfocal.errors import InputError
from parfocal.io import read_map, write_map
from parfocal.io.chimerax import write_coloured_map
from parfocal.io.files import check_free, replacing
from parfocal.io.mask import read_mask
from parfocal.local_resolution import MASKED, LocalResolution, local_difference
from parfocal.local_runs import Difference, LocalRun, summary
from parfocal.masks import TIGHT, make_mask
from parfocal.monores import Sweep, monores
from parfocal.report.localres_page import localres_page
from parfocal.windowed_fsc import Window, windowed_fsc

METHODS = ("monores", "fsc")
AUTO = "auto"
SHOWN = 0.65  # share of the mask's voxels that lie below the level of the surface
PIXEL_TOLERANCE = 0.01
ONLY = "map"  # what one pair without a name is called
Pairs = Mapping[str, tuple[Path, Path]]
Told = Callable[[str, int, int], None]


class HalfMaps(NamedTuple):
    """Two half-maps (n, n, n) as they were read."""

    half1: np.ndarray
    half2: np.ndarray
    pixel_size: float  # Å


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """What a user may choose."""

    methods: tuple[str, ...] = METHODS
    sweep: Sweep = field(default_factory=Sweep)
    window: Window = field(default_factory=Window)
    pixel_size: float | None = None  # Å; default: as in the files
    seed: int = 0  # of the block bootstrap
    jobs: int = 1

    def __post_init__(self) -> None:
        for name in self.methods:
            if name not in METHODS:
                mend = f"choose {' or '.join(METHODS)}, or both with a comma"
                raise InputError(f"no method called {name!r}", mend=mend)
        if not self.methods:
            raise InputError("no method", mend=f"choose {' or '.join(METHODS)}")
        if self.jobs < 1:
            raise InputError(f"--jobs {self.jobs}", mend="give 1 or more")
        if self.pixel_size is not None and not self.pixel_size > 0:
            raise InputError(f"--pixel-size {self.pixel_size:g}", mend="give it in Å, above 0")


def pairs_of(arguments: Iterable[str]) -> dict[str, tuple[Path, Path]]:
    """Pairs of half-maps by name, from HALF1 HALF2 or from NAME=HALF1,HALF2 once or more."""
    words = list(arguments)
    mend = "give HALF1 HALF2, or NAME=HALF1,HALF2 for every pair"
    if len(words) == 2 and not any("," in word for word in words):
        return {ONLY: (Path(words[0]), Path(words[1]))}
    found: dict[str, tuple[Path, Path]] = {}
    for word in words:
        name, _, files = word.partition("=")
        parts = files.split(",")
        if len(parts) != 2 or not all(parts):
            raise InputError(f"{word!r} is not a pair of half-maps", mend=mend)
        if not re.fullmatch(r"\w[\w.-]*", name) or name in found:
            what = f"{name!r} is {'there twice' if name in found else 'not a name for a folder'}"
            raise InputError(what, mend="name each pair by letters and digits of its own")
        found[name] = (Path(parts[0]), Path(parts[1]))
    if not found:
        raise InputError("no half-maps", mend=mend)
    return found


def run_localres(
    pairs: Pairs,
    out: Path,
    settings: LocalSettings = LocalSettings(),
    *,
    mask: Path | None = None,
    progress: Told = lambda stage, done, total: None,
) -> LocalRun:
    """Local resolution of every pair of half-maps under one mask, into the folder `out`.

    Without `mask` one is made from the first pair, tight around the molecule. Nothing is written
    before all is computed. Raises InputError.
    """
    started, cpu, out = time.time(), time.process_time(), Path(out)
    check_free(out)
    first = read_halves(next(iter(pairs.values())), settings.pixel_size)
    if "fsc" in settings.methods:
        settings.window.across(first.pixel_size, len(first.half1))  # complains before all work
    soft = _given(mask, first) if mask else _automatic(first)
    results, density = {}, {}
    for name, files in pairs.items():
        halves = read_halves(files, settings.pixel_size)
        _check_same(halves, first, where=files[0])
        results[name] = _resolutions(halves, soft, settings, progress)
        density[name] = (halves.half1 + halves.half2) / 2
    progress("comparing", 0, 1)
    run = LocalRun(
        out=out,
        results=results,
        density=density,
        mask=soft,
        differences=tuple(_differences(results, soft, np.random.default_rng(settings.seed))),
    )
    info = {
        "parfocal": parfocal.__version__,
        "command": shlex.join(sys.argv),
        "inputs": {name: [str(file) for file in files] for name, files in pairs.items()},
        "mask": str(mask or AUTO),
        "settings": asdict(settings),
        **summary(run),
        "timings": {
            "wall_s": round(time.time() - started, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
        },
    }
    return _write(replace(run, info=info), progress)


def read_halves(files: tuple[Path, Path], pixel_size: float | None) -> HalfMaps:
    """Two half-maps, checked: cubes on one grid, finite, not the same. Raises InputError."""
    (half1, size1), (half2, size2) = (read_map(file) for file in files)
    for half, file in ((half1, files[0]), (half2, files[1])):
        if len(set(half.shape)) != 1:
            raise InputError(f"not a cube: {half.shape}", where=file, mend="give a cubic map")
        if not np.isfinite(half).all():
            what = "holds NaN or infinite voxels"
            raise InputError(what, where=file, mend="write the map again")
    size = pixel_size or size1
    if not (np.isfinite(size) and size > 0):
        raise InputError("its header has no pixel size", where=files[0], mend="give --pixel-size")
    other = HalfMaps(half2, half2, pixel_size or size2)
    _check_same(other, HalfMaps(half1, half2, size), where=files[1])
    if np.array_equal(half1, half2):
        mend = "give the two half-maps of a refinement, not one map twice"
        raise InputError("is the same map as the other half", where=files[1], mend=mend)
    return HalfMaps(half1, half2, size)


def _given(file: Path, halves: HalfMaps) -> np.ndarray:
    """A mask on the half-maps' grid that has an inside. Raises InputError."""
    mask = read_mask(file, box=len(halves.half1), pixel_size=halves.pixel_size)
    if not (mask > MASKED).any():
        mend = "make the mask again, with `parfocal mask`"
        raise InputError(f"nowhere above {MASKED}", where=file, mend=mend)
    return mask


def _automatic(halves: HalfMaps) -> np.ndarray:
    return make_mask((halves.half1 + halves.half2) / 2, halves.pixel_size, **TIGHT)


def _check_same(maps: HalfMaps, first: HalfMaps, *, where: Path) -> None:
    alike = abs(maps.pixel_size / first.pixel_size - 1) < PIXEL_TOLERANCE
    if maps.half1.shape != first.half1.shape or not alike:
        sizes = [f"box {len(m.half1)} at {m.pixel_size:.4g} Å/px" for m in (maps, first)]
        mend = "give half-maps and mask on one grid, of one box and pixel size"
        raise InputError(
            f"{sizes[0]}, but the first half-map has {sizes[1]}", where=where, mend=mend
        )


def _resolutions(halves: HalfMaps, mask, settings: LocalSettings, progress: Told):
    """Method -> local resolution of one pair."""
    options = {"pixel_size": halves.pixel_size, "workers": settings.jobs, "progress": progress}
    found: dict[str, LocalResolution] = {}
    for method in dict.fromkeys(settings.methods):
        if method == "monores":
            found[method] = monores(*halves[:2], mask, sweep=settings.sweep, **options)
        else:
            found[method] = windowed_fsc(*halves[:2], mask, window=settings.window, **options)
    return found


def _differences(results, mask, rng):
    """Every pair against the first, paired voxel by voxel; positive where it is finer."""
    first, *others = results
    for name in others:
        for method, base in results[first].items():
            found = local_difference(
                base.resolution, results[name][method].resolution, mask, rng=rng
            )
            yield Difference(name, first, method, found)


def _write(run: LocalRun, progress: Told) -> LocalRun:
    """Write everything; run.json comes last, so that a folder without one is not whole."""
    progress("writing", 0, 1)
    size = next(iter(run.items().values()))[1].pixel_size
    write_map(run.out / "mask.mrc", run.mask, size)
    for name, by_method in run.results.items():
        folder, density = run.folder(name), run.density[name]
        write_map(folder / "map.mrc", density, size)
        for method, found in by_method.items():
            write_map(folder / f"local_resolution_{method}.mrc", found.resolution, size)
            write_coloured_map(
                folder / f"local_resolution_{method}.cxc",
                density="map.mrc",
                values=f"local_resolution_{method}.mrc",
                level=float(np.quantile(density[found.inside], SHOWN)),
                limits=run.colours(method),
            )
    with replacing(run.out / "report.html") as file:
        file.write(localres_page(run).encode())
    with replacing(run.out / "run.json") as file:
        file.write(json.dumps(run.info, indent=2, allow_nan=False).encode())
    progress("done", 1, 1)
    return run
