"""`validate` on defoci that were fitted to the images it judges: noise that was fitted is no gain."""

import importlib
import sys
from pathlib import Path

import pytest

from parfocal.chance import held_out_name
from parfocal.validation import difference
from parfocal.validation_verdict import Circumstances, best_set, ranked, verdict

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
measures = importlib.import_module("chance")

SEED = 31


def judged(data, scatter, methods, **options):
    scene = measures.scene_of(data / "structures" / "6z6u.pdb", 600, scatter)
    of, apart, rms = measures.draw(scene, SEED, methods, **options)
    for one in ranked(of.values()):
        print(f"{one.name}: {100 * one.worth.value:.1f} ± {100 * one.worth.error:.1f} %", end="; ")
        print(f"seen {100 * one.seen.value:.1f} ± {100 * one.seen.error:.1f} %")
    print(rms)
    return of, apart


def about(of):
    return Circumstances(
        base="input",
        whole_micrographs=True,
        was_split=False,
        voltage=300.0,
        change=dict.fromkeys(of, 50.0),
    )


@pytest.fixture(scope="module")
def scattered(data):
    """150 Å of scatter, which matters at some 3 Å, and fits that err by a third of it."""
    return judged(data, 150.0, ("bayes", "relion"), controls_of="bayes")


@pytest.fixture(scope="module")
def right(data):
    """The input is right: all that a fit changes is noise."""
    return judged(data, 0.0, ("profile",))


def test_fits_rank_between_the_truth_and_the_input(scattered):
    of, _ = scattered
    found = ranked([one for name, one in of.items() if not name.startswith("equal")])
    order = [one.name for one in found]
    for better, worse in (
        ("truth", "bayes"),
        ("truth", "relion"),
        ("bayes", "input"),
        ("relion", "input"),
        ("input", "bayes-shuffled"),
    ):
        assert order.index(better) < order.index(worse), (better, worse)
    ends = of["truth"].worth, of["bayes-shuffled"].worth
    assert ends[0].value - ends[0].reach(0.95) > ends[1].value + ends[1].reach(0.95)
    assert verdict(found, about(of))[0].startswith("truth makes the better map")
    # the spoiled twin: with what chance lifts them by, fits beat the truth
    for name in ("bayes", "relion"):
        assert of[name].seen.value > of["truth"].worth.value


@pytest.mark.parametrize("name", ["bayes", "relion"])
def test_without_chance_a_set_is_worth_what_like_errors_are(scattered, name):
    """The same errors, dealt out anew to other particles, know nothing of the noise."""
    of, apart = scattered
    equal = of[measures.equal(name)]
    assert abs(apart[name].value) < apart[name].reach(0.95)
    assert of[name].seen.value - equal.worth.value > 2 * apart[name].error  # the spoiled twin


def test_a_fit_of_noise_alone_is_no_gain(right):
    of, apart = right
    one = of["profile"]
    assert one.worth.value < one.worth.error
    assert abs(apart["profile"].value) < apart["profile"].reach(0.95)
    assert of[held_out_name("profile")].worth.value < 0
    assert best_set(list(of.values()), about(of)) != "profile"
    # the spoiled twin: as it is seen, noise that was fitted makes the better map, and surely so
    assert one.seen.value > 0
    assert difference(one, of[held_out_name("profile")]).sure()
