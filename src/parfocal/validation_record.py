"""What a validation found, and where it was written."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from parfocal.guinier import Guinier
from parfocal.local_resolution import LocalDifference, LocalResolution
from parfocal.validation import SetQuality, Value
from parfocal.validation_verdict import Circumstances, doubts

Table = Mapping[str, tuple[float, float]]  # set -> (value, standard error)


@dataclass(frozen=True, kw_only=True)
class ValidationRun:
    """Qualities best first; the rest by name of the set. `info` is as in run.json."""

    out: Path
    qualities: tuple[SetQuality, ...]
    about: Circumstances
    guinier: Mapping[str, Guinier]
    b_factor: Table  # Å², by the number of particles
    local: Mapping[str, LocalResolution]
    local_gain: Mapping[str, LocalDifference]  # by how much finer than the input's
    densities: Mapping[str, np.ndarray]  # (n, n, n) of those sets that slices are drawn of
    best: str
    info: Mapping[str, Any] = field(default_factory=dict)


def row_of(run: ValidationRun, one: SetQuality) -> dict[str, Any]:
    """One set in plain numbers, as run.json has it."""
    line, gain = run.guinier[one.name], run.local_gain.get(one.name)
    local = run.local.get(one.name)
    subsets = zip(one.particles.tolist(), one.subset_resolution.tolist(), strict=True)
    return {
        "name": one.name,
        "resolution": _number(one.resolution),
        "resolution_error": _number(one.resolution_error),
        "worth": _plain(one.worth),
        "worth_as_seen": _plain(one.seen),
        "chance": asdict(one.chance),
        "finer": _number(one.gain),
        "finer_error": _number(one.gain_error),
        "over_shuffled": None if one.over_shuffled is None else _plain(one.over_shuffled),
        "change_rms": _number(run.about.change[one.name], 1),
        "b_factor_guinier": _number(line.b_factor, 1),
        "b_factor_particles": _number(run.b_factor[one.name][0], 1),
        "b_factor_particles_error": _number(run.b_factor[one.name][1], 1),
        "local_resolution_median": None if local is None else _number(local.median),
        "local_finer": None if gain is None else _number(gain.mean),
        "local_finer_error": None if gain is None else _number(gain.mean_error),
        "subsets": [[int(n), _number(d)] for n, d in subsets],
        "doubts": list(doubts(one, run.about)),
    }


def _plain(value: Value) -> dict[str, float | int | None]:
    return {
        "value": _number(value.value, 4),
        "error": _number(value.error, 4),
        "freedom": value.freedom,
    }


def _number(value: float, digits: int = 3) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None
