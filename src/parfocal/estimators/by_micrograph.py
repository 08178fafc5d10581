"""The likelihood curves of a whole micrograph at a time, from chunks that follow the stacks."""

from collections.abc import Iterator

import numpy as np

from parfocal.curves import scaled_curves
from parfocal.estimates import Status
from parfocal.evidence import Evidence
from parfocal.grid import Fold
from parfocal.particles import Particles

STEP = 12.0  # Å, of the grid of changes at the most


def fine_grid(evidence: Evidence) -> np.ndarray:
    """Changes [Å] that resolve both the curves and the layer."""
    grid = evidence.change()
    half = max(len(grid) // 2, int(np.ceil(evidence.change_max / STEP)))
    return np.linspace(-evidence.change_max, evidence.change_max, 2 * half + 1)


def some_micrographs(particles: Particles, wanted: int) -> set[str]:
    """Names of micrographs, evenly taken, that hold about `wanted` particles."""
    names, counts = np.unique(particles.micrograph, return_counts=True)
    n = int(np.clip(np.ceil(wanted / counts.mean()), 1, len(names)))
    return set(names[np.linspace(0, len(names) - 1, n).round().astype(int)].tolist())


def by_micrograph(
    particles: Particles, evidence: Evidence, grid, wanted: set[str] | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows, curves) of each micrograph: float64 (3, m, c), whole, first and second fold.

    They count from the level of a wrong image, see `ParticleCurves.level`.
    A micrograph is given once all of its particles were met; as chunks follow the stacks, few wait.
    """
    names, index, counts = np.unique(particles.micrograph, return_inverse=True, return_counts=True)
    waiting: dict[int, list] = {}
    for rows, spectra, model in evidence.batches():
        for number in np.unique(index[rows]):
            if wanted is not None and names[number] not in wanted:
                continue
            mine = np.flatnonzero(index[rows] == number)
            counts[number] -= len(mine)
            good = mine[spectra.status[mine] == Status.OK]
            if len(good):
                waiting.setdefault(number, []).append(
                    (rows[good], _curves(spectra.sums[good], particles, rows[good], model, grid))
                )
            if counts[number] == 0 and number in waiting:
                yield _joined(waiting.pop(number))
    for parts in waiting.values():  # particles of groups without a model are never met
        yield _joined(parts)


def _joined(parts):
    rows, curves = zip(*parts, strict=True)
    return np.concatenate(rows), np.concatenate(curves, axis=1)


def _curves(sums, particles, rows, model, grid):
    whole = scaled_curves(sums.sum(axis=1), particles.defocus[rows], model, grid)
    folds = [whole.of(sums[:, fold]) for fold in (Fold.FIRST, Fold.SECOND)]
    return np.stack([each.on_grid() - each.level()[:, None] for each in (whole, *folds)])
