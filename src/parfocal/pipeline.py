"""The main job, `parfocal estimate`: from the files of a refinement to a run folder."""

import hashlib
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

import parfocal
from parfocal.errors import InputError
from parfocal.estimators import ESTIMATORS
from parfocal.estimators.micrograph import micrograph_changes
from parfocal.evidence import gather, lay_grids, plan
from parfocal.execution import threads
from parfocal.execution.shards import ShardStore
from parfocal.ice import fit_planes, ice_heights
from parfocal.inputs import ReferenceFiles, read_inputs
from parfocal.io import write_estimates, write_particles, write_star
from parfocal.io.files import replacing
from parfocal.micrographs import micrograph_columns
from parfocal.report.run_page import run_page
from parfocal.run import MethodResult, Run, summarise, verdict

Progress = Callable[[str, int, int], None]  # stage, done, total (particles)


@dataclass(frozen=True, kw_only=True)
class EstimateSettings:
    """What a user may choose; the defaults are right for most."""

    methods: tuple[str, ...] = ("profile",)
    search_range: float = 1000.0  # Å either side of the input defocus
    padding: float | None = None  # padded size over box; None: as delocalisation asks
    jobs: int = 1
    seed: int = 0  # of the random halves in micrographs.star

    def __post_init__(self) -> None:
        unknown = [m for m in self.methods if m not in ESTIMATORS]
        if unknown or not self.methods:
            raise InputError(
                f"unknown method {', '.join(unknown) or '(none)'}",
                mend=f"choose from {', '.join(ESTIMATORS)}",
            )
        if not 50 <= self.search_range <= 10000:
            raise InputError(
                f"a search range of {self.search_range:g} Å", mend="choose 50 to 10000 Å"
            )
        if self.padding is not None and not 1 <= self.padding <= 4:
            raise InputError(f"a padding of {self.padding:g}", mend="choose 1 to 4, or leave it")
        if self.jobs < 1:
            raise InputError(f"{self.jobs} jobs", mend="choose 1 or more")


def estimate(
    particles_file: Path,
    reference_files: ReferenceFiles,
    out: Path,
    settings: EstimateSettings = EstimateSettings(),
    *,
    passthrough: tuple[Path, ...] = (),
    resume: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> Run:
    """Estimate every particle's defocus and write the run folder `out`.

    Everything is read and checked before `out` is made. With `resume`, spectra that an interrupted
    run left in `out` are used again if they came from the same inputs and settings.
    """
    started, cpu = time.time(), time.process_time()
    out = Path(out)
    if out.exists() and any(out.iterdir()) and not resume:
        raise InputError(
            "is there already and not empty", where=out, mend="add --resume, or another --out"
        )
    progress("reading", 0, 1)
    inputs = read_inputs(particles_file, reference_files, passthrough=passthrough)
    hashes = _hashes({"particles": Path(particles_file), **reference_files.paths()})
    store = ShardStore(out / "spectra", _fingerprint(hashes, inputs, settings))
    evidence = _pass(inputs, store, settings, progress)
    if not evidence.models:
        raise _nothing_usable(inputs, evidence)
    progress("methods", 0, 1)
    results = {name: _apply(name, inputs, evidence) for name in settings.methods}
    rng = np.random.default_rng(settings.seed)
    micrographs = micrograph_changes(inputs.particles, evidence, rng=rng)
    run = Run(out=out, inputs=inputs, evidence=evidence, results=results, micrographs=micrographs)
    spent = {"wall_s": time.time() - started, "cpu_s": time.process_time() - cpu}
    info = _info(run, settings, hashes, spent, particles_file, reference_files)
    return _write(replace(run, info=info), progress)


def _pass(inputs, store, settings, progress):
    particles = inputs.particles
    chunks = plan(particles)
    kept = sum(len(chunk.rows) for i, chunk in enumerate(chunks) if i in store)
    done = kept

    def report_each(work, numbers):
        nonlocal done
        progress("particles", done, len(particles))
        for number, result in threads(settings.jobs)(work, numbers):
            yield number, result
            done += len(chunks[number].rows)
            progress("particles", done, len(particles))

    return gather(
        particles,
        inputs.images,
        inputs.reference,
        change_max=settings.search_range,
        padding=settings.padding,
        store=store,
        run=report_each,
    )


def _apply(name, inputs, evidence):
    estimates = ESTIMATORS[name].estimate(inputs.particles, evidence)
    planes = fit_planes(estimates)
    heights = ice_heights(estimates, planes)
    return MethodResult(estimates=replace(estimates, ice_height=heights), planes=planes)


def _write(run: Run, progress) -> Run:
    progress("writing", 0, 1)
    for name, result in run.results.items():
        suffix = Path(run.info["inputs"]["particles"]).suffix
        target = run.out / name / f"particles{suffix}"
        write_particles(run.inputs.particles, result.estimates, target)
        write_estimates(run.out / name / "estimates.star", result.estimates)
    tables = {
        f"micrographs_{name}": micrograph_columns(r.estimates, r.planes, run.micrographs)
        for name, r in run.results.items()
    }
    write_star(run.out / "micrographs.star", tables)
    with replacing(run.out / "report.html") as file:
        file.write(run_page(run).encode())
    with replacing(run.out / "run.json") as file:
        file.write(json.dumps(run.info, indent=2, default=str, allow_nan=False).encode())
    progress("done", 1, 1)
    return run


def _info(run, settings, hashes, spent, particles_file, reference_files):
    """The content of run.json: strings, numbers, lists and dicts only."""
    grids = lay_grids(
        run.inputs.particles,
        run.inputs.reference,
        change_max=settings.search_range,
        padding=settings.padding,
    )
    files = {"particles": str(particles_file)}
    files |= {role: str(path) for role, path in reference_files.paths().items()}
    return {
        "parfocal": parfocal.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "inputs": files,
        "input_sha256": hashes,
        "settings": asdict(settings),
        "resolution": reference_files.resolution,
        "particles": len(run.inputs.particles),
        "micrographs": len(run.micrographs),
        "padded_size": {
            run.inputs.particles.optics[g].name: s.padded_size for g, s in grids.items()
        },
        "methods": {name: summarise(r.estimates) for name, r in run.results.items()},
        "verdict": {name: asdict(verdict(r.estimates)) for name, r in run.results.items()},
        "warnings": list(run.inputs.warnings),
        "timings": {k: round(v, 2) for k, v in spent.items()},
    }


def _hashes(paths):
    """SHA-256 of each file."""
    out = {}
    for role, path in paths.items():
        with open(path, "rb") as file:
            out[role] = hashlib.file_digest(file, "sha256").hexdigest()
    return out


def _fingerprint(hashes, inputs, settings):
    """What the spectra depend on; images are known by their names, sizes are not reread."""
    parts = [hashes, settings.search_range, settings.padding, inputs.reference.k_max]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _nothing_usable(inputs, evidence):
    _, reason = evidence.failures(len(inputs.particles))
    return InputError(
        f"not one of {len(inputs.particles)} particles can be used, the first because: {reason[0]}",
        where=inputs.particles.source,
        mend="extract the particles again",
    )
