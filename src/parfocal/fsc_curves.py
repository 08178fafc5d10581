"""The four FSC curves of two half-maps, and the resolution that they give."""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from parfocal.errors import InputError
from parfocal.fsc import shell_correlation, shell_index, shell_sums, squared_radius
from parfocal.masks import soft_sphere

RANDOMISE_BELOW = 0.8  # of the unmasked FSC: phases are made random from there on
SUSTAINED = 3  # shells in a row that must be below a level before the curve has fallen
SETTLED = 2  # shells past the first random one into which the step of the phases leaks
KINDS = ("unmasked", "masked", "randomised", "corrected")


@dataclass(frozen=True, kw_only=True)
class FscCurves:
    """FSC of two half-maps in shells of 1 / (box pixel_size), from shell 0 to Nyquist.

    `randomised` is what the mask makes of phases that are random from shell `randomised_from` on.
    `corrected` is the one to quote.
    """

    k: np.ndarray  # (n//2+1,) Å⁻¹
    unmasked: np.ndarray  # (n//2+1,), as the others
    masked: np.ndarray
    randomised: np.ndarray
    corrected: np.ndarray
    randomised_from: int
    pixel_size: float  # Å

    def __post_init__(self) -> None:
        for name in KINDS:
            if getattr(self, name).shape != self.k.shape:
                raise ValueError(f"{name} has not one value for each of {len(self.k)} shells")

    def resolution(self, level: float = 0.143, which: str = "corrected") -> float:
        """Resolution [Å] at which a curve falls below `level` for good, by `crossing`.

        Where it never does this is that of the last shell, so Nyquist: see `reaches_nyquist`. nan
        where the curve is below from the start.
        """
        position = crossing(getattr(self, which), level)
        return 1 / (position * self.k[1]) if position > 0 else np.nan

    def reaches_nyquist(self, level: float = 0.143, which: str = "corrected") -> bool:
        """Whether the curve never falls below `level`: the pixel size limits the resolution."""
        return crossing(getattr(self, which), level) == len(self.k) - 1


def crossing(curve, level: float) -> float:
    """Shell, as a fraction, at which a curve (m,) falls below `level`; 0: from the start.

    That is the first fall after which it stays below for SUSTAINED shells, or to the end, so that one
    noisy shell is no resolution. Between shells the curve is a straight line. m - 1 where it never
    falls.
    """
    return float(crossings(np.asarray(curve)[None], level)[0])


def crossings(curves, level: float) -> np.ndarray:
    """`crossing` of each of `curves` (n, m)."""
    curves = np.asarray(curves)
    below = np.ones((len(curves), curves.shape[1] + SUSTAINED - 2), dtype=bool)
    below[:, : curves.shape[1] - 1] = curves[:, 1:] < level
    width = below.shape[1] - SUSTAINED + 1
    fallen = np.logical_and.reduce([below[:, late : late + width] for late in range(SUSTAINED)])
    every, last = np.arange(len(curves)), fallen.argmax(axis=1)  # the last shell before; 0 is none
    before, after = curves[every, last], curves[every, last + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(last > 0, last + (before - level) / (before - after), 0.0)
    return np.where(fallen.any(axis=1), found, curves.shape[1] - 1.0)


def fsc_curves(
    half1,
    half2,
    mask=None,
    *,
    pixel_size: float,
    rng: np.random.Generator,
    randomise_from: int | None = None,
) -> FscCurves:
    """Unmasked, masked, phase-randomised and corrected FSC of two half-maps (n, n, n) under a mask.

    Without a mask a soft sphere that fills the box is used. From shell `randomise_from` on, default
    the first at which the unmasked FSC is below 0.8, phases are made random in both maps; where that is
    never, there is nothing to correct. The corrected FSC is (masked - randomised) / (1 - randomised)
    from two shells farther on (Chen et al., Ultramicroscopy 135, 2013), and `masked` before.

    `randomised` is the mean over random phases of that FSC: of its numerator the terms whose mean is 0
    are left out, so it has not the noise of one draw, and `rng` draws for its denominator only. Wrong
    for half-maps that are masked already. Raises InputError.
    """
    halves = [np.asarray(half, dtype=np.float32) for half in (half1, half2)]
    n = len(halves[0])
    mask = soft_sphere(n) if mask is None else np.asarray(mask, dtype=np.float32)
    _check(halves, mask)
    transforms = [scipy.fft.rfftn(half) for half in halves]
    unmasked = shell_correlation(*transforms)
    masked = shell_correlation(*(scipy.fft.rfftn(half * mask) for half in halves))
    if randomise_from is None:
        below = np.flatnonzero(unmasked[1:] < RANDOMISE_BELOW)
        randomise_from = int(below[0]) + 1 if len(below) else len(masked)
    random = _randomised(transforms, mask, randomise_from, rng)
    shell = np.arange(len(masked))
    share = np.where(shell < randomise_from + SETTLED, 0.0, np.minimum(random, 1 - 1e-6))
    return FscCurves(
        k=shell / (n * pixel_size),
        unmasked=unmasked,
        masked=masked,
        randomised=random,
        corrected=np.clip((masked - share) / (1 - share), -1, 1),
        randomised_from=randomise_from,
        pixel_size=pixel_size,
    )


def _randomised(transforms, mask, start: int, rng) -> np.ndarray:
    """FSC under `mask` of maps with random phases from shell `start` on, in the mean over these.

    What lies before `start` is common to both maps, and alone adds to the numerator; to the power adds
    what lies beyond too. Products of the two have mean 0.
    """
    shells, beyond = shell_index(len(mask)), squared_radius(len(mask)) >= start**2
    common, power = [], []
    for transform in transforms:
        common.append(_masked(np.where(beyond, 0, transform), mask))
        phases = rng.random(int(beyond.sum()), dtype=np.float32) * np.float32(2 * np.pi)
        scrambled = np.zeros_like(transform)
        scrambled[beyond] = np.abs(transform[beyond]) * np.exp(1j * phases)
        both = np.abs(common[-1]) ** 2 + np.abs(_masked(scrambled, mask)) ** 2
        power.append(shell_sums(both, shells))
    cross = shell_sums((common[0] * common[1].conj()).real, shells)
    total = np.sqrt(power[0] * power[1])
    return np.divide(cross, total, out=np.zeros_like(cross), where=total > 0)


def _masked(transform, mask):
    """Transform of the map of `transform` under the mask."""
    return scipy.fft.rfftn(scipy.fft.irfftn(transform, s=mask.shape) * mask)


def _check(halves, mask) -> None:
    shape = halves[0].shape
    if len(shape) != 3 or len(set(shape)) != 1:
        raise InputError(f"not a cube: {shape}", where="half-map 1", mend="give a cubic map")
    for name, volume in (("half-map 2", halves[1]), ("mask", mask)):
        if volume.shape != shape:
            what = f"box {volume.shape}, where half-map 1 has {shape}"
            raise InputError(what, where=name, mend="give half-maps and mask of one refinement")
    for name, volume in zip(("half-map 1", "half-map 2", "mask"), (*halves, mask), strict=True):
        if not np.isfinite(volume).all() or not volume.any():
            what = "holds NaN or infinite voxels, or nothing but 0"
            raise InputError(what, where=name, mend="write the map again")
