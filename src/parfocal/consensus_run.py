"""`parfocal consensus`: from files of several programs to a folder with one defocus a particle."""

import json
import shlex
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

import parfocal
from parfocal.consensus import LEAST_ERROR, Consensus, consensus
from parfocal.defocus_set import POSTERIOR
from parfocal.errors import InputError
from parfocal.estimates import DefocusEstimates, Status
from parfocal.faults import find_faults
from parfocal.filters import Filter, left_out_by, statuses
from parfocal.io import write_estimates, write_particles, write_star
from parfocal.io.files import check_free, replacing
from parfocal.io.star import Rounded
from parfocal.join import TOLERANCE
from parfocal.particles import Particles
from parfocal.report.consensus_page import consensus_page
from parfocal.set_inputs import Told, read_sets
from parfocal.set_runs import ConsensusRun

COMBINE = ("weighted", "median")
BOUND = (
    "No set has folds or is a posterior mean, so noise that the sets share cannot be told from "
    "height: the error bars rest on what is usual of ice. Put a parfocal run among the sets."
)
TWO = "With two sets neither can be weighed against the other without folds: both count alike."
NO_PRIOR = (
    "No input defocus is known, so nothing is drawn towards it: give --input, the particle file "
    "that the sets began from."
)
NO_TEMPLATE = (
    "The first set is no particle file, so none is written: give --input to get one for the next "
    "job."
)


@dataclass(frozen=True, kw_only=True)
class ConsensusSettings:
    """What a user may choose."""

    combine: Literal["weighted", "median"] = "weighted"
    filter: Filter = field(default_factory=Filter)
    tolerance: float = TOLERANCE  # Å between coordinates of one particle in two files

    def __post_init__(self) -> None:
        if self.combine not in COMBINE:
            what = f"no way to combine called {self.combine!r}"
            raise InputError(what, mend=f"choose {' or '.join(COMBINE)}")


def run_consensus(
    files: Mapping[str, Path],
    out: Path,
    settings: ConsensusSettings = ConsensusSettings(),
    *,
    input_file: Path | None = None,
    passthrough: Iterable[Path] = (),
    progress: Told = lambda stage, done, total: None,
) -> ConsensusRun:
    """Combine the sets in `files` (name -> file) and write the folder `out`. Raises InputError.

    Nothing is written before everything is read and combined.
    """
    started, cpu, out = time.time(), time.process_time(), Path(out)
    check_free(out)
    joined, template = read_sets(
        files,
        input_file=input_file,
        passthrough=passthrough,
        tolerance=settings.tolerance,
        progress=progress,
    )
    if settings.filter.max_from_prior is not None and not np.isfinite(joined.prior).all():
        what = "--max-from-prior without an input defocus to count from"
        raise InputError(what, mend="give --input, the particle file that the sets began from")
    if settings.filter.max_mad is not None and len(files) < 2:
        raise InputError("--max-mad with one set, which cannot scatter", mend="give two or more")
    progress("combining", 0, 1)
    found = consensus(joined)
    estimates = estimates_of(found, template, settings.combine)
    left_out = left_out_by(found, settings.filter, estimates.defocus, estimates.defocus_error)
    run = ConsensusRun(
        out=out,
        found=found,
        estimates=estimates,
        left_out=left_out,
        template=template,
        faults=find_faults(joined),
    )
    info = {
        "parfocal": parfocal.__version__,
        "command": shlex.join(sys.argv),
        "sets": {name: str(path) for name, path in files.items()},
        "input": str(input_file) if input_file else None,
        "settings": asdict(settings),
        **summary(run),
        "timings": {
            "wall_s": round(time.time() - started, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
        },
    }
    return _write(ConsensusRun(**{**vars(run), "info": info}), progress)


def estimates_of(
    found: Consensus, template: Particles | None, combine: str = "weighted"
) -> DefocusEstimates:
    """The consensus as estimates, against the defoci of `template` (default: the prior).

    Particles that no set knows keep those, with status flat. The error of a median is the MAD, and
    that of the weighted combination where one set alone knows the particle. Astigmatism is the
    median of the vectors; it changes only where a set has another than the base.
    """
    base, joined, known = found.joined.base, found.joined, found.known
    before = base.defocus if template is None else template.defocus
    if template is None and np.isfinite(joined.prior).all():
        before = joined.prior
    weighted = combine == "weighted"
    defocus = found.defocus if weighted else np.where(known, found.median, before)
    error = found.error
    if not weighted:
        error = np.where(np.isfinite(found.mad), np.maximum(found.mad, LEAST_ERROR), error)
    vector = np.nan_to_num(found.astigmatism - base.astigmatism)
    x, y = np.where(known, vector.T, 0.0)
    return DefocusEstimates(
        method="consensus" if weighted else "median",
        particle_id=base.particle_id if template is None else template.particle_id,
        micrograph=base.micrograph,
        coordinate_x=base.coordinate_x,
        coordinate_y=base.coordinate_y,
        defocus_prior=before,
        defocus_change=np.where(known, defocus - before, 0.0),
        defocus_error=error,
        ice_height=defocus - found.plane,
        held_out_gain=np.full(len(base), np.nan),
        astigmatism_change_x=x,
        astigmatism_change_y=y,
        status=np.where(known, Status.OK, Status.FLAT),
        settings={POSTERIOR: weighted, "sets": list(joined.names), "weights": weights(found)},
        version=parfocal.__version__,
    )


def weights(found: Consensus) -> dict[str, dict[str, float]]:
    """Part -> set -> weight, for level, slope and height, on particles that all sets know."""
    parts = {
        "level": ("input", found.level_weight),
        "slope": ("input", found.slope_weight),
        "height": ("plane", found.height_weight),
    }
    return {
        part: {
            name: round(float(weight), 3)
            for name, weight in zip((nothing, *found.joined.names), values, strict=True)
        }
        for part, (nothing, values) in parts.items()
    }


def summary(run: ConsensusRun) -> dict[str, Any]:
    """Counts, weights and warnings: strings, numbers, lists and dicts only."""
    found, joined = run.found, run.found.joined
    labels = statuses(found)
    reasons, counts = np.unique(run.left_out[run.left_out != ""], return_counts=True)
    ok = run.estimates.ok()
    signal = found.heights.signal
    return {
        "particles": len(joined),
        "joined": [str(joint) for joint in joined.joints],
        "statuses": {name: int(np.sum(labels == name)) for name in ("ok", "outlier", "unknown")},
        "kept": int(np.sum(run.left_out == "")),
        "left_out": dict(zip(reasons.tolist(), counts.tolist(), strict=True)),
        "weights": weights(found),
        "heights_sd": round(float(np.sqrt(max(signal.variance, 0.0))), 1),
        "heights_known_by": signal.by,
        "median_error": _rounded(run.estimates.defocus_error[ok]),
        "median_mad": _rounded(found.mad),
        "faults": [str(fault) for fault in run.faults],
        "warnings": list(_warnings(run)),
    }


def _warnings(run: ConsensusRun):
    joined = run.found.joined
    if run.found.heights.signal.by == "bound":
        yield BOUND
        if len(joined.names) == 2:
            yield TWO
    if not np.isfinite(joined.prior).all():
        yield NO_PRIOR
    if run.template is None:
        yield NO_TEMPLATE
    if not (run.left_out == "").any():
        yield "No particle holds all limits: none is kept."


def _rounded(values) -> float | None:
    values = values[np.isfinite(values)]
    return round(float(np.median(values)), 1) if len(values) else None


def _write(run: ConsensusRun, progress: Told) -> ConsensusRun:
    """Write everything; run.json comes last, so that a folder without one is not whole."""
    progress("writing", 0, 1)
    template, kept = run.template, run.left_out == ""
    if template is not None:
        write_particles(template, run.estimates, run.file("particles"))
        for name, rows in (("kept", kept), ("left_out", ~kept)):
            if run.info["left_out"] and rows.any():
                part = run.estimates.take(rows)
                write_particles(template.take(rows), part, run.file(f"particles_{name}"))
    write_estimates(run.out / "estimates.star", run.estimates)
    write_star(run.out / "consensus.star", {"consensus": _columns(run)})
    with replacing(run.out / "report.html") as file:
        file.write(consensus_page(run).encode())
    with replacing(run.out / "run.json") as file:
        file.write(json.dumps(run.info, indent=2, allow_nan=False).encode())
    progress("done", 1, 1)
    return run


def _columns(run: ConsensusRun) -> dict[str, list[str] | Rounded]:
    """Column -> values, a row per particle in the base's order. Å."""
    found, estimates = run.found, run.estimates
    numbers = {
        "Defocus": (estimates.defocus, 2),
        "DefocusError": (estimates.defocus_error, 2),
        "MedianDefocus": (found.median, 2),
        "Mad": (found.mad, 2),
        "IceHeight": (estimates.ice_height, 2),
        "Usual": (found.usual, 4),
        "Sets": (found.used.sum(axis=1), 0),
    }
    columns: dict[str, list[str] | Rounded] = {"parfocalParticleId": estimates.particle_id.tolist()}
    for name, (values, decimals) in numbers.items():
        columns[f"parfocal{name}"] = Rounded(values, decimals)
    columns["parfocalStatus"] = statuses(found).tolist()
    columns["parfocalLeftOutBy"] = [reason or "none" for reason in run.left_out.tolist()]
    return columns
