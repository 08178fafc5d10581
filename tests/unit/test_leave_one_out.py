"""A particle's own part in its map: what it does to the sums, and how much of it there is."""

import numpy as np
import pytest

from parfocal.evidence import gather
from parfocal.grid import spectra_grid
from parfocal.leave_one_out import LEAST, SelfShare, fit_self_share, self_terms, without_self
from parfocal.reference import half_map_reference

from .conftest import SMALL, make_optics, sums_of
from .test_spectra import PARTICLES, binned, lay, noise_image, plain_sums, plain_terms

GRID = spectra_grid(make_optics(), padded=48, change_max=1000.0)


def test_the_self_term_is_the_image_met_as_its_own_reference():
    """With P = CTF₀ X the sums A are T, but for how far χ₀ turns within a bin."""
    grid = lay()
    for row in range(len(PARTICLES)):
        image = noise_image(seed=row)
        x, _, chi, _ = plain_terms(image, PARTICLES, row, grid)
        met = np.abs(x) ** 2 * np.sin(chi) * np.exp(1j * chi)
        expected = binned(np.stack([met.real, met.imag], axis=-1), grid)
        terms = self_terms(plain_sums(image, PARTICLES, row, grid))
        np.testing.assert_allclose(terms.real, expected[..., 0], rtol=1e-9, atol=1e-6)
        np.testing.assert_allclose(terms.imag, expected[..., 1], rtol=1e-9, atol=1e-6)


def drawn(rng, *, m=400, share=0.02, shared=0.0, noise=1.0):
    """(own, opposite, half-set) spectra with a self-term of `share` k / k_max, and what is in its way:
    noise of each particle, and a difference of the maps that all particles of a half share."""
    bins = GRID.bins
    opposite = rng.normal(size=(m, bins, 8))
    power = rng.uniform(50, 100, (m, bins))
    chi = rng.uniform(0, 30, (m, 1)) * np.linspace(0.2, 1, bins)
    opposite[..., 7] = power
    opposite[..., 4], opposite[..., 5] = power * np.cos(2 * chi), power * np.sin(2 * chi)
    half_set = 1 + np.arange(m) % 2
    terms = self_terms(opposite)
    true = share * GRID.k / GRID.k[-1]
    side = np.where(half_set == 1, 1, -1)[:, None]
    away = noise * rng.normal(size=(m, bins)) + shared * side * rng.normal(size=bins)
    difference = terms * true + np.exp(1j * chi) * away
    own = opposite.copy()
    own[..., 0] += difference.real
    own[..., 1] += difference.imag
    return own, opposite, half_set, true


def measured(own, opposite, half_set):
    """The share, of every bin, each with an error."""
    found = fit_self_share(own, opposite, half_set, GRID)
    assert isinstance(found, SelfShare), "enough particles, and no share of them"
    errors = np.stack([found.error, found.measured_error])
    assert errors.shape == (2, GRID.bins)
    assert (errors > 0).all()
    return found


@pytest.mark.parametrize("shared", [0.0, 20.0])
def test_the_share_is_measured_without_bias(shared):
    own, opposite, half_set, true = drawn(np.random.default_rng(0), shared=shared)
    found = measured(own, opposite, half_set)
    pull = (found.share - true) / found.error
    assert np.sqrt(np.mean(pull**2)) < 2.5  # the bins' errors are one and the same polynomial's
    alone = (found.measured - true) / found.measured_error
    if not shared:
        assert np.mean(alone**2) == pytest.approx(1, abs=5 * np.sqrt(2 / GRID.bins))
    # the spoiled twin: one half alone believes what its particles share
    if shared:
        half = half_set == 1
        one = np.concatenate([own[half], own[half]]), np.concatenate([opposite[half]] * 2)
        wrong = measured(*one, 1 + np.arange(len(one[0])) % 2)
        assert np.std(wrong.measured - true) > 1.5 * np.std(found.measured - true)


def test_taking_it_back_leaves_what_the_opposite_half_gives():
    own, opposite, half_set, _ = drawn(np.random.default_rng(1), noise=0.0)
    found = measured(own, opposite, half_set)
    before = own.copy()
    np.testing.assert_allclose(without_self(own, found), opposite, atol=1e-6)
    np.testing.assert_array_equal(own, before)


def test_too_few_particles_of_a_half_take_nothing_back():
    own, opposite, half_set, _ = drawn(np.random.default_rng(2), m=60)
    few = np.flatnonzero((half_set == 1) | (np.cumsum(half_set == 2) < LEAST))
    assert fit_self_share(own[few], opposite[few], half_set[few], GRID) is None


@pytest.fixture(scope="module")
def met(small):
    """Evidence of the small set with its half-maps, by which of them the particles meet."""
    halves, mask = small.simulation.half_maps, small.simulation.mask

    def with_map(meets):
        reference = half_map_reference(
            *halves, pixel_size=SMALL.pixel_size, mask=mask, fsc=np.ones(33), meets=meets
        )
        return gather(small.particles, small.simulation.images, reference)

    return {meets: with_map(meets) for meets in ("own", "opposite", "full")}


def test_each_way_meets_its_map(met, small):
    own, opposite, full = (sums_of(met[way])[..., :2] for way in ("own", "opposite", "full"))
    np.testing.assert_allclose((own + opposite) / 2, full, rtol=1e-3, atol=0.05)
    assert not np.allclose(own, opposite, rtol=1e-3, atol=0.05)
    assert met["opposite"].shares == {}


def test_maps_that_never_held_the_particles_have_no_share(met):
    """Half-maps of independent noise: there is nothing to be taken back, within its error."""
    for way in ("own", "full"):
        share = met[way].shares[0]
        pull = share.share / share.error
        assert np.abs(pull).max() < 4.5
        assert share.error.max() < 0.02


def test_methods_see_corrected_spectra_unless_they_ask_for_others(met):
    evidence = met["own"]
    raw, corrected = (sums_of(evidence, corrected=c) for c in (False, True))
    np.testing.assert_array_equal(raw[..., 2:], corrected[..., 2:])
    assert not np.allclose(raw[..., :2], corrected[..., :2])
