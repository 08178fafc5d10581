"""How stable a method is (the paper's Fig. 7): two runs of it, or the two folds of one run.

A repeat on the same images sees the same noise. Its differences show how far the program's answer
depends on what was changed (poses, picks, a random start), not how far it is from the truth: a
program that errs alike twice looks perfect. Two halves of the dose, or the two folds of the pixels,
share no noise. Their differences show all of the random error, but with half the data in each, and
not what is wrong alike in both: a wrong pose, a wrong hand, a biased reference.
"""

from dataclasses import dataclass

import numpy as np

from parfocal.agreement import (
    Column,
    Measured,
    PairAgreement,
    agree,
    measured,
    pooled_correlation,
    rms,
    sd_within,
)
from parfocal.defocus_set import FOLD_SHARE
from parfocal.errors import InputError
from parfocal.grouped import Groups


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """Two runs of one method on the particles that both trust. Standard deviations within
    micrographs, outliers of more than 4 of them apart.
    """

    agreement: PairAgreement
    difference: Measured  # Å, standard deviation of second less first
    implied_error: Measured  # Å, of one run, if both err alike and apart: difference / √2
    claimed_error: float  # Å, root mean square of both runs' error bars; nan without
    pull: Measured  # sd of the difference over what the error bars claim of it: 1 if these are
    # right and the runs share no noise, below 1 as far as they share it

    @property
    def pooled(self) -> Measured:
        """Correlation of the runs within micrographs."""
        return self.agreement.pooled


@dataclass(frozen=True, kw_only=True)
class FoldStability:
    """The folds of one run against each other, of particles that are trusted and have both.

    With a share f of the pixels each, a fold's error is 1 / √f times the whole's: √(f/2) times their
    difference errs as the whole. Too large where so few pixels let a particle lose its way, too
    small where the values are drawn to a prior, which `posterior` tells of.
    """

    particles: int
    pooled: Measured  # correlation of the folds within micrographs
    implied_error: Measured  # Å, of the whole estimate, by the standard deviation of the difference
    claimed_error: float  # Å, root mean square of the error bars; nan without
    pull: Measured  # that over the error bars
    posterior: bool


def repeat(groups: Groups, first: Column, second: Column) -> Repeat:
    """Compare two runs of a method. InputError if they have fewer than two particles in common."""
    both = np.isfinite(first.defocus) & np.isfinite(second.defocus)
    _enough(both, f"particles that both {first.name} and {second.name} trust")
    claimed = np.hypot(first.error, second.error)
    difference = np.where(both, second.defocus - first.defocus, np.nan)
    sd, pull = _against(groups, difference, claimed)
    return Repeat(
        agreement=agree(groups, first, second),
        difference=sd,
        implied_error=Measured(sd.value / np.sqrt(2), sd.error / np.sqrt(2)),
        claimed_error=rms(np.where(both, claimed, np.nan)) / np.sqrt(2),
        pull=pull,
    )


def fold_stability(groups: Groups, column: Column) -> FoldStability:
    """Compare the folds of one run. InputError without folds of two particles or more."""
    folds = column.folds.T
    both = np.isfinite(column.defocus) & np.isfinite(folds).all(axis=0)
    _enough(both, f"particles with folds that {column.name} trusts")
    halves = [groups.centred(np.where(both, fold, np.nan)) for fold in folds]
    apart = np.where(both, folds[1] - folds[0], np.nan) * np.sqrt(FOLD_SHARE / 2)
    sd, pull = _against(groups, apart, column.error)
    return FoldStability(
        particles=int(both.sum()),
        pooled=measured(pooled_correlation, groups.moments(*halves)),
        implied_error=sd,
        claimed_error=rms(np.where(both, column.error, np.nan)),
        pull=pull,
        posterior=column.posterior,
    )


def _enough(both, what: str) -> None:
    if both.sum() < 2:
        raise InputError(
            f"{int(both.sum())} {what}",
            mend="stability needs two runs of the same particles, or estimates with folds",
        )


def _against(groups: Groups, difference, claimed) -> tuple[Measured, Measured]:
    """(standard deviation of a difference within groups, the same over what is claimed of it)."""
    sd = sd_within(groups, difference, claimed)
    if not np.isfinite(claimed * difference).any():
        return sd, Measured(np.nan, np.nan)
    return sd, sd_within(groups, groups.centred(difference, robust=True) / claimed)
