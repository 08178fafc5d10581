"""Hard scenes: `bayes` beats the input, its own plane and every method that works on the spectra;
and the consensus of the four programs' methods beats each of them and their median."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from parfocal.consensus import Consensus, consensus
from parfocal.defocus_set import set_of_estimates
from parfocal.estimates import DefocusEstimates
from parfocal.estimators import ESTIMATORS, Bayes
from parfocal.evidence import gather
from parfocal.execution import threads
from parfocal.join import join
from parfocal.reference import map_reference
from parfocal.simulate import Scene, Truth, simulate

from .oracle import rms

pytestmark = pytest.mark.slow

HARD = {
    "particles": 500,
    "micrographs": 5,
    "box": 192,
    "pixel_size": 1.0,
    "snr": 0.01,
    "b_factor": 100.0,
    "noise": "coloured",
    "defocus": (21_000.0, 25_000.0),
    "ice_tilt": 0.0,
    "height_scatter": 120.0,
}
SCENES = {
    "tilted": {"ice_tilt": 10.0, "height_scatter": 80.0},
    "two sheets": {"sheets": 2, "ice_thickness": 400.0, "height_scatter": 30.0},
    "wrong particles": {"wrong": 0.15},
    "small and faint": {"structure": None, "residues": 1800, "snr": 0.005},
    "wrong poses": {"pose_error": 1.0, "shift_error": 0.5, "particles": 1000, "micrographs": 10},
}
OTHERS = ("profile", "relion", "relion-grid", "cryosparc", "gctf")
PROGRAMS = ("relion", "cryosparc", "xmipp", "gctf")
OBEY = ("tilted", "two sheets", "wrong particles", "small and faint")  # the model, poses and all


class Solved(NamedTuple):
    truth: Truth
    estimates: dict[str, DefocusEstimates]

    def error(self, method) -> np.ndarray:
        found = self.estimates["bayes"]
        defocus = found.defocus_prior if method == "input" else self.estimates[method].defocus
        return defocus - self.truth.defocus

    def combined(self, *methods) -> Consensus:
        return consensus(join(set_of_estimates(self.estimates[name], name) for name in methods))


def standard_error(size, errors) -> float:
    """Of a root mean square `size` of so many errors."""
    return size / np.sqrt(2 * len(errors))


@pytest.fixture(scope="module", params=SCENES)
def solved(request, data) -> Solved:
    number = list(SCENES).index(request.param)
    settings = {"structure": data / "structures" / "6z6u.pdb", **HARD, **SCENES[request.param]}
    simulation = simulate(Scene(**settings), np.random.default_rng(8600 + number))
    particles = simulation.particles
    reference = map_reference(simulation.map, pixel_size=HARD["pixel_size"])
    evidence = gather(particles, simulation.images, reference, astigmatism=True, run=threads(2))
    methods = {name: ESTIMATORS[name] for name in ("bayes", *OTHERS, "xmipp")}
    methods["plane"] = Bayes(rung="plane", name="plane")
    found = {name: method.estimate(particles, evidence) for name, method in methods.items()}
    return Solved(simulation.truth, found)


def test_bayes_is_best(solved, request):
    errors = {name: rms(solved.error(name)) for name in ("input", *solved.estimates)}
    print(request.node.name, {name: round(error, 1) for name, error in errors.items()})
    assert min(errors, key=errors.__getitem__) == "bayes"


def test_its_errors_are_honest(solved, request):
    scene = request.node.callspec.params["solved"]
    found, wrong = solved.estimates["bayes"], solved.error("bayes")
    pull = rms(wrong / found.defocus_error)
    true = found.defocus_change - wrong
    inside = (found.change_low <= true) & (true <= found.change_high)
    print(
        f"{request.node.name}: pulls {pull:.3f}, 68 % interval covers {100 * inside.mean():.1f} %"
    )
    # a standard error: of the pulls' spread, and of the width of the ice that the errors stand on
    width, width_error = found.settings["width"]
    error = np.hypot(1 / np.sqrt(2 * len(wrong)), width_error / width)
    if scene in OBEY:
        assert abs(pull - 1) < 0.05 + 2 * error
    # 60 %, and two standard errors: 0.48 of the normal density's mass lies at one error bar
    assert inside.mean() >= 0.60 - 2 * 0.48 * error


def test_the_scene_is_hard(solved):
    """The spoiled twin: a particle alone, or its maximum believed, is not so good as the ice."""
    assert rms(solved.error("profile")) > 1.15 * rms(solved.error("bayes"))


def test_the_consensus_of_four_programs_beats_their_median_and_the_best_of_them(solved, request):
    found = solved.combined(*PROGRAMS)
    errors = {name: rms(solved.error(name)) for name in ("input", *PROGRAMS)}
    middle = np.where(np.isfinite(found.median), found.median, found.joined.prior)
    median = rms(middle - solved.truth.defocus)
    wrong = found.defocus - solved.truth.defocus
    print(request.node.name, f"{rms(wrong):.1f}, median {median:.1f}", errors)
    assert rms(wrong) < median
    best = min(errors[name] for name in PROGRAMS)
    assert rms(wrong) < best + standard_error(best, wrong)


def test_the_error_bars_of_the_consensus_are_honest(solved, request):
    scene = request.node.callspec.params["solved"]
    found = solved.combined(*PROGRAMS)
    pull = (found.defocus - solved.truth.defocus) / found.error
    inside = np.abs(pull) < 1
    signal = found.heights.signal
    # errors stand on the scatter of heights, which the sets tell no better than this
    doubt = signal.error / (2 * max(signal.variance, signal.error))
    error = np.hypot(1 / np.sqrt(2 * len(pull)), doubt)
    told = (
        f"pulls {rms(pull):.3f}, covers {100 * inside.mean():.1f} %, heights known to {doubt:.2f}"
    )
    print(request.node.name, told)
    if scene in OBEY:
        assert abs(inside.mean() - 0.68) < 0.03 + 2 * 0.48 * error
    else:
        assert inside.mean() > 0.60 - 2 * 0.48 * error


def test_programs_added_to_bayes_do_it_no_harm(solved, request):
    wrong = solved.combined(*PROGRAMS, "bayes").defocus - solved.truth.defocus
    alone = rms(solved.error("bayes"))
    print(request.node.name, f"{rms(wrong):.1f}, bayes alone {alone:.1f}")
    assert rms(wrong) < alone + standard_error(alone, wrong)


def test_without_the_folds_shared_noise_spoils_the_consensus(solved):
    """The spoiled twin: noise that the sets share counts as height, as in a median."""
    joined = solved.combined(*PROGRAMS).joined
    blind = consensus(replace(joined, folds=np.full_like(joined.folds, np.nan)))
    assert blind.heights.signal.by == "bound"
    wrong = rms(solved.combined(*PROGRAMS).defocus - solved.truth.defocus)
    assert rms(blind.defocus - solved.truth.defocus) > wrong
