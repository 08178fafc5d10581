"""Local resolution by the correlation of two half-maps, band by band, in a window that moves."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import scipy.fft

from parfocal.errors import InputError
from parfocal.local_resolution import (
    MASKED,
    LocalResolution,
    around,
    cut,
    extended,
    frequency_axes,
    radius_of,
)

EDGE = 0.5  # share of the window's radius over which it falls to zero
LEAST_WINDOW = 12.0  # voxels across: in fewer there is too little to correlate
WINDOW, WINDOW_PIXELS = 25.0, 20.0  # Å, or voxels if that is more: across the window
STEPS = 2  # bands in a bandwidth
TAPER = 6  # voxels over which maps fall to zero where they were cut
TINY = 1e-30  # keeps 0 / 0 away, far below any power
Told = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Window:
    """A soft sphere, and the correlation in it that ends the resolution."""

    diameter: float | None = None  # Å; default: 25 Å, or 20 voxels if that is more
    level: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            what = f"an FSC level of {self.level:g}"
            raise InputError(what, mend="give --level between 0 and 1: 0.5 or 0.143")

    def across(self, pixel_size: float, box: int) -> float:
        """Diameter in voxels. InputError if it does not fit."""
        chosen = max(WINDOW_PIXELS * pixel_size, WINDOW) if self.diameter is None else self.diameter
        across = chosen / pixel_size
        if not LEAST_WINDOW <= across <= box:  # nor if it is not a number
            least, most = (round(v * pixel_size, 1) for v in (LEAST_WINDOW, box))
            what = f"a window of {across * pixel_size:.3g} Å"
            raise InputError(what, mend=f"choose --window from {least} to {most} Å for these maps")
        return across


def windowed_fsc(
    half1,
    half2,
    mask,
    *,
    pixel_size: float,
    window: Window = Window(),
    workers: int = 1,
    progress: Told = lambda stage, done, total: None,
) -> LocalResolution:
    """Local resolution of two half-maps (n, n, n) where the mask is above 0.5, from local FSCs.

    Both maps are cut into bands of Fourier shells, each 1 / D wide and half of that apart. A band's
    correlation at a voxel is Σ w v₁ v₂ / √(Σ w v₁² Σ w v₂²) over a window w of diameter D: the square
    of a soft sphere, 1 up to half of its radius, then a raised cosine to 0, and the mask. By
    Parseval's theorem that is the FSC of the maps under the soft sphere, but that frequencies are
    parted before the window blurs them. The resolution is where it first falls below the level,
    linear between bands; Nyquist where it never does. After Cardone et al., J. Struct. Biol. 184
    (2013), who window first.

    Places nearer than D and frequencies nearer than 1 / D are not told apart, and the strong
    outweigh the weak: beside a much better part a poor one is called too fine. A band in a window
    holds few independent numbers, on which 0.143, the level of whole maps, is passed by chance:
    values come out too fine. 0.5 is safer. Wrong for filtered half-maps, and where these share noise.
    """
    inside = np.asarray(mask) > MASKED
    across = window.across(pixel_size, len(inside))
    here = around(inside, int(np.ceil(across / 2)) + TAPER)
    transforms = [
        scipy.fft.rfftn(cut(half, here, TAPER), workers=workers) for half in (half1, half2)
    ]
    kept = inside[here]
    local = _Average(kept, across / 2, workers)
    radius, width = radius_of(frequency_axes(kept.shape)), 1 / across
    centres = np.append(np.arange(width, 0.5, width / STEPS), 0.5)
    found = _Crossing(int(kept.sum()), width / STEPS, window.level)
    for number, centre in enumerate(centres):
        progress("windowed FSC", number, len(centres))
        band = (np.abs(radius - np.float32(centre)) <= np.float32(width / 2)).astype(np.float32)
        first, second = (
            scipy.fft.irfftn(t * band, kept.shape, workers=workers) for t in transforms
        )
        powers = local(first**2) * local(second**2)
        found.step(float(centre), local(first * second) / np.sqrt(np.maximum(powers, TINY)))
        if not found.left.any():
            break
    progress("windowed FSC", len(centres), len(centres))
    resolution = (pixel_size / found.frequency).astype(np.float32)
    return LocalResolution(
        method="fsc",
        resolution=extended(resolution, inside),
        inside=inside,
        pixel_size=pixel_size,
        limits=(2 * pixel_size, pixel_size * STEPS / width),
        unseen=float(np.mean(found.frequency <= width / STEPS)),
        settings=asdict(window) | {"diameter": round(across * pixel_size, 2)},
    )


def soft_sphere(shape, radius: float) -> np.ndarray:
    """A sphere around voxel 0, float32: 1 up to half of `radius` [voxels], 0 from it on."""
    z, y, x = (np.fft.fftfreq(n, 1 / n) for n in shape)
    r = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
    fall = np.clip((r / radius - (1 - EDGE)) / EDGE, 0, 1)
    return (0.5 + 0.5 * np.cos(np.pi * fall)).astype(np.float32)


class _Average:
    """Sum of a volume under the window around each voxel of the mask, only the mask's voxels."""

    def __init__(self, kept, radius: float, workers: int) -> None:
        sphere = scipy.fft.rfftn(soft_sphere(kept.shape, radius) ** 2)
        self.sphere, self.kept, self.workers = sphere.real, kept, workers

    def __call__(self, volume) -> np.ndarray:
        transform = scipy.fft.rfftn(volume * self.kept, workers=self.workers)
        transform *= self.sphere
        return scipy.fft.irfftn(transform, self.kept.shape, workers=self.workers)[self.kept]


class _Crossing:
    """The frequency [cycles/px] at which each voxel's correlation first falls below the level.

    Before the first band, a step below it, it is taken for 1; where it never falls it ends at 0.5.
    """

    def __init__(self, voxels: int, step: float, level: float) -> None:
        self.level, self.before, self.last = level, np.ones(voxels), step
        self.left = np.ones(voxels, dtype=bool)
        self.frequency = np.full(voxels, 0.5)

    def step(self, centre: float, correlation) -> None:
        """Go on to the band around `centre`, with the correlation (m,) in it."""
        fell = self.left & (correlation < self.level)
        high, low = self.before[fell], correlation[fell]
        part = (high - self.level) / np.maximum(high - low, 1e-6)
        self.frequency[fell] = self.last + part * (centre - self.last)
        self.left &= ~fell
        self.before, self.last = correlation, centre
