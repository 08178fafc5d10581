"""Validation: blocks, controls, the jackknife against maps made anew, worth, and what is said."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.fft
from hypothesis import given
from hypothesis import strategies as st

from parfocal.b_factor import rosenthal_henderson
from parfocal.block_jackknife import ITERATIONS, PADDING, replicates
from parfocal.chance import Chance, chance_share, without_chance
from parfocal.fsc import shell_correlation
from parfocal.fsc_curves import FscCurves
from parfocal.micrograph_blocks import FEWEST, blocks_of
from parfocal.negative_controls import negative_controls
from parfocal.reconstruct import reconstruct
from parfocal.simulate import Scene, simulate
from parfocal.validation import (
    SetQuality,
    Value,
    band_weights,
    jackknife_error,
    qualities,
    worth_of,
)
from parfocal.validation_verdict import Circumstances, best_set, doubts, ranked, verdict

SCENE = Scene(
    particles=80, micrographs=8, box=32, pixel_size=3.0, residues=150, snr=1.0, defocus_error=80.0
)


@pytest.fixture(scope="module")
def simulation():
    return simulate(SCENE, np.random.default_rng(5))


def corrected(simulation, noise=0.0, seed=0):
    """The particles with their true defocus, and an error [Å]."""
    base = simulation.particles
    wrong = np.random.default_rng(seed).normal(0, 1, len(base)) * noise
    change = simulation.truth.defocus + wrong - base.defocus
    return replace(base, defocus_u=base.defocus_u + change, defocus_v=base.defocus_v + change)


@given(st.lists(st.integers(1, 40), min_size=FEWEST, max_size=60), st.integers(4, 25))
def test_blocks_are_whole_micrographs_of_like_numbers(sizes, wanted):
    names = np.repeat([f"m{i}" for i in range(len(sizes))], sizes).astype(object)
    particles = _Named(names)
    found = blocks_of(particles, np.ones(len(names), dtype=bool), wanted)
    assert found.whole_micrographs
    for name in set(names):
        assert len(set(found.index[names == name])) == 1
    held = np.bincount(found.index, minlength=found.count)
    assert found.count == min(wanted, len(sizes))
    assert held.min() > 0
    assert held.max() - held.min() <= max(sizes)


class _Named:
    """As much of a particle set as blocks ask for."""

    def __init__(self, micrograph):
        self.micrograph = micrograph
        self.half_set = 1 + np.arange(len(micrograph)) % 2

    def __len__(self):
        return len(self.micrograph)


def test_of_few_micrographs_particles_are_dealt_out():
    particles = _Named(np.repeat(["a", "b", "c"], 40).astype(object))
    found = blocks_of(particles, np.ones(120, dtype=bool), 20)
    assert not found.whole_micrographs
    assert (np.bincount(found.index, minlength=20) == 6).all()
    for block in range(20):
        assert set(particles.half_set[found.index == block]) == {1, 2}


def test_controls_are_made_of_the_set(simulation):
    base, right = simulation.particles, corrected(simulation)
    made = negative_controls("a", base, right, rng=np.random.default_rng(1))
    change = right.defocus - base.defocus
    assert list(made) == ["a-shuffled", "a-twice", "a-reversed"]
    np.testing.assert_allclose(made["a-twice"].defocus - base.defocus, 2 * change, atol=1e-6)
    np.testing.assert_allclose(made["a-reversed"].defocus - base.defocus, -change, atol=1e-6)
    shuffled = made["a-shuffled"].defocus - base.defocus
    assert np.abs(shuffled - change).max() > 1
    for name in set(base.micrograph):
        here = base.micrograph == name
        np.testing.assert_allclose(np.sort(shuffled[here]), np.sort(change[here]), atol=1e-6)


def test_a_block_left_out_is_a_map_made_without_it(simulation):
    """Sums of all less those of a block: the same maps as of the others alone, to float precision."""
    base = simulation.particles
    sets = {"input": base, "right": corrected(simulation)}
    mask = simulation.mask
    blocks = blocks_of(base, np.ones(len(base), dtype=bool), 8)
    found = replicates(sets, simulation.images, blocks, mask)
    rows = np.flatnonzero(blocks.index != 3)
    for name, one in sets.items():
        alone = reconstruct(one.take(rows), _Some(simulation.images, rows), padding=PADDING)
        halves = (alone.half_map(half, iterations=ITERATIONS) * mask for half in (1, 2))
        curve = shell_correlation(*map(scipy.fft.rfftn, halves))
        np.testing.assert_allclose(found[name].without[3], curve, atol=2e-4)
        assert np.abs(found[name].without[3] - found[name].whole).max() > 5e-3
    assert found["right"].particles.tolist()[-1] == len(base)
    np.testing.assert_array_equal(found["right"].subsets[-1], found["right"].whole)


class _Some:
    def __init__(self, images, rows):
        self.images, self.rows = images, rows

    def read_into(self, row, out):
        self.images.read_into(int(self.rows[row]), out)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(2).normal(0, 3, 12)
    without = (values.sum() - values) / 11
    expected = values.std(ddof=1) / np.sqrt(12)
    assert jackknife_error(without) == pytest.approx(expected)
    assert np.isnan(jackknife_error(without[:1]))


SHELLS = np.arange(41)
FSC = 1 / (1 + np.exp((SHELLS - 25) / 3))


def with_signal(times):
    """The FSC with so many times the signal."""
    h = times * FSC / (1 - FSC)
    return h / (1 + h)


@pytest.mark.parametrize("times", [0.5, 1.0, 1.4])
def test_worth_is_the_ratio_of_particles(times):
    weights = band_weights(FSC)
    assert worth_of(with_signal(times), FSC, weights) == pytest.approx(times - 1, abs=1e-9)
    inside = np.flatnonzero(weights)
    assert FSC[inside[0]] <= 0.9
    assert 0.01 < FSC[inside[-1]] <= 0.05


def test_worth_of_a_curve_that_never_falls_is_that_of_its_last_shells():
    weights = band_weights(0.5 + FSC / 2)
    assert weights[-1] > 0
    assert np.isnan(worth_of(FSC, np.zeros(41), np.zeros(41)))


def test_b_factor_of_maps_that_follow_the_law():
    number = np.array([500, 1000, 2000, 4000])
    d = 1 / np.sqrt(2 * np.log(number / 20) / 120.0)
    assert rosenthal_henderson(number, d)[0] == pytest.approx(120)
    assert rosenthal_henderson(number, d)[1] == pytest.approx(0, abs=1e-6)
    assert np.isnan(rosenthal_henderson(number[:3], d[:3])[0])
    assert np.isnan(rosenthal_henderson(number, d[::-1])[0])


def quality(name, worth, error=0.02, *, times=1.0, over_shuffled=None, by="none") -> SetQuality:
    curve = with_signal(times)
    curves = FscCurves(
        k=SHELLS / 100,
        unmasked=curve,
        masked=curve,
        randomised=np.zeros(41),
        corrected=curve,
        randomised_from=20,
        pixel_size=1.0,
    )
    nothing = np.zeros(41)
    return SetQuality(
        name=name,
        curves=curves,
        fsc=curve,
        error=nothing,
        frequency=Value(value=1 / curves.resolution(), error=0.001, freedom=19),
        worth=Value(value=worth, error=error, freedom=19),
        worth_without=np.zeros(20),
        seen=Value(value=worth, error=error, freedom=19),
        chance=Chance(by=by, of="b" if by == "another" else ""),
        finer=Value(value=0.0, error=0.001, freedom=19),
        difference=nothing,
        difference_error=nothing,
        over_shuffled=over_shuffled,
        particles=np.array([10]),
        subset_resolution=np.array([4.0]),
    )


def about(**changes) -> Circumstances:
    known = {
        "base": "input",
        "whole_micrographs": True,
        "was_split": False,
        "voltage": 300.0,
        "change": {"input": 0.0, "a": 80.0, "b": 80.0},
    }
    return Circumstances(**{**known, **changes})


INPUT = quality("input", 0.0, 0.0)


def test_what_surely_helps_is_named_with_what_is_near_it():
    found = ranked([INPUT, quality("a", 0.2), quality("b", 0.19), quality("a-shuffled", -0.1)])
    said = verdict(found, about())
    assert said[0].startswith("a makes the better map: worth +20 ± 2 %")
    assert "b (+19 ± 2 %)" in said[1]
    assert "a-shuffled -10 ± 2 %" in said[-1]
    assert best_set(found, about()) == "a"


@pytest.mark.parametrize("worth", [0.03, -0.01, 0.0])
def test_within_the_error_no_difference_is_shown(worth):
    found = ranked([INPUT, quality("a", worth)])
    assert verdict(found, about())[0].startswith("No difference is shown")
    assert best_set(found, about()) == "input"
    assert "the difference is within its error" in doubts(quality("a", worth), about())


def test_a_gain_that_may_be_chance_is_not_proven():
    found = ranked([INPUT, quality("a", 0.2, by="unknown")])
    assert verdict(found, about())[0].startswith("Not proven: the maps of a agree better")
    assert best_set(found, about()) == "input"
    assert any("not known" in d for d in doubts(found[0], about()))
    proven = ranked([*found, quality("b", 0.1, by="folds")])
    assert best_set(proven, about()) == "b"
    told = ranked([INPUT, quality("a", 0.2, by="another"), quality("a-held-out", 0.15)])
    assert best_set(told, about()) == "a"
    assert "with what chance lifts the FSC by" in verdict(told, about())[0]
    assert any("no folds" in d and "as b is" in d for d in doubts(told[0], about()))
    assert doubts(quality("a-held-out", 0.15), about()) == ()


def test_what_is_surely_worse_is_not_used():
    found = ranked([INPUT, quality("a", -0.2)])
    said = verdict(found, about())
    assert said[0].startswith("Keep the input")
    assert best_set(found, about()) == "input"


def test_the_best_of_many_sets_must_be_surer_than_one_alone():
    one = quality("a", 0.045)
    assert one.worth.sure()
    assert best_set([INPUT, one], about()) == "a"
    several = [quality(f"s{i}", 0.0) for i in range(8)]
    assert best_set([INPUT, one, *several], about()) == "input"


def test_reasons_not_to_believe_a_row():
    shuffled_too = Value(value=0.01, error=0.02, freedom=19)
    one = quality("a", 0.2, over_shuffled=shuffled_too)
    assert any("not of single heights" in d for d in doubts(one, about()))
    clear = quality("a", 0.2, over_shuffled=Value(value=0.3, error=0.02, freedom=19))
    assert doubts(clear, about()) == ()
    for words, circumstances in (
        ("met the other half", about(dependent=frozenset({"a"}))),
        ("astigmatism", about(astigmatism=frozenset({"a"}))),
        ("few micrographs", about(whole_micrographs=False)),
    ):
        assert any(words in d for d in doubts(clear, circumstances))
    assert any("upper bounds" in d for d in doubts(INPUT, about(was_split=True)))
    endless = quality("a", 0.2, times=1e6)
    assert any("Nyquist" in d for d in doubts(endless, about()))
    small = quality("a", 0.0)
    assert any("turn the CTF by" in d for d in doubts(small, about(change={"a": 5.0})))
    assert doubts(quality("a-reversed", 0.2), about())
    same = quality("a", 0.0, 0.0)
    assert any("it is the input" in d for d in doubts(same, about(change={"a": 0.0})))
    one_shift = quality("a", 0.2, over_shuffled=Value(value=0.0, error=0.0, freedom=19))
    assert any("one change for each micrograph" in d for d in doubts(one_shift, about()))


def test_what_is_finer_is_the_difference_of_the_resolutions():
    frequency = Value(value=1 / 3.55, error=0.01, freedom=19)
    finer = Value(value=1 / 3.55 - 1 / 3.90, error=0.004, freedom=19)
    one = replace(quality("a", 0.2), frequency=frequency, finer=finer)
    assert one.gain == pytest.approx(0.35)
    assert one.gain_error == pytest.approx(0.004 * 3.55 * 3.90)
    assert one.resolution_error == pytest.approx(0.01 * 3.55**2)


def test_qualities_are_paired(simulation):
    """The error of a difference is far below that of either, as both maps have the same noise."""
    base = simulation.particles
    sets = {"input": base, "near": corrected(simulation, 5.0), "right": corrected(simulation)}
    blocks = blocks_of(base, np.ones(len(base), dtype=bool), 8)
    found = replicates(sets, simulation.images, blocks, simulation.mask)
    curves = {
        name: replace(INPUT.curves, **_curve(one.whole, SCENE.pixel_size))
        for name, one in found.items()
    }
    judged = {one.name: one for one in qualities(curves, found, "input")}
    assert judged["input"].worth == Value(value=0.0, error=0.0, freedom=7)
    assert judged["right"].difference_error.max() < 0.5 * judged["right"].error.max()
    # the spoiled twin: blocks of one set against other blocks of the input have the error of both
    other = replace(found["right"], without=np.roll(found["right"].without, 1, axis=0))
    mixed = {one.name: one for one in qualities(curves, {**found, "right": other}, "input")}
    assert mixed["right"].difference_error.max() > 0.8 * judged["right"].error.max()


def _curve(fsc, pixel_size):
    n = len(fsc)
    values = dict.fromkeys(("unmasked", "masked", "corrected"), fsc)
    k = np.arange(n) / (2 * (n - 1) * pixel_size)
    return {**values, "randomised": np.zeros(n), "k": k, "randomised_from": n}


SPLIT = np.array([0.35, 0.35, 0.3])  # of what an image tells of its defocus: two folds, guards


@pytest.mark.parametrize(
    ("prior", "heights"), [(np.inf, 0.0), (np.inf, 60.0), (20.0, 20.0), (60.0, 60.0)]
)
def test_chance_is_what_the_algebra_says(prior, heights):
    """Gaussian scores, of which all gains are known: best fits, and posterior means of a true prior."""
    n, error = 400_000, 40.0
    rng = np.random.default_rng(17)
    truth = rng.normal(0, heights, n)[:, None]
    noise = rng.normal(0, 1, (n, 3)) * error / np.sqrt(SPLIT)  # of each part's own best fit
    sees = truth + noise
    folds = np.stack([_fitted(sees[:, [f]], SPLIT[[f]], error, prior) for f in (0, 1)], axis=1)
    whole = _fitted(sees, SPLIT, error, prior)
    claimed = (1 / (1 / error**2 + 1 / prior**2)) ** 0.5
    seen = _gain(whole[:, None], sees, SPLIT)
    blocks = np.array([0.5, 0.5])  # guards belong to the block that they lie in
    told = np.stack([folds[:, 1], folds[:, 0]], axis=1)
    held_out = _gain(told, truth, blocks)  # what one fold tells knows no noise of the other
    true = _gain(whole[:, None], truth, np.ones(1))
    share = chance_share(whole, np.full(n, claimed), folds)
    found = seen - share * (seen - held_out)
    scatter = 4 * (error**2 + heights**2) / np.sqrt(n)
    assert abs(found - true) < scatter
    # the spoiled twin: taken as it is seen, a gain is too large by twice the error's square
    assert seen - true > 10 * scatter


def _fitted(sees, share, error, prior):
    weight = share / error**2
    return (sees * weight).sum(axis=1) / (weight.sum() + 1 / prior**2)


def _gain(change, sees, share):
    """Mean of what h gains, but for a factor: the parabola about what each part sees."""
    return float(np.mean(((2 * change * sees - change**2) * share).sum(axis=1)))


def test_chance_is_taken_out_of_every_curve_and_replicate():
    plain = np.stack([with_signal(1.3), with_signal(1.25)])
    held = np.stack([with_signal(1.1), with_signal(1.05)])
    fsc = {"input": np.stack([FSC, FSC]), "a": plain, "a-held-out": held, "b": plain, "c": plain}
    flat = np.ones(41)
    freed, known = without_chance(fsc, {"a": 0.5}, {"a": 60.0, "b": 90.0}, flat)
    inside = slice(10, 40)  # where the FSC is not held
    np.testing.assert_allclose(freed["a"][0, inside], with_signal(1.2)[inside], atol=1e-9)
    np.testing.assert_allclose(freed["a"][1, inside], with_signal(1.15)[inside], atol=1e-9)
    np.testing.assert_allclose(freed["b"], freed["a"])
    assert (known["a"].by, known["b"].by, known["b"].of) == ("folds", "another", "a")
    for name in ("input", "c", "a-held-out"):  # not fitted, or no fit
        np.testing.assert_array_equal(freed[name], fsc[name])
        assert known[name].by == "none"
    # what changes half as much is lifted by a quarter
    less, _ = without_chance(fsc, {"a": 0.5}, {"a": 60.0, "b": 30.0}, flat)
    np.testing.assert_allclose(less["b"][0, inside], with_signal(1.275)[inside], atol=1e-9)
    same, known = without_chance(fsc, {}, {"a": 60.0}, flat)
    np.testing.assert_array_equal(same["a"], plain)
    assert known["a"].by == "unknown"


def test_without_errors_the_held_out_map_alone_is_believed():
    assert chance_share([5.0, 9.0], [np.nan, np.nan], [[1.0, 2.0], [3.0, 4.0]]) == 1.0
    assert chance_share([], [], np.zeros((0, 2))) == 1.0
