"""`parfocal study`: the paper's Fig. 4 in one go, from images to the verdict on maps."""

import json
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import parfocal
from parfocal.compare_run import run_compare
from parfocal.consensus_run import run_consensus
from parfocal.errors import InputError
from parfocal.estimators import ESTIMATORS
from parfocal.inputs import read_particle_inputs
from parfocal.io.defocus_sets import named_files
from parfocal.io.files import check_free, replacing
from parfocal.pipeline import EstimateSettings, Progress, estimate
from parfocal.reconstruct_inputs import INPUT, ReconstructFiles
from parfocal.reference_files import ReferenceFiles
from parfocal.report.study_page import study_page
from parfocal.study_record import STEPS, StudyRun
from parfocal.symmetry import rotations
from parfocal.validation_run import ValidationSettings, run_validation

METHODS = ("bayes", "relion", "cryosparc", "xmipp", "gctf")
CONSENSUS = "consensus"  # name of the set that every study makes


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """What a user may choose; the defaults are right for most."""

    methods: tuple[str, ...] = METHODS  # the first is the main one
    options: tuple[str, ...] = ()  # of methods, as in EstimateSettings
    search_range: float = 1000.0  # Å either side of the input defocus
    ignore: tuple[str, ...] = ()  # fields of cryoSPARC's CTF to leave out
    symmetry: str = "C1"  # of the maps
    passthrough: tuple[Path, ...] = ()  # further files of a cryoSPARC job
    split: int = 0  # seed of half-sets, where the particles have none
    jobs: int = 2

    def __post_init__(self) -> None:
        rotations(self.symmetry)
        self.estimating()

    def estimating(self) -> EstimateSettings:
        """What `estimate` is asked."""
        return EstimateSettings(
            methods=self.methods,
            options=self.options,
            search_range=self.search_range,
            ignore=self.ignore,
            jobs=self.jobs,
        )


def run_study(
    particles_file: Path,
    reference_files: ReferenceFiles,
    out: Path,
    settings: StudySettings = StudySettings(),
    *,
    sets: Mapping[str, Path] | None = None,
    resume: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> StudyRun:
    """Estimate by every method, compare, combine, reconstruct with each, and judge; write `out`.

    `sets` are defoci of other programs (name -> file), held against our own. Particles without
    half-sets are split at random, and the page says so. With `resume` an interrupted study goes on:
    spectra are used again, later steps are made anew. Raises InputError.
    """
    started, cpu, out = time.time(), time.process_time(), Path(out)
    particles_file, sets = Path(particles_file), dict(sets or {})
    if clash := sorted({*sets} & {*ESTIMATORS, CONSENSUS, INPUT}):
        raise InputError(f"a set is called {clash[0]!r}, as one of ours", mend="name it apart")
    files, split = _with_split(particles_file, reference_files, settings)
    _make_room(out, resume)
    steps: list[dict[str, Any]] = []
    with _timed(steps, "estimate", "the defocus of every particle, by each method"):
        estimated = estimate(
            particles_file,
            files,
            out / "estimate",
            settings.estimating(),
            passthrough=settings.passthrough,
            resume=(out / "estimate").exists(),
            progress=progress,
        )
        steps[-1]["found"] = estimated.info["verdict"][settings.methods[0]]["text"]
    every = {**named_files([str(out / "estimate")]), **sets}
    shared = {
        "input_file": particles_file,
        "passthrough": settings.passthrough,
        "progress": progress,
    }
    with _timed(steps, "compare", "the methods against each other"):
        compared = run_compare(every, out / "compare", **shared)
        steps[-1]["found"] = _agreement(compared)
    with _timed(steps, "consensus", "one defocus from all of them"):
        combined = run_consensus(every, out / "consensus", **shared)
        steps[-1]["found"] = (
            f"median error {combined.info['median_error']} Å, heights of "
            f"{combined.info['heights_sd']} Å sd"
        )
    with _timed(steps, "validate", "maps with each of them, same particles, half-sets and mask"):
        judged = run_validation(
            ReconstructFiles(
                particles=particles_file,
                sets={**every, CONSENSUS: out / "consensus" / "estimates.star"},
                mask=files.paths().get("mask"),
                passthrough=settings.passthrough,
                ignore=settings.ignore,
                split=split,
            ),
            out / "validate",
            ValidationSettings(symmetry=settings.symmetry, jobs=settings.jobs),
            progress=progress,
        )
        steps[-1]["found"] = judged.info["verdict"][0]
    particles = estimated.inputs.particles
    run = StudyRun(
        out=out,
        source=particles_file,
        voltage=particles.optics[0].voltage,
        estimate=estimated,
        compare=compared,
        consensus=combined,
        validate=judged,
        best=_best(judged.best, out, sets, estimated, combined, particles_file),
    )
    warnings = (*estimated.info["warnings"], *combined.info["warnings"], *judged.info["warnings"])
    info = {
        "parfocal": parfocal.__version__,
        "command": shlex.join(sys.argv),
        "inputs": {
            "particles": str(particles_file),
            **{role: str(path) for role, path in files.paths().items()},
            **{name: str(path) for name, path in sets.items()},
        },
        "settings": asdict(settings),
        "particles": len(particles),
        "micrographs": len(estimated.micrographs),
        "verdict": [
            *judged.info["verdict"],
            estimated.info["verdict"][settings.methods[0]]["text"],
        ],
        "best": str(run.best),
        "steps": steps,
        "validation": judged.info["rows"],
        "warnings": list(dict.fromkeys(warnings)),
        "timings": {
            "wall_s": round(time.time() - started, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
        },
    }
    run = replace(run, info=info)
    with replacing(out / "report.html") as file:
        file.write(study_page(run).encode())
    with replacing(out / "run.json") as file:
        file.write(json.dumps(info, indent=2, default=str, allow_nan=False).encode())
    progress("done", 1, 1)
    return run


def _with_split(particles_file, files: ReferenceFiles, settings: StudySettings):
    """(`files` with the seed of half-sets where these must be drawn, that seed or None)."""
    asked = replace(files, own=replace(files.own, split=None)) if files.own else files
    probe = asked if asked.map is not None else ReferenceFiles(map=particles_file)
    found = read_particle_inputs(
        particles_file, probe, passthrough=settings.passthrough, ignore=settings.ignore
    )
    if found.particles.half_set.any():
        return asked, None
    own = replace(asked.own, split=settings.split) if asked.own else None
    return replace(asked, own=own), settings.split


def _make_room(out: Path, resume: bool) -> None:
    """Check that `out` is free; of an interrupted study only what is made anew is removed."""
    if not (resume and out.exists()):
        check_free(out, "give another --out, or add --resume if an interrupted study is there")
        return
    if (out / "run.json").exists():
        what = "is a finished study: there is nothing to resume"
        raise InputError(what, where=out, mend="give another --out")
    for step in STEPS[1:]:
        shutil.rmtree(out / step, ignore_errors=True)


@contextmanager
def _timed(steps: list[dict[str, Any]], name: str, what: str) -> Iterator[None]:
    started = time.time()
    steps.append({"name": name, "what": what, "found": ""})
    yield
    steps[-1]["wall_s"] = round(time.time() - started, 1)


def _agreement(compared) -> str:
    pairs = [pair.pearson.value for pair in compared.comparison.pairs]
    faults = sum(fault.severity == "fault" for fault in compared.faults)
    told = f"correlations from {min(pairs):.2f} to {max(pairs):.2f}" if pairs else "one set"
    return f"{told}; {faults} fault{'s' * (faults != 1)} named"


def _best(name, out: Path, sets, estimated, combined, particles_file: Path) -> Path:
    """The particle file for the next job."""
    if name in estimated.results:
        return estimated.particles_file(name)
    if name == CONSENSUS:
        return combined.file("particles")
    return sets.get(name, particles_file)
