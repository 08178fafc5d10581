"""Soft masks around a molecule, from its map."""

import math
from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.ndimage

from parfocal.errors import InputError

NOISE = 3.0  # standard deviations of the solvent that a threshold stands above it, at the least
SHARE = 0.3  # of the molecule's mean density, at which the automatic threshold stands
SMALLEST = 0.1  # of the largest body's volume, that another body needs to be kept
ROUNDS = 50  # of the automatic threshold's iteration; it settles in about 5
SAMPLES = 160  # voxels along a side that a threshold is told from: a low-passed map has no more
COARSER, COARSEST = 1.25, 60.0  # from one low-pass to the next, and the last one [Å]
TIGHT = {"lowpass": 10.0, "extend": 0.0, "edge": 3.0}  # a mask that holds no solvent


class Cut(NamedTuple):
    """A low-passed map, and where it was cut."""

    smooth: np.ndarray  # (n, n, n)
    lowpass: float  # Å
    threshold: float  # in the map's units


def make_mask(
    density,
    pixel_size: float,
    *,
    threshold: float | None = None,
    lowpass: float = 15.0,
    extend: float = 3.0,
    edge: float = 6.0,
) -> np.ndarray:
    """Soft mask around what stands out of a map (n, n, n): float32 in [0, 1].

    `cut_map` and `mask_of_cut` in one; lengths in Å (`lowpass`) and pixels (the others). Raises
    InputError.
    """
    cut = cut_map(density, pixel_size, threshold=threshold, lowpass=lowpass)
    return mask_of_cut(cut, extend=extend, edge=edge)


def cut_map(density, pixel_size: float, *, threshold: float | None, lowpass: float) -> Cut:
    """Low-pass a map to `lowpass` [Å] (0: not at all), and find where to cut it. Raises InputError.

    Without a `threshold` it is `automatic_threshold`, and the low-pass is made coarser, by a quarter at
    a time up to COARSEST, until there is one: in a map of poor resolution the noise beyond it would
    hide the molecule. Wrong where the molecule is darker than the solvent.
    """
    _check(lowpass=lowpass)
    if threshold is not None:
        return Cut(low_passed(density, lowpass / pixel_size), lowpass, threshold)
    tried = lowpass
    while True:
        smooth = low_passed(density, tried / pixel_size)
        found = automatic_threshold(smooth)
        if found is not None:
            return Cut(smooth, tried, found)
        if not 0 < tried * COARSER <= COARSEST:
            raise InputError(
                f"no molecule stands out of the noise, low-passed to {tried:.3g} Å",
                mend="give the map of a molecule, protein bright, or make the mask with "
                "parfocal mask --threshold",
            )
        tried *= COARSER


def mask_of_cut(cut: Cut, *, extend: float, edge: float) -> np.ndarray:
    """Soft mask around what lies above a cut: float32 in [0, 1].

    Bodies of less than a tenth of the largest one's volume are dropped; what is left is extended by
    `extend` pixels and falls to 0 as a raised cosine over `edge` pixels more. Raises InputError.
    """
    _check(extend=extend, edge=edge)
    inside = cut.smooth > cut.threshold
    if not inside.any():
        what = f"no voxel is above the threshold of {cut.threshold:.4g}"
        mend = "choose a lower --threshold, or give the map of a molecule"
        raise InputError(f"{what} (largest: {cut.smooth.max():.4g})", mend=mend)
    return _softened(_large_bodies(inside), extend, edge)


def low_passed(density, lowpass: float) -> np.ndarray:
    """A map whose amplitudes fall as a Gaussian, to a half at one over `lowpass` [px]; no ringing."""
    density = np.asarray(density, dtype=np.float32)
    if lowpass <= 0:
        return density
    fall = [
        np.exp(-math.log(2) * (lowpass * frequency) ** 2).astype(np.float32)
        for frequency in (np.fft.fftfreq(len(density)), np.fft.rfftfreq(len(density)))
    ]
    transform = scipy.fft.rfftn(density)
    transform *= fall[0][:, None, None] * fall[0][:, None] * fall[1]
    return scipy.fft.irfftn(transform, s=density.shape, overwrite_x=True)


def automatic_threshold(smooth) -> float | None:
    """Level that parts the molecule of a low-passed map from the solvent, in the map's units.

    It stands at SHARE of the way from the solvent, the median of all that is below, to the mean of all
    that is above; found by iteration, on SAMPLES voxels along each side at the most. SHARE is below one
    half, which is the molecule's surface where density is even, so that flexible parts of a third of
    the density are held. None where that is not NOISE standard deviations above the solvent, told from
    what lies below it: noise would be in the mask, and a higher threshold would cut the molecule. Wrong
    where the molecule fills more than half of the box.
    """
    every = -(-len(smooth) // SAMPLES)
    values = np.asarray(smooth[::every, ::every, ::every], dtype=float).ravel()
    solvent = float(np.median(values))
    height = min(NOISE * _spread_below(values, solvent), (float(values.max()) - solvent) / 2)
    for _ in range(ROUNDS):
        inside = values > solvent + height
        if not inside.any() or inside.all():
            return None
        solvent, before = float(np.median(values[~inside])), height
        height = SHARE * (float(values[inside].mean()) - solvent)
        if math.isclose(height, before, rel_tol=1e-3):
            break
    return solvent + height if height >= NOISE * _spread_below(values, solvent) else None


def _spread_below(values, level: float) -> float:
    """Standard deviation of noise about `level`, from the values below it."""
    below = values[values < level] - level
    return math.sqrt(float(np.mean(np.square(below)))) if below.size else 0.0


def soft_sphere(n: int, *, edge: float = 6.0) -> np.ndarray:
    """Mask (n, n, n) of a sphere that fills the box, with a raised-cosine edge of `edge` pixels."""
    x = np.arange(n) - n // 2
    r = np.sqrt(x[:, None, None] ** 2 + x[None, :, None] ** 2 + x**2)
    ramp = np.clip((n / 2 - 1 - r) / edge, 0, 1)
    return (0.5 - 0.5 * np.cos(np.pi * ramp)).astype(np.float32)


def _check(**settings: float) -> None:
    for name, value in settings.items():
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"--{name} of {value:g}", mend="choose 0 or more")


def _large_bodies(inside):
    bodies, count = scipy.ndimage.label(inside)
    volume = np.bincount(bodies.ravel(), minlength=count + 1)
    volume[0] = 0
    return (volume >= SMALLEST * volume.max())[bodies] & inside


def _softened(inside, extend: float, edge: float) -> np.ndarray:
    """1 to `extend` pixels outside of `inside`, 0 from `edge` farther on."""
    mask = np.zeros(inside.shape, dtype=np.float32)
    margin = math.ceil(extend + edge) + 1
    ends = [np.flatnonzero(inside.any(axis=others))[[0, -1]] for others in ((1, 2), (0, 2), (0, 1))]
    here = tuple(slice(max(first - margin, 0), last + margin + 1) for first, last in ends)
    distance = scipy.ndimage.distance_transform_edt(~inside[here])
    if edge == 0:
        mask[here] = distance <= extend
        return mask
    fall = np.clip((distance - extend) / edge, 0, 1)
    mask[here] = 0.5 + 0.5 * np.cos(np.pi * fall)
    return mask
