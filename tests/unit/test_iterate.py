"""Rounds: spectra turned back to the input's defocus, and when a round pays."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from parfocal.estimators import ESTIMATORS
from parfocal.evidence import gather
from parfocal.fsc_curves import FscCurves
from parfocal.iterate import (
    ENOUGH,
    SETTLED,
    Round,
    changed,
    iterate,
    rebased,
    reported_gain,
    standings,
)
from parfocal.own_reference import own_reference

from .conftest import sums_of


@pytest.fixture(scope="module")
def moved(small):
    """(shift (n,) Å, spectra of the small set gathered from particles that far away)."""
    shift = np.random.default_rng(0).normal(0, 150, len(small.particles))
    away = changed(small.particles, -shift)
    padding = small.evidence.models[0].grid.padded_size / 64
    found = gather(away, small.simulation.images, small.reference, padding=padding)
    return shift, sums_of(found)


def test_spectra_turned_back_are_those_of_the_input(small, moved):
    shift, sums = moved
    grid, expected = small.evidence.models[0].grid, small.sums
    back = rebased(sums, grid, shift)
    high = slice(grid.bins // 2, None)  # where defocus turns the phase
    for first in (0, 2, 4):
        true, turned, as_gathered = (
            (found[..., high, first] + 1j * found[..., high, first + 1])
            for found in (expected, back, sums)
        )
        size = np.abs(true).mean(axis=(0, 1))
        wrong, spoiled = (np.abs(found - true).mean(axis=(0, 1)) for found in (turned, as_gathered))
        assert (wrong < 0.05 * size).all()  # of what the phase turns inside of a bin
        assert (spoiled > 4 * wrong).all()
    np.testing.assert_array_equal(back[..., 6:], sums[..., 6:])


def test_nothing_turns_without_a_shift(small):
    sums = small.sums
    grid = small.evidence.models[0].grid
    np.testing.assert_array_equal(rebased(sums, grid, np.zeros(len(sums))), sums)


def test_changed_keeps_the_astigmatism(small):
    change = np.linspace(-100, 100, len(small.particles))
    new = changed(small.particles, change)
    np.testing.assert_allclose(new.defocus - small.particles.defocus, change)
    astigmatism = small.particles.defocus_u - small.particles.defocus_v
    np.testing.assert_allclose(new.defocus_u - new.defocus_v, astigmatism)


@pytest.fixture(scope="module")
def rounds(small):
    """Two rounds or more on the small set, and the particles that each reference was made of."""
    asked = []

    def remake(particles, mask):
        asked.append((particles, mask))
        return own_reference(particles, small.simulation.images, mask=small.simulation.mask)

    asked_of = small.particles, small.simulation.images, ESTIMATORS["bayes"]
    found = list(islice(iterate(*asked_of, remake=remake), 2))
    return [each for each, _ in found], [met for _, met in found], asked


def test_a_round_meets_maps_made_with_the_defoci_before_it(rounds, small):
    found, met, asked = rounds
    assert [each.number for each in found] == [1, 2]
    assert asked[0] == (small.particles, None)
    particles, mask = asked[1]
    np.testing.assert_allclose(particles.defocus, found[0].estimates.defocus)
    assert mask is met[0].mask


def test_every_round_answers_for_the_input(rounds, small):
    """Estimates count from the input, whatever the maps were made with."""
    found = rounds[0]
    for each in found:
        np.testing.assert_array_equal(each.estimates.defocus_prior, small.particles.defocus)
    change = [each.estimates.defocus_change for each in found]
    moved = np.sqrt(np.mean((change[1] - change[0])[found[1].estimates.ok()] ** 2))
    assert found[1].moved == pytest.approx(moved, rel=1e-6)
    assert found[1].moved < 0.5 * found[0].moved
    gains = [reported_gain(each.estimates) for each in found]
    assert found[0].step == found[0].gain
    assert found[1].step[0] == pytest.approx(np.mean(gains[1] - gains[0]))
    assert found[1].step[1] < found[1].gain[1]  # particle by particle


def a_round(rounds, **values) -> Round:
    return replace(rounds[0][0], **values)


@pytest.mark.parametrize(
    ("step", "moved", "pays"),
    [
        ((1.0, 0.5 / ENOUGH), 50.0, True),
        ((1.0, 2.0 / ENOUGH), 50.0, False),
        ((-1.0, 0.1), 50.0, False),
        ((1.0, 0.1), 0.5 * SETTLED * 40.0, False),
        ((np.nan, np.nan), 50.0, False),
    ],
)
def test_a_round_pays_by_its_gain_and_if_defoci_still_move(rounds, step, moved, pays):
    assert a_round(rounds, step=step, moved=moved, error=40.0).pays is pays


def curve(last) -> FscCurves:
    k = np.arange(9) / 16
    values = np.where(np.arange(9) <= last, 1.0, 0.0)
    columns = dict.fromkeys(("unmasked", "masked", "randomised", "corrected"), values)
    return FscCurves(k=k, randomised_from=9, pixel_size=1.0, **columns)


def test_the_last_round_that_paid_is_kept(rounds):
    paid = a_round(rounds, step=(1.0, 0.1), moved=50.0, error=40.0)
    not_paid = replace(paid, number=2, step=(0.0, 0.1))
    lines = standings([paid, not_paid], [curve(4), curve(5)])
    assert [line.kept for line in lines] == [False, True, False]
    assert [line.name for line in lines] == ["input", "round 1", "round 2"]
    assert lines[1].resolution < lines[0].resolution
    assert np.isnan(lines[2].resolution)
    lines = standings([not_paid], [curve(4)])
    assert [line.kept for line in lines] == [True, False]


def test_what_is_not_used_gains_nothing(rounds):
    estimates = rounds[0][0].estimates
    status = np.where(np.arange(len(estimates)) % 2, estimates.status, 2)
    gain = reported_gain(replace(estimates, status=status))
    assert (gain[::2] == 0).all()
    np.testing.assert_array_equal(gain[1::2], reported_gain(estimates)[1::2])
