"""`parfocal reconstruct`: from particles and sets of defoci to a folder of maps."""

import json
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import parfocal
from parfocal.chunks import one_by_one
from parfocal.errors import InputError
from parfocal.ewald import Ewald
from parfocal.execution.memory import available_memory
from parfocal.fsc_curves import KINDS, FscCurves, fsc_curves
from parfocal.fsc_star import write_fsc_star
from parfocal.half_sets import BOTH, DRAWN, images_in_both
from parfocal.insertion import sums_bytes
from parfocal.io import StackImages, write_map
from parfocal.io.files import check_free, replacing
from parfocal.io.half_sets import has_place, write_half_sets
from parfocal.losses import told
from parfocal.optics import Optics
from parfocal.particles import Images
from parfocal.reconstruct import Reconstruction, reconstruct_sets
from parfocal.reconstruct_inputs import (
    INPUT,
    ReconstructFiles,
    ReconstructInputs,
    read_reconstruct_inputs,
)
from parfocal.set_inputs import Told
from parfocal.symmetry import rotations

LEVELS = (0.143, 0.5)
SHELLS = 4  # of the box, that maps hold at the least
BESIDE = 0.3e9  # bytes that the program itself takes, and the images under way


@dataclass(frozen=True, kw_only=True)
class ReconstructSettings:
    """What a user may choose."""

    symmetry: str = "C1"
    padding: float = 2.0
    resolution: float | None = None  # Å, to which maps are made; None: Nyquist
    ewald: Ewald | None = None
    jobs: int = 1
    seed: int = 0  # of the random phases that correct the FSC

    def __post_init__(self) -> None:
        rotations(self.symmetry)
        if not 1 <= self.padding <= 4:
            raise InputError(f"a padding of {self.padding:g}", mend="choose 1 to 4")
        if self.resolution is not None and not 0 < self.resolution < 1000:
            what = f"a --max-resolution of {self.resolution:g} Å"
            raise InputError(what, mend="give it in Å, such as 3")
        if self.jobs < 1:
            raise InputError(f"{self.jobs} jobs", mend="choose 1 or more")

    @property
    def k_max(self) -> float:
        """Å⁻¹."""
        return np.inf if self.resolution is None else 1 / self.resolution


@dataclass(frozen=True, kw_only=True)
class ReconstructRun:
    """What was made, and where it was written."""

    out: Path
    curves: Mapping[str, FscCurves]  # by set
    info: Mapping[str, Any] = field(default_factory=dict)  # as in run.json

    def folder(self, name: str) -> Path:
        """Where the maps of a set are: those of the particle file's own defoci in `out` itself."""
        return self.out if name == INPUT else self.out / name


def run_reconstruct(
    files: ReconstructFiles,
    out: Path,
    settings: ReconstructSettings = ReconstructSettings(),
    *,
    progress: Told = lambda stage, done, total: None,
) -> ReconstructRun:
    """Half-maps, full map and FSC of every set, written to the folder `out`. Raises InputError.

    Nothing is written before all images are read. A map stands in its folder whole or not at all,
    and run.json comes last.
    """
    started, cpu, out = time.time(), time.process_time(), Path(out)
    check_free(out)
    progress("reading", 0, 1)
    inputs = read_reconstruct_inputs(files)
    first = inputs.sets[INPUT]
    _check_resolution(first.optics[0], settings)
    _check_memory(first.optics[0], len(inputs.sets), settings)
    images = _Pass(StackImages(first), progress, len(first), settings.jobs)
    found = reconstruct_sets(
        inputs.sets,
        images,
        symmetry=settings.symmetry,
        padding=settings.padding,
        k_max=settings.k_max,
        ewald=settings.ewald,
        run=images.run,
    )
    images.end()
    facts = _facts(inputs, found[INPUT])
    run = ReconstructRun(out=out, curves={})
    for name in tuple(found):
        progress(f"maps of {name}", 0, 1)
        curves = _write_maps(run.folder(name), found.pop(name), inputs, settings)
        run = replace(run, curves={**run.curves, name: curves})
    if inputs.was_split and has_place(files.particles):
        write_half_sets(inputs.particles, out / f"particles{files.particles.suffix}")
    info = {
        "parfocal": parfocal.__version__,
        "command": shlex.join(sys.argv),
        "particles_file": str(files.particles),
        "sets": {name: str(path) for name, path in files.sets.items()},
        "mask": str(files.mask) if files.mask else None,
        "split": files.split,
        "settings": asdict(settings),
        **facts,
        "joined": list(inputs.told),
        "resolution": {name: _resolutions(curves, settings) for name, curves in run.curves.items()},
        "warnings": [*_warnings(inputs, files), *_limited(run.curves, settings)],
        "timings": {
            "wall_s": round(time.time() - started, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
        },
    }
    with replacing(out / "run.json") as file:
        file.write(json.dumps(info, indent=2, allow_nan=False).encode())
    progress("done", 1, 1)
    return replace(run, info=info)


class _Pass:
    """The pass over the images: tells how far it is, and ends at once when it is interrupted."""

    def __init__(self, images: Images, progress: Told, total: int, jobs: int) -> None:
        self._images, self._progress, self._total, self._jobs = images, progress, total, jobs
        self._done, self._lock, self._stopped = 0, threading.Lock(), False
        progress("particles", 0, total)

    def read_into(self, row: int, out: np.ndarray) -> None:
        """As `parfocal.particles.Images` has it; threads may share it."""
        if self._stopped:
            raise InterruptedError("the other half-set's thread was interrupted")
        with self._lock:
            self._done += 1
            self._progress("particles", self._done, self._total)
        self._images.read_into(row, out)

    def run(self, work: Callable, halves: Iterable[int]) -> Iterator[tuple[int, object]]:
        """As `one_by_one`; with two jobs or more both half-sets are at work at a time."""
        if self._jobs == 1:
            yield from one_by_one(work, halves)
            return
        with ThreadPoolExecutor(2) as pool:
            found = {pool.submit(work, half): half for half in halves}
            try:
                for future in as_completed(found):
                    yield found[future], future.result()
            except BaseException:
                self._stopped = True  # or the pool would wait for the other thread's whole pass
                raise

    def end(self) -> None:
        """Tell that no more will be read: particles without a pose or CTF never are."""
        if self._done < self._total:
            self._progress("particles", self._total, self._total)


def _check_resolution(optics: Optics, settings: ReconstructSettings) -> None:
    coarsest = optics.image_size * optics.pixel_size / SHELLS
    if settings.k_max * coarsest < 1:
        raise InputError(
            f"a --max-resolution of {settings.resolution:g} Å is next to nothing of images "
            f"{SHELLS * coarsest:.4g} Å wide",
            mend=f"choose {coarsest:.3g} Å or finer",
        )


def needed_memory(optics: Optics, sets: int, settings: ReconstructSettings) -> int:
    """Bytes that a run takes at its most, about: all sums, and what one map and its FSC take."""
    one = sums_bytes(
        optics.image_size, optics.pixel_size, padding=settings.padding, k_max=settings.k_max
    )
    return int(2 * sets * one + max(one, 48 * optics.image_size**3) + BESIDE)


def _check_memory(optics: Optics, sets: int, settings: ReconstructSettings) -> None:
    needed, there = needed_memory(optics, sets, settings), available_memory()
    if needed > there:
        several = "fewer sets at a time, " if sets > 1 else ""
        raise InputError(
            f"maps of box {optics.image_size} for {sets} set{'s' * (sets > 1)} take "
            f"{needed / 1e9:.1f} GB of memory, {there / 1e9:.1f} GB are there",
            mend=f"choose {several}a lower --padding or --max-resolution, or a machine with more",
        )


def _write_maps(
    folder: Path,
    found: Reconstruction,
    inputs: ReconstructInputs,
    settings: ReconstructSettings,
) -> FscCurves:
    """Write the maps of one set, and the FSC of its halves, which regularises the full map."""
    optics = inputs.particles.optics[0]
    halves = [found.half_map(half) for half in (1, 2)]
    for half, density in enumerate(halves, 1):
        write_map(folder / f"half{half}.mrc", density, optics.pixel_size)
    rng = np.random.default_rng(settings.seed)
    curves = fsc_curves(halves[0], halves[1], inputs.mask, pixel_size=optics.pixel_size, rng=rng)
    there = curves.k <= settings.k_max  # beyond it there are no maps to compare
    curves = replace(curves, **{kind: np.where(there, getattr(curves, kind), 0) for kind in KINDS})
    del halves
    write_map(folder / "map.mrc", found.full(fsc=curves.corrected), optics.pixel_size)
    write_fsc_star(folder / "fsc.star", curves)
    return curves


def _facts(inputs: ReconstructInputs, found: Reconstruction) -> dict[str, Any]:
    used, first = found.reason == "", inputs.sets[INPUT]
    optics = inputs.particles.optics[0]
    return {
        "particles": len(inputs.particles),
        "half_sets": {str(half): int((used & (first.half_set == half)).sum()) for half in (1, 2)},
        "box": optics.image_size,
        "pixel_size": optics.pixel_size,
        "optics_groups": len(inputs.particles.optics),
        "not_used": [asdict(loss) for loss in found.losses],
        "not_used_told": told(found.losses),
    }


def _resolutions(curves: FscCurves, settings: ReconstructSettings) -> dict[str, float | None]:
    """By level, Å, no finer than the maps are; None where the FSC is nowhere above it."""
    found = {f"{level:g}": curves.resolution(level) for level in LEVELS}
    return {
        level: round(max(value, _finest(curves, settings)), 3) if np.isfinite(value) else None
        for level, value in found.items()
    }


def _finest(curves: FscCurves, settings: ReconstructSettings) -> float:
    """Resolution [Å] of the last shell that the maps hold."""
    return float(1 / curves.k[curves.k <= settings.k_max][-1])


def _limited(found: Mapping[str, FscCurves], settings: ReconstructSettings):
    for name, curves in found.items():
        finest, level = _finest(curves, settings), LEVELS[0]
        if curves.resolution(level) <= finest:
            yield f"{name}: the FSC is above {level:g} up to {finest:.2f} Å, where the maps end"


def _warnings(inputs: ReconstructInputs, files: ReconstructFiles):
    if shared := images_in_both(inputs.particles):
        yield BOTH.format(images=shared)
    if inputs.was_split:
        yield DRAWN.format(seed=files.split)
        if not has_place(files.particles):
            yield "No particle file has them: this format has no place for half-sets."
