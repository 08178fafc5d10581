"""Method `profile`: each particle alone, the maximum of its own likelihood curve."""

from dataclasses import dataclass

import numpy as np

from parfocal.curves import scaled_curves
from parfocal.estimates import DefocusEstimates, Status
from parfocal.estimators.draft import Draft
from parfocal.evidence import Evidence
from parfocal.grid import Fold
from parfocal.likelihood import NoiseModel, Peaks
from parfocal.particles import Particles

FLAT_SPREAD = 0.8  # of a uniform curve's; wider is as good as no information
RIVAL = 2.0  # nats; a second maximum that is less than this below the first is a rival
SHARP = 0.15  # of the search range; a fold's error above this is bent by the range's ends
FACTOR_PRIOR = 0.05  # how far, in ln, the error factor is believed to stray before the folds speak


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Scan each particle's defocus against the reference, scale fitted, and take the maximum.

    The error is the root mean square distance from the maximum under the curve, times one factor
    for the data set: the spread of the difference between the two folds' estimates over what their
    own errors say. The folds cannot see an error that both share, such as a wrong pose.
    """

    name: str = "profile"

    def estimate(self, particles: Particles, evidence: Evidence) -> DefocusEstimates:
        """Estimates of all `particles`, in their order."""
        draft = Draft(self, particles, evidence)
        grid = evidence.change() if evidence.models else np.zeros(1)
        pull = np.full(len(particles), np.nan)
        for rows, spectra, model in evidence.batches():
            good = spectra.status == Status.OK
            if good.any():
                rows = rows[good]
                pull[rows] = _fill(draft, rows, spectra.sums[good], model, grid)
        factor, factor_error = error_factor(pull)
        draft.error *= factor
        draft.error_at_prior *= factor
        return draft.finish(
            error_factor=round(factor, 4), error_factor_error=round(factor_error, 4)
        )


def _fill(draft: Draft, rows, sums, model: NoiseModel, grid):
    """Fill `rows` of the draft; returns the folds' pulls (m,), nan where a fold is not sharp."""
    whole_curve = scaled_curves(sums.sum(axis=1), draft.particles.defocus[rows], model, grid)
    whole = whole_curve.peaks()
    first, second = (whole_curve.of(sums[:, fold]) for fold in (Fold.FIRST, Fold.SECOND))
    ones, twos = first.peaks(), second.peaks()
    draft.change[rows], draft.error[rows] = whole.change, whole.error
    draft.error_at_prior[rows] = whole.error_at_prior
    draft.folds[rows] = np.stack([ones.change, twos.change], axis=1)
    draft.status[rows] = judge(whole, grid[-1])
    draft.gain[rows] = first.gain(twos.change) + second.gain(ones.change)
    claimed = np.hypot(ones.error, twos.error) * np.sqrt(model.fold_variance)
    sharp = np.maximum(ones.error, twos.error) < SHARP * grid[-1]
    return np.where(sharp & ~ones.edge & ~twos.edge, (ones.change - twos.change) / claimed, np.nan)


def judge(peaks: Peaks, change_max: float):
    """(m,) Status of each peak."""
    flat = peaks.spread > FLAT_SPREAD * change_max / np.sqrt(3)
    cases = [flat, peaks.edge, peaks.rival < RIVAL]
    return np.select(cases, [Status.FLAT, Status.AT_BOUND, Status.MULTIMODAL], Status.OK)


def error_factor(fold_pull) -> tuple[float, float]:
    """Factor that the folds ask of the errors, with its standard error.

    From the mean square of the folds' pulls, cut at 4 so that a few wrong particles do not set it,
    and shrunk towards 1 in the measure of its own error: few particles change nothing. Never below
    1, for the curve's own error is the Cramér-Rao bound: what is wrong in a model can only add to
    it. Only particles whose folds are both sharp within the search range speak: see SHARP.
    """
    pull = fold_pull[np.isfinite(fold_pull)]
    if len(pull) < 2:
        return 1.0, FACTOR_PRIOR
    square = np.minimum(np.abs(pull), 4.0) ** 2
    measured = np.log(square.mean()) / 2
    error = square.std(ddof=1) / square.mean() / 2 / np.sqrt(len(pull))
    share = FACTOR_PRIOR**2 / (FACTOR_PRIOR**2 + error**2)
    factor = float(np.exp(max(0.0, share * measured)))
    return factor, float(factor * np.sqrt(share) * error)
