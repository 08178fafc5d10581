"""Which of several sets of defoci makes the better map, with error bars on every difference.

The sets share particles, half-sets, poses and mask, so most noise is common to their maps. Differences
are therefore taken block by block: half-maps without one block of micrographs are compared between
sets, and the scatter of that difference over the blocks is its error (the delete-a-group jackknife:
Kott, J. Off. Stat. 17, 2001).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import scipy.special

from parfocal.block_jackknife import Replicates
from parfocal.chance import Chance, without_chance
from parfocal.fsc_curves import FscCurves, crossing, crossings
from parfocal.fsc_directions import mask_share
from parfocal.negative_controls import SHUFFLED

LEVEL = 0.143
BAND = (0.9, 0.05)  # of the input's FSC: where the worth of a set is measured
LEAST_FSC = 0.0  # below it a shell's signal is taken as none
SURE = 0.95  # of a difference that is called one


@dataclass(frozen=True, kw_only=True)
class Value:
    """A number, its standard error, and the degrees of freedom that the error is known to."""

    value: float
    error: float
    freedom: int

    def sure(self, tests: int = 1) -> bool:
        """Whether it is not 0, by Student's t at 95 % over that many `tests` together (Bonferroni)."""
        return abs(self.value) > self.reach(1 - (1 - SURE) / max(tests, 1))

    def reach(self, probability: float) -> float:
        """Half the width of the interval that holds the truth with this probability."""
        if self.freedom < 1 or not math.isfinite(self.error):
            return math.inf
        quantile = scipy.special.stdtrit(self.freedom, (1 + probability) / 2)
        return float(quantile) * self.error


@dataclass(frozen=True, kw_only=True)
class SetQuality:
    """How good the maps of one set of defoci are, and how much better than the input's.

    `worth` is how many times the particles the input would need for this signal, less 1: the mean
    ratio of signal to noise over `band`. Frequencies [Å⁻¹] have the errors of a jackknife, for they are
    what errs evenly; `finer` is by how much the resolution's is above the input's. All but `curves` and
    `seen` are without what chance lifted the FSC by, as far as `chance` says that this is known.
    """

    name: str
    curves: FscCurves  # of the maps as they are
    fsc: np.ndarray  # (shells,) corrected for the mask, and without chance
    error: np.ndarray  # (shells,) of that
    frequency: Value  # Å⁻¹, where the corrected FSC falls to LEVEL
    worth: Value  # fraction
    worth_without: np.ndarray  # (blocks,) without each block of micrographs
    seen: Value  # worth of the maps as they are
    chance: Chance
    finer: Value  # Å⁻¹
    difference: np.ndarray  # (shells,) `fsc` less the input's
    difference_error: np.ndarray
    over_shuffled: Value | None  # worth less that of its own heights shuffled; None: not made
    particles: np.ndarray  # (subsets,) in the maps of which `subset_resolution` [Å] is that
    subset_resolution: np.ndarray

    @property
    def resolution(self) -> float:
        """Å; nan where the FSC is below the level from the start."""
        return 1 / self.frequency.value if self.frequency.value > 0 else np.nan

    @property
    def resolution_error(self) -> float:
        """Å, one standard error."""
        return self.resolution**2 * self.frequency.error

    @property
    def base_resolution(self) -> float:
        """Å, the input's; nan where its FSC is below the level from the start."""
        base = self.frequency.value - self.finer.value
        return 1 / base if base > 0 else np.nan

    @property
    def gain(self) -> float:
        """Å by which the resolution is better than the input's; worse, if below 0."""
        return self.base_resolution - self.resolution

    @property
    def gain_error(self) -> float:
        """Å, one standard error of the paired difference."""
        return self.base_resolution * self.resolution * self.finer.error


def qualities(
    curves: Mapping[str, FscCurves],
    found: Mapping[str, Replicates],
    base: str,
    *,
    shares: Mapping[str, float] = MappingProxyType({}),
    fitted: Mapping[str, float] = MappingProxyType({}),
) -> tuple[SetQuality, ...]:
    """The quality of every set against that called `base`, in the order of `curves`.

    A set NAME-shuffled is the control of NAME. Sets that were `fitted` to these images, with changes of
    so many Å, are freed of chance, with the `shares` of those that have a held-out map: see
    `chance.without_chance`.
    """
    weights = band_weights(curves[base].corrected)
    spacing = float(curves[base].k[1])
    seen = {name: _stack(one, found[name]) for name, one in curves.items()}
    freed, chance = without_chance(seen, shares, fitted, weights)
    blocks = slice(1, 1 + len(found[base].without))
    own = freed[base]
    worth = {name: worth_of(one, own, weights) for name, one in freed.items()}
    end = {name: _crossings(one) * spacing for name, one in freed.items()}

    def value(of_maps):
        return _value(of_maps[0], of_maps[blocks])

    every = []
    for name, one in curves.items():
        control = f"{name}-{SHUFFLED}"
        every.append(
            SetQuality(
                name=name,
                curves=one,
                fsc=freed[name][0],
                error=jackknife_error(freed[name][blocks]),
                frequency=value(end[name]),
                worth=value(worth[name]),
                worth_without=worth[name][blocks],
                seen=value(worth_of(seen[name], own, weights)),
                chance=chance[name],
                finer=value(end[name] - end[base]),
                difference=freed[name][0] - own[0],
                difference_error=jackknife_error((freed[name] - own)[blocks]),
                over_shuffled=value(worth[name] - worth[control]) if control in curves else None,
                particles=found[name].particles,
                subset_resolution=_resolutions(end[name][blocks.stop :]),
            )
        )
    return tuple(every)


def _stack(curves: FscCurves, found: Replicates) -> np.ndarray:
    """Corrected FSC (1 + blocks + subsets, shells): the map's, without each block, of the first few."""
    masked = np.concatenate([found.without, found.subsets])
    return np.concatenate([curves.corrected[None], _corrected(masked, curves)])


def difference(one: SetQuality, other: SetQuality) -> Value:
    """By how much more the first of two sets is worth than the second, paired."""
    return _value(one.worth.value - other.worth.value, one.worth_without - other.worth_without)


def band_weights(fsc: np.ndarray) -> np.ndarray:
    """(shells,) weight of each shell in `worth_of`: 0 outside of the band, else the surest mean's.

    Signal over noise h = f / (1 - f) of a shell of n voxels has the variance (1 + f)² / (1 - f)² / n,
    and of a common ratio g = h' / h the least-squares weight of h' is h over that. The band begins where
    the input's FSC first falls to 0.9, for what the mask and the molecule's shape share says nothing of
    defocus, and ends where it falls to 0.05 for good.
    """
    shell = np.arange(len(fsc))
    first = int(np.ceil(crossing(fsc, BAND[0])))
    last = int(np.ceil(crossing(fsc, BAND[1])))
    inside = (shell >= max(first, 1)) & (shell <= max(last, first))
    f = np.clip(fsc, LEAST_FSC, 0.99)
    return np.where(inside, shell.astype(float) ** 2 * f * (1 - f) / (1 + f) ** 2, 0.0)


def worth_of(fsc, base, weights) -> np.ndarray:
    """Σ w h / Σ w h₀ - 1, h = FSC / (1 - FSC) of (..., shells) curves, h₀ that of `base`."""
    signal, reference = (np.clip(f, -0.5, 0.99) for f in (fsc, base))
    signal, reference = signal / (1 - signal), reference / (1 - reference)
    total = (weights * reference).sum(axis=-1)
    ratio = np.divide(
        (weights * signal).sum(axis=-1),
        total,
        out=np.full(np.shape(total), np.nan),
        where=total > 0,
    )
    return ratio - 1


def jackknife_error(values: np.ndarray) -> np.ndarray:
    """Standard error from (blocks, ...) values, each with one block left out."""
    count = len(values)
    if count < 2:
        return np.full(values.shape[1:], np.nan)
    return np.sqrt((count - 1) / count * np.sum((values - values.mean(axis=0)) ** 2, axis=0))


def _value(value, values: Sequence[float] | np.ndarray) -> Value:
    values = np.asarray(values, dtype=float)
    return Value(value=float(value), error=float(jackknife_error(values)), freedom=len(values) - 1)


def _corrected(masked: np.ndarray, curves: FscCurves) -> np.ndarray:
    """Masked FSC (..., shells) less the mask's share, which is that of the whole maps."""
    share = mask_share(curves)
    return (masked - share) / (1 - share)


def _crossings(fsc: np.ndarray) -> np.ndarray:
    """(m,) shell at which each of (m, shells) curves falls to LEVEL."""
    return crossings(fsc, LEVEL)


def _resolutions(frequency: np.ndarray) -> np.ndarray:
    return np.divide(1.0, frequency, out=np.full(len(frequency), np.nan), where=frequency > 0)
