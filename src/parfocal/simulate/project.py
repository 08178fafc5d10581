"""Exact projections of atoms, and the microscope's way of imaging them.

A projection transform is the DFT of the image whose pixel is the sum of the map's voxels along z
(RELION's scale), so it is a central slice of the map's DFT; `density` makes that map. Both hold
nothing at or beyond the Nyquist frequency, |k| >= 0.5 / pixel, in any direction: a map on cubic
voxels could hold more only in its corners.
"""

import numpy as np
import scipy.fft

from parfocal.conventions import rotation_matrix
from parfocal.optics import (
    Optics,
    ctf,
    defocus_along,
    defocus_phase,
    delocalisation,
    effective_frequency,
    even_phase,
    fixed_phase,
    odd_phase,
)
from parfocal.simulate.nufft import transform
from parfocal.simulate.structure import Atoms, form_factor


def density(atoms: Atoms, *, optics: Optics, b_factor: float) -> np.ndarray:
    """The map whose slices `AtomProjector` gives, float32 (n, n, n) with n = optics.image_size.

    Its unit is arbitrary (1 Å of scattering factor). `b_factor` [Å²] damps the atoms by
    exp(-b_factor |k|² / 4), on top of their own form factors.
    """
    n, pixel = optics.image_size, optics.pixel_size
    squares = np.fft.fftfreq(n, 1 / n).astype(np.int32) ** 2
    radius2 = squares[:, None, None] + squares[:, None] + squares[: n // 2 + 1]
    np.minimum(radius2, (n // 2) ** 2, out=radius2)
    s = np.arange((n // 2) ** 2 + 1) / (n * pixel) ** 2
    spectrum = np.zeros(radius2.shape, dtype=np.complex64)
    for atomic_number, position in atoms.by_element().items():
        factor = _factor(atomic_number, s, b_factor)
        factor[-1] = 0  # the Nyquist sphere, and all that lies outside of it
        index = position.T[::-1] / pixel + n // 2
        spectrum += factor[radius2] * transform(index, np.ones(len(position)), (n, n, n))
    return scipy.fft.irfftn(spectrum, s=(n, n, n), overwrite_x=True)


def _factor(atomic_number: int, s, b_factor: float) -> np.ndarray:
    """What an atom scatters at squared frequency `s`, float32."""
    return (form_factor(atomic_number, s) * np.exp(-b_factor / 4 * s)).astype(np.float32)


def padded_size(optics: Optics, *, radius: float, defocus: float, keep_all: bool = False) -> int:
    """Box [px] in which no wave of a particle of `radius` [Å] wraps into the image.

    Or none at all, with `keep_all`.

    The image is cropped from its centre. `radius` is that of the particle about the image's centre,
    shifts included; `defocus` [Å] the largest. At least twice the image, since the sharp edge of the
    band leaves ripples: what wraps of them is about 1 % of the image.
    """
    spread = delocalisation(np.linspace(0, optics.nyquist, 100), defocus, optics).max()
    reach = (radius + spread) / optics.pixel_size
    needed = reach + max(optics.image_size / 2, reach if keep_all else 0)
    return 2 * scipy.fft.next_fast_len(int(max(needed / 2, optics.image_size)), real=True)


class Grid:
    """Frequencies of the padded box, in the layout of `numpy.fft.rfft2`: arrays (m, m // 2 + 1).

    All but `inside` are of the specimen, that is, corrected for anisotropic magnification.
    """

    def __init__(self, optics: Optics, size: int) -> None:
        kx = np.fft.rfftfreq(size, optics.pixel_size)[None, :]
        ky = np.fft.fftfreq(size, optics.pixel_size)[:, None]
        self.kx, self.ky = effective_frequency(kx, ky, optics)  # Å⁻¹
        self.s = self.kx**2 + self.ky**2  # Å⁻²
        self.inside = np.maximum(self.s, kx**2 + ky**2) < optics.nyquist**2


class AtomProjector:
    """Projection transforms of atoms, for one set of optics, on the frequencies of a padded box."""

    def __init__(self, atoms: Atoms, *, optics: Optics, b_factor: float, size: int) -> None:
        grid = Grid(optics, size)
        self._size, self._pixel_size = size, optics.pixel_size
        self._magnification = np.reshape(optics.magnification, (2, 2))
        self._elements = [
            (np.ascontiguousarray(position.T), _factor(z, grid.s, b_factor) * grid.inside)
            for z, position in atoms.by_element().items()
        ]

    def __call__(self, pose, origin) -> np.ndarray:
        """Transform, complex64 (m, m // 2 + 1), of the particle seen in `pose` at -`origin`.

        pose: (rot, tilt, psi) [rad]; origin: (x, y) [Å]. The phase is that of an image whose
        centre, from which the particle is -origin away, has index m // 2 along both axes.
        """
        # A wave M k of the specimen is seen as k, so a point r at Mᵀ r.
        seen = self._magnification.T @ rotation_matrix(*pose)[:2] / self._pixel_size
        centre = self._size // 2 - np.asarray(origin) / self._pixel_size
        shape = (self._size, self._size)
        total = np.zeros((self._size, self._size // 2 + 1), dtype=np.complex64)
        for position, factor in self._elements:
            index = seen @ position + centre[:, None]
            total += factor * transform(index[::-1], np.ones(position.shape[1]), shape)
        return total


class ImageFormation:
    """The microscope: from projection transforms on a padded box to images as large as the box."""

    def __init__(self, optics: Optics, *, size: int) -> None:
        grid = Grid(optics, size)
        self._optics, self._size, self._s = optics, size, grid.s
        self._azimuth = np.arctan2(grid.ky, grid.kx)
        self._fixed = fixed_phase(grid.s, optics) + even_phase(grid.kx, grid.ky, optics)
        odd = odd_phase(grid.kx, grid.ky, optics)
        self._odd = np.exp(1j * odd).astype(np.complex64) if odd.any() else None

    def phase(self, defocus_u, defocus_v, defocus_angle, phase_shift=0.0) -> np.ndarray:
        """χ [rad], (m, m // 2 + 1), from defocus [Å] and angles [rad]."""
        defocus = defocus_along(
            self._azimuth,
            defocus_u=defocus_u,
            defocus_v=defocus_v,
            defocus_angle=defocus_angle,
        )
        return defocus_phase(self._s, defocus, self._optics) + self._fixed + phase_shift

    def image(self, projection, chi) -> np.ndarray:
        """The image, float32 (n, n), of a projection transform at aberration phase `chi`."""
        return self._crop(projection * ctf(chi).astype(np.float32))

    def derivative(self, projection, chi) -> np.ndarray:
        """Derivative [Å⁻¹] of `image` with respect to the mean defocus."""
        change = defocus_phase(self._s, 1.0, self._optics) * np.cos(chi)
        return self._crop(projection * change.astype(np.float32))

    def whole(self, spectrum) -> np.ndarray:
        """The padded image, float32 (m, m), of a transform that has met its CTF; it is lost."""
        if self._odd is not None:
            spectrum = spectrum * self._odd
        return scipy.fft.irfft2(spectrum, s=(self._size, self._size), overwrite_x=True)

    def _crop(self, spectrum) -> np.ndarray:
        padded = self.whole(spectrum)
        n = self._optics.image_size
        kept = slice(self._size // 2 - n // 2, self._size // 2 - n // 2 + n)
        return padded[kept, kept]
