"""What makes an FSC not to be believed: seen in the half-maps, the mask and the curves."""

from collections.abc import Iterator

import numpy as np
import scipy.fft
import scipy.ndimage

from parfocal.errors import InputError
from parfocal.fsc import shell_index, shell_sums
from parfocal.fsc_curves import FscCurves

MIDDLE = 0.4  # of the box: a sphere of this radius is noise all over in an unmasked half-map
CONSTANT = 0.02  # share of the voxels there that may have one value by chance
DAMPED = 1e-3  # of its largest, to which the noise power falls in a filtered half-map
MASK_SHARE = 0.1  # of randomised phases' FSC at the resolution, as RELION warns of
LEVEL = 0.143
FEW = 1000  # voxels of a mask, a ball 12 across
SMOOTH = 1.0  # px, of the noise before it is turned
FOLDS = (2, 3, 5, 7, 11, 13)  # whatever repeats, repeats by a prime number
ALIKE = 0.5  # correlation of symmetric noise with itself turned is near 1, of other noise near 0
AS_THEY_CAME = "the half-maps as they came out of the refinement (RELION: unfil.mrc)"


def check_independent(half1, half2, *, where: str = "") -> None:
    """InputError if the two half-maps are one map, whatever its scale."""
    first, second = (np.asarray(half, dtype=np.float32).ravel() for half in (half1, half2))
    product = float(np.dot(first, second))
    if product > 0 and product**2 > (1 - 1e-6) ** 2 * float(first @ first) * float(second @ second):
        what = "the two half-maps are the same map"
        raise InputError(what, where=where, mend="give the maps of half-set 1 and of half-set 2")


def faults_of_maps(half1, half2) -> Iterator[str]:
    """Sentences on half-maps that were masked or filtered before."""
    share = max(_constant_share(half) for half in (half1, half2))
    if share > CONSTANT:
        yield (
            f"The half-maps are masked already: {100 * share:.0f} % of the voxels in the middle have "
            "one and the same value. No curve is corrected for that mask, and all are too good: give "
            f"{AS_THEY_CAME}."
        )
    if share < 1 and (last := _damped_from(half1, half2)):
        yield (
            f"The half-maps are filtered already: from shell {last} on there is less than a thousandth "
            "of the noise before. The FSC sees no filter, but what is left beyond it may be rounding: "
            f"give {AS_THEY_CAME}."
        )


def _constant_share(half) -> float:
    """Share of the voxels in the middle that have the value which the first corner has."""
    n = len(half)
    x = np.arange(n) - n // 2
    middle = x[:, None, None] ** 2 + x[:, None] ** 2 + x**2 <= (MIDDLE * n) ** 2
    return float(np.mean(half[middle] == half[0, 0, 0]))


def _damped_from(half1, half2) -> int:
    """First shell from which the power of the halves' difference stays far below its largest; or 0."""
    power = shell_sums(
        np.abs(scipy.fft.rfftn(half1 - half2)) ** 2, shells := shell_index(len(half1))
    )
    power = power / shell_sums(np.ones(shells.shape), shells)
    loud = np.flatnonzero(power >= DAMPED * power[1:].max())
    return int(loud[-1]) + 1 if loud[-1] < len(power) - 2 else 0


def faults_of_symmetry(half1, half2, group: np.ndarray | None = None) -> Iterator[str]:
    """A sentence on noise that is symmetric about z where `group` has no such rotation.

    The halves' difference, projected along z and smoothed, is compared with itself turned. All point
    groups but those without an axis along z are seen.
    """
    flat = scipy.ndimage.gaussian_filter((half1 - half2).sum(axis=0, dtype=float), SMOOTH)
    n = len(flat)
    x = np.arange(n) - n // 2
    radius = np.hypot(x[:, None], x) / n
    inside = (radius > MIDDLE / 2) & (radius < MIDDLE)  # nearer the axis a turn moves too little
    held = np.eye(3)[None] if group is None else group
    for fold in FOLDS:
        turn = 2 * np.pi / fold
        if any(np.isclose(r[2, 2], 1) and np.isclose(r[0, 0], np.cos(turn)) for r in held):
            continue
        matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        centre = np.full(2, n // 2)
        turned = scipy.ndimage.affine_transform(flat, matrix, centre - matrix @ centre, order=1)
        if np.corrcoef(flat[inside], turned[inside])[0, 1] > ALIKE:
            yield (
                f"The noise of the half-maps repeats {fold} times about z, so a symmetry was imposed on "
                "them: give it (--sym), or the intervals are too short."
            )
            return


def faults_of_curves(curves: FscCurves, level: float = LEVEL) -> Iterator[str]:
    """Sentences on curves from which a resolution is not to be quoted as it stands."""
    resolution = curves.resolution(level)
    if not np.isfinite(resolution):
        what = "the half-maps have nothing in common"
        yield f"The corrected FSC is below {level:g} from the start: {what}."
        return
    if curves.reaches_nyquist(level):
        yield (
            f"The corrected FSC is still above {level:g} at Nyquist: the pixel size of "
            f"{curves.pixel_size:.4g} Å limits the resolution, or the half-maps are not independent."
        )
    share = float(np.interp(1 / resolution, curves.k, curves.randomised))
    if share > MASK_SHARE:
        yield (
            "The mask is too tight or its edge too sharp: phases made random correlate by "
            f"{share:.2f} at the resolution. Make it wider (--extend, --edge of parfocal mask)."
        )
    if curves.randomised_from < 3:
        yield (
            "The unmasked FSC is below 0.8 from the first shells on, so that all phases are made random "
            "and the corrected FSC says little: are the half-maps noise, or shifted to each other?"
        )


def faults_of_mask(mask) -> Iterator[str]:
    """Sentences on a mask that holds next to nothing, or is cut off by the box."""
    voxels = int((mask > 0.5).sum())
    if voxels < FEW:
        yield f"The mask is above 0.5 in {voxels} voxels: give one around the whole molecule."
    faces = max(float(np.take(mask, (0, -1), axis=axis).max()) for axis in range(3))
    if faces > 0.5:
        yield (
            "The mask reaches the faces of the box, where it ends with a step: make it smaller, or give "
            "half-maps in a larger box."
        )
