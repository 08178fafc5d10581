"""`parfocal compare`: from files of several programs to a folder that says how far they agree."""

import json
import re
import shlex
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

import parfocal
from parfocal.agreement import Column, columns_of
from parfocal.compare import Comparison, compare, plain
from parfocal.conventions import DEGREE
from parfocal.errors import InputError
from parfocal.execution import threads
from parfocal.faults import find_faults
from parfocal.grouped import Groups, groups_of
from parfocal.io import write_star
from parfocal.io.files import check_free, replacing
from parfocal.io.records import unique_ids
from parfocal.join import TOLERANCE
from parfocal.report.compare_page import compare_page
from parfocal.set_inputs import Told, read_sets
from parfocal.set_runs import CompareRun
from parfocal.stability import fold_stability, repeat

NOT_IN_BLOCKS = re.compile(r"[^!-~]+")  # what the name of a STAR block cannot have
JOBS = 2  # threads: numpy's sorting and arithmetic are most of it, and need no GIL


def run_compare(
    files: Mapping[str, Path],
    out: Path,
    *,
    repeats: bool = False,
    input_file: Path | None = None,
    passthrough: Iterable[Path] = (),
    tolerance: float = TOLERANCE,
    progress: Told = lambda stage, done, total: None,
) -> CompareRun:
    """Compare the sets in `files` (name -> file) and write the folder `out`. Raises InputError.

    With `repeats` the files are runs of the same method in pairs: first, second, first, second; or
    those of two runs' folders, paired by method. Nothing is written before all is read and compared.
    """
    started, cpu, out = time.time(), time.process_time(), Path(out)
    check_free(out)
    if repeats:
        files = in_pairs(files)
    joined, _ = read_sets(
        files,
        input_file=input_file,
        passthrough=passthrough,
        tolerance=tolerance,
        progress=progress,
    )
    progress("comparing", 0, 1)
    groups = groups_of(joined.base.micrograph)
    columns = columns_of(joined, groups)
    looks = (lambda: find_faults(joined), lambda: _stability(groups, columns, repeats))
    told = dict(threads(JOBS)(lambda number: looks[number](), range(len(looks))))
    faults, (folds, runs) = told[0], told[1]
    comparison = compare(joined, columns=columns, run=threads(JOBS))
    run = CompareRun(
        out=out, joined=joined, comparison=comparison, faults=faults, folds=folds, repeats=runs
    )
    info = {
        "parfocal": parfocal.__version__,
        "command": shlex.join(sys.argv),
        "sets": {name: str(path) for name, path in files.items()},
        "input": str(input_file) if input_file else None,
        "settings": {"repeat": repeats, "tolerance": tolerance},
        "joined": [str(joint) for joint in joined.joints],
        "faults": [plain(fault) for fault in faults],
        "comparison": comparison.plain(),
        "folds": {name: plain(one) for name, one in folds.items()},
        "repeats": [plain(one) for one in runs],
        "timings": {
            "wall_s": round(time.time() - started, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
        },
    }
    return _write(replace(run, info=info), progress)


def in_pairs(files: Mapping[str, Path]) -> dict[str, Path]:
    """`files` with the two runs of each method one after the other. InputError if there are not two.

    Two named runs' folders, A/bayes, A/relion, B/bayes, B/relion, are paired by their methods.
    """
    names = list(files)
    if len(names) < 2 or len(names) % 2:
        what = f"--repeat with {len(names)} sets"
        raise InputError(what, mend="give the two runs of each method, one pair after the other")
    half = len(names) // 2
    methods = [name.rpartition("/")[2] for name in names]
    if all("/" in name for name in names) and methods[:half] == methods[half:]:
        names = [name for pair in zip(names[:half], names[half:], strict=True) for name in pair]
    for first, second in zip(names[::2], names[1::2], strict=True):
        one, other = (Path(files[name]).absolute().parent for name in (first, second))
        if one != other and one.parent == other.parent and (one.parent / "run.json").exists():
            what = f"{first} and {second} are two methods of one run, no repeat"
            where = Path(files[first]).parent.parent
            raise InputError(what, where=where, mend="give two runs, as in A=FOLDER B=FOLDER")
    return {name: files[name] for name in names}


def _stability(groups: Groups, columns: tuple[Column, ...], repeats: bool):
    folds = {
        column.name: fold_stability(groups, column)
        for column in columns
        if np.isfinite(column.folds.sum(axis=1) + column.defocus).sum() > 1
    }
    if not repeats:
        return folds, ()
    pairs = zip(columns[::2], columns[1::2], strict=True)
    return folds, tuple(repeat(groups, first, second) for first, second in pairs)


def _write(run: CompareRun, progress: Told) -> CompareRun:
    """Write everything; run.json comes last, so that a folder without one is not whole."""
    progress("writing", 0, 1)
    write_star(run.out / "compare.star", {"pairs": pair_columns(run.comparison)})
    blocks = [NOT_IN_BLOCKS.sub("_", f"micrographs_{name}") for name in run.comparison.names]
    tables = {
        block: micrograph_columns(run.comparison, number)
        for number, block in enumerate(unique_ids(blocks))
    }
    write_star(run.out / "micrographs.star", tables)
    with replacing(run.out / "report.html") as file:
        file.write(compare_page(run).encode())
    with replacing(run.out / "run.json") as file:
        file.write(json.dumps(run.info, indent=2, allow_nan=False).encode())
    progress("done", 1, 1)
    return run


def pair_columns(comparison: Comparison) -> dict[str, list[str]]:
    """Column -> tokens, a row per pair of sets. Å."""
    columns: dict[str, list[str]] = {}

    def add(name, text):
        columns.setdefault(f"parfocal{name}", []).append(text)

    for pair, expected in zip(comparison.pairs, comparison.expected, strict=True):
        add("SetA", pair.names[0])
        add("SetB", pair.names[1])
        add("Particles", str(pair.particles))
        for name in ("pearson", "spearman", "robust", "pooled", "bias", "slope"):
            value = getattr(pair, name)
            add(name.capitalize(), f"{value.value:.4f}")
            add(f"{name.capitalize()}Error", f"{value.error:.4f}")
        add("Spread", f"{pair.spread:.2f}")
        add("ExpectedIndependent", f"{expected.independent.value:.4f}")
        add("ExpectedShared", f"{expected.shared.value:.4f}")
        add("Verdict", str(expected.verdict.value))
    return columns


def micrograph_columns(comparison: Comparison, number: int) -> dict[str, list[str]]:
    """Column -> tokens, a row per micrograph, of one set's planes (Eq. 1 of the paper). Å, degrees."""
    planes = comparison.planes[number]
    values = {
        "PlaneC": (planes.mean_defocus - planes.a * planes.mean_y - planes.b * planes.mean_x, 2),
        "PlaneA": (planes.a, 7),
        "PlaneB": (planes.b, 7),
        "TiltAngle": (planes.tilt / DEGREE, 3),
        "TiltAngleError": (planes.tilt_error / DEGREE, 3),
        "TiltAxis": (planes.tilt_axis / DEGREE, 2),
        "PlaneRSquared": (planes.r_squared, 4),
        "Spread": (planes.spread, 2),
        "Particles": (planes.n_particles, 0),
        "Outliers": (planes.n_outliers, 0),
    }
    columns = {"parfocalMicrograph": list(comparison.micrographs)}
    for name, (column, decimals) in values.items():
        columns[f"parfocal{name}"] = [f"{value:.{decimals}f}" for value in column.tolist()]
    return columns
