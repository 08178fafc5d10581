"""The verdict on twenty data sets, ten where local defocus helps and ten where it does not.

Whether it can help is asked of the truth: the posterior that knows each micrograph's plane and the
scatter of its heights either lowers the rms error of the input by 10 % and more, or by 2 % at most.
"""

from typing import NamedTuple

import numpy as np
import pytest

from parfocal.estimators import ESTIMATORS
from parfocal.evidence import gather
from parfocal.reference import map_reference
from parfocal.simulate import Scene, simulate
from parfocal.verdict import Band, verdict

from .oracle import best_possible, rms

pytestmark = pytest.mark.slow

BASE = {"particles": 400, "micrographs": 8, "box": 96, "pixel_size": 1.6, "residues": 1000}
BAND = Band(resolution=4.0, wavelength=0.0197)
# What there is to find: heights, tilt, errors of the micrographs' defocus; and how well it is seen.
HELPS = [
    {"height_scatter": 120.0, "ice_tilt": 0.0, "snr": 0.05},
    {"height_scatter": 120.0, "ice_tilt": 0.0, "snr": 0.02, "noise": "coloured"},
    {"height_scatter": 60.0, "ice_tilt": 8.0, "snr": 0.03},
    {"height_scatter": 0.0, "ice_tilt": 8.0, "snr": 0.02, "defocus_error": 0.0},
    {"height_scatter": 0.0, "ice_tilt": 0.0, "snr": 0.02, "defocus_error": 150.0},
    {"height_scatter": 30.0, "sheets": 2, "ice_thickness": 400.0, "ice_tilt": 0.0, "snr": 0.03},
    {"height_scatter": 20.0, "sheets": 0, "ice_thickness": 500.0, "ice_tilt": 3.0, "snr": 0.03},
    {"height_scatter": 100.0, "ice_tilt": 4.0, "snr": 0.03, "wrong": 0.15},
    {"height_scatter": 150.0, "ice_tilt": 0.0, "snr": 0.05, "pose_error": 1.0},
    {"height_scatter": 200.0, "ice_tilt": 0.0, "snr": 0.015, "defocus_error": 30.0},
]
NEVER = {"ice_tilt": 0.0, "defocus_error": 0.0}
DOES_NOT = [
    NEVER | {"height_scatter": 0.0, "snr": 0.05},
    NEVER | {"height_scatter": 0.0, "snr": 0.02, "noise": "coloured"},
    NEVER | {"height_scatter": 5.0, "snr": 0.03},
    NEVER | {"height_scatter": 10.0, "snr": 0.01},
    NEVER | {"height_scatter": 0.0, "snr": 0.005},
    NEVER | {"height_scatter": 0.0, "snr": 0.03, "wrong": 0.15},
    NEVER | {"height_scatter": 0.0, "snr": 0.05, "wrong": 0.5},
    NEVER | {"height_scatter": 0.0, "snr": 0.05, "pose_error": 1.0},
    NEVER | {"height_scatter": 0.0, "snr": 0.05, "shift_error": 0.5, "noise": "coloured"},
    NEVER | {"height_scatter": 5.0, "snr": 0.3},
]


class Judged(NamedTuple):
    can_help: bool
    helps: bool | None
    text: str
    input_error: float
    least_error: float
    bayes_error: float
    spoiled: bool | None  # the verdict of gains that were not held out


def judge(number, settings) -> Judged:
    simulation = simulate(Scene(**BASE, **settings), np.random.default_rng(9300 + number))
    particles, truth = simulation.particles, simulation.truth
    reference = map_reference(simulation.map, pixel_size=BASE["pixel_size"])
    evidence = gather(particles, simulation.images, reference)
    found = ESTIMATORS["bayes"].estimate(particles, evidence)
    profile = ESTIMATORS["profile"].estimate(particles, evidence)
    wrong = found.defocus - truth.defocus
    before = rms(particles.defocus - truth.defocus)
    least = rms(best_possible(simulation, evidence))
    said = verdict(found, BAND)
    # the spoiled twin: a model that was fitted and scored on the same pixels always gains
    spread = np.median(profile.defocus_error)
    return Judged(
        can_help=before > 10 and least < 0.9 * before,
        helps=said.helps,
        text=said.text,
        input_error=before,
        least_error=least,
        bayes_error=rms(wrong),
        spoiled=bool(np.std(profile.defocus_change) > 0.5 * spread),
    )


@pytest.fixture(scope="module")
def judged() -> dict[str, list[Judged]]:
    sets = {"helps": HELPS, "does not": DOES_NOT}
    return {
        name: [judge(100 * place + number, settings) for number, settings in enumerate(all_of)]
        for place, (name, all_of) in enumerate(sets.items())
    }


def test_the_sets_are_what_they_are_meant_to_be(judged):
    for case in judged["helps"]:
        assert case.can_help, case
    for case in judged["does not"]:
        assert not case.can_help, case


def test_the_verdict_is_right_on_at_least_nineteen_of_twenty(judged):
    wrong = []
    for name, cases in judged.items():
        for number, case in enumerate(cases):
            print(
                f"{name} {number}: input {case.input_error:.0f}, bayes {case.bayes_error:.0f}, with "
                f"the true prior {case.least_error:.0f} Å; {case.text}"
            )
            if (case.helps is True) != (name == "helps"):
                wrong.append((name, number, case.text))
    assert len(wrong) <= 1, wrong


def test_never_worse_than_the_input(judged):
    """By more than one standard error of the input's own rms error, and 2 Å where that is nothing."""
    n = BASE["particles"]
    for cases in judged.values():
        for case in cases:
            room = max(case.input_error / np.sqrt(2 * n), 2.0)
            assert case.bayes_error <= case.input_error + room, case


def test_a_model_scored_where_it_was_fitted_would_always_help(judged):
    assert all(case.spoiled for case in judged["does not"])
