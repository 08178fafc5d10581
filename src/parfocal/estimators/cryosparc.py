"""Method `cryosparc`: cryoSPARC's local CTF refinement, from the spectra alone."""

from dataclasses import dataclass

import numpy as np

from parfocal.curves import ParticleCurves, scaled_curves
from parfocal.estimates import DefocusEstimates
from parfocal.estimators.draft import Draft
from parfocal.estimators.least_squares import (
    DEFOCUS,
    NEUTRAL,
    SCALE,
    Problems,
    cross_and_norm,
    problems,
)
from parfocal.estimators.style import (
    FOLDS,
    Fit,
    Piece,
    check_limits,
    data_scale,
    fill,
    pieces,
    shell_weight,
)
from parfocal.evidence import Evidence
from parfocal.particles import Particles

LEAST_FSC = 0.5


@dataclass(frozen=True, kw_only=True)
class Cryosparc:
    """cryoSPARC's local CTF refinement (v4 and v5): squared projection error, the minimum wins.

    Each particle against the map of its own half, from `k_min` [Å] to the first shell where the FSC
    is below 0.5 (an outside map: to where it is trusted), all frequencies alike, over a grid of
    ± `search_range` [Å], within the evidence's own range where that is smaller. v5 fits a scale of
    each particle jointly (`fit_scale`); without it, as in v4, that of the optics group is measured
    once. The grid is ours, a quarter of a radian a step at the highest frequency, with a parabola
    through its minimum: cryoSPARC does not say how fine its own is.

    The error is what the noise of our own model does to the minimum, and counts other minima of the
    curve: cryoSPARC gives none. From its documentation alone, as its source is closed.
    """

    fit_scale: bool = True
    k_min: float = 20.0  # Å
    search_range: float = 2000.0  # Å
    name: str = "cryosparc"

    @property
    def scans(self) -> float:
        """How far [Å] it looks either side of the input: a run that holds less warns."""
        return self.search_range

    def __post_init__(self) -> None:
        check_limits(self.k_min, self.search_range)

    def estimate(self, particles: Particles, evidence: Evidence) -> DefocusEstimates:
        """Estimates of all `particles`, in their order. Raises InputError."""
        draft = Draft(self, particles, evidence)
        for piece in pieces(particles, evidence, whole=False):
            sums, prior = piece.sums.sum(axis=1), particles.defocus[piece.rows]
            curves = scaled_curves(sums, prior, piece.model, evidence.change())
            fit = self._fit(piece, evidence, curves)
            fill(draft, fit, curves, [curves.of(piece.sums[:, fold]) for fold in FOLDS])
        return draft.finish()

    def _fit(self, piece: Piece, evidence: Evidence, curves: ParticleCurves) -> Fit:
        grid, reference = piece.model.grid, evidence.reference
        weight = _band(shell_weight(reference, grid, least=LEAST_FSC, low=self.k_min))
        start = np.tile(NEUTRAL, (len(piece.rows), 1))
        start[:, SCALE] = data_scale(piece.model, reference)
        reach = min(self.search_range, evidence.change_max)
        half = int(np.ceil(reach / (curves.grid[1] - curves.grid[0])))
        inside = np.linspace(-reach, reach, 2 * half + 1)
        found = []
        for sums in (curves.sums, *(piece.sums[:, fold] for fold in FOLDS)):
            problem = problems(sums, piece.harmonics[:, :0], grid, weight).settled(start, [])
            found.append((problem, self._lowest(problem, inside)))
        (whole, change), (_, first), (_, second) = found
        return Fit(
            rows=piece.rows,
            change=change,
            fold_change=(first, second),
            cost=self._cost(whole, curves.grid),
            weight=weight * self._scale(whole, change) * start[:, SCALE, None],
            edge=np.abs(change) > inside[-1] - (inside[1] - inside[0]) / 2,
        )

    def _cost(self, problem: Problems, change):
        """(m, c) squared error over a grid of changes (c,) [Å], but for a constant."""
        cross, norm = cross_and_norm(problem, change)
        if self.fit_scale:  # the best one, not below 0, put in
            return -(np.maximum(cross, 0) ** 2) / norm
        return norm - 2 * cross

    def _scale(self, problem: Problems, change):
        """(m, 1) scale of each particle at its `change` (m,)."""
        if not self.fit_scale:
            return np.ones((len(change), 1))
        cross, norm = cross_and_norm(_moved(problem, change), np.zeros(1))
        return np.maximum(cross / norm, 1e-6)

    def _lowest(self, problem: Problems, grid):
        """(m,) change [Å] of least cost: the grid's, refined by parabolas through three points."""
        best = grid[np.argmin(self._cost(problem, grid), axis=1)]
        step = grid[1] - grid[0]
        place = np.clip(best, grid[1], grid[-2])
        for h in (step / 2, step / 8):
            left, centre, right = self._cost(_moved(problem, place), np.array([-h, 0.0, h])).T
            bend = left - 2 * centre + right
            move = np.divide(left - right, 2 * bend, out=np.zeros_like(bend), where=bend > 0)
            place = place + h * np.clip(move, -2, 2)
        at_end = (best == grid[0]) | (best == grid[-1])
        return np.where(at_end, best, np.clip(place, grid[0], grid[-1]))


def _band(weight):
    """1 up to the first gap in `weight` (bins,), 0 from there."""
    start = np.flatnonzero(weight > 0)[0]
    gap = np.flatnonzero(weight[start:] == 0)
    end = start + gap[0] if len(gap) else len(weight)
    out = np.zeros(len(weight))
    out[start:end] = 1.0
    return out


def _moved(problem: Problems, change) -> Problems:
    """The problems that begin at each particle's `change` (m,) [Å]."""
    x = np.tile(NEUTRAL, (len(change), 1))
    x[:, DEFOCUS] = change
    return problem.settled(x, [])
