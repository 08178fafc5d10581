"""What methods in the style of another program share: its shells, a scale, and an honest error."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from parfocal.curves import ParticleCurves
from parfocal.errors import InputError
from parfocal.estimates import Status
from parfocal.estimators.draft import Draft
from parfocal.estimators.least_squares import least_squares_error
from parfocal.estimators.profile import FLAT_SPREAD
from parfocal.evidence import Evidence
from parfocal.grid import Fold, SpectraGrid
from parfocal.likelihood import NoiseModel
from parfocal.particles import Particles
from parfocal.reference import Reference

FOLDS = (Fold.FIRST, Fold.SECOND)


class Piece(NamedTuple):
    """The spectra of some particles of one optics group, all of them good."""

    rows: np.ndarray  # (m,) of the particles
    sums: np.ndarray  # (m, 3, bins, 8)
    harmonics: np.ndarray  # (m, bins or 0, 16)
    model: NoiseModel

    def take(self, mask) -> "Piece":
        """Those of `mask` (m,)."""
        return Piece(self.rows[mask], self.sums[mask], self.harmonics[mask], self.model)


def pieces(
    particles: Particles, evidence: Evidence, *, whole: bool, corrected: bool = False
) -> Iterator[Piece]:
    """The good particles' spectra, piece by piece; if `whole`, micrographs are not cut.

    As chunks follow the stacks, few particles wait for the rest of their micrograph. `corrected` as
    `Evidence.batches` has it: by default as other programs see the particles.
    """
    names, index = np.unique(particles.micrograph, return_inverse=True)
    key = particles.optics_group * len(names) + index
    left = np.bincount(key)
    held: list[Piece] = []
    for rows, spectra, model in evidence.batches(corrected=corrected):
        if held and held[0].model is not model:
            yield _joined(held)
            held = []
        np.subtract.at(left, key[rows], 1)
        good = spectra.status == Status.OK
        held.append(Piece(rows[good], spectra.sums[good], spectra.harmonics[good], model))
        both = _joined(held)
        done = (left[key[both.rows]] == 0) | (not whole)
        held = [both.take(~done)] if not done.all() else []
        if done.any():
            yield both.take(done)
    if held:
        yield _joined(held)


def _joined(parts: list[Piece]) -> Piece:
    rows, sums, harmonics, models = zip(*parts, strict=True)
    return Piece(np.concatenate(rows), np.concatenate(sums), np.concatenate(harmonics), models[0])


def check_limits(k_min: float, search_range: float) -> None:
    """Both [Å] must be above 0. Raises InputError."""
    for name, value in (("k_min", k_min), ("search_range", search_range)):
        if not 0 < value < np.inf:
            raise InputError(f"{name} = {value:g}", mend="give a number of Å above 0")


def shell_weight(reference: Reference, grid: SpectraGrid, *, least: float, low: float):
    """(bins,) FSC of the shell that each bin is nearest to; 0 below `least`, and beyond `low` [Å].

    Raises InputError where nothing is left.
    """
    shell = np.rint(grid.k * reference.box * reference.pixel_size).astype(int)
    fsc = np.append(reference.weight, 0.0)[np.minimum(shell, len(reference.weight))]
    weight = np.where((fsc < least) | (grid.k < 1 / low), 0.0, np.minimum(fsc, 1.0))
    if not weight.any():
        raise InputError(
            f"no shell finer than {low:g} Å has an FSC of {least:g}, as this method needs",
            mend="leave the method away, or give a better map",
        )
    return weight


def data_scale(model: NoiseModel, reference: Reference) -> float:
    """Amplitude of an optics group's images over the map's, at k = 0: 1 on the absolute scale."""
    weight = reference.weight_at(model.grid.k)
    seen = weight > 0
    ratio = np.log(model.amplitude[seen] / weight[seen])  # ln scale - falloff s, a straight line
    return float(np.exp(np.polyfit(model.grid.s[seen], ratio, 1)[1])) if seen.sum() > 1 else 1.0


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a method made of m particles, and the cost that it came from."""

    rows: np.ndarray  # (m,) of the particles
    change: np.ndarray  # (m,) Å
    fold_change: tuple[np.ndarray, np.ndarray]  # (m,) Å each, from the first and the second fold
    cost: np.ndarray  # (m, c) squared difference on the likelihood's grid of changes
    weight: np.ndarray  # (bins,) or (m, bins), what multiplies ⟨X, CTF P⟩ in it
    edge: np.ndarray  # (m,) bool, at the end of what was searched


def fill(draft: Draft, fit: Fit, curves: ParticleCurves, folds) -> None:
    """Fill the draft's columns for the particles of a `fit`; `curves` are their likelihoods.

    The error is the root mean square distance from `change` under the cost, made as sharp as noise
    lets it be (see least_squares_error), or that sharpness itself where the grid cannot see it. The
    held-out gain scores the change of either fold by the likelihood of the other (`folds`).
    """
    sharp, temper = least_squares_error(curves, fit.weight, fit.change)
    value = -temper[:, None] / 2 * fit.cost
    density = np.exp(value - value.max(axis=1, keepdims=True))
    density /= density.sum(axis=1, keepdims=True)
    mean, square = density @ curves.grid, density @ curves.grid**2
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    distance = np.sqrt(np.maximum(square - 2 * mean * fit.change + fit.change**2, 0))
    narrow = (sharp < 1.5 * (step := curves.grid[1] - curves.grid[0])) & (distance < 1.5 * step)
    error = np.where(narrow, sharp, np.maximum(distance, step / 2))
    draft.change[fit.rows], draft.error[fit.rows] = fit.change, error
    draft.folds[fit.rows] = np.clip(np.stack(fit.fold_change, axis=1), *curves.grid[[0, -1]])
    draft.error_at_prior[fit.rows] = np.where(narrow, np.hypot(sharp, fit.change), np.sqrt(square))
    flat = spread > FLAT_SPREAD * curves.grid[-1] / np.sqrt(3)
    draft.status[fit.rows] = np.select([flat, fit.edge], [Status.FLAT, Status.AT_BOUND], Status.OK)
    first, second = folds
    draft.gain[fit.rows] = first.gain(fit.fold_change[1]) + second.gain(fit.fold_change[0])
