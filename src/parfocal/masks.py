"""Soft masks around a molecule, from its map."""

import math

import numpy as np
import scipy.fft
import scipy.ndimage

from parfocal.errors import InputError

NOISE = 4.5  # standard deviations of the solvent that a threshold stands above it, at the least
SHARE = 0.3  # of the molecule's mean density, at which the automatic threshold stands
SMALLEST = 0.1  # of the largest body's volume, that another body needs to be kept
ROUNDS = 50  # of the automatic threshold's iteration; it settles in about 10
TIGHT = {"lowpass": 10.0, "extend": 0.0, "edge": 3.0}  # a mask that holds no solvent


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

    The map is low-passed to `lowpass` [Å] (0: not at all) and cut at `threshold`, in the map's own
    units, or at `automatic_threshold`. Bodies of less than a tenth of the largest one's volume are
    dropped; what is left is extended by `extend` pixels and falls to 0 as a raised cosine over `edge`
    pixels more. Raises InputError. Wrong where the molecule is darker than the solvent.
    """
    _check(lowpass=lowpass, extend=extend, edge=edge)
    smooth = low_passed(density, lowpass / pixel_size)
    if threshold is None:
        threshold = automatic_threshold(smooth)
    inside = smooth > threshold
    if not inside.any():
        what = f"no voxel is above the threshold of {threshold:.4g} (largest: {smooth.max():.4g})"
        raise InputError(what, mend="choose a lower --threshold, or give the map of a molecule")
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


def automatic_threshold(smooth) -> float:
    """Level that parts the molecule of a low-passed map from the solvent, in the map's units.

    Solvent is where most of the box is: its level is the median, its noise what lies below that.
    The threshold stands at SHARE of the way from there to the mean of all that is above the
    threshold, found by iteration, but NOISE standard deviations above the solvent at least. SHARE is
    below one half, which is the molecule's surface where density is even, so that flexible parts of a
    third of the density are held. Wrong where the molecule fills more than half of the box, and too
    high where noise is strong: of a map worse than 8 Å give `make_mask` a `lowpass` of twice that.
    """
    solvent = float(np.median(smooth))
    below = smooth[smooth < solvent]
    noise = (
        math.sqrt(float(np.mean(np.square(below - solvent, dtype=float)))) if below.size else 0.0
    )
    least = threshold = solvent + NOISE * noise
    for _ in range(ROUNDS):
        above = smooth[smooth > threshold]
        if not above.size:
            what = f"nothing stands {NOISE:g} standard deviations above the solvent"
            raise InputError(what, mend="give --threshold, or the map of a molecule")
        raised = max(least, solvent + SHARE * (float(above.mean(dtype=float)) - solvent))
        if math.isclose(raised, threshold, rel_tol=1e-4):
            break
        threshold = raised
    return threshold


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
