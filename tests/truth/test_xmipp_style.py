"""Methods xmipp, xmipp-cc and highres: against Xmipp's own output, and against simulated truth."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from parfocal.conventions import DEGREE
from parfocal.estimators.highres import HighRes
from parfocal.estimators.xmipp import Xmipp, searched
from parfocal.evidence import gather
from parfocal.inputs import ReferenceFiles, read_inputs
from parfocal.io import read_map, read_particles
from parfocal.reference import map_reference
from parfocal.simulate import Scene, simulate

OUTPUTS = {"cc": "xmipp_CC.xmd", "l1": "xmipp_L1.xmd"}
WIDE = 1000.0  # Å, limits that stop no particle of the simulated sets


def change_of(found, n):
    """(n,) Å: what the search itself found, whatever its status."""
    return np.array([(found[row].place[-3] + found[row].place[-2]) / 2 for row in range(n)])


def root_mean_square(values):
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.fixture(scope="module")
def peers(data):
    """(inputs, change to the truth, changes that Xmipp made by cost, folder) of data/peer_runs."""
    folder = data / "peer_runs"
    inputs = read_inputs(folder / "particles.xmd", ReferenceFiles(map=folder / "truth_map.mrc"))
    ids, prior = inputs.particles.particle_id.tolist(), inputs.particles.defocus
    with (folder / "truth.csv").open() as file:
        true = {row["image"]: float(row["dz"]) for row in csv.DictReader(file)}
    theirs = {}
    for cost, name in OUTPUTS.items():
        output = read_particles(folder / name)
        defocus = dict(zip(output.particle_id.tolist(), output.defocus, strict=True))
        theirs[cost] = np.array([defocus[i] for i in ids]) - prior
    return inputs, np.array([true[i] for i in ids]) - prior, theirs, folder


def assert_agrees(ours, theirs, truth, micrograph):
    """The task's criterion: correlation within micrographs at least 0.9, RMSE the same within 15 %."""
    names = np.unique(micrograph)
    correlation = np.mean(
        [np.corrcoef(ours[micrograph == n], theirs[micrograph == n])[0, 1] for n in names]
    )
    ratio = root_mean_square(ours - truth) / root_mean_square(theirs - truth)
    print(
        f"correlation {correlation:.4f}, rmse {root_mean_square(ours - truth):.1f} Å, {ratio:.3f}x"
    )
    assert correlation >= 0.9
    assert abs(ratio - 1) <= 0.15


def solve(peers, reference, method):
    inputs = peers[0]
    evidence = gather(inputs.particles, inputs.images, reference)
    found = dict(searched(inputs.particles, evidence, method.low_pass, method.search))
    return change_of(found, len(inputs.particles))


@pytest.mark.parametrize("cost", OUTPUTS)
def test_agrees_with_xmipp(peers, cost):
    inputs, truth, theirs, _ = peers
    ours = solve(peers, inputs.reference, Xmipp(cost=cost))
    assert_agrees(ours, theirs[cost], truth, inputs.particles.micrograph)


@pytest.mark.parametrize("cost", OUTPUTS)
def test_another_low_pass_or_hand_does_not_agree(peers, cost):
    inputs, truth, theirs, folder = peers
    density, pixel_size = read_map(folder / "truth_map.mrc")
    other_hand = map_reference(np.roll(density[::-1], 1, axis=0), pixel_size=pixel_size)
    for reference, method in (
        (inputs.reference, Xmipp(cost=cost, low_pass=10.0)),
        (other_hand, Xmipp(cost=cost)),
    ):
        ours = solve(peers, reference, method)
        with pytest.raises(AssertionError):
            assert_agrees(ours, theirs[cost], truth, inputs.particles.micrograph)


@pytest.fixture(scope="module")
def simulation():
    scene = Scene(
        particles=400,
        micrographs=8,
        box=64,
        pixel_size=1.6,
        residues=250,
        snr=0.15,
        defocus=(8_000.0, 12_000.0),
    )
    return simulate(scene, np.random.default_rng(3))


def solved(simulation, method, particles=None):
    """(estimates, estimate - truth) of a simulated set, on `particles` that claim to be its own."""
    particles = simulation.particles if particles is None else particles
    reference = map_reference(simulation.map, pixel_size=simulation.scene.pixel_size)
    evidence = gather(particles, simulation.images, reference)
    estimates = method.estimate(particles, evidence)
    return estimates, estimates.defocus - simulation.truth.defocus[: len(particles)]


def assert_honest(estimates, wrong):
    """Pulls of particles that are ok have a standard deviation of 1, within 0.15."""
    pull = (wrong / estimates.defocus_error)[estimates.ok()]
    print(f"{estimates.method}: pulls {pull.std():.3f}, n {pull.size}")
    assert abs(pull.std() - 1) < 0.15  # 4 standard errors of 400 particles


@pytest.mark.parametrize(
    "method",
    [Xmipp(max_change=WIDE), Xmipp(cost="cc", max_change=WIDE), HighRes(max_change=WIDE)],
    ids=["l1", "cc", "highres"],
)
def test_error_bars(simulation, method):
    estimates, wrong = solved(simulation, method)
    assert estimates.ok().mean() > 0.95
    assert_honest(estimates, wrong)
    with pytest.raises(AssertionError):
        assert_honest(estimates, 1.4 * wrong)


def test_poses_that_are_off_are_mended_on_the_way(simulation):
    """Shifts off by 0.5 Å and angles by 1°: freeing them costs nothing, fixing them does."""
    rng, p = np.random.default_rng(5), simulation.particles.take(np.arange(200))
    off = {name: getattr(p, name) + rng.normal(0, 0.5, len(p)) for name in ("origin_x", "origin_y")}
    off |= {
        name: getattr(p, name) + rng.normal(0, DEGREE, len(p)) for name in ("rot", "tilt", "psi")
    }
    freed, fixed = HighRes(max_change=WIDE), HighRes(max_change=WIDE, max_shift=0, max_angle=0)
    ideal = root_mean_square(solved(simulation, freed, p)[1])
    errors = [
        root_mean_square(solved(simulation, method, replace(p, **off))[1])
        for method in (freed, fixed)
    ]
    print(f"rmse {errors[0]:.1f} Å freed, {errors[1]:.1f} Å fixed, {ideal:.1f} Å with true poses")
    assert errors[0] < 0.85 * errors[1]
    assert errors[0] < 1.1 * ideal
