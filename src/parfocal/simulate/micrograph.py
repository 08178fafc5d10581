"""Whole micrographs: particles where the file has them, neighbours, background of ice, and noise."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.fft

from parfocal.conventions import DEGREE
from parfocal.optics import ctf, delocalisation
from parfocal.particles import Particles
from parfocal.simulate.noise import noise_field
from parfocal.simulate.project import Grid, ImageFormation
from parfocal.simulate.scene import Scene
from parfocal.simulate.specimen import Specimen

AT_ONCE = 16  # images of particles in memory while a micrograph is drawn
SLICE = 0.5  # rad, turn of the phase at FINEST from one slice of the ice to the next
FINEST = 1 / 3.5  # Å⁻¹


class Camera(Protocol):
    """Makes the image of a particle with all that the defocus spreads of it."""

    def whole(self, row: int) -> np.ndarray:
        """Image of particle `row` alone, float32 (m, m), the box centre at m // 2."""
        ...


@dataclass(frozen=True, kw_only=True)
class Micrographs:
    """Micrographs of a specimen, each drawn when it is asked for, and always the same.

    The unit is that of the noise, whose variance is 1, as in the particle images.
    """

    scene: Scene
    camera: Camera
    scale: float  # from the camera's unit to that of the noise
    particles: Particles
    specimen: Specimen
    seed: int

    def draw(self, number: int, *, workers: int = 2) -> np.ndarray:
        """Micrograph `number` (from 0), float32 (rows, columns)."""
        noise_rng, ice_rng = np.random.default_rng((self.seed, number)).spawn(2)
        width, height = self.scene.micrograph_size
        out = noise_field(self.scene.noise, (height, width), self.scene.pixel_size, noise_rng)
        rows = np.flatnonzero(self.specimen.micrograph == number)
        if self.scene.amorphous and len(rows):
            out += self._background(rows[0], ice_rng)
        with ThreadPoolExecutor(workers) as pool:
            for first in range(0, len(rows), AT_ONCE):
                some = rows[first : first + AT_ONCE]
                for row, image in zip(some, pool.map(self.camera.whole, some), strict=True):
                    _add(out, np.float32(self.scale) * image, self.centre(row))
        return out

    def centre(self, row: int) -> tuple[int, int]:
        """(y, x) [px] of the box centre of particle `row` in its micrograph."""
        pixel = self.scene.pixel_size
        x, y = self.particles.coordinate_x[row] / pixel, self.particles.coordinate_y[row] / pixel
        return round(y), round(x)

    def cut(self, micrograph, row: int) -> np.ndarray:
        """The box of particle `row` in its `micrograph`, float32 (box, box), a view."""
        y, x = (place - self.scene.box // 2 for place in self.centre(row))
        return micrograph[y : y + self.scene.box, x : x + self.scene.box]

    def _background(self, row: int, rng) -> np.ndarray:
        """Amorphous ice or carbon in the plane of the micrograph that `row` is of."""
        true = self.specimen
        rest = true.plane[row] + true.height[row]
        return background(
            self.scene,
            defocus=(true.defocus_u[row] - rest, true.defocus_v[row] - rest),
            defocus_angle=true.defocus_angle[row],
            slope=(true.slope_x[row], true.slope_y[row]),
            rng=rng,
        )


class MicrographImages:
    """Particle images cut from micrographs: `parfocal.particles.Images`.

    The last micrograph stays in memory; `kept` (n, box, box), if given, are all images. Rows of one
    micrograph are best read together: a micrograph is drawn again when it was another's turn.
    """

    def __init__(self, micrographs: Micrographs, alone, kept: np.ndarray | None = None) -> None:
        self.alone = alone  # images of the particles by themselves, each with its own noise
        self._micrographs, self._kept = micrographs, kept
        self._number, self._drawn = -1, np.zeros((0, 0), np.float32)
        self._lock = threading.Lock()

    def __reduce__(self):
        return MicrographImages, (self._micrographs, self.alone, self._kept)

    def clean(self, row: int) -> np.ndarray:
        """The particle of `row` without noise, neighbours and background, float32 (box, box)."""
        return self.alone.clean(row)

    def read_into(self, row: int, out: np.ndarray) -> None:
        """Fill `out` (float32, (box, box)) with image `row`."""
        if self._kept is not None:
            out[...] = self._kept[row]
            return
        micrographs = self._micrographs
        with self._lock:
            number = int(micrographs.specimen.micrograph[row])
            if number != self._number:
                self._drawn, self._number = micrographs.draw(number), number
            out[...] = micrographs.cut(self._drawn, row)


def all_images(micrographs: Micrographs, workers: int) -> np.ndarray:
    """Every particle's image, float32 (n, box, box), one micrograph in memory at a time."""
    box, number = micrographs.scene.box, micrographs.specimen.micrograph
    out = np.empty((len(number), box, box), dtype=np.float32)
    for here in np.unique(number):
        drawn = micrographs.draw(int(here), workers=workers)
        for row in np.flatnonzero(number == here):
            out[row] = micrographs.cut(drawn, int(row))
    return out


def background(scene: Scene, *, defocus, defocus_angle, slope, rng) -> np.ndarray:
    """White object noise in a tilted plane, as the microscope shows it: float32 (rows, columns).

    Its variance before the CTF is `scene.amorphous`, its transform falls with the scene's B factor.
    defocus: (U, V) [Å] at the micrograph's centre; slope: (x, y) of the plane. Each scatterer is seen
    at the defocus of its own place: slices of the plane, linearly blended, are imaged one by one.
    """
    optics, (width, height) = scene.optics(), scene.micrograph_size
    farthest = max(map(abs, defocus)) + np.abs(slope).sum() * max(width, height) * scene.pixel_size
    spread = delocalisation(np.linspace(0, optics.nyquist, 100), farthest, optics).max()
    size = 2 * scipy.fft.next_fast_len(
        int(max(width, height) / 2 + spread / scene.pixel_size) + 1, real=True
    )
    grid = Grid(optics, size)
    envelope = (np.exp(-scene.b_factor / 4 * grid.s) * grid.inside).astype(np.float32)
    envelope *= np.float32(np.sqrt(scene.amorphous))
    del grid
    formation = ImageFormation(optics, size=size)
    along = (np.arange(size) - size // 2) * np.float32(scene.pixel_size)
    plane = (slope[0] * along + slope[1] * along[:, None]).astype(np.float32)
    step = SLICE / (np.pi * optics.wavelength * min(optics.nyquist, FINEST) ** 2)
    levels = np.linspace(plane.min(), plane.max(), 1 + int(np.ceil(np.ptp(plane) / step)))
    step = max(1e-6, levels[-1] - levels[0]) / max(1, len(levels) - 1)
    scatterers = rng.standard_normal((size, size), dtype=np.float32)
    spectrum = np.zeros((size, size // 2 + 1), dtype=np.complex64)
    for level in levels:
        share = np.maximum(0, 1 - np.abs(plane - np.float32(level)) / np.float32(step))
        chi = formation.phase(
            defocus[0] + level, defocus[1] + level, defocus_angle, scene.phase_shift * DEGREE
        )
        spectrum += scipy.fft.rfft2(scatterers * share) * ctf(chi).astype(np.float32)
    spectrum *= envelope
    top, left = size // 2 - height // 2, size // 2 - width // 2
    return formation.whole(spectrum)[top : top + height, left : left + width]


def _add(out, image, centre) -> None:
    """Add `image`, centre at m // 2, to `out` around `centre` (y, x); what lies outside is lost."""
    there, here = [], []
    for place, length, size in zip(centre, out.shape, image.shape, strict=True):
        first = place - size // 2
        low, high = max(0, first), min(length, first + size)
        there.append(slice(low, high))
        here.append(slice(low - first, high - first))
    out[tuple(there)] += image[tuple(here)]
