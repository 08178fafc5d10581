"""The Ewald sphere: what is thick is seen at many heights at once, each with a defocus of its own.

Density at height z above the particle's centre is imaged with the phase χ + σ π λ s z, s = |k|² and
σ = ±1 by the hands of microscope and map. Summed over heights, with F the transform of the particle
as it is seen,

    X(k) = [exp(iχ) F(k, -σλs/2) - exp(-iχ) F(k, σλs/2)] / 2i:

an image holds two slices, bent up and down (DeRosier, Ultramicroscopy 81, 2000; Russo & Henderson,
Ultramicroscopy 187, 2018). Structure without order in a ball correlates with itself over a distance in
Fourier space, so the slices, λs apart, have the correlation c of `ball_overlap`. What X is expected to
be, given the first slice alone, is h F with h = [exp(iχ) - c exp(-iχ)] / 2i: that slice is given
conj(h) X / (1 + c), with the weight |h|² / (1 + c). Where c = 1 both slices together get CTF X and CTF²,
as the plane does. The rest of the second slice turns with exp(2iχ): it is noise that averages out over
particles of many defoci, not over few.
"""

from dataclasses import dataclass

import numpy as np

from parfocal.errors import InputError
from parfocal.grid import SpectraGrid
from parfocal.optics import effective_frequency

SMALL = 0.1  # rad, below which a series is exact where the formula cancels


@dataclass(frozen=True, kw_only=True)
class Ewald:
    """What is to be corrected for."""

    diameter: float  # Å, of the particle
    sign: int = -1  # σ; -1 is how RELION bends the sphere, 1 its --reverse_curvature

    def __post_init__(self) -> None:
        if not 10 <= self.diameter <= 10_000:
            what = f"a particle of {self.diameter:g} Å"
            raise InputError(what, mend="give its diameter in Å, 10 to 10000")
        if self.sign not in (-1, 1):
            raise ValueError(f"sign = {self.sign}, expected 1 or -1")


@dataclass(frozen=True, kw_only=True)
class Sphere:
    """How images of one optics group lie on the sphere."""

    bend: float  # Å, σ λ / 2: a slice lies at kz = -bend s
    overlap: np.ndarray  # (pixels,) float32: correlation of the two slices, pixel by pixel


def sphere_of(grid: SpectraGrid, ewald: Ewald) -> Sphere:
    """The sphere at the pixels of `grid`, row by row as its phases lie."""
    optics = grid.optics
    step = 1.0 / (grid.padded_size * optics.pixel_size)
    row = np.repeat(np.arange(len(grid.ky)), np.diff(grid.first))
    kx = np.arange(len(row)) - grid.first[row] + grid.start[row]
    seen_x, seen_y = effective_frequency(kx * step, grid.ky[row] * step, optics)
    apart = optics.wavelength * (seen_x**2 + seen_y**2)
    return Sphere(
        bend=ewald.sign * optics.wavelength / 2,
        overlap=ball_overlap(ewald.diameter * apart).astype(np.float32),
    )


def ball_overlap(apart):
    """Correlation of a transform with itself, `apart` (in units of 1 / diameter) from there.

    3 (sin u - u cos u) / u³ with u = π apart: the transform of a ball.
    """
    u = np.pi * np.asarray(apart, dtype=float)
    safe = np.where(u < SMALL, 1.0, u)
    return np.where(u < SMALL, 1 - u**2 / 10, 3 * (np.sin(safe) - safe * np.cos(safe)) / safe**3)
