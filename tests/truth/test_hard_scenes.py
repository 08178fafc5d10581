"""Hard scenes: `bayes` beats the input, its own plane and every method that works on the spectra."""

from typing import NamedTuple

import numpy as np
import pytest

from parfocal.estimates import DefocusEstimates
from parfocal.estimators import ESTIMATORS, Bayes
from parfocal.evidence import gather
from parfocal.execution import threads
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
OBEY = ("tilted", "two sheets", "wrong particles", "small and faint")  # the model, poses and all


class Solved(NamedTuple):
    truth: Truth
    estimates: dict[str, DefocusEstimates]

    def error(self, method) -> np.ndarray:
        found = self.estimates["bayes"]
        defocus = found.defocus_prior if method == "input" else self.estimates[method].defocus
        return defocus - self.truth.defocus


@pytest.fixture(scope="module", params=SCENES)
def solved(request, data) -> Solved:
    number = list(SCENES).index(request.param)
    settings = {"structure": data / "structures" / "6z6u.pdb", **HARD, **SCENES[request.param]}
    simulation = simulate(Scene(**settings), np.random.default_rng(8600 + number))
    particles = simulation.particles
    reference = map_reference(simulation.map, pixel_size=HARD["pixel_size"])
    evidence = gather(particles, simulation.images, reference, astigmatism=True, run=threads(2))
    methods = {name: ESTIMATORS[name] for name in ("bayes", *OTHERS)}
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
