"""The image that a particle should be, CTF times projection, and the image that it is compared with.

For methods whose cost is no sum over radial bins. All lies on the box's own grid without padding: a
template whose waves leave the box comes back in on the other side, as in the programs that do so.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft

from parfocal.conventions import astigmatism_vector
from parfocal.jit import kernel
from parfocal.optics import Optics, effective_frequency, even_phase, fixed_phase, odd_phase
from parfocal.projection import FourierVolume, project

ROLLOFF = 0.02  # width of the low-pass filter's edge, in cycles per pixel


@dataclass(frozen=True, kw_only=True)
class TemplateGrid:
    """What all particles of an optics group share: half-plane tables of shape (box, box//2+1)."""

    optics: Optics
    columns: np.ndarray  # (box,) int64, how many columns of each row the template fills
    turns: np.ndarray  # float64: χ / 2π that no particle changes; half a turn moves the origin
    odd: np.ndarray  # complex64, exp(i odd aberration); empty where there is none
    low_pass: np.ndarray  # float32, of the image: 1 in the template's band, then a raised cosine
    across: np.ndarray  # (box, 2) int64, first and last + 1 column of each row inside the circle


def template_grid(optics: Optics, *, low_pass: float) -> TemplateGrid:
    """Grid of one optics group, up to the resolution `low_pass` [Å] or Nyquist."""
    n = optics.image_size
    kx, ky = np.fft.rfftfreq(n)[None, :], np.fft.fftfreq(n)[:, None]
    k, limit = np.hypot(kx, ky), optics.pixel_size / low_pass
    seen = effective_frequency(kx / optics.pixel_size, ky / optics.pixel_size, optics)
    turns = (
        (fixed_phase(seen[0] ** 2 + seen[1] ** 2, optics) + even_phase(*seen, optics)) / 2 / np.pi
    )
    index = np.arange(n)
    turns += ((index[:, None] + index[: n // 2 + 1]) % 2) / 2  # box centre n/2: (-1)^(i + j)
    odd = odd_phase(*seen, optics)
    edge = np.clip((k - limit) / ROLLOFF, 0, 1)
    reach = np.sqrt(np.maximum((n // 2) ** 2 - (index - n // 2) ** 2, 0)).astype(np.int64)
    across = np.stack([n // 2 - reach, np.minimum(n // 2 + reach + 1, n)], axis=1)
    return TemplateGrid(
        optics=optics,
        columns=(k <= limit).sum(axis=1),
        turns=turns,
        odd=np.exp(1j * odd).astype(np.complex64) if odd.any() else np.zeros(0, np.complex64),
        low_pass=(0.5 + 0.5 * np.cos(np.pi * edge)).astype(np.float32),
        across=across,
    )


def projection_of(volume: FourierVolume, pose, grid: TemplateGrid) -> np.ndarray:
    """Slice of the map at `pose` (3, 3) with odd aberrations, no CTF: complex64 (box, box//2+1)."""
    optics = grid.optics
    out = project(
        volume,
        pose,
        size=optics.image_size,
        pixel_size=optics.pixel_size,
        magnification=optics.magnification,
    )
    return out * grid.odd if grid.odd.size else out


def template(projection, defocus, phase_shift: float, grid: TemplateGrid) -> np.ndarray:
    """CTF times `projection`, the particle in the centre of its box: float32 (box, box).

    `defocus` is (U, V [Å], angle [rad]), `phase_shift` [rad].
    """
    transform = np.zeros_like(projection)
    _times_ctf(
        projection, _coefficients(defocus, phase_shift, grid), grid.turns, grid.columns, transform
    )
    return scipy.fft.irfft2(transform)


def _coefficients(defocus, phase_shift, grid):
    """χ / 2π = a i² + b i j + c j² + d + grid.turns, i the column and j the row: (a, b, c, d)."""
    optics = grid.optics
    m00, m01, m10, m11 = optics.magnification  # z |M k|² = kᵀ Mᵀ Z M k, Z = [[p, q], [q, r]]
    mean, cosine, q = astigmatism_vector(*defocus)
    p, r = mean + cosine, mean - cosine
    scale = optics.wavelength / 2 / (optics.image_size * optics.pixel_size) ** 2
    return (
        scale * (m00 * m00 * p + 2 * m00 * m10 * q + m10 * m10 * r),
        2 * scale * (m00 * m01 * p + (m00 * m11 + m01 * m10) * q + m10 * m11 * r),
        scale * (m01 * m01 * p + 2 * m01 * m11 * q + m11 * m11 * r),
        phase_shift / (2 * np.pi),
    )


@kernel
def _times_ctf(projection, coefficients, turns, columns, out):
    """Fill the band of `out` with projection times sin χ; by Taylor's sum, in wide registers.

    Turns are taken in double precision: line searches compare templates 1 Å of defocus apart.
    """
    for row in range(columns.size):
        j = row if row <= columns.size // 2 else row - columns.size
        a, b = coefficients[0], coefficients[1] * j
        d = coefficients[2] * j * j + coefficients[3]
        source, target, fixed = projection[row], out[row], turns[row]
        for i in range(columns[row]):
            t = (a * i + b) * i + d + fixed[i]
            u = np.float32(
                t - np.floor(t + 0.5)
            )  # in [-1/2, 1/2], and sin 2πu = ±cos 2π(|u| - 1/4)
            w = np.abs(u) - np.float32(0.25)
            x = np.float32(39.478418) * w * w
            cosine = np.float32(1) - x / np.float32(2) * (
                np.float32(1)
                - x
                / np.float32(12)
                * (
                    np.float32(1)
                    - x
                    / np.float32(30)
                    * (np.float32(1) - x / np.float32(56) * (np.float32(1) - x / np.float32(90)))
                )
            )
            target[i] = source[i] * (cosine if u >= 0 else -cosine)


def filtered(image, grid: TemplateGrid) -> np.ndarray:
    """`image` (box, box) without its mean, low-passed: float32."""
    transform = scipy.fft.rfft2(image - image.mean()) * grid.low_pass
    return scipy.fft.irfft2(transform)


def shift_ramp(shift, grid: TemplateGrid) -> np.ndarray:
    """What moves a projection by `shift` (x, y) [px], exactly: its factor, complex64."""
    n = grid.optics.image_size
    x = np.exp(-2j * np.pi * shift[0] * np.fft.rfftfreq(n)).astype(np.complex64)
    y = np.exp(-2j * np.pi * shift[1] * np.fft.fftfreq(n)).astype(np.complex64)
    return y[:, None] * x


def moved(image, shift) -> np.ndarray:
    """`image` moved by `shift` (x, y) [px] by bilinear interpolation, 0 from outside.

    It smooths the image, by sinc² along x and y on average over shifts: part of Xmipp's cost.
    """
    n = len(image)
    padded = np.pad(image, 1)
    weights, places = [], []
    for distance in shift:
        whole = math.floor(distance)
        weights.append((1 - (distance - whole), distance - whole))
        at = np.arange(n) + 1 - whole
        places.append([np.clip(at - step, 0, n + 1) for step in (0, 1)])
    out = np.zeros_like(image)
    for wy, rows in zip(weights[1], places[1], strict=True):
        for wx, columns in zip(weights[0], places[0], strict=True):
            out += np.float32(wx * wy) * padded[np.ix_(rows, columns)]
    return out
