"""The change of defocus that suits a whole micrograph: the sum of its particles' curves."""

from dataclasses import dataclass

import numpy as np

from parfocal.curves import scaled_curves
from parfocal.estimates import Status
from parfocal.evidence import Evidence
from parfocal.particles import Particles


@dataclass(frozen=True, kw_only=True)
class MicrographChange:
    """Best common change of a micrograph's particles, and of two random halves of them."""

    n_particles: int
    change: float  # Å; nan without particles
    error: float  # Å, one standard deviation from the curve
    half_change: tuple[float, float]
    half_error: tuple[float, float]


def micrograph_changes(
    particles: Particles, evidence: Evidence, *, rng: np.random.Generator
) -> dict[str, MicrographChange]:
    """Maximum of the summed log-likelihood of each micrograph, with the prior defocus as origin.

    One common change for all particles: right for an error of the micrograph's defocus, too narrow
    in its error where the particles' heights differ by more than their own errors.
    """
    if not evidence.models:
        return {}
    grid = evidence.change()
    names, index = np.unique(particles.micrograph, return_inverse=True)
    half = rng.permutation(len(particles)) % 2
    total, count = np.zeros((2, len(names), len(grid))), np.zeros(len(names), dtype=int)
    for rows, spectra, model in evidence.batches():
        good = spectra.status == Status.OK
        rows = rows[good]
        if len(rows):
            sums = spectra.sums[good].sum(axis=1)
            curve = scaled_curves(sums, particles.defocus[rows], model, grid).on_grid()
            np.add.at(total, (half[rows], index[rows]), curve)
            np.add.at(count, index[rows], 1)
    whole, first, second = (_maximum(grid, c) for c in (total.sum(axis=0), total[0], total[1]))
    return {
        str(name): MicrographChange(
            n_particles=int(count[i]),
            change=float(whole[0][i]),
            error=float(whole[1][i]),
            half_change=(float(first[0][i]), float(second[0][i])),
            half_error=(float(first[1][i]), float(second[1][i])),
        )
        for i, name in enumerate(names)
    }


def _maximum(grid, curves):
    """(change, error) of each curve (m, c): parabola through the top three points; nan if flat.

    Never beyond the grid: a curve that still rises at its end has its change there.
    """
    step = grid[1] - grid[0]
    best = np.clip(np.argmax(curves, axis=1), 1, len(grid) - 2)
    left, top, right = (
        np.take_along_axis(curves, best[:, None] + d, axis=1)[:, 0] for d in (-1, 0, 1)
    )
    bend = np.where(left + right < 2 * top, left - 2 * top + right, np.nan)
    move = np.clip((left - right) / (2 * bend), -1, 1)
    return grid[best] + step * move, step / np.sqrt(-bend)
