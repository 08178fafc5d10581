"""Method `bayes`: each particle's curve within the ice layer that its micrograph's particles share."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np

from parfocal.curves import scaled_curves
from parfocal.estimates import DefocusEstimates, Status
from parfocal.estimators.draft import Draft
from parfocal.evidence import Evidence
from parfocal.grid import Fold
from parfocal.layer import Heights, Layer, PlanePrior, design, fit_layer, posterior
from parfocal.learning import LEAST_SLOPE, LEAST_WIDTH, Micrograph, learn
from parfocal.particles import Particles

LEARNED_FROM = 3000  # particles, whole micrographs of them, evenly taken
STEP = 12.0  # Å, of the grid of changes at the most


@dataclass(frozen=True, kw_only=True)
class Bayes:
    """Posterior mean and standard deviation of each particle's change under the ice-layer model.

    δ = micrograph's offset + tilt of its ice + height in the layer; widths learned from the data set.
    Where particles carry no information it falls back to the plane, then to the input. `stage_tilt`
    and `tilt_axis` [degrees]: the known tilt of the stage and its axis in the image, from +x to +y.
    """

    stage_tilt: float = 0.0
    tilt_axis: float = 0.0
    name: str = "bayes"

    def estimate(self, particles: Particles, evidence: Evidence) -> DefocusEstimates:
        """Estimates of all `particles`, in their order."""
        draft = Draft(self, particles, evidence)
        ladder = {rung: np.full(len(particles), np.nan) for rung in RUNGS}
        if not evidence.models:
            return draft.finish()
        grid = fine_grid(evidence)
        layers = self._learn(particles, evidence, grid)
        for rows, curves in by_micrograph(particles, evidence, grid):
            place = design(particles.coordinate_x[rows], particles.coordinate_y[rows])
            layer = layers["plane + particle"]
            fit = fit_layer(curves[0], grid, place, layer)
            density, _ = posterior(curves[0], grid, fit, layer)
            draft.change[rows] = mean = density @ grid
            # a density narrower than the grid's step is no narrower than that makes it
            least = ((grid[1] - grid[0]) / 4) ** 2
            draft.error[rows] = np.sqrt(np.maximum(density @ grid**2 - mean**2, least))
            draft.status[rows] = _judge(density)
            for rung, model in layers.items():
                ladder[rung][rows] = held_out(curves, grid, place, model)
        draft.gain = ladder["plane + particle"]
        return draft.finish(
            layer=asdict(layers["plane + particle"]),
            ladder=summarise_ladder(ladder, particles.micrograph),
        )

    def _learn(self, particles, evidence, grid) -> dict[str, Layer]:
        """The layer of each rung, from some of the micrographs."""
        wanted = some_micrographs(particles)
        sample = [
            Micrograph(
                curves[0], design(particles.coordinate_x[rows], particles.coordinate_y[rows])
            )
            for rows, curves in by_micrograph(particles, evidence, grid, wanted)
        ]
        slope = np.tan(np.radians(self.stage_tilt))
        axis = np.radians(self.tilt_axis)
        tilt = (-slope * np.sin(axis), slope * np.cos(axis))
        full = Layer(plane=PlanePrior(slope=tilt))
        flat = replace(full, heights=Heights(width=LEAST_WIDTH, wrong=1e-3))
        shift = replace(flat, plane=PlanePrior(slope=tilt, slope_sd=LEAST_SLOPE))
        starts = {"micrograph shift": shift, "plane": flat, "plane + particle": full}
        return {
            rung: learn(sample, grid, start, heights=start is full)
            for rung, start in starts.items()
        }


RUNGS = ("micrograph shift", "plane", "plane + particle")  # above the input, whose gain is 0


def held_out(curves, grid, place, layer: Layer) -> np.ndarray:
    """(m,) nats by which the layer, fitted on one fold, predicts the other better than the input.

    `curves` is (3, m, c): whole, first and second fold; both directions are added.
    """
    gain = np.zeros(curves.shape[1])
    for fitted, scored in ((curves[1], curves[2]), (curves[2], curves[1])):
        density, _ = posterior(fitted, grid, fit_layer(fitted, grid, place, layer), layer)
        relative = scored - scored[:, len(grid) // 2, None]
        top = relative.max(axis=1, keepdims=True)
        gain += np.log(np.sum(density * np.exp(relative - top), axis=1)) + top[:, 0]
    return gain


def summarise_ladder(ladder, micrograph) -> dict[str, list[float]]:
    """Rung -> mean gain a particle over the input [nats], and its standard error over micrographs."""
    out = {}
    for rung, gain in ladder.items():
        seen = np.isfinite(gain)
        mean = gain[seen].mean()
        _, index = np.unique(micrograph[seen], return_inverse=True)
        totals = np.bincount(index, weights=gain[seen] - mean)
        error = np.sqrt(np.sum(totals**2) * len(totals) / max(1, len(totals) - 1)) / seen.sum()
        out[rung] = [round(float(mean), 4), round(float(error), 4)]
    return out


def fine_grid(evidence: Evidence) -> np.ndarray:
    """Changes [Å] that resolve both the curves and the layer."""
    grid = evidence.change()
    half = max(len(grid) // 2, int(np.ceil(evidence.change_max / STEP)))
    return np.linspace(-evidence.change_max, evidence.change_max, 2 * half + 1)


def some_micrographs(particles: Particles) -> set[str]:
    """Names of micrographs, evenly taken, that hold about LEARNED_FROM particles."""
    names, counts = np.unique(particles.micrograph, return_counts=True)
    n = int(np.clip(np.ceil(LEARNED_FROM / counts.mean()), 1, len(names)))
    return set(names[np.linspace(0, len(names) - 1, n).round().astype(int)].tolist())


def by_micrograph(
    particles: Particles, evidence: Evidence, grid, wanted: set[str] | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows, curves) of each micrograph: float64 (3, m, c), whole, first and second fold.

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
                parts = waiting.pop(number)
                yield (
                    np.concatenate([part[0] for part in parts]),
                    np.concatenate([part[1] for part in parts], axis=1),
                )
    for parts in waiting.values():  # particles of groups without a model are never met
        yield (
            np.concatenate([part[0] for part in parts]),
            np.concatenate([part[1] for part in parts], axis=1),
        )


def _curves(sums, particles, rows, model, grid):
    whole = scaled_curves(sums.sum(axis=1), particles.defocus[rows], model, grid)
    folds = [whole.of(sums[:, fold]).on_grid() for fold in (Fold.FIRST, Fold.SECOND)]
    return np.stack([whole.on_grid(), *folds])


def _judge(density):
    """(m,) Status of each posterior on the grid."""
    best = np.argmax(density, axis=1)
    edge = (best == 0) | (best == density.shape[1] - 1)
    return np.where(edge, Status.AT_BOUND, Status.OK)
