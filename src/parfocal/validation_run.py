"""`parfocal validate`: maps with each set of defoci, of the same particles, and which is better."""

import json
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

import parfocal
from parfocal.b_factor import rosenthal_henderson
from parfocal.block_jackknife import replicates
from parfocal.chance import held_out_name
from parfocal.conventions import astigmatism_vector
from parfocal.errors import InputError
from parfocal.execution import threads
from parfocal.execution.memory import available_memory
from parfocal.half_sets import BOTH, DRAWN, images_in_both
from parfocal.held_out import Defoci, parts_of
from parfocal.io import StackImages
from parfocal.io.files import check_free, replacing
from parfocal.losses import told
from parfocal.micrograph_blocks import BLOCKS, Blocks, blocks_of
from parfocal.negative_controls import negative_controls
from parfocal.particles import Particles
from parfocal.reconstruct import reconstruct_sets
from parfocal.reconstruct_inputs import (
    INPUT,
    ReconstructFiles,
    ReconstructInputs,
    read_reconstruct_inputs,
)
from parfocal.reconstruct_run import ReconstructSettings, needed_memory
from parfocal.report.validation_page import validation_page
from parfocal.set_inputs import Told
from parfocal.validation import qualities
from parfocal.validation_maps import Making, local_gains, maps_of
from parfocal.validation_record import ValidationRun, row_of
from parfocal.validation_verdict import Circumstances, best_set, is_control, ranked, verdict

SAME = 0.01  # Å, of astigmatism that is no change


@dataclass(frozen=True, kw_only=True)
class ValidationSettings:
    """What a user may choose."""

    symmetry: str = "C1"
    controls: tuple[str, ...] | None = None  # sets with negative controls; None: the first
    held_out: bool = True  # judge sets by their folds too
    independent: tuple[str, ...] = ()  # sets that were not fitted to these images
    blocks: int = BLOCKS
    local_resolution: bool = True
    jobs: int = 1
    seed: int = 0  # of the shuffles and the random phases

    def __post_init__(self) -> None:
        if not 4 <= self.blocks <= 200:
            raise InputError(f"{self.blocks} blocks", mend="choose 4 to 200, such as 20")
        ReconstructSettings(symmetry=self.symmetry, jobs=self.jobs)

    def making(self) -> Making:
        """What the maps depend on."""
        return Making(local_resolution=self.local_resolution, workers=self.jobs, seed=self.seed)


def run_validation(
    files: ReconstructFiles,
    out: Path,
    settings: ValidationSettings = ValidationSettings(),
    *,
    progress: Told = lambda stage, done, total: None,
) -> ValidationRun:
    """Reconstruct with every set, and judge the maps; write the folder `out`. Raises InputError.

    The particle file's own defoci are the set INPUT, against which all are judged. Everything is read
    and checked before `out` is made; run.json comes last.
    """
    started, cpu, out = time.time(), time.process_time(), Path(out)
    check_free(out)
    progress("reading", 0, 1)
    if not files.sets:
        raise InputError("no set of defoci to judge", mend="give one or more of NAME=FILE")
    inputs = read_reconstruct_inputs(files)
    sets = _with_held_out(_with_controls(inputs, settings), inputs, settings)
    _check_memory(inputs, len(sets), settings)
    run = threads(settings.jobs)
    base = inputs.sets[INPUT]
    images = StackImages(base)
    progress("particles", 0, 1)
    made = reconstruct_sets(sets, images, symmetry=settings.symmetry, run=run)
    used = made[INPUT].reason == ""
    losses = made[INPUT].losses
    maps, mask = maps_of(made, inputs, out, settings.making(), progress)
    rows = np.flatnonzero(used)
    taken = {name: one.take(rows) for name, one in sets.items()}
    base = base.take(rows)
    blocks = blocks_of(base, np.ones(len(rows), dtype=bool), settings.blocks)
    found = replicates(
        taken,
        StackImages(base),
        blocks,
        mask,
        symmetry=settings.symmetry,
        run=run,
        progress=progress,
    )
    about = _circumstances(files, inputs, taken, blocks)
    fitted = [name for name in inputs.sets if name not in (INPUT, *settings.independent)]
    every = qualities(
        {name: one.curves for name, one in maps.items()},
        found,
        INPUT,
        shares={
            name: share
            for name, share in inputs.chance_share.items()
            if held_out_name(name) in sets
        },
        fitted={name: about.change[name] for name in fitted},
    )
    judged = ranked(every)
    result = ValidationRun(
        out=out,
        qualities=judged,
        about=about,
        guinier={name: one.line for name, one in maps.items()},
        b_factor={q.name: rosenthal_henderson(q.particles, q.subset_resolution) for q in judged},
        local={name: one.local for name, one in maps.items() if one.local is not None},
        local_gain=local_gains(maps, INPUT, rng=np.random.default_rng(settings.seed)),
        densities={name: one.density for name, one in maps.items() if not is_control(name)},
        best=best_set(judged, about),
    )
    warnings = [*told(losses)]
    if shared := images_in_both(base):
        warnings.append(BOTH.format(images=shared))
    if inputs.was_split:
        warnings.append(DRAWN.format(seed=files.split))
    info = {
        "parfocal": parfocal.__version__,
        "command": shlex.join(sys.argv),
        "particles_file": str(files.particles),
        "sets": {name: str(path) for name, path in files.sets.items()},
        "mask": str(files.mask) if files.mask else "made of the input's map",
        "split": files.split,
        "settings": asdict(settings),
        "particles": len(rows),
        "micrographs": len(set(base.micrograph.tolist())),
        "blocks": blocks.count,
        "joined": list(inputs.told),
        "verdict": list(verdict(judged, about)),
        "best": result.best,
        "rows": [row_of(result, one) for one in judged],
        "not_used": [asdict(loss) for loss in losses],
        "warnings": warnings,
        "timings": {
            "wall_s": round(time.time() - started, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
        },
    }
    result = replace(result, info=info)
    with replacing(out / "report.html") as file:
        file.write(validation_page(result).encode())
    with replacing(out / "run.json") as file:
        file.write(json.dumps(info, indent=2, allow_nan=False).encode())
    progress("done", 1, 1)
    return result


def _with_held_out(
    sets: Mapping[str, Particles], inputs: ReconstructInputs, settings: ValidationSettings
) -> dict[str, Defoci]:
    """`sets`, and those of them with folds once more, as `HeldOut`."""
    for name in settings.independent:
        if name not in inputs.sets or name == INPUT:
            given = ", ".join(one for one in inputs.sets if one != INPUT)
            raise InputError(
                f"{name!r} is to be independent, and is no set", mend=f"choose from {given}"
            )
    found: dict[str, Defoci] = dict(sets)
    if settings.held_out:
        for name, one in inputs.held_out.items():
            if name not in settings.independent:
                found[held_out_name(name)] = one
    return found


def _with_controls(inputs: ReconstructInputs, settings: ValidationSettings) -> dict[str, Particles]:
    sets = dict(inputs.sets)
    given = [name for name in sets if name != INPUT]
    for name in filter(is_control, given):
        what = f"a set is called {name!r}, as a negative control is"
        raise InputError(what, mend="give it another name, as in NAME=FILE")
    wanted = given[:1] if settings.controls is None else settings.controls
    for name in wanted:
        if name not in given:
            what = f"controls of {name!r}, which is no set"
            raise InputError(what, mend=f"choose from {', '.join(given)}, or none")
        rng = np.random.default_rng(settings.seed)
        for control, one in negative_controls(name, sets[INPUT], sets[name], rng=rng).items():
            if control in sets:
                raise InputError(f"a set is called {control!r}", mend="name it apart")
            sets[control] = one
    return sets


def _check_memory(inputs: ReconstructInputs, sets: int, settings: ValidationSettings) -> None:
    optics = inputs.particles.optics[0]
    needed = needed_memory(optics, sets, ReconstructSettings(symmetry=settings.symmetry))
    there = available_memory()
    if needed > there:
        raise InputError(
            f"maps of box {optics.image_size} for {sets} sets, controls and held-out included, take "
            f"{needed / 1e9:.1f} GB of memory, {there / 1e9:.1f} GB are there",
            mend="judge fewer sets at a time, with --controls none or --no-held-out",
        )


def _circumstances(files, inputs, sets: Mapping[str, Defoci], blocks: Blocks) -> Circumstances:
    ((base, _),) = parts_of(sets[INPUT])
    changed = {
        name: [part.defocus - base.defocus for part, _ in parts_of(one)]
        for name, one in sets.items()
    }
    vectors = {name: [_vector(part) for part, _ in parts_of(one)] for name, one in sets.items()}
    return Circumstances(
        base=INPUT,
        whole_micrographs=blocks.whole_micrographs,
        was_split=inputs.was_split,
        voltage=base.optics[0].voltage,
        change={
            name: float(np.sqrt(np.mean(np.square(change)))) for name, change in changed.items()
        },
        astigmatism=frozenset(
            name
            for name, v in vectors.items()
            if max(np.abs(one - vectors[INPUT][0]).max() for one in v) > SAME
        ),
        dependent=frozenset(name for name, path in files.sets.items() if _met_other_half(path)),
    )


def _vector(particles: Particles) -> np.ndarray:
    return np.stack(
        astigmatism_vector(particles.defocus_u, particles.defocus_v, particles.defocus_angle)[1:]
    )


def _met_other_half(path: Path) -> bool:
    """Whether a set is of a run of ours in which particles met more than the map of their own half."""
    for folder in Path(path).resolve().parents[:2]:
        try:
            told = json.loads((folder / "run.json").read_text())
        except (OSError, ValueError):
            continue
        return isinstance(told, dict) and told.get("reference") in ("full", "opposite")
    return False
