"""MonoRes: local resolution as the finest detail that stands out of the noise (Vilas et al., 2018)."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.special

from parfocal.errors import InputError
from parfocal.fsc import shell_correlation
from parfocal.local_resolution import (
    MASKED,
    LocalResolution,
    around,
    cut,
    extended,
    frequency_axes,
    radius_of,
)

FALL = 0.02  # cycles/px over which the filters fall
FAILURES = 2  # in a row, that end the search at a voxel
LEAST_LEFT = 0.025  # share of the voxels, below which the sweep ends
SMOOTHING = 3.0  # voxels, of the resolutions found
MARGIN = 12  # voxels around the mask that are filtered with it
TAPER = 6  # of these, over which the maps fall to zero
COARSEST = 18.0  # Å, where a sweep begins, or at COARSEST_PIXELS if that is coarser
COARSEST_PIXELS = 8.0
NO_SIGNAL = 0.05  # FSC under the mask, below which the mean of SHELLS shells is no signal
SHELLS = 3
BEYOND = 1.1  # times the frequency where the signal ends: a small part may be better than the whole
Told = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The resolutions that are tried, from coarse to fine, and what counts as seen."""

    finest: float | None = None  # Å; default: a tenth beyond where the half-maps' FSC ends
    coarsest: float | None = None  # Å; default: 18 Å, or eight pixels if that is more
    step: float = 0.25  # Å
    significance: float = 0.95  # quantile of the noise amplitude that a signal must exceed

    def __post_init__(self) -> None:
        named = (("--min", self.finest), ("--max", self.coarsest), ("--step", self.step))
        for name, value in named:
            if value is not None and not 0 < value < np.inf:
                raise InputError(f"{name} of {value:g} Å", mend="give it in Å, above 0")
        if not 0.5 <= self.significance < 1:
            what = f"a significance of {self.significance:g}"
            raise InputError(what, mend="give --significance from 0.5 to below 1, such as 0.95")

    def limits(self, pixel_size: float, signal_end: float) -> tuple[float, float]:
        """Finest and coarsest resolution [Å] of maps of `pixel_size`. InputError if they cannot be."""
        least, most = 2 * pixel_size, pixel_size / FALL
        finest = max(least, self.finest or signal_end / BEYOND)
        coarsest = min(most, self.coarsest or max(COARSEST, COARSEST_PIXELS * pixel_size))
        if not finest < coarsest:
            if self.finest is None and signal_end > coarsest:
                raise InputError(
                    f"the half-maps have nothing in common under the mask beyond {signal_end:.3g} Å",
                    mend="give the half-maps of one refinement and the mask of its molecule, or a --max "
                    "above",
                )
            what = f"resolutions from {coarsest:.3g} down to {finest:.3g} Å"
            mend = (
                f"choose --max above --min, within {least:.3g} to {most:.3g} Å at this pixel size"
            )
            raise InputError(what, mend=mend)
        return finest, coarsest

    def resolutions(self, pixel_size: float, box: int, signal_end: float) -> np.ndarray:
        """(m,) Å, falling. No step is finer than half a Fourier shell of a box of so many voxels."""
        finest, coarsest = self.limits(pixel_size, signal_end)
        shell = 0.5 / (box * pixel_size)
        found = [coarsest]
        while found[-1] > finest * (1 + 1e-6):
            following = min(found[-1] - self.step, 1 / (1 / found[-1] + shell))
            found.append(max(following, finest))
        return np.array(found)


def monores(
    half1,
    half2,
    mask,
    *,
    pixel_size: float,
    sweep: Sweep = Sweep(),
    workers: int = 1,
    progress: Told = lambda stage, done, total: None,
) -> LocalResolution:
    """Local resolution of the mean of two half-maps, all (n, n, n), where the mask is above 0.5.

    At each resolution of the sweep signal (mean of the halves) and noise (half of their difference)
    are high-passed, and the monogenic amplitude, |v| and its Riesz transforms, is the local strength
    of what is left. A voxel is resolved where the signal's is above the `significance` quantile of the
    noise's over the mask; the search at a voxel ends when it failed twice in a row, and keeps the
    last resolution that passed. The sweep ends when fewer than 2.5 % of the voxels are left, or when
    their mean amplitude is not significantly above the noise's. The result is median-filtered (3³) and
    smoothed inside of the mask (σ 3 voxels). Vilas et al., Structure 26 (2018).

    Both maps are low-passed at the finest resolution of the sweep, as the noise beyond, which a
    refinement may have taken away or not, would be in every high-pass: with `sweep.finest` at two
    pixels this is MonoRes as published. Scale-free. One threshold holds for the whole mask, so where
    noise is uneven it is too lenient in the noisy parts and too strict elsewhere. Noise between a
    resolution and the finest one hides signal, so values are coarser than where a weak signal ends;
    and a filter falls over 0.02 cycles/px, so they are finer where it is very strong. Solvent in the
    mask counts as a poor part of the molecule. Wrong for filtered or masked half-maps.
    """
    inside = np.asarray(mask) > MASKED
    here = around(inside, MARGIN)
    halves = [cut(half, here, TAPER) for half in (half1, half2)]
    signal, noise = (halves[0] + halves[1]) / 2, (halves[0] - halves[1]) / 2
    kept, box = inside[here], max(signal.shape)
    spread = float(noise[kept].std())
    if not spread > 0:
        what = "the half-maps do not differ inside of the mask"
        raise InputError(what, mend="give the two half-maps of a refinement, not one map twice")
    axes = frequency_axes(signal.shape)
    tried = sweep.resolutions(pixel_size, box, signal_end(half1, half2, mask, pixel_size))
    low = _fall(radius_of(axes), pixel_size / tried[-1])
    transforms = [scipy.fft.rfftn(m / spread, workers=workers) * low for m in (signal, noise)]
    search = _Search(int(kept.sum()))
    last = 0
    for last, resolution in enumerate(tried):
        progress("monores", last, len(tried))
        frequency = pixel_size / resolution
        seen, floor = (
            monogenic_amplitude(t, axes, signal.shape, frequency, workers)[kept] for t in transforms
        )
        if not search.step(last, seen, floor, sweep.significance):
            break
    progress("monores", len(tried), len(tried))
    return LocalResolution(
        method="monores",
        resolution=_finished(tried[np.maximum(search.found, 0)], inside, here),
        inside=inside,
        pixel_size=pixel_size,
        limits=(float(tried[-1]), float(tried[0])),
        unseen=float(np.mean(search.found < 0)),
        settings={**asdict(sweep), "stopped_at": round(float(tried[last]), 3)},
    )


def monogenic_amplitude(transform, axes, shape, frequency: float, workers: int = 1) -> np.ndarray:
    """Amplitude of what a map (its rfftn) has above `frequency` [cycles/px], (z, y, x) float32.

    √(v² + Σ_j q_j²) with v high-passed (0 below frequency - 0.02, a raised cosine, 1 from there on)
    and q_j its Riesz transforms, -i k_j/|k|; a plane wave has its own amplitude everywhere. Smoothed
    by a low-pass that falls from `frequency` over 0.02. A wave at an even axis's Nyquist
    frequency, whose sign along that axis nothing tells, keeps the amplitude that either sign gives;
    where it has no frequency along another axis, a real map holds one phase only, and |v| is left.
    """
    radius = radius_of(axes)
    rise = np.clip((radius - np.float32(frequency - FALL)) / np.float32(FALL), 0, 1)
    band = transform * _cosine(rise)
    total = np.square(scipy.fft.irfftn(band, shape, workers=workers))
    band *= np.complex64(-1j) / np.maximum(radius, np.float32(1e-6))
    for axis in axes:
        total += np.square(scipy.fft.irfftn(band * axis, shape, workers=workers))
    amplitude = scipy.fft.rfftn(np.sqrt(total, out=total), workers=workers)
    amplitude *= _fall(radius, frequency)
    return scipy.fft.irfftn(amplitude, shape, overwrite_x=True, workers=workers)


def signal_end(half1, half2, mask, pixel_size: float) -> float:
    """Resolution [Å] from which on the FSC of the half-maps under the mask is no more than noise.

    The middle of the first SHELLS shells whose mean is below NO_SIGNAL; two pixels if there are none,
    as of a mask with a sharp edge, which correlates all shells.
    """
    n = len(mask)
    fsc = shell_correlation(*(scipy.fft.rfftn(h * mask) for h in (half1, half2)))
    mean = np.convolve(fsc[1:], np.full(SHELLS, 1 / SHELLS), mode="valid")
    below = np.flatnonzero(mean < NO_SIGNAL)
    return n * pixel_size / (below[0] + 1 + SHELLS // 2) if len(below) else 2 * pixel_size


def _fall(radius, frequency: float):
    """Low-pass: 1 up to `frequency` [cycles/px], then a raised cosine to 0."""
    return _cosine(1 - np.clip((radius - np.float32(frequency)) / np.float32(FALL), 0, 1))


def _cosine(part):
    """Raised cosine from 0 to 1 of a ramp from 0 to 1."""
    return np.float32(0.5) - np.float32(0.5) * np.cos(np.float32(np.pi) * part)


class _Search:
    """How far each voxel has come: the last resolution that it passed, and failures since."""

    def __init__(self, voxels: int) -> None:
        self.found = np.full(voxels, -1)
        self.failures = np.zeros(voxels, dtype=np.int8)

    def step(self, number: int, seen, noise, significance: float) -> bool:
        """Try one resolution; False if the sweep is over."""
        left = self.failures < FAILURES
        if left.mean() < LEAST_LEFT or not _stands_out(seen[left], noise[left], significance):
            return False
        passed = left & (seen > np.quantile(noise, significance))
        self.found[passed] = number
        self.failures[left] += 1
        self.failures[passed] = 0
        return True


def _stands_out(seen, noise, significance: float) -> bool:
    """Whether the mean of `seen` is above that of `noise`: one-sided test of the two means."""
    error = np.sqrt((seen.var() + noise.var()) / len(seen))
    return bool(
        seen.mean(dtype=float) - noise.mean(dtype=float) > scipy.special.ndtri(significance) * error
    )


def _finished(values, inside, here) -> np.ndarray:
    """Resolutions `values` (m,) of the voxels inside: median-filtered, smoothed and extended."""
    kept = inside[here]
    filtered = scipy.ndimage.median_filter(extended(values, kept), size=3)
    weight = scipy.ndimage.gaussian_filter(kept.astype(np.float32), SMOOTHING)
    smooth = scipy.ndimage.gaussian_filter(np.where(kept, filtered, 0), SMOOTHING)
    return extended(smooth[kept] / weight[kept], inside)
