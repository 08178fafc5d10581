"""`parfocal localres`: from half-maps and a mask to a folder with local resolutions and a page."""

import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

import parfocal
from parfocal.errors import InputError
from parfocal.fsc_faults import check_independent
from parfocal.fsc_inputs import AUTO, NO_MASK, Pair, faults_of_headers, mask_of, read_pairs
from parfocal.io import write_map
from parfocal.io.chimerax import write_coloured_map
from parfocal.io.files import check_free, replacing
from parfocal.local_resolution import MASKED, LocalResolution, local_difference
from parfocal.local_runs import Difference, LocalRun, summary
from parfocal.masks import TIGHT
from parfocal.monores import Sweep, monores
from parfocal.report.localres_page import localres_page
from parfocal.windowed_fsc import Window, windowed_fsc

METHODS = ("monores", "fsc")
FEWEST = 1000  # voxels inside of a mask
SHOWN = 0.65  # share of the mask's voxels that lie below the level of the surface
Told = Callable[[str, int, int], None]


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


def run_localres(
    files: Mapping[str, tuple[Path, Path]],
    out: Path,
    settings: LocalSettings = LocalSettings(),
    *,
    mask: str = AUTO,
    progress: Told = lambda stage, done, total: None,
) -> LocalRun:
    """Local resolution of every pair of half-maps (name -> two files) under one mask, into `out`.

    `mask` is a file, or "auto": tight around the mean of all maps. Nothing is written before all is
    computed. Raises InputError.
    """
    started, cpu, out = time.time(), time.process_time(), Path(out)
    check_free(out)
    progress("reading", 0, 1)
    pairs, pixel_size = read_pairs(files, settings.pixel_size)
    for pair in pairs:
        check_independent(pair.half1, pair.half2, where=" and ".join(map(str, pair.files)))
    if "fsc" in settings.methods:
        settings.window.across(pixel_size, len(pairs[0].half1))  # complains before all work
    soft = _mask(mask, pairs, pixel_size)
    results = {p.name: _resolutions(p, pixel_size, soft, settings, progress) for p in pairs}
    progress("comparing", 0, 1)
    run = LocalRun(
        out=out,
        results=results,
        density={pair.name: (pair.half1 + pair.half2) / 2 for pair in pairs},
        mask=soft,
        differences=tuple(_differences(results, soft, np.random.default_rng(settings.seed))),
    )
    found = summary(run)
    found["warnings"] = [*faults_of_headers(pixel_size, settings.pixel_size), *found["warnings"]]
    info = {
        "parfocal": parfocal.__version__,
        "command": shlex.join(sys.argv),
        "inputs": {name: [str(path) for path in paths] for name, paths in files.items()},
        "mask": mask,
        "settings": asdict(settings),
        **found,
        "timings": {
            "wall_s": round(time.time() - started, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
        },
    }
    return _write(replace(run, info=info), progress)


def _mask(choice: str, pairs: Sequence[Pair], pixel_size: float) -> np.ndarray:
    """A mask on the half-maps' grid that has an inside. Raises InputError."""
    if choice == NO_MASK:
        mend = "give --mask FILE, or --mask auto"
        raise InputError("local resolution is that of a molecule, within a mask", mend=mend)
    mask = mask_of(choice, pairs, pixel_size, **TIGHT)
    voxels = int((mask > MASKED).sum())
    if voxels < FEWEST:
        what = f"above {MASKED} in {voxels} voxels" if voxels else f"nowhere above {MASKED}"
        mend = "give a mask of the molecule: parfocal mask makes one"
        raise InputError(what, where=choice, mend=mend)
    return mask


def _resolutions(pair: Pair, pixel_size: float, mask, settings: LocalSettings, progress: Told):
    """Method -> local resolution of one pair."""
    halves = pair.half1, pair.half2
    options = {"pixel_size": pixel_size, "workers": settings.jobs, "progress": progress}
    found: dict[str, LocalResolution] = {}
    try:
        for method in dict.fromkeys(settings.methods):
            if method == "monores":
                found[method] = monores(*halves, mask, sweep=settings.sweep, **options)
            else:
                found[method] = windowed_fsc(*halves, mask, window=settings.window, **options)
    except InputError as error:
        where = " and ".join(map(str, pair.files))
        raise InputError(error.what, where=where, mend=error.mend) from None
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
