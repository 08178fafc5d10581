"""What the tests of the numerical core share: optics, random particles, pixels, one small data set."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from parfocal.evidence import Evidence, gather
from parfocal.grid import SpectraGrid
from parfocal.optics import Optics
from parfocal.particles import Images, Particles
from parfocal.reference import Reference, map_reference
from parfocal.simulate import Scene, Simulation, simulate
from parfocal.simulate.noise import Noise

SMALL = Scene(
    particles=300,
    micrographs=3,
    box=64,
    pixel_size=2.0,
    residues=250,
    snr=0.3,
    defocus=(8_000.0, 14_000.0),
)


def make_optics(**changes) -> Optics:
    """Optics of a 300 kV microscope and a small box."""
    settings = {
        "name": "small",
        "voltage": 300.0,
        "spherical_aberration": 2.7,
        "amplitude_contrast": 0.1,
        "pixel_size": 1.5,
        "image_size": 48,
    }
    return Optics(**(settings | changes))


def make_particles(optics: Optics, n: int, seed: int = 0, **columns) -> Particles:
    """Particles of random pose, shift and astigmatic defocus; `columns` replace what is drawn."""
    rng = np.random.default_rng(seed)
    defocus, astigmatism = rng.uniform(8e3, 15e3, n), rng.uniform(-800, 800, n)
    drawn = {
        "optics_group": np.zeros(n, dtype=int),
        "particle_id": np.array([f"{i + 1:06d}@stack" for i in range(n)]),
        "stack": np.full(n, "stack"),
        "image_index": np.arange(n),
        "micrograph": np.full(n, "micrograph"),
        "coordinate_x": rng.uniform(0, 4000, n),
        "coordinate_y": rng.uniform(0, 4000, n),
        "defocus_u": defocus + astigmatism,
        "defocus_v": defocus - astigmatism,
        "defocus_angle": rng.uniform(0, np.pi, n),
        "phase_shift": np.zeros(n),
        "rot": rng.uniform(-np.pi, np.pi, n),
        "tilt": rng.uniform(0, np.pi, n),
        "psi": rng.uniform(-np.pi, np.pi, n),
        "origin_x": rng.normal(0, 3, n),
        "origin_y": rng.normal(0, 3, n),
        "half_set": 1 + np.arange(n) % 2,
    }
    return Particles(optics=(optics,), **(drawn | columns))


class Pixels(NamedTuple):
    """The Fourier pixels of a grid, one by one, in the order of its `slot`."""

    kx: np.ndarray  # steps of the padded transform
    ky: np.ndarray
    fold: np.ndarray  # 3 where the pixel is in no bin
    bin: np.ndarray

    @classmethod
    def of(cls, grid: SpectraGrid) -> "Pixels":
        length = np.diff(grid.first)
        kx = np.concatenate([x + np.arange(n) for x, n in zip(grid.start, length, strict=True)])
        fold, index = np.divmod(grid.slot.astype(int), grid.bins)
        return cls(kx, np.repeat(grid.ky, length), fold, index)

    def counted(self) -> "Pixels":
        """Those that are in a bin."""
        return Pixels(*(column[self.fold < 3] for column in self))


class NoiseOnly(NamedTuple):
    """Images without any particle: unit noise, white or coloured."""

    noise: Noise
    seed: int = 0

    def read_into(self, row: int, out: np.ndarray) -> None:
        out[...] = self.noise.draw(np.random.default_rng((self.seed, row)))


class Scaled(NamedTuple):
    """Other images, each times its own factor."""

    images: Images
    factor: np.ndarray  # (n,)

    def read_into(self, row: int, out: np.ndarray) -> None:
        self.images.read_into(row, out)
        out *= np.float32(self.factor[row])


class Case(NamedTuple):
    """A simulated set, its reference and the evidence of its images."""

    simulation: Simulation
    reference: Reference
    evidence: Evidence

    @property
    def particles(self) -> Particles:
        return self.simulation.particles

    @property
    def true_change(self) -> np.ndarray:
        """(n,) Å, true defocus minus the one on file."""
        return self.simulation.truth.defocus - self.particles.defocus

    @property
    def sums(self) -> np.ndarray:
        """(n, 3, bins, 8), row-aligned with the particles."""
        return sums_of(self.evidence)


def sums_of(evidence: Evidence, *, corrected: bool = False) -> np.ndarray:
    """(n, 3, bins, 8) spectra of an evidence with one optics group, in the particles' order."""
    batches = [(rows, spectra.sums) for rows, spectra, _ in evidence.batches(corrected=corrected)]
    order = np.argsort(np.concatenate([rows for rows, _ in batches]))
    return np.concatenate([sums for _, sums in batches])[order]


def make_case(seed=0, **changes) -> Case:
    """The small scene with `changes`, its exact map as the reference."""
    simulation = simulate(replace(SMALL, **changes), np.random.default_rng(seed))
    reference = map_reference(simulation.map, pixel_size=simulation.scene.pixel_size)
    return Case(simulation, reference, gather(simulation.particles, simulation.images, reference))


@pytest.fixture(scope="session")
def small() -> Case:
    """300 particles in box 64 at 2 Å/px and SNR 0.3, three micrographs."""
    return make_case()
