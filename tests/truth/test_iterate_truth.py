"""Rounds of estimate and reconstruct: defoci come nearer to the truth, and halves share no noise."""

from dataclasses import dataclass
from itertools import islice

import numpy as np
import pytest
import scipy.fft

from parfocal.estimators import ESTIMATORS
from parfocal.estimators.draft import Draft
from parfocal.fsc import shell_correlation
from parfocal.iterate import changed, iterate
from parfocal.own_reference import own_reference, whole_box
from parfocal.simulate import Scene, simulate
from parfocal.simulate.noise import Noise

from ..unit.conftest import NoiseOnly, make_optics, make_particles
from .oracle import rms

pytestmark = pytest.mark.slow

SETS, PARTICLES, BOX = 4, 400, 48


@dataclass
class Greedy:
    """The worst that can be: whatever noise looks most like the map, no weight, no caution.

    Half of the change is the mean over the micrograph, which both half-sets share. It claims to gain,
    so that the rounds go on.
    """

    name: str = "greedy"
    rounds: int = 0

    def estimate(self, particles, evidence):
        draft = Draft(ESTIMATORS["profile"], particles, evidence)
        change = np.linspace(-800, 800, 161)
        for rows, spectra, model in evidence.batches():
            sums, turn = spectra.sums.sum(axis=1), model.grid.change_phase(change)
            cross = sums[..., 0] @ np.sin(turn) + sums[..., 1] @ np.cos(turn)
            draft.change[rows] = change[np.argmax(cross, axis=1)]
        _, index = np.unique(particles.micrograph, return_inverse=True)
        shared = np.bincount(index, draft.change) / np.bincount(index)
        self.rounds += 1
        draft.change = (draft.change + shared[index]) / 2
        draft.error[:], draft.status[:], draft.gain[:] = 100.0, 0, self.rounds
        return draft.finish()


def mean_fsc(half_maps):
    """(mean FSC, its standard error) over all voxels: the error from the scatter over shells."""
    fsc = shell_correlation(*(scipy.fft.rfftn(half) for half in half_maps))[2:]
    voxels = np.arange(2, len(fsc) + 2) ** 2
    mean = np.average(fsc, weights=voxels)
    return mean, np.sqrt(np.mean(voxels * (fsc - mean) ** 2) / voxels.sum())


def fsc_of_noise(meets):
    """(mean FSC, its standard error) of half-maps of nothing, after two rounds, over SETS sets."""
    found = []
    for seed in range(SETS):
        particles = make_particles(
            make_optics(image_size=BOX, pixel_size=2.0),
            PARTICLES,
            seed=seed,
            micrograph=np.array([f"m{i % 8}" for i in range(PARTICLES)]),
        )
        images = NoiseOnly(Noise(kind="white", size=BOX, pixel_size=2.0), seed)

        def remake(now, mask, images=images):
            return own_reference(now, images, mask=whole_box(now), meets=meets)

        every = iterate(particles, images, Greedy(), remake=remake)
        rounds = [each for each, _ in islice(every, 2)]
        assert len(rounds) == 2
        assert rounds[-1].moved > 200
        last = changed(particles, rounds[-1].estimates.defocus_change)
        found.append(mean_fsc(remake(last, None).half_maps))
    mean, error = np.transpose(found)
    together = mean.mean(), np.sqrt(np.sum(error**2)) / SETS
    print(f"{meets}: FSC of noise {together[0]:+.4f} ± {together[1]:.4f}")
    return together


def test_the_half_maps_of_noise_have_nothing_in_common_after_rounds():
    mean, error = fsc_of_noise("own")
    assert error < 0.004
    assert abs(mean) < 4 * error


@pytest.mark.parametrize("meets", ["full", "opposite"])
def test_with_the_other_half_in_the_map_noise_agrees(meets):
    """The spoiled twin."""
    mean, error = fsc_of_noise(meets)
    assert mean > 4 * error


@pytest.fixture(scope="module")
def rounds():
    """(simulation, rounds of bayes with their maps): a made-up protein, 300 particles in each half."""
    scene = Scene(
        particles=600,
        micrographs=6,
        box=64,
        pixel_size=2.0,
        residues=400,
        snr=0.3,
        defocus=(8e3, 14e3),
        height_scatter=150.0,
        defocus_error=200.0,
    )
    simulation = simulate(scene, np.random.default_rng(6201))

    def remake(now, mask):
        return own_reference(now, simulation.images, mask=simulation.mask)

    method = ESTIMATORS["bayes"]
    found = iterate(simulation.particles, simulation.images, method, remake=remake)
    return simulation, list(islice(found, 4))


def wrong(simulation, estimates):
    """Å, estimate minus truth."""
    return estimates.defocus - simulation.truth.defocus


def test_each_round_that_pays_comes_nearer_to_the_truth(rounds):
    simulation, found = rounds
    errors = [rms(simulation.particles.defocus - simulation.truth.defocus)]
    errors += [rms(wrong(simulation, each.estimates)) for each, _ in found]
    print("rms error by round:", np.round(errors, 1))
    paying = [each.number for each, _ in found if each.pays]
    assert len(paying) >= 2
    assert len(paying) == len(found) - 1, "it ends because it gains no more"
    for number in paying:
        first, second = found[number - 2][0].estimates, found[number - 1][0].estimates
        before = first.defocus if number > 1 else simulation.particles.defocus
        square = (before - simulation.truth.defocus) ** 2 - wrong(simulation, second) ** 2
        assert square.mean() > 2 * square.std() / np.sqrt(len(square))


def test_maps_gain_and_error_bars_stay_true(rounds):
    simulation, found = rounds
    (first, maps), (last, sharper) = found[0], found[-1]
    high = slice(len(maps.curves.k) // 2, None)
    risen = (sharper.curves.corrected - maps.curves.corrected)[high]
    print(f"FSC beyond half of Nyquist rises by {risen.mean():.3f}")
    assert risen.mean() > 4 * risen.std() / np.sqrt(len(risen))
    for each in (first, last):
        n = len(simulation.particles)
        pull = np.std(wrong(simulation, each.estimates) / each.estimates.defocus_error)
        assert abs(pull - 1) < 4 / np.sqrt(2 * n)


def test_an_estimate_against_the_same_maps_again_would_lose_its_error_bars(rounds):
    """The spoiled twin: rounds that count from the round before, not from the input."""
    simulation, found = rounds
    kept = [each for each, _ in found if each.pays][-1]
    again = changed(simulation.particles, kept.estimates.defocus_change)
    _, maps = found[-1]

    def remake(now, mask):
        return maps

    method = ESTIMATORS["bayes"]
    each, _ = next(iterate(again, simulation.images, method, remake=remake))
    pull = np.std(wrong(simulation, each.estimates) / each.estimates.defocus_error)
    print(f"sd of pulls, counted from the round before: {pull:.2f}")
    assert pull > 1 + 4 / np.sqrt(2 * len(again))
