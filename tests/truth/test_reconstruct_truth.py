"""Half-maps know nothing of one another: of particles that are noise alone their FSC is zero."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import scipy.fft

from parfocal.ewald import Ewald
from parfocal.fsc import shell_correlation, shell_index
from parfocal.half_sets import split_half_sets
from parfocal.particles import Particles
from parfocal.reconstruct import reconstruct

from ..unit.conftest import make_optics, make_particles

BOX, N, REPEATS = 32, 120, 24
SHELLS = np.arange(2, 15)  # to 0.9 of Nyquist
OPTICS = make_optics(image_size=BOX, pixel_size=2.0, beam_tilt=(1.0, -0.5))
LEAST = 0.01  # FSC that would be noticed


class NoiseAlone(NamedTuple):
    """White noise, the same for particles of one image."""

    seed: int
    image: np.ndarray  # (n,) number of each particle's image

    def read_into(self, row: int, out: np.ndarray) -> None:
        rng = np.random.default_rng((self.seed, int(self.image[row])))
        out[...] = rng.standard_normal(out.shape, dtype=np.float32)


def halves_of(particles: Particles, seed: int, **options) -> np.ndarray:
    """FSC of the half-maps in SHELLS."""
    found = reconstruct(particles, NoiseAlone(seed, particles.image_index), **options)
    return shell_correlation(*(scipy.fft.rfftn(found.half_map(half)) for half in (1, 2)))[SHELLS]


def split(seed: int) -> Particles:
    """Noise that was split as particles without half-sets are."""
    particles = make_particles(OPTICS, N, seed=seed, half_set=np.zeros(N, dtype=int))
    return split_half_sets(particles, rng=np.random.default_rng(seed))


def in_both(seed: int) -> Particles:
    """The same, with every tenth particle in the other half too."""
    particles = split(seed)
    rows = np.concatenate([np.arange(N), np.arange(0, N, 10)])
    half = particles.half_set[rows]
    half[N:] = 3 - half[N:]
    names = np.arange(len(rows)).astype(str)
    doubled = {k: v[rows] for k, v in particles.columns().items()}
    return replace(particles, **(doubled | {"half_set": half, "particle_id": names}))


def scatter(particles_of, **options) -> tuple[np.ndarray, np.ndarray]:
    """(mean, standard error) over REPEATS data sets, of the FSC in SHELLS and, last, over all shells.

    The error is what the repeats themselves scatter by. The mean over shells is weighted by voxels.
    """
    curves = np.array([halves_of(particles_of(seed), seed, **options) for seed in range(REPEATS)])
    voxels = np.bincount(shell_index(BOX).ravel())[SHELLS]
    curves = np.column_stack([curves, np.average(curves, axis=1, weights=voxels)])
    return curves.mean(axis=0), curves.std(axis=0, ddof=1) / np.sqrt(REPEATS)


@pytest.mark.parametrize(
    "options",
    [{}, {"symmetry": "D2"}, {"ewald": Ewald(diameter=500.0)}],
    ids=["C1", "D2", "Ewald"],
)
def test_fsc_of_noise_is_zero_within_its_standard_error(options):
    mean, error = scatter(split, **options)
    assert error[-1] < LEAST  # or it would say nothing
    assert abs(mean[-1]) < 3.5 * error[-1]
    assert (np.abs(mean[:-1]) < 4.5 * error[:-1]).all()


def test_particles_in_both_halves_are_seen():
    mean, error = scatter(in_both)
    assert mean[-1] > 10 * error[-1]
    assert mean[-1] > 5 * LEAST
