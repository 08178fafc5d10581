"""The main job, `parfocal estimate`: from the files of a refinement to a run folder."""

import hashlib
import json
import logging
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

import parfocal
from parfocal.chunks import plan
from parfocal.errors import InputError
from parfocal.estimators import ESTIMATORS, Method
from parfocal.estimators.micrograph import micrograph_changes
from parfocal.estimators.options import with_options
from parfocal.evidence import gather
from parfocal.execution import threads
from parfocal.execution.shards import ShardStore, holds_shards
from parfocal.ice import fit_planes, ice_heights
from parfocal.inputs import read_inputs
from parfocal.io import write_estimates, write_particles, write_star
from parfocal.io.files import check_free, replacing
from parfocal.io.formats import has_angle
from parfocal.losses import losses_of, told
from parfocal.micrographs import micrograph_columns
from parfocal.particles import Particles
from parfocal.reference_files import AUTO, ReferenceFiles
from parfocal.report.run_page import run_page
from parfocal.run import MethodResult, Run, summarise
from parfocal.verdict import verdict

LOG = logging.getLogger("parfocal")
SPECTRA = "spectra"  # folder of a run
Progress = Callable[[str, int, int], None]  # stage, done, total (particles)


@dataclass(frozen=True, kw_only=True)
class EstimateSettings:
    """What a user may choose; the defaults are right for most."""

    methods: tuple[str, ...] = ("bayes",)
    options: tuple[str, ...] = ()  # of methods, such as "bayes.stage_tilt=30"
    search_range: float = 1000.0  # Å either side of the input defocus
    padding: float | None = None  # padded size over box; None: as delocalisation asks
    ignore: tuple[str, ...] = ()  # fields of cryoSPARC's CTF to leave out, see `read_cryosparc`
    jobs: int = 1
    seed: int = 0  # of the random halves in micrographs.star

    def chosen(self) -> dict[str, Method]:
        """The methods by name, set as asked."""
        table = with_options(ESTIMATORS, self.options)
        return {name: table[name] for name in self.methods}

    def narrower(self) -> tuple[str, ...]:
        """A warning for each method that the search range keeps from looking as far as it would."""
        wanted = {name: getattr(m, "scans", 0.0) for name, m in self.chosen().items()}
        return tuple(
            f"{name} scans ±{far:g} Å, this run ±{self.search_range:g}: --range {far:g} gives it all"
            for name, far in wanted.items()
            if far > self.search_range
        )

    def astigmatism(self) -> bool:
        """Whether a method asks what the azimuth says."""
        return any(getattr(m, "asks_astigmatism", False) for m in self.chosen().values())

    def __post_init__(self) -> None:
        with_options(ESTIMATORS, self.options)
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
    run left in `out` are used again if they came from the same inputs and settings. What the user
    should know of meanwhile is logged as warnings of the logger "parfocal".
    """
    started, cpu, out = time.time(), time.process_time(), Path(out)
    if not (resume and holds_shards(out / SPECTRA)):
        check_free(out, "give another --out, or add --resume if an interrupted run is there")
    progress("reading" if reference_files.own is None else "reconstructing", 0, 1)
    inputs = read_inputs(
        particles_file,
        reference_files,
        passthrough=passthrough,
        ignore=settings.ignore,
        run=threads(settings.jobs),
    )
    if settings.astigmatism() and not has_angle(particles_file):
        raise InputError(
            "no column for the angle of astigmatism, which a method asked for would change",
            where=particles_file,
            mend="choose methods that leave it, such as bayes, or --set relion.fit_mode=fpffm",
        )
    noted = inputs.warnings + settings.narrower()
    early = noted + told(inputs.losses)
    for line in early:
        LOG.warning(line)
    files = {"particles": Path(particles_file), **reference_files.paths()}
    files |= {f"passthrough_{n}": Path(path) for n, path in enumerate(passthrough, 1)}
    hashes = {role: file_hash(path) for role, path in files.items()}
    store = ShardStore(out / SPECTRA, _fingerprint(hashes, inputs, settings, reference_files))
    evidence = _pass(inputs, store, settings, progress)
    losses = losses_of(inputs.particles, evidence.failures(len(inputs.particles))[1])
    if not evidence.models:
        store.discard()
        raise _nothing_usable(inputs, losses)
    warnings = noted + told(losses)
    for line in warnings:
        if line not in early:
            LOG.warning(line)
    results = {}
    for name, method in settings.chosen().items():
        progress(name, 0, 1)
        run = counted(progress, name, inputs.particles, settings.jobs)
        results[name] = _apply(method, inputs, evidence, run)
    rng = np.random.default_rng(settings.seed)
    micrographs = micrograph_changes(inputs.particles, evidence, rng=rng)
    run = Run(out=out, inputs=inputs, evidence=evidence, results=results, micrographs=micrographs)
    info = {
        "parfocal": parfocal.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "command": shlex.join(sys.argv),
        "inputs": {role: str(path) for role, path in files.items()},
        "input_sha256": hashes,
        "settings": asdict(settings),
        "resolution": reference_files.resolution,
        "reference": inputs.reference.meets,
        "own_reference": asdict(reference_files.own) if reference_files.own else None,
        "mask": reference_files.masked,
        **_found(run),
        "not_used": [asdict(loss) for loss in losses],
        "warnings": list(warnings),
        "timings": {
            "wall_s": round(time.time() - started, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
        },
    }
    return _write(replace(run, info=info), progress)


def _pass(inputs, store, settings, progress):
    particles = inputs.particles
    return gather(
        particles,
        inputs.images,
        inputs.reference,
        change_max=settings.search_range,
        padding=settings.padding,
        astigmatism=settings.astigmatism(),
        store=store,
        run=counted(progress, "particles", particles, settings.jobs),
    )


def counted(progress, stage, particles, jobs):
    """`run` of `gather` on threads, telling how many of the particles are done."""
    sizes = dict(enumerate(len(chunk.rows) for chunk in plan(particles)))

    def run(work, numbers):
        numbers = list(numbers)
        done = len(particles) - sum(sizes.get(number, 0) for number in numbers)
        progress(stage, done, len(particles))
        for number, result in threads(jobs)(work, numbers):
            yield number, result
            if number in sizes:  # those beyond meet the other half's map, once more
                done += sizes[number]
                progress(stage, done, len(particles))

    return run


def _apply(method, inputs, evidence, run):
    estimates = method.estimate(inputs.particles, replace(evidence, run=run))
    planes = fit_planes(estimates)
    heights = ice_heights(estimates, planes)
    return MethodResult(estimates=replace(estimates, ice_height=heights), planes=planes)


def _found(run: Run):
    """What run.json says of the results: strings, numbers, lists and dicts only."""
    return {
        "particles": len(run.inputs.particles),
        "micrographs": len(run.micrographs),
        "padded_size": {
            m.grid.optics.name: m.grid.padded_size for m in run.evidence.models.values()
        },
        "methods": {name: summarise(r.estimates) for name, r in run.results.items()},
        "verdict": {
            name: asdict(verdict(r.estimates, run.band())) for name, r in run.results.items()
        },
    }


def _write(run: Run, progress) -> Run:
    """Write everything; run.json comes last, so that a folder without one is not whole."""
    progress("writing", 0, 1)
    for name, result in run.results.items():
        write_particles(run.inputs.particles, result.estimates, run.particles_file(name))
        write_estimates(run.out / name / "estimates.star", result.estimates)
    tables = {
        f"micrographs_{name}": micrograph_columns(r.estimates, r.planes, run.micrographs)
        for name, r in run.results.items()
    }
    write_star(run.out / "micrographs.star", tables)
    for name in run.results:
        with replacing(run.page_file(name)) as file:
            file.write(run_page(run, name).encode())
    with replacing(run.out / "run.json") as file:
        file.write(json.dumps(run.info, indent=2, default=str, allow_nan=False).encode())
    progress("done", 1, 1)
    return run


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fingerprint(hashes, inputs, settings, files):
    """What the spectra depend on."""
    stacks = stack_identities(inputs.particles)
    asked = [settings.search_range, settings.padding, sorted(settings.ignore)]
    asked += [settings.astigmatism(), inputs.reference.meets]
    asked += [AUTO] if files.masked == AUTO else []
    asked += [asdict(files.own)] if files.own else []
    parts = [hashes, asked, inputs.reference.k_max, stacks]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def stack_identities(particles: Particles) -> dict[str, tuple[int, int] | None]:
    """Size and time of change of each stack by its path, None where it is not there."""
    return {path: _identity(path) for path in sorted(set(particles.stack.tolist()))}


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _nothing_usable(inputs, losses):
    return InputError(
        f"none of {len(inputs.particles)} particles can be used: {'; '.join(told(losses[:3]))}",
        where=inputs.particles.source,
        mend="extract the particles again",
    )
