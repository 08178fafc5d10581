"""Method `bayes`: each particle's curve within the ice layer that its micrograph's particles share."""

from dataclasses import asdict, dataclass, replace

import numpy as np

from parfocal.curves import robust
from parfocal.errors import InputError
from parfocal.estimates import DefocusEstimates, Status
from parfocal.estimators.astigmatism_fit import ChangedEvidence, fit_astigmatism
from parfocal.estimators.by_micrograph import by_micrograph, fine_grid, some_micrographs
from parfocal.estimators.draft import Draft
from parfocal.evidence import Evidence
from parfocal.ladder import RUNGS, climb
from parfocal.layer import Heights, Layer, PlanePrior, Posterior, design, fit_layer, posterior
from parfocal.learning import (
    LEAST_SLOPE,
    LEAST_WIDTH,
    Micrograph,
    Widths,
    allowed_widths,
    learn,
)
from parfocal.particles import Particles

LEARNED_FROM = 2000  # particles, whole micrographs of them, evenly taken
INPUT, SHIFT, PLANE, PARTICLE = RUNGS
INTERVAL = (0.16, 0.84)
LEAST_WEIGHT = np.log(0.01)  # of a width that is worth a fit


@dataclass(frozen=True, kw_only=True)
class Bayes:
    """Posterior mean, error and 68 % interval of each particle's change under the ice-layer model.

    δ = micrograph's offset + tilt of its ice + height in the layer; widths learned from the data set,
    and shrunk towards it in each micrograph. What is reported is the mean under the last rung of the
    ladder {input, micrograph shift, plane, plane + particle} that held-out data support, or under
    `rung` if that names one; the error always counts the heights. `stage_tilt` and `tilt_axis`
    [degrees]: the known tilt of the stage and its axis in the image, from +x to +y. With `astigmatism`
    that of each micrograph is refined too, and used if it explains particles it was not fitted on.

    Wrong where particles are far from Gaussian about plane or sheets, such as bent ice.
    """

    stage_tilt: float = 0.0
    tilt_axis: float = 0.0
    rung: str = "auto"
    astigmatism: bool = False
    name: str = "bayes"

    def __post_init__(self) -> None:
        if self.rung not in ("auto", *RUNGS):
            mend = f"choose auto, {', '.join(RUNGS)}"
            raise InputError(f"the ladder has no rung {self.rung!r}", mend=mend)

    @property
    def asks_astigmatism(self) -> bool:
        """Whether it needs evidence gathered with `astigmatism=True`."""
        return self.astigmatism

    def estimate(self, particles: Particles, evidence: Evidence) -> DefocusEstimates:
        """Estimates of all `particles`, in their order. Raises InputError."""
        found = self._estimate(particles, evidence)
        if not self.astigmatism or not evidence.models:
            return found
        fit = fit_astigmatism(particles, evidence, found)
        if fit.used:
            changed = ChangedEvidence(**vars(evidence), astigmatism=fit.change)
            found = self._estimate(particles, changed)
            x, y = np.where(found.ok(), fit.change.T, 0.0)
            found = replace(found, astigmatism_change_x=x, astigmatism_change_y=y)
        return replace(found, settings={**found.settings, "astigmatism": fit.plain()})

    def _estimate(self, particles, evidence) -> DefocusEstimates:
        draft = Draft(self, particles, evidence)
        if not evidence.models:
            return draft.finish()
        grid = fine_grid(evidence)
        layers, widths = self._learn(particles, evidence, grid)
        means = np.full((len(RUNGS), len(particles)), np.nan)
        gains = np.full((len(particles), len(layers)), np.nan)
        folds = np.full((len(RUNGS), len(particles), 2), np.nan)
        for rows, curves in by_micrograph(particles, evidence, grid):
            place = design(particles.coordinate_x[rows], particles.coordinate_y[rows])
            found = _mixed(curves[0], grid, place, widths)
            _fill(draft, rows, found, grid)
            means[:, rows] = _means(curves[0], grid, place, layers, found)
            folds[0, rows] = 0.0
            for rung, (name, layer) in enumerate(layers.items(), 1):
                gains[rows, rung - 1], plane, own = held_out(curves, grid, place, layer)
                folds[rung, rows] = own if name == PARTICLE else plane  # as `_means`
        draft.gain_of_shift, draft.gain_of_plane, draft.gain = gains.T
        ladder = climb(gains, particles.micrograph)
        rung = ladder.best if self.rung == "auto" else self.rung
        _step_down(draft, means[RUNGS.index(rung)])
        draft.folds = folds[RUNGS.index(rung)]
        return draft.finish(
            posterior=True,
            layer=asdict(layers[PARTICLE]),
            width=[round(value, 1) for value in widths.width()],
            width_varies=widths.own,
            ladder=ladder.plain(),
        )

    def _learn(self, particles, evidence, grid) -> tuple[dict[str, Layer], Widths]:
        """The layer of each rung, and how well its width is known, from some of the micrographs."""
        wanted = some_micrographs(particles, LEARNED_FROM)
        sample = [
            Micrograph(
                curves[0], design(particles.coordinate_x[rows], particles.coordinate_y[rows])
            )
            for rows, curves in by_micrograph(particles, evidence, grid, wanted)
        ]
        slope = np.tan(np.radians(self.stage_tilt))
        axis = np.radians(self.tilt_axis)
        tilt = (-slope * np.sin(axis), slope * np.cos(axis))
        full = learn(sample, grid, Layer(plane=PlanePrior(slope=tilt)))
        line = replace(full, heights=Heights(width=LEAST_WIDTH, stray=full.heights.stray))
        plane = learn(sample, grid, line, heights=False)
        level = replace(line, plane=replace(full.plane, slope_sd=LEAST_SLOPE))
        shift = learn(sample, grid, level, heights=False)
        layers = {SHIFT: shift, PLANE: plane, PARTICLE: full}
        return layers, allowed_widths(sample, grid, full)


def held_out(curves, grid, place, layer: Layer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(m,) nats by which the layer, fitted on one fold, predicts the other better than the input.

    `curves` is (3, m, c): whole, first and second fold; both directions are added. Besides, (m, 2)
    Å each, from either fold alone: the plane's change, and the particle's own mean.
    """
    gain, planes, means = np.zeros(curves.shape[1]), [], []
    for fitted, scored in ((curves[1], curves[2]), (curves[2], curves[1])):
        fitted, scored = robust(fitted, layer.wrong), robust(scored, layer.wrong)
        fit = fit_layer(fitted, grid, place, layer)
        density = posterior(fitted, grid, fit, layer).density
        relative = scored - scored[:, len(grid) // 2, None]
        top = relative.max(axis=1, keepdims=True)
        gain += np.log(np.sum(density * np.exp(relative - top), axis=1)) + top[:, 0]
        planes.append(place @ fit.coefficients)
        means.append(density @ grid)
    return gain, np.stack(planes, axis=1), np.stack(means, axis=1)


def _mixed(curves, grid, place, widths: Widths) -> Posterior:
    """Posterior as a mean over the widths that the data set, or this micrograph, allows."""
    curves = robust(curves, widths.layers[0].wrong)
    used = [i for i, weight in enumerate(widths.log_weight) if weight > LEAST_WEIGHT]
    fits = [fit_layer(curves, grid, place, widths.layers[i]) for i in used]
    log_evidence = np.full(len(widths.layers), -np.inf if widths.own else 0.0)
    log_evidence[used] = [fit.log_evidence for fit in fits]
    weight = widths.weights(log_evidence)[used]
    parts = [
        posterior(curves, grid, fit, widths.layers[i]) for fit, i in zip(fits, used, strict=True)
    ]
    density, inside, upper = (
        np.average([getattr(part, name) for part in parts], axis=0, weights=weight)
        for name in ("density", "inside", "upper")
    )
    return Posterior(density=density, inside=inside, upper=upper)


def _fill(draft: Draft, rows, found: Posterior, grid) -> None:
    """Mean, error, interval, sheet and status from the posterior with the particles' heights."""
    mean = found.density @ grid
    # a density narrower than the grid's step is no narrower than that makes it
    least = ((grid[1] - grid[0]) / 4) ** 2
    draft.change[rows] = mean
    draft.error[rows] = np.sqrt(np.maximum(found.density @ grid**2 - mean**2, least))
    draft.low[rows], draft.high[rows] = _quantiles(found.density, grid, INTERVAL)
    draft.sheet[rows] = found.upper
    best = np.argmax(found.density, axis=1)
    edge = (best == 0) | (best == len(grid) - 1)
    draft.status[rows] = np.where(edge, Status.AT_BOUND, Status.OK)


def _means(curves, grid, place, layers, found: Posterior) -> np.ndarray:
    """(rungs, m) Å: the change that each rung of the ladder would give."""
    means = np.zeros((len(RUNGS), len(curves)))
    for rung in (SHIFT, PLANE):
        layer = layers[rung]
        fit = fit_layer(robust(curves, layer.wrong), grid, place, layer)
        means[RUNGS.index(rung)] = place @ fit.coefficients
    means[RUNGS.index(PARTICLE)] = found.density @ grid
    return means


def _step_down(draft: Draft, change) -> None:
    """Report `change` (n,) instead; the error counts how far that is from the mean."""
    draft.low, draft.high = np.minimum(draft.low, change), np.maximum(draft.high, change)
    draft.error = np.hypot(draft.error, draft.change - change)
    draft.change = change


def _quantiles(density, grid, shares):
    """[(m,), ...] changes below which the given shares of each density lie."""
    held = np.cumsum(density, axis=1)
    edge = grid + (grid[1] - grid[0]) / 2
    out = []
    for share in shares:
        at = np.clip(np.argmax(held >= share, axis=1), 1, len(grid) - 1)
        row = np.arange(len(density))
        below, above = held[row, at - 1], held[row, at]
        part = np.clip((share - below) / np.maximum(above - below, 1e-12), 0, 1)
        out.append(edge[at - 1] + part * (edge[at] - edge[at - 1]))
    return out
