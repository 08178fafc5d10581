"""One defocus a particle from several sets: the paper's median, and the combination of least error.

The paper (Fernandez-Gimenez, Carazo and Sorzano 2023) takes the median of the programs' defoci and
calls their median absolute deviation its uncertainty. Sets that saw the same images share noise, so
they can agree and be wrong together, and where none of them knows the heights the median keeps their
noise. Here each set is taken apart into levels, slopes and heights (`decomposition`), each of
which has an error model without truth (`combination`, `plane_errors`), and each is combined
with "nothing", which is what the input or the plane says.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from parfocal.combination import Moments, moments
from parfocal.decomposition import Field, field_of, surfaces
from parfocal.errors import InputError
from parfocal.heights import combined_heights, height_weights, usual_particles
from parfocal.join import Joined
from parfocal.learning import USUAL_OFFSET, USUAL_SLOPE
from parfocal.plane_errors import PlaneErrors, combined, plane_errors

MAD_TO_SD = 1.4826  # of a Gaussian
ROUNDS = 3  # of weights, and of who is usual, in turn
LOST = 5.0  # robust standard deviations of a set from the others, beyond which a value is lost
LEAST_ERROR = 1.0  # Å
OUTLIER = 0.5  # probability of being usual, below which a particle is flagged


@dataclass(frozen=True, kw_only=True)
class Consensus:
    """Combined defocus of n particles, row-aligned with the base of `joined`."""

    joined: Joined
    defocus: np.ndarray  # (n,) Å; on the plane where no set knows the particle
    error: np.ndarray  # (n,) Å, one standard deviation
    plane: np.ndarray  # (n,) Å, combined plane of the micrograph at the particle
    usual: np.ndarray  # (n,) probability that the particle is one of the usual ones
    used: np.ndarray  # (n, K) bool: what of each set went in
    heights: Moments
    height_weight: np.ndarray  # (1 + K,) of "the plane", and of each set, where all are there
    levels: PlaneErrors
    level_weight: np.ndarray  # (1 + K,) of "the input", and of each set, at the usual number
    slopes: PlaneErrors
    slope_weight: np.ndarray

    @cached_property
    def median(self) -> np.ndarray:
        """(n,) Å, median over the sets that know the particle; nan without any."""
        return row_median(np.where(self.joined.ok, self.joined.defocus, np.nan))

    @cached_property
    def mad(self) -> np.ndarray:
        """(n,) Å, their median absolute deviation as a standard deviation (x 1.4826).

        nan where fewer than two sets know the particle: one value does not scatter.
        """
        ok = self.joined.ok & (self.joined.ok.sum(axis=1) > 1)[:, None]
        away = np.abs(self.joined.defocus - self.median[:, None])
        return MAD_TO_SD * row_median(np.where(ok, away, np.nan))

    @cached_property
    def astigmatism(self) -> np.ndarray:
        """(n, 2) Å, median of the astigmatism vectors, never of angles; the base's own without any."""
        ok, vectors = self.joined.ok, np.moveaxis(self.joined.astigmatism, -1, 0)
        found = np.stack([row_median(np.where(ok, v, np.nan)) for v in vectors], axis=1)
        return np.where(np.isfinite(found), found, self.joined.base.astigmatism)

    @property
    def outlier(self) -> np.ndarray:
        """(n,) bool: farther from the micrograph's plane than heights and noise would take it."""
        return self.usual < OUTLIER

    @property
    def known(self) -> np.ndarray:
        """(n,) bool: some set knows the particle."""
        return self.used.sum(axis=1) > 0


def consensus(joined: Joined) -> Consensus:
    """Combine the sets. Raises InputError with fewer than two, unless the one has folds, or if none
    trusts a particle.

    Errors are those of the combination under the model that the sets themselves show; see
    `combination.moments` for what stands in for the truth. Wrong where all sets share an error
    that no fold sees (a wrong pose, a wrong pixel size), and, for files without folds, by as much as
    the noise that they share differs from what is usual. A prior that varies within a micrograph is
    replaced by its mean there: heights in it count only if they come as a set of their own.
    """
    if len(joined.names) < 2 and not np.isfinite(joined.folds).any():
        raise InputError(
            "one set without folds cannot be combined with anything",
            mend="give two sets or more, three if they come from other programs",
        )
    if not joined.ok.any():
        what = f"{', '.join(joined.names)} trust none of their {len(joined)} particles"
        raise InputError(what, mend="look at the status that their files give, and at their defoci")
    base = joined.base
    field = field_of(base.micrograph, base.coordinate_x, base.coordinate_y)
    start = _micrograph_mean(field, _prior(joined))
    known = joined.ok & np.isfinite(joined.defocus)
    values = np.where(known, joined.defocus - start[:, None], np.nan)
    folds = np.where(known[..., None], joined.folds - start[:, None, None], np.nan)
    raw = np.flatnonzero(~joined.posterior)
    used = known.copy()
    used[:, raw] &= ~_lost(values[:, raw])
    usual, ratio = np.ones(len(joined)), 1.0
    for _ in range(ROUNDS):
        weight = used * usual[:, None]
        whole = surfaces(field, values, weight)
        first, second = (surfaces(field, folds[..., fold], weight) for fold in (0, 1))
        apart = np.stack([first.residual, second.residual], axis=-1)
        claimed = np.where(used, joined.error, np.nan)
        found = moments(whole.residual, apart, claimed, joined.posterior, weight)
        usual, ratio = usual_particles(found, whole.residual)
        if ratio == 1.0:
            break
    height, variance = combined_heights(found, whole.residual, usual, ratio)
    count, posterior = whole.weight, found.posterior
    levels = plane_errors(
        whole.level, np.stack([first.level, second.level], axis=-1), count, posterior
    )
    slope = _as_rows(whole.slope)
    slope_folds = np.stack([_as_rows(first.slope), _as_rows(second.slope)], axis=-1)
    slopes = plane_errors(slope, slope_folds, np.repeat(count, 2, axis=0), posterior)
    most = count.max(axis=1)
    usual_slope = USUAL_SLOPE * field.length
    level, level_error = combined(whole.level, most, levels, USUAL_OFFSET)
    lean, lean_error = combined(slope, np.repeat(most, 2), slopes, usual_slope)
    lean, lean_error = lean.reshape(-1, 2), lean_error.reshape(-1, 2)
    number, place = field.micrograph, field.place[:, 1:]
    plane = level[number] + np.sum(lean[number] * place, axis=1)
    variance += level_error[number] + np.sum(lean_error[number] * place**2, axis=1)
    typical, every = float(np.median(most)), np.arange(len(joined.names))
    return Consensus(
        joined=joined,
        defocus=start + plane + height,
        plane=start + plane,
        error=np.sqrt(np.maximum(variance, LEAST_ERROR**2)),
        usual=usual,
        used=used,
        heights=found,
        height_weight=height_weights(found),
        levels=levels,
        level_weight=levels.weights(every, typical, USUAL_OFFSET)[0],
        slopes=slopes,
        slope_weight=slopes.weights(every, typical, usual_slope)[0],
    )


def _as_rows(slope):
    """(M, K, 2) -> (2 M, K): x and y as rows of their own."""
    return np.moveaxis(slope, 2, 1).reshape(-1, slope.shape[1])


def _prior(joined: Joined):
    """(n,) Å: the input's defocus; without one, the median of the sets."""
    if np.isfinite(joined.prior).all():
        return joined.prior
    found = row_median(np.where(joined.ok, joined.defocus, np.nan))
    return np.where(np.isfinite(found), found, joined.prior)


def _micrograph_mean(field: Field, values):
    """(n,) mean over each particle's micrograph; over all where a micrograph has no value."""
    known = np.isfinite(values)
    total = np.bincount(field.micrograph[known], values[known], len(field.names))
    count = np.bincount(field.micrograph[known], minlength=len(field.names))
    mean = np.where(count > 0, total / np.maximum(count, 1), total.sum() / max(count.sum(), 1))
    return mean[field.micrograph]


def row_median(values) -> np.ndarray:
    """(n,) median of each row, nan left out; nan without any."""
    ranked = np.sort(values, axis=1)  # nan last
    count = np.isfinite(values).sum(axis=1)
    row = np.arange(len(values))
    low, high = np.maximum((count - 1) // 2, 0), np.minimum(count // 2, values.shape[1] - 1)
    return np.where(count > 0, (ranked[row, low] + ranked[row, high]) / 2, np.nan)


def _lost(values):
    """(n, K) bool: values of one set that lie far from those of all others, who agree, and farther off.

    Sets that see the same images can agree on a wrong value; it is then the far one that is wrong.
    """
    size = values.shape[1]
    lost = np.zeros(values.shape, dtype=bool)
    if size < 3:
        return lost
    for one in range(size):
        others = np.delete(values, one, axis=1)
        away = values[:, one] - row_median(others)
        away -= row_median(away[None])
        far = LOST * MAD_TO_SD * row_median(np.abs(away)[None])
        spread = np.fmax.reduce(others, axis=1) - np.fmin.reduce(others, axis=1)
        size_of_others = np.fmax.reduce(np.abs(others), axis=1)
        with np.errstate(invalid="ignore"):
            farther = np.abs(values[:, one]) > size_of_others
            lost[:, one] = (np.abs(away) > far) & (spread <= far) & farther
    return lost
