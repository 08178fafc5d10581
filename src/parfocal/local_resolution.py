"""Local resolution: the record that every method returns, and the difference of two such maps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.special

from parfocal.errors import InputError

MASKED = 0.5  # a voxel counts as inside where the mask is above
QUARTILES = (0.25, 0.5, 0.75)
REACH, SHORTEST = 6.0, 3.0  # sides of blocks in correlation lengths of the difference
LEAST_SIDE = 4  # voxels
LEAST_VOXELS = 10_000  # hold 20 blocks of 8 voxels, three lengths of what is smoothed by 3
RESAMPLES = 1000
RANKS = 500  # of voxels, in which a resample's median is looked for
ENOUGH_BLOCKS = 20
TREND = 1 / 6  # of the mask's extent: sigma of what is no noise when its length is measured


@dataclass(frozen=True, kw_only=True)
class LocalResolution:
    """Resolution [Å] at every voxel inside of a mask, as one method sees it.

    Outside of the mask the map repeats the nearest value inside, so that a surface is coloured well;
    every number is over `inside` only. `limits` are the finest and the coarsest value that the
    method could have given, and `unseen` the share of voxels which passed at none: they have the
    coarsest.
    """

    method: str
    resolution: np.ndarray  # (n, n, n) float32 Å
    inside: np.ndarray  # (n, n, n) bool
    pixel_size: float  # Å
    limits: tuple[float, float]  # Å
    unseen: float  # share of the voxels inside
    settings: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.resolution.shape != self.inside.shape or not self.inside.any():
            raise ValueError(f"{self.resolution.shape} voxels, {self.inside.sum()} are inside")

    @property
    def values(self) -> np.ndarray:
        """(m,) Å, of the voxels inside."""
        return self.resolution[self.inside]

    @property
    def median(self) -> float:
        return float(np.median(self.values))

    def quantiles(self, shares=QUARTILES) -> np.ndarray:
        """Resolutions [Å] below which `shares` of the voxels inside lie."""
        return np.quantile(self.values, shares)


class LocalDifference(NamedTuple):
    """Mean and median over a mask of a difference of local resolutions [Å], one standard error each.

    `blocks` of `side` voxels were resampled: errors have about `blocks` - 1 degrees of freedom.
    They are nan where the mask holds less than LEAST_VOXELS, for then nothing is known of them.
    """

    mean: float
    mean_error: float
    median: float
    median_error: float
    voxels: int
    blocks: int
    side: int


def extended(values, inside) -> np.ndarray:
    """(n, n, n) float32: `values` (m,) of the voxels `inside`, and the nearest of them elsewhere."""
    volume = np.zeros(inside.shape, dtype=np.float32)
    volume[inside] = values
    nearest = scipy.ndimage.distance_transform_edt(
        ~inside, return_distances=False, return_indices=True
    )
    return volume[tuple(nearest)]  # pyright: ignore[reportArgumentType, reportCallIssue]


def frequency_axes(shape) -> list[np.ndarray]:
    """Frequencies [cycles/px] of an rfftn along z, y, x, float32, ready to broadcast."""
    z, y, x = shape
    axes = (np.fft.fftfreq(z)[:, None, None], np.fft.fftfreq(y)[:, None], np.fft.rfftfreq(x))
    return [axis.astype(np.float32) for axis in axes]


def radius_of(axes) -> np.ndarray:
    """Absolute frequency [cycles/px] of each voxel of an rfftn."""
    return np.sqrt(axes[0] ** 2 + axes[1] ** 2 + axes[2] ** 2)


def around(inside, margin: int) -> tuple[slice, ...]:
    """The box that holds all of `inside`, and `margin` voxels around it where the map has them."""
    box = scipy.ndimage.find_objects(inside.view(np.uint8))
    if not box:
        raise InputError("the mask is zero everywhere", mend="make the mask again")
    return tuple(
        slice(max(part.start - margin, 0), min(part.stop + margin, size))
        for part, size in zip(box[0], inside.shape, strict=True)
    )


def cut(volume, here: tuple[slice, ...], taper: int) -> np.ndarray:
    """A box of a map, float32, that falls to 0 over `taper` voxels at the sides where it was cut.

    So a filter sees no step there, and far fewer voxels than the whole map has.
    """
    piece = np.array(volume[here], dtype=np.float32)
    ramp = np.sin((np.arange(taper, dtype=np.float32) + 0.5) / taper * np.float32(np.pi / 2)) ** 2
    for axis, (part, size) in enumerate(zip(here, np.shape(volume), strict=True)):
        side = np.ones(piece.shape[axis], dtype=np.float32)
        if part.start > 0:
            side[:taper] *= ramp
        if part.stop < size:
            side[-taper:] *= ramp[::-1]
        piece *= side.reshape([-1 if a == axis else 1 for a in range(3)])
    return piece


def local_difference(first, second, mask, *, rng: np.random.Generator) -> LocalDifference:
    """How much coarser `first` is than `second`, both (n, n, n) Å, over the voxels with mask > 0.5.

    Voxels are paired. Their differences are correlated, by the filters and the smoothing of a
    method and by the map's own noise, so whole blocks of the mask are resampled (block bootstrap),
    cubes on a grid of random origin with sides of six correlation lengths, or less where the mask
    would hold fewer than 20. The length is that of the difference less its trend over the mask; one
    beyond a third of the largest side is not believed to be that of noise. What neighbouring blocks
    share across their faces is lost to the bootstrap, which sees a part of the variance only
    (`seen_by_blocks`); the error is enlarged by as much.

    The error holds what varies over the map: noise, and also a gain that is larger in one part of
    the molecule than in another, so there it is on the safe side. It knows nothing of what all voxels
    share, such as the noise threshold of MonoRes.
    """
    inside = np.asarray(mask) > MASKED
    if np.shape(first) != inside.shape or np.shape(second) != inside.shape:
        what = f"local resolutions {np.shape(first)}, {np.shape(second)}, mask {inside.shape}"
        raise InputError(what, mend="give maps on one grid")
    box = around(inside, 0)
    inside = inside[box]
    volume = np.where(inside, np.asarray(first)[box] - np.asarray(second)[box], 0).astype(float)
    difference = volume[inside]
    mean, median = float(difference.mean()), float(np.median(difference))
    if np.ptp(difference) == 0:
        return LocalDifference(mean, 0.0, median, 0.0, len(difference), 0, 0)
    length = correlation_length(volume - _trend(volume, inside), inside)
    largest = np.cbrt(len(difference) / ENOUGH_BLOCKS)
    length = min(length, largest / SHORTEST)
    side = max(LEAST_SIDE, int(np.ceil(min(largest, REACH * length))))
    block = _blocks(inside, side, rng)
    errors = (np.nan, np.nan)
    if len(difference) >= LEAST_VOXELS:
        seen = np.sqrt(seen_by_blocks(side / length))
        errors = (e / seen for e in _bootstrap(difference, block, rng))
    mean_error, median_error = errors
    return LocalDifference(
        mean=mean,
        mean_error=float(mean_error),
        median=median,
        median_error=float(median_error),
        voxels=len(difference),
        blocks=int(block.max()) + 1,
        side=side,
    )


def seen_by_blocks(ratio: float) -> float:
    """Share of the variance of a mean that blocks see, of sides `ratio` correlation lengths.

    Along each axis ∫(1 - |x| / side) ρ(x) dx over the whole integral, with ρ = exp(-x²/2).
    """
    inner = scipy.special.erf(ratio / np.sqrt(2))
    faces = np.sqrt(2 / np.pi) / ratio * (1 - np.exp(-(ratio**2) / 2))
    return float(inner - faces) ** 3


def _trend(volume, inside) -> np.ndarray:
    """What varies over the mask as a whole: a Gaussian mean of `volume`, 0 outside as it is."""
    sigma = TREND * float(np.mean(inside.shape))
    weight, smooth = (
        scipy.ndimage.gaussian_filter(v, sigma, mode="constant")
        for v in (inside.astype(float), volume)
    )
    return np.where(inside, smooth / np.maximum(weight, 1e-9), 0)


def correlation_length(volume, inside) -> float:
    """Lag [voxels], of the median axis, at which `volume`, 0 outside, is correlated by exp(-1/2)."""
    shape = [scipy.fft.next_fast_len(2 * n, real=True) for n in volume.shape]

    def sums(values):
        power = np.abs(scipy.fft.rfftn(values, shape)) ** 2
        return scipy.fft.irfftn(power, shape)

    product, pairs = sums(volume), sums(inside.astype(float))
    lengths = []
    for axis, size in enumerate(volume.shape):
        line = tuple(slice(0, size) if a == axis else 0 for a in range(3))
        shared = pairs[line] > 0.02 * pairs[0, 0, 0]  # of fewer pairs it is noise
        correlation = (product[line] / np.maximum(pairs[line], 1))[shared]
        correlation = correlation / correlation[0]
        below = np.flatnonzero(correlation < np.exp(-0.5))
        last = below[0] if len(below) else len(correlation) - 1
        high, low = correlation[max(last - 1, 0)], correlation[last]
        part = (high - np.exp(-0.5)) / (high - low) if high > low else 1.0
        lengths.append(max(last - 1, 0) + min(part, 1.0))
    return float(np.median(lengths))


def _blocks(inside, side: int, rng) -> np.ndarray:
    """(m,) number of the block of each voxel inside, cubes of `side` voxels from a random origin."""
    places = [p + o for p, o in zip(np.nonzero(inside), rng.integers(side, size=3), strict=True)]
    z, y, x = (place // side for place in places)
    return np.unique((z * (y.max() + 1) + y) * (x.max() + 1) + x, return_inverse=True)[1]


def _bootstrap(difference, block, rng) -> tuple[float, float]:
    """Standard errors of the mean and of the median over resampled blocks.

    For the median voxels are counted by block and by their rank, RANKS of them.
    """
    count = int(block.max()) + 1
    often = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    sums, sizes = np.bincount(block, weights=difference), np.bincount(block)
    means = (often @ sums) / (often @ sizes)
    order = np.argsort(difference)
    rank = np.arange(len(order)) * RANKS // len(order)
    cells = np.bincount(block[order] * RANKS + rank, minlength=count * RANKS)
    held = np.cumsum(often @ cells.reshape(count, RANKS), axis=1)
    middle = np.argmax(held >= held[:, -1:] / 2, axis=1)
    medians = difference[order[(middle * len(order) + len(order) // 2) // RANKS]]
    few = np.sqrt(count / (count - 1))
    return few * means.std(ddof=1), few * medians.std(ddof=1)
