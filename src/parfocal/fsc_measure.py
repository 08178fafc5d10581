"""All that the FSC says of one pair of half-maps: curves, how sure they are, directions, B-factor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from parfocal.fsc_curves import FscCurves, fsc_curves
from parfocal.fsc_directions import Directional, direction_sums, directional
from parfocal.fsc_faults import (
    check_independent,
    faults_of_curves,
    faults_of_maps,
    faults_of_symmetry,
)
from parfocal.fsc_spread import Interval, fsc_noise, noise_in_cones, resolution_interval
from parfocal.guinier import Guinier, guinier

LEVELS = (0.143, 0.5)


@dataclass(frozen=True, kw_only=True)
class FscMeasurement:
    """What was found of one pair of half-maps under one mask."""

    name: str
    curves: FscCurves
    error: np.ndarray  # (n//2+1,) standard deviation of the corrected FSC
    intervals: Mapping[float, Interval]  # 68 %, by level
    directional: Directional
    noise_in_cones: float  # what noise alone would make of directional.spread()
    guinier: Guinier
    warnings: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """Strings, numbers, lists and dicts only: for run.json. None where a number is not known."""
        cones, line = self.directional, self.guinier
        crossings = {
            f"{level:g}": {
                "corrected": _number(self.curves.resolution(level)),
                "fine": _number(self.intervals[level].fine),
                "coarse": _number(self.intervals[level].coarse),
                "masked": _number(self.curves.resolution(level, "masked")),
                "unmasked": _number(self.curves.resolution(level, "unmasked")),
                "limited_by_pixel_size": self.curves.reaches_nyquist(level),
            }
            for level in self.intervals
        }
        start = self.curves.randomised_from
        return {
            "resolution": crossings,
            "randomised_from": _number(
                1 / self.curves.k[start] if 0 < start < len(self.curves.k) else np.nan
            ),
            "directions": {
                "best": _number(cones.best()),
                "worst": _number(cones.worst()),
                "spread": _number(cones.spread()),
                "spread_of_noise": _number(self.noise_in_cones),
                "sphericity": _number(cones.sphericity()),
            },
            "b_factor": _number(line.b_factor),
            "b_factor_error": _number(line.b_factor_error),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, kw_only=True)
class FscSettings:
    """What belongs to all pairs of half-maps that are measured together."""

    pixel_size: float  # Å
    group: np.ndarray | None = None  # (m, 3, 3) rotations of the symmetry that was imposed on them


def measure(
    half1, half2, mask, settings: FscSettings, *, name: str, rng: np.random.Generator
) -> FscMeasurement:
    """Everything of two half-maps (n, n, n) under `mask`, which is float32 in [0, 1].

    Takes some 40 bytes a voxel. Raises InputError.
    """
    pixel_size = settings.pixel_size
    check_independent(half1, half2)
    curves = fsc_curves(half1, half2, mask, pixel_size=pixel_size, rng=rng)
    sums = direction_sums(half1, half2, mask)
    noise = fsc_noise(sums, curves, group=settings.group, rng=rng)
    level = LEVELS[0]
    cones = directional(sums, curves, level)
    return FscMeasurement(
        name=name,
        curves=curves,
        error=noise.std(axis=0),
        intervals={level: resolution_interval(curves, noise, level) for level in LEVELS},
        directional=cones,
        noise_in_cones=noise_in_cones(sums, cones, noise),
        guinier=guinier(
            (half1 + half2) / 2 * mask,
            curves.corrected,
            pixel_size=pixel_size,
            resolution=curves.resolution(level),
        ),
        warnings=(
            *faults_of_maps(half1, half2),
            *faults_of_symmetry(half1, half2, settings.group),
            *faults_of_curves(curves),
        ),
    )


def _number(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
