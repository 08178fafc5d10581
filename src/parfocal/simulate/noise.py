"""Noise of unit variance, with a spectrum that is known."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.fft

from parfocal.errors import InputError

CORRELATION = 5.0  # Å, over which the covariance of coloured noise falls to 1/e
MARGIN = 20  # correlation lengths that part the edges of a micrograph, which wrap
EXCESS = 12.0  # of the power of coloured noise over its floor, at zero frequency


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Stationary Gaussian noise of variance 1 for images of `size` pixels of `pixel_size` Å."""

    kind: str  # 'white' or 'coloured': a floor, and 13 times as much at low frequency
    size: int
    pixel_size: float

    def __post_init__(self) -> None:
        if self.kind not in ("white", "coloured"):
            raise InputError(f"noise {self.kind!r} is not known", mend="choose white or coloured")

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """One image, float32 (size, size): the corner of a field twice as wide, so not periodic."""
        if self.kind == "white":
            return rng.standard_normal((self.size, self.size), dtype=np.float32)
        shape = (2 * self.size, 2 * self.size)
        field = scipy.fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
        field *= self._amplitude
        return scipy.fft.irfft2(field, s=shape, overwrite_x=True)[: self.size, : self.size]

    @cached_property
    def power(self) -> np.ndarray:
        """Expected |rfft2(image)|², (size, size // 2 + 1), the leaks of the crop included."""
        n = self.size
        if self.kind == "white":
            return np.full((n, n // 2 + 1), float(n * n))
        covariance = scipy.fft.irfft2(self._amplitude.astype(float) ** 2, s=(2 * n, 2 * n))
        # Pairs of pixels at lag t in an image: n - |t| along each axis.
        pairs = n - np.abs(np.fft.fftfreq(2 * n, 1 / (2 * n)))
        lagged = covariance * pairs * pairs[:, None]
        return scipy.fft.rfft2(lagged.reshape(2, n, 2, n).sum(axis=(0, 2))).real

    def energy(self, image) -> float:
        """Σ |DFT of the image|² over the noise's expected power: squared signal to noise ratio.

        The best that any linear filter gets. Exact for white noise; else the correlation between
        frequencies, which the edges of the image cause, is left out.
        """
        ratio = np.abs(scipy.fft.rfft2(image)) ** 2 / self.power
        return float(2 * ratio.sum() - ratio[:, 0].sum() - ratio[:, -1].sum())

    @cached_property
    def _amplitude(self) -> np.ndarray:
        """Root of the field's spectrum, float32, its mean square over the field's frequencies 1."""
        n = 2 * self.size
        full = np.hypot(
            np.fft.fftfreq(n, self.pixel_size)[:, None], np.fft.fftfreq(n, self.pixel_size)
        )
        spectrum = _coloured(full)
        return np.sqrt(spectrum / spectrum.mean())[:, : n // 2 + 1].astype(np.float32)


def noise_field(kind: str, shape, pixel_size: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of the same spectrum, float32, for any `shape` (rows, columns): a whole micrograph's."""
    if kind == "white":
        return rng.standard_normal(shape, dtype=np.float32)
    margin = int(np.ceil(MARGIN * CORRELATION / pixel_size))
    rows, columns = (scipy.fft.next_fast_len(n + margin, real=True) for n in shape)
    ky, kx = np.fft.fftfreq(rows, pixel_size)[:, None], np.fft.rfftfreq(columns, pixel_size)
    spectrum = _coloured(np.hypot(ky, kx))
    mates = np.where((kx == 0) | (2 * kx * pixel_size == 1), 1, 2)
    mean = (spectrum * mates).sum() / (rows * columns)
    field = scipy.fft.rfft2(rng.standard_normal((rows, columns), dtype=np.float32))
    field *= np.sqrt(spectrum / mean).astype(np.float32)
    return scipy.fft.irfft2(field, s=(rows, columns), overwrite_x=True)[: shape[0], : shape[1]]


def _coloured(k):
    """The transform of exp(-r / CORRELATION), over that of single pixels, at `k` [Å⁻¹]."""
    return 1 + EXCESS / (1 + (2 * np.pi * CORRELATION * k) ** 2) ** 1.5
