"""How sure a resolution is: the noise of an FSC curve, from its sums over directions."""

from typing import NamedTuple

import numpy as np

from parfocal.fsc_curves import FscCurves, crossings
from parfocal.fsc_directions import HALF_ANGLE, SIDE, Directional, DirectionSums, mask_share

BLOCKS = 3  # along each side of a face: 27 blocks of directions
MOST_BLOCKS = 12  # along each side, of high symmetries, whose asymmetric unit is small
DRAWS = 1000
FIRST_USED = 5  # shell; blocks of those before hold too few voxels to tell
MOST_LOST = 0.5  # of the variance, at the borders of blocks
INTERVAL = (15.865, 84.135)  # %, one standard deviation either way


class Interval(NamedTuple):
    """From the finer to the coarser resolution [Å], with a probability of 68 % between them."""

    fine: float
    coarse: float


def fsc_noise(
    sums: DirectionSums,
    curves: FscCurves,
    *,
    draws: int = DRAWS,
    group: np.ndarray | None = None,
    rng: np.random.Generator,
) -> np.ndarray:
    """(draws, shells) what noise adds to the corrected FSC of half-maps like these, drawn at random.

    The structure is the same in every repetition, only the noise is another. Of a voxel with signal
    power s and noise power 1, g = (|F1|² - |F2|²) / 2 has mean 0 however s varies over directions, and
    variance s + 1/2; the FSC f = s / (s + 1) of power P has ((1 - f)² s + (1 + f²) / 2) / P², which is
    (1 - f) (1 + 2 f - f²) / (1 + f) times that. g is summed over blocks of directions, all shells
    together, and each block is given a random weight of mean 0 and variance 1 (wild bootstrap), so that
    what the mask makes common to neighbours, within a shell and between shells, is kept. What it makes
    common across the borders of blocks is not: blocks of half the side say how much that is, and the
    variance is extrapolated. Some 5 % too small where the particle fills less than half of the box's
    width.

    Half-maps on which a symmetry was imposed have copies of the same noise: give the rotations `group`
    (m, 3, 3) of the point group, which go into one block; without them the noise comes out too small
    by √m.
    """
    blocks = BLOCKS if group is None else min(int(BLOCKS * np.sqrt(len(group))), MOST_BLOCKS)
    side = max(s for s in range(1, blocks + 1) if SIDE % (2 * s) == 0)
    coarse, fine = (_by_block(sums.joined(s, group), curves) for s in (side, 2 * side))
    drawn = rng.standard_normal((draws, coarse.shape[1])) @ coarse.T
    return drawn * _lost_at_borders(coarse, fine) / (1 - mask_share(curves))


def _by_block(sums: DirectionSums, curves: FscCurves) -> np.ndarray:
    """(shells, blocks) noise of the size of each block's in the masked FSC.

    Without g's mean in each shell, which is that of noise levels that differ between the halves;
    scaled, since the mean takes one of the blocks' freedoms.
    """
    g, power = (sums.power1 - sums.power2) / 2, (sums.power1 + sums.power2).sum(axis=1) / 2
    blocks = g.shape[1]
    mean = g.sum(axis=1) / np.maximum(sums.count.sum(axis=1), 1)
    g = (g - sums.count * mean[:, None]) * np.sqrt(blocks / (blocks - 1))
    f = np.clip(curves.masked, 0, 1)
    size = np.sqrt((1 - f) * (1 + 2 * f - f**2) / (1 + f))
    return g * (size / np.maximum(power, np.finfo(float).tiny))[:, None]


def _lost_at_borders(coarse: np.ndarray, fine: np.ndarray) -> np.ndarray:
    """(shells,) factor on the noise: what blocks lose of the variance goes as one over their width.

    Of blocks of half the width it is twice as much; and over shells it goes as one over the radius.
    """
    wide, narrow = (coarse**2).sum(axis=1), (fine**2).sum(axis=1)
    shell = np.arange(len(wide))
    used = (shell >= FIRST_USED) & (wide > 0)
    if not used.any():
        return np.ones(len(wide))
    ratio = narrow[used] / wide[used]  # (1 - 2 lost) / (1 - lost)
    lost = np.median(shell[used] * (1 - ratio) / (2 - ratio)) / np.maximum(shell, 1)
    return 1 / np.sqrt(1 - np.clip(lost, 0, MOST_LOST))


def resolution_interval(curves: FscCurves, noise, level: float) -> Interval:
    """68 % interval of the resolution [Å] at which the corrected FSC falls to `level`.

    From the curve with each of the `noise` (draws, shells) of `fsc_noise` added. It holds noise alone:
    not how the particles were aligned, nor what another mask or another half-split would give.
    """
    found = crossings(curves.corrected + noise, level)
    low, high = np.percentile(found, INTERVAL)
    return Interval(*(float(1 / (max(p, 1) * curves.k[1])) for p in (high, low)))


def noise_in_cones(sums: DirectionSums, cones: Directional, noise) -> float:
    """Spread of the limiting frequency over directions, over its mean, that noise alone makes.

    As in `Directional.spread`, of a map that is in all directions as it is in the median one: the
    variance is that of m independent voxels, (1 - f)² (1 + 2 f - f²) / 2 m, times what the mask makes
    of it; how shells go together is taken from `noise` (draws, shells), that of the whole shells.
    """
    f = np.median(cones.fsc, axis=0)
    held = np.clip(f, 0, 1)
    voxels = np.maximum(sums.count.sum(axis=1) * (1 - np.cos(HALF_ANGLE)), 1)
    variance = (1 - held) ** 2 * (1 + 2 * held - held**2) / (2 * voxels)
    error = np.sqrt(variance * _widening(sums))
    drawn = noise / np.maximum(noise.std(axis=0), np.finfo(float).tiny) * error
    found = np.maximum(crossings(f + drawn, cones.level), 1)
    return float(found.std() / found.mean())


def _widening(sums: DirectionSums) -> float:
    """How many times larger than of independent voxels the variance is, the same in all shells.

    From each block's own FSC f and power P, of which g has the variance P² (1 - f²) / 2 m: so that noise
    which is not the same in all directions makes no difference.
    """
    part = sums.joined(BLOCKS)
    g, power = (part.power1 - part.power2) / 2, (part.power1 + part.power2) / 2
    f = np.divide(part.cross, power, out=np.zeros_like(power), where=power > 0)
    known = power**2 * (1 - np.clip(f, 0, 1) ** 2) / (2 * np.maximum(part.count, 1))
    ratio = (g**2).sum(axis=1) / np.maximum(known.sum(axis=1), np.finfo(float).tiny)
    return float(np.median(ratio[FIRST_USED:]))
