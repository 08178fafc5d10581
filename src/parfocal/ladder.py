"""The ladder of nested models, scored on held-out data: how much of local defocus the data support.

input < micrograph shift < plane < plane + particle. Each is fitted on one fold of every particle's
Fourier pixels and scored on the other; the score is the gain over the input, in nats a particle.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from parfocal.estimates import DefocusEstimates

RUNGS = ("input", "micrograph shift", "plane", "plane + particle")
FITTED = (0, 1, 3, 3)  # parameters that each rung fits to a micrograph
STEP = 2.0  # standard errors that a rung must gain over the one taken before it, and over the input
FREE_STEP = 1.0  # that heights must gain over their plane: they are averaged over, and fit nothing
# What a rung must gain besides [nats a particle], however small its error in a large set. Heights of
# variance x times a fold's own error variance gain x - ln(1 + x / (1 + x)), both folds together, and
# knowing them from all pixels, three times a fold's, lowers the rms error by 1 / sqrt(1 + 3 x). This is
# x = 0.038: 5 % off the error, below which nothing that is made of the defoci would differ.
WORTH = 0.002


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Mean gain over the input [nats a particle] of each rung, with its standard error."""

    gain: Mapping[str, tuple[float, float]]
    best: str  # the last rung that gains enough over those before it: STEP, FREE_STEP, WORTH
    over_plane: tuple[float, float]  # gain of the particles' own heights over their plane

    def plain(self) -> dict[str, object]:
        """As run.json and the settings of estimates.star give it; None for what is not known."""

        def rounded(pair):
            return [round(value, 4) if np.isfinite(value) else None for value in pair]

        return {
            "best": self.best,
            "gain": {rung: rounded(pair) for rung, pair in self.gain.items()},
            "over_plane": rounded(self.over_plane),
        }


def mean_gain(gain, micrograph, fitted: int = 0) -> tuple[float, float]:
    """Mean of the gains (n,) [nats] of a data set, and its standard error; nan where not scored.

    The error is that of measuring this set, its defoci being what they are: the scatter of particles
    within their micrographs, and about a nat for each of the parameters `fitted` to a micrograph,
    whose error all of its particles share. That micrographs gain differently is no error.
    """
    seen = np.isfinite(gain)
    gain, micrograph = gain[seen], micrograph[seen]
    if len(gain) < 2:
        return np.nan, np.nan
    _, index, counts = np.unique(micrograph, return_inverse=True, return_counts=True)
    within = gain - (np.bincount(index, weights=gain) / counts)[index]
    free = max(1, len(gain) - len(counts))  # degrees of freedom
    variance = np.sum(within**2) * len(gain) / free + fitted * len(counts)
    return float(gain.mean()), float(np.sqrt(variance) / len(gain))


def climb(gains, micrograph) -> Ladder:
    """The ladder from the gains (n, 3) of the rungs above the input, nan where not scored."""
    _, micrograph = np.unique(micrograph, return_inverse=True)  # numbers sort faster than names
    gains = np.column_stack([np.where(np.isfinite(gains[:, 0]), 0.0, np.nan), gains])
    best = 0
    for rung in (1, 2):
        more = FITTED[rung] - FITTED[best]
        lead, error = mean_gain(gains[:, rung] - gains[:, best], micrograph, more)
        best = rung if lead > max(STEP * error, WORTH) else best
    means = [mean_gain(gains[:, r], micrograph, FITTED[r]) for r in range(1, len(RUNGS))]
    whole, whole_error = means[-1]
    heights, heights_error = mean_gain(gains[:, 3] - gains[:, 2], micrograph)
    if heights > max(FREE_STEP * heights_error, WORTH) and whole > max(STEP * whole_error, WORTH):
        best = 3
    return Ladder(
        gain=dict(zip(RUNGS[1:], means, strict=True)),
        best=RUNGS[best],
        over_plane=(heights, heights_error),
    )


def ladder_of(estimates: DefocusEstimates, rows: Any = slice(None)) -> Ladder | None:
    """The ladder of some rows of the estimates; None of a method that has none, or of one particle."""
    columns = estimates.gain_of_shift, estimates.gain_of_plane, estimates.held_out_gain
    gains = np.stack([column[rows] for column in columns], axis=1)
    if np.count_nonzero(np.isfinite(gains).all(axis=1)) < 2:
        return None
    return climb(gains, estimates.micrograph[rows])
