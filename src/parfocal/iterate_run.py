"""`parfocal iterate`: rounds of estimating and reconstructing, to a folder with the last that paid."""

import json
import platform
import shlex
import sys
import time
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import parfocal
from parfocal.errors import InputError
from parfocal.estimators import ESTIMATORS
from parfocal.execution import threads
from parfocal.inputs import ParticleInputs, mask_for, read_particle_inputs, remade
from parfocal.io import write_estimates, write_map, write_particles, write_star
from parfocal.io.files import check_free, replacing
from parfocal.io.star import Rounded
from parfocal.iterate import Standing, after, iterate, standings
from parfocal.losses import told
from parfocal.own_reference import OwnReference
from parfocal.pipeline import Progress, counted, file_hash, stack_identities
from parfocal.reference_files import ReferenceFiles
from parfocal.report.iterate_page import iterate_page
from parfocal.round_store import RoundStore, holds_rounds

ROUNDS = "rounds"  # folder of a run that is not done
METHODS = ("bayes", "profile")  # those that ask of the images no more than their spectra hold


@dataclass(frozen=True, kw_only=True)
class IterateSettings:
    """What a user may choose."""

    method: str = "bayes"
    rounds: int = 5  # at most
    search_range: float = 1000.0  # Å either side of the input defocus
    jobs: int = 1

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            what = f"no rounds with method {self.method!r}"
            raise InputError(what, mend=f"choose {' or '.join(METHODS)}")
        if not 1 <= self.rounds <= 50:
            raise InputError(f"{self.rounds} rounds", mend="choose 1 to 50")
        if not 50 <= self.search_range <= 10000:
            what = f"a search range of {self.search_range:g} Å"
            raise InputError(what, mend="choose 50 to 10000 Å")
        if self.jobs < 1:
            raise InputError(f"{self.jobs} jobs", mend="choose 1 or more")


def run_iterate(
    particles_file: Path,
    files: ReferenceFiles,
    out: Path,
    settings: IterateSettings = IterateSettings(),
    *,
    passthrough: tuple[Path, ...] = (),
    resume: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> dict[str, Any]:
    """Rounds of estimate and reconstruct from the particles in a file; writes the folder `out`.

    `files` say how half-maps are made. A particle meets its own half's alone, or the rounds would
    carry noise from half to half. With `resume`, rounds that an interrupted run left in `out` are
    not made again; they must be of the same inputs and settings, but for `rounds` and `jobs`. Results
    are written after the last round; run.json, which is what is returned, comes last. Raises InputError.
    """
    started, cpu, out = time.time(), time.process_time(), Path(out)
    if not (resume and holds_rounds(out / ROUNDS)):
        check_free(out, "give another --out, or add --resume if an interrupted run is there")
    if files.own is None or files.meets != "own":
        what = "rounds need half-maps of the particles' own, each particle meeting its own half's"
        raise InputError(what, mend="give ReferenceFiles(own=Own())")
    progress("reading", 0, 1)
    found = read_particle_inputs(particles_file, files, passthrough=passthrough)
    store = RoundStore(
        out / ROUNDS, _made_from(particles_file, files, settings, passthrough, found)
    )
    rounds, curves, maps = _rounds(found, files, settings, store, progress)
    lines = standings(rounds, curves)
    kept = next(i for i, line in enumerate(lines) if line.kept)
    info = {
        "parfocal": parfocal.__version__,
        "python": platform.python_version(),
        "command": shlex.join(sys.argv),
        "inputs": {"particles": str(particles_file)},
        "settings": asdict(settings),
        "own_reference": asdict(files.own),
        "mask": files.masked,
        "particles": len(found.particles),
        "kept": kept,
        "settled": not rounds[-1].pays,
        "rounds": [_plain(line) for line in lines],
        "warnings": [*found.warnings, *told(found.losses)],
        "timings": {
            "wall_s": round(time.time() - started, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
        },
    }
    progress("writing", 0, 1)
    _write_maps(out, maps)
    if kept:
        estimates = rounds[kept - 1].estimates
        suffix = found.particles.source.suffix if found.particles.source else ""
        write_particles(found.particles, estimates, out / f"particles{suffix}")
        write_estimates(out / "estimates.star", estimates)
    write_star(out / "rounds.star", {"rounds": _columns(lines)})
    with replacing(out / "report.html") as file:
        file.write(iterate_page(lines, curves, info).encode())
    with replacing(out / "run.json") as file:
        file.write(json.dumps(info, indent=2, allow_nan=False).encode())
    store.discard()
    progress("done", 1, 1)
    return info


def _made_from(particles_file, files, settings, passthrough, found) -> dict[str, Any]:
    """What rounds depend on, under the names that users know it by."""
    mask = files.paths().get("mask")
    return {
        "particles": file_hash(particles_file),
        "--passthrough": [file_hash(path) for path in passthrough],
        "images": stack_identities(found.particles),
        "--mask": file_hash(mask) if mask else files.masked,
        "--sym": files.own.symmetry,
        "--split": files.own.split,
        "--method": settings.method,
        "--range": settings.search_range,
        "version of parfocal": parfocal.__version__,
    }


def _rounds(found: ParticleInputs, files, settings, store: RoundStore, progress):
    """(rounds, FSC curves of the maps made with the input and with each round that paid, those maps).

    The maps are those of the last such defoci. Rounds in the `store` are taken from there.
    """
    given, run = mask_for(files, found.particles), threads(settings.jobs)
    done = store.rounds(found.particles)[: settings.rounds]
    if done:
        given = store.mask()

    def remake(particles, mask) -> OwnReference:
        progress("reconstructing", 0, 1)
        return remade(
            replace(found, particles=particles), files, mask if given is None else given, run=run
        )

    def options(number):
        return {"run": counted(progress, f"round {number}", found.particles, settings.jobs)}

    rounds, curves, maps = [each for each, _ in done], [curve for _, curve in done], None
    more = iterate(
        found.particles,
        found.images,
        ESTIMATORS[settings.method],
        remake=remake,
        done=tuple(rounds),
        change_max=settings.search_range,
        options=options,
    )
    for each, maps in islice(more, settings.rounds - len(done)):
        store.put(each, maps)
        rounds.append(each)
        curves.append(maps.curves)
    paid = [each for each in rounds if each.pays]
    if maps is None or rounds[-1].pays:
        maps = remake(after(found.particles, paid), store.mask())
    if rounds[-1].pays:
        curves.append(maps.curves)
    return rounds, curves, maps


def _write_maps(out: Path, maps: OwnReference) -> None:
    size = maps.curves.pixel_size
    for number, half in enumerate(maps.half_maps, 1):
        write_map(out / f"half{number}.mrc", half, size)
    write_map(out / "mask.mrc", maps.mask, size)


def _plain(line: Standing) -> dict[str, Any]:
    """Of the numbers those that are finite, rounded."""
    numbers = {
        "gain": line.gain[0],
        "gain_error": line.gain[1],
        "step": line.step[0],
        "step_error": line.step[1],
        "moved": line.moved,
        "resolution": line.resolution,
    }
    plain = {k: round(float(v), 4) if np.isfinite(v) else None for k, v in numbers.items()}
    return {"name": line.name, **plain, "kept": line.kept}


def _columns(lines) -> dict[str, list[str] | Rounded]:
    def numbers(values, decimals):
        return Rounded(np.array(list(values), dtype=float), decimals)

    return {
        "parfocalRound": [line.name.replace(" ", "_") for line in lines],
        "parfocalHeldOutGain": numbers((line.gain[0] for line in lines), 4),
        "parfocalHeldOutGainError": numbers((line.gain[1] for line in lines), 4),
        "parfocalStep": numbers((line.step[0] for line in lines), 4),
        "parfocalStepError": numbers((line.step[1] for line in lines), 4),
        "parfocalMoved": numbers((line.moved for line in lines), 2),
        "parfocalResolution": numbers((line.resolution for line in lines), 3),
        "parfocalKept": [str(int(line.kept)) for line in lines],
    }
