"""`validate` against simulated truth: it ranks sets as their errors do, and knows when it cannot."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from parfocal.validation import difference
from parfocal.validation_verdict import Circumstances, best_set, doubts, ranked, verdict

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
measures = importlib.import_module("validate")

NOISE = {"good": 60.0, "fair": 120.0}  # Å; the input errs by 150
SEED = 77


def about(judged, change=150.0):
    return Circumstances(
        base="input",
        whole_micrographs=True,
        was_split=False,
        voltage=300.0,
        change={one.name: change for one in judged},
    )


def drawn(tmp_path_factory, scene):
    structure = tmp_path_factory.mktemp("protein") / "protein.pdb"
    measures.write_protein(structure)
    return measures.draw(measures.scene_of(structure, 300, scene), SEED, NOISE)


@pytest.fixture(scope="module")
def fine(tmp_path_factory):
    """Data of some 2 Å, where 150 Å of defocus turn the CTF by more than a radian."""
    return drawn(tmp_path_factory, "fine")


@pytest.fixture(scope="module")
def coarse(tmp_path_factory):
    """Pixels of 4 Å: 150 Å of defocus turn the CTF by 8° at most."""
    return drawn(tmp_path_factory, "coarse")


def interval(one):
    reach = one.worth.reach(0.95)
    return one.worth.value - reach, one.worth.value + reach


def test_sets_are_ranked_as_their_errors_are(fine):
    judged = fine
    order = [one.name for one in ranked(judged)]
    for one in ranked(judged):
        print(f"{one.name}: {100 * one.worth.value:.0f} ± {100 * one.worth.error:.0f} %")
    wanted = ["truth", "good", "fair", "input", "truth-shuffled", "truth-reversed"]
    assert [name for name in order if name in wanted] == wanted
    of = {one.name: one for one in judged}
    for better, worse in (("truth", "good"), ("good", "fair"), ("good", "input")):
        assert difference(of[better], of[worse]).sure(), (better, worse)
    assert interval(of["truth"])[0] > interval(of["truth-shuffled"])[1]
    assert of["truth-shuffled"].worth.sure()
    assert of["truth"].resolution < of["input"].resolution - 0.2
    assert best_set(judged, about(judged)) == "truth"
    assert verdict(judged, about(judged))[0].startswith("truth makes the better map")
    assert doubts(of["good"], about(judged)) == ()


def test_the_spoiled_twin_loses_what_the_truth_gains(fine):
    """Truth with its sign turned, and truth given to other particles, must not pass for it."""
    judged = fine
    kept = [one for one in judged if one.name in ("input", "truth-shuffled", "truth-reversed")]
    renamed = tuple(measures.replace(one, name=one.name.replace("truth-", "set_")) for one in kept)
    assert best_set(renamed, about(renamed)) == "input"
    assert verdict(renamed, about(renamed))[0].startswith("Keep the input")


def test_where_defocus_cannot_matter_no_difference_is_shown(coarse):
    judged = coarse
    of = {one.name: one for one in judged}
    for name in NOISE:
        assert not of[name].worth.sure(tests=3), name
    assert verdict(judged, about(judged))[0].startswith("No difference is shown")
    assert best_set(judged, about(judged)) == "input"
    said = doubts(of["fair"], about(judged))
    assert any("turn the CTF by" in line for line in said) or any("Nyquist" in d for d in said)


def test_error_bars_are_those_of_the_difference_not_of_the_maps(fine):
    """Two sets have the same noise: their difference errs by less than half of what both would alone."""
    judged = fine
    of = {one.name: one for one in judged}
    paired = difference(of["truth"], of["good"]).error
    assert paired < 0.5 * np.hypot(of["truth"].worth.error, of["good"].worth.error)
    # the spoiled twin: the blocks of one set against other blocks of the other
    turned = measures.replace(of["good"], worth_without=np.roll(of["good"].worth_without, 1))
    mixed = difference(of["truth"], turned).error
    assert mixed > 1.5 * paired
