"""`parfocal fsc`: from half-maps on disk to a folder that says how good they are."""

import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import parfocal
from parfocal.errors import InputError
from parfocal.fsc_faults import faults_of_mask
from parfocal.fsc_inputs import (
    AUTO,
    NO_MASK,
    Pair,
    faults_of_headers,
    mask_of,
    read_pairs,
)
from parfocal.fsc_measure import FscMeasurement, FscSettings, measure
from parfocal.fsc_star import write_fsc_star
from parfocal.io import write_map
from parfocal.io.files import check_free, replacing
from parfocal.report.fsc_page import fsc_page
from parfocal.report.page import render_page
from parfocal.symmetry import rotations


@dataclass(frozen=True, kw_only=True)
class FscRun:
    """What was found of each pair of half-maps, and where it was written."""

    out: Path
    measurements: tuple[FscMeasurement, ...]
    info: Mapping[str, Any] = field(default_factory=dict)  # as in run.json


def run_fsc(
    files: Mapping[str, tuple[Path, Path]],
    out: Path,
    *,
    mask: str = AUTO,
    pixel_size: float | None = None,
    symmetry: str = "C1",
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> FscRun:
    """Measure each pair of half-maps (name -> two files) and write the folder `out`. InputError.

    `mask` is a file, "auto" or "none". Nothing is written before all is read and measured.
    """
    started, cpu, out = time.time(), time.process_time(), Path(out)
    check_free(out)
    if seed < 0:
        raise InputError(f"--seed {seed}", mend="give a whole number from 0 on")
    group = rotations(symmetry)
    progress("reading", 0, 1)
    given = pixel_size
    pairs, pixel_size = read_pairs(files, given)
    area = mask_of(mask, pairs, pixel_size)
    found, settings = [], FscSettings(pixel_size=pixel_size, group=group)
    for place, pair in enumerate(pairs):
        progress("measuring", place, len(pairs))
        found.append(_measured(pair, area, settings, np.random.default_rng(seed)))
    warnings = [*faults_of_headers(pixel_size, given)]
    warnings += faults_of_mask(area) if mask != NO_MASK else ()
    for one in found:
        told = f"{one.name}: " if len(found) > 1 else ""
        warnings += [told + warning for warning in one.warnings]
    info = {
        "parfocal": parfocal.__version__,
        "command": shlex.join(sys.argv),
        "half_maps": {name: [str(path) for path in paths] for name, paths in files.items()},
        "mask": mask,
        "mask_share_of_box": round(float(area.mean(dtype=float)), 5),
        "box": len(area),
        "pixel_size": round(pixel_size, 6),
        "symmetry": symmetry,
        "seed": seed,
        "pairs": {one.name: one.plain() for one in found},
        "warnings": warnings,
        "timings": {
            "wall_s": round(time.time() - started, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
        },
    }
    run = FscRun(out=out, measurements=tuple(found), info=info)
    _write(run, pairs, area)
    progress("done", 1, 1)
    return run


def _measured(pair: Pair, mask, settings: FscSettings, rng) -> FscMeasurement:
    try:
        return measure(pair.half1, pair.half2, mask, settings, name=pair.name, rng=rng)
    except InputError as error:
        where = " and ".join(map(str, pair.files))
        raise InputError(error.what, where=where, mend=error.mend) from None


def _write(run: FscRun, pairs: list[Pair], mask) -> None:
    """Write everything; run.json comes last, so that a folder without one is not whole."""
    name_of_mask = run.info["mask"]
    if name_of_mask == AUTO:
        name_of_mask = str(run.out / "mask.mrc")
        write_map(name_of_mask, mask, run.info["pixel_size"])
    for one, pair in zip(run.measurements, pairs, strict=True):
        folder = run.out if len(pairs) == 1 else run.out / one.name
        general = {f"rlnUnfilteredMapHalf{n}": str(path) for n, path in enumerate(pair.files, 1)}
        if name_of_mask != NO_MASK:
            general["rlnMaskName"] = name_of_mask
        write_fsc_star(folder / "fsc.star", one.curves, guinier=one.guinier, general=general)
    with replacing(run.out / "report.html") as file:
        file.write(render_page(fsc_page(run.measurements, run.info)).encode())
    with replacing(run.out / "run.json") as file:
        file.write(json.dumps(run.info, indent=2, allow_nan=False).encode())
