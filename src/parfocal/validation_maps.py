"""The maps of a validation: half-maps, FSC, B-factor and local resolution of every set, written."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from parfocal.block_jackknife import ITERATIONS
from parfocal.errors import InputError
from parfocal.fsc_curves import FscCurves, fsc_curves
from parfocal.fsc_star import write_fsc_star
from parfocal.guinier import Guinier, guinier
from parfocal.io import write_map
from parfocal.local_resolution import (
    MASKED,
    LocalDifference,
    LocalResolution,
    local_difference,
)
from parfocal.masks import TIGHT, make_mask
from parfocal.monores import Sweep, monores, signal_end
from parfocal.own_reference import automatic_mask
from parfocal.reconstruct import Reconstruction
from parfocal.reconstruct_inputs import ReconstructInputs
from parfocal.set_inputs import Told
from parfocal.validation_verdict import is_control

BEYOND = 1.25  # times the input's limiting frequency, to where local resolution is looked for


@dataclass(frozen=True, kw_only=True)
class Making:
    """How maps are judged one by one."""

    local_resolution: bool = True
    workers: int = 1  # threads of an FFT
    seed: int = 0  # of the random phases: the same for all sets


class SetMaps(NamedTuple):
    """What one set's half-maps gave."""

    curves: FscCurves
    line: Guinier
    local: LocalResolution | None
    density: np.ndarray  # (n, n, n), of both halves


def maps_of(
    made: dict[str, Reconstruction],
    inputs: ReconstructInputs,
    out: Path,
    making: Making,
    progress: Told,
) -> tuple[dict[str, SetMaps], np.ndarray]:
    """The maps of every set, written to `out`/NAME, and the mask, which is the same for all.

    `made` is emptied: each set's sums, the largest thing there is, are let go once it is done. Without
    a mask one is made of the first set's half-maps, and local resolution is looked for up to a
    frequency that these set, so that neither can favour a set.
    """
    pixel_size = inputs.particles.optics[0].pixel_size
    names = list(made)
    first, second = _halves(made[names[0]])
    mask = automatic_mask(first + second, pixel_size) if inputs.mask is None else inputs.mask
    tight = _tight(first + second, mask, pixel_size)
    finest = signal_end(first, second, tight, pixel_size) / BEYOND
    sweep = Sweep(finest=max(2 * pixel_size, finest))
    found = {}
    for number, name in enumerate(names):
        progress("maps", number, len(names))
        one = made.pop(name)
        first, second = _halves(one)
        rng = np.random.default_rng(making.seed)
        curves = fsc_curves(first, second, mask, pixel_size=pixel_size, rng=rng)
        local = None
        if making.local_resolution and not is_control(name):
            local = monores(
                first, second, tight, pixel_size=pixel_size, sweep=sweep, workers=making.workers
            )
        line = guinier(
            (first + second) / 2 * mask,
            curves.corrected,
            pixel_size=pixel_size,
            resolution=curves.resolution(),
        )
        found[name] = SetMaps(curves, line, local, one.full(fsc=curves.corrected))
        _write(out / name, found[name], (first, second), pixel_size)
    write_map(out / "mask.mrc", mask, pixel_size)
    progress("maps", len(names), len(names))
    return found, mask


def _halves(one: Reconstruction) -> tuple[np.ndarray, np.ndarray]:
    """Half-maps of one round of gridding weights: more of them lift noise where views are few."""
    return one.half_map(1, iterations=ITERATIONS), one.half_map(2, iterations=ITERATIONS)


def _tight(density: np.ndarray, mask: np.ndarray, pixel_size: float) -> np.ndarray:
    """The part of `mask` that holds no solvent, which would count as a poor part of the molecule."""
    try:
        return make_mask(density, pixel_size, **TIGHT) * (mask > MASKED)
    except InputError:  # there is no such part: then all of it
        return mask


def _write(folder: Path, maps: SetMaps, halves, pixel_size: float) -> None:
    for number, density in enumerate(halves, 1):
        write_map(folder / f"half{number}.mrc", density, pixel_size)
    write_map(folder / "map.mrc", maps.density, pixel_size)
    write_fsc_star(folder / "fsc.star", maps.curves, guinier=maps.line)
    if maps.local is not None:
        write_map(folder / "local_resolution.mrc", maps.local.resolution, pixel_size)


def local_gains(
    maps: Mapping[str, SetMaps], base: str, *, rng: np.random.Generator
) -> dict[str, LocalDifference]:
    """By how much [Å] the local resolution of each set is finer than that of `base`."""
    first = maps[base].local
    if first is None:
        return {}
    return {
        name: local_difference(first.resolution, one.local.resolution, first.inside, rng=rng)
        for name, one in maps.items()
        if one.local is not None and name != base
    }
