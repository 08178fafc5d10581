"""Astigmatism refined by method `bayes`: files whose astigmatism is wrong, and one that is right."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from parfocal.conventions import astigmatism_vector, changed_astigmatism
from parfocal.estimates import DefocusEstimates
from parfocal.estimators.astigmatism_fit import AstigmatismFit, fit_astigmatism
from parfocal.estimators.bayes import Bayes
from parfocal.estimators.relion import Relion
from parfocal.evidence import Evidence, gather
from parfocal.io import read_particles, write_particles
from parfocal.particles import Particles
from parfocal.reference import map_reference
from parfocal.simulate import Scene, simulate, write_dataset

from .oracle import rms

pytestmark = pytest.mark.slow

SCENE = Scene(
    particles=400, micrographs=8, box=128, pixel_size=1.2, snr=0.08, b_factor=60.0, residues=1500
)
WRONG = 100.0  # Å, rms of the file's error, of either component
ASKED = Bayes(astigmatism=True)


class Case(NamedTuple):
    """A particle file, and what is made of it with and without its astigmatism refined."""

    particles: Particles
    evidence: Evidence
    plain: DefocusEstimates
    refined: DefocusEstimates
    fit: AstigmatismFit

    def worth(self, micrograph) -> tuple[float, float]:
        """Gain of a fit for which particles are of other micrographs."""
        particles = replace(self.particles, micrograph=micrograph)
        return fit_astigmatism(particles, self.evidence, self.plain).gain


@pytest.fixture(scope="module")
def simulation():
    return simulate(SCENE, np.random.default_rng(2024))


@pytest.fixture(scope="module")
def wrong_by(simulation):
    """(n, 2) Å by which the file's astigmatism vector is wrong: 0 in the mean over micrographs."""
    drawn = np.random.default_rng(7).normal(size=(SCENE.micrographs, 2))
    drawn -= drawn.mean(axis=0)
    return (WRONG * drawn / rms(drawn))[simulation.truth.micrograph]


def solve(simulation, particles) -> Case:
    reference = map_reference(simulation.map, pixel_size=SCENE.pixel_size)
    evidence = gather(particles, simulation.images, reference, astigmatism=True)
    plain = Bayes().estimate(particles, evidence)
    fit = fit_astigmatism(particles, evidence, plain)
    return Case(particles, evidence, plain, ASKED.estimate(particles, evidence), fit)


def with_error(particles, error) -> Particles:
    """The particles with another astigmatism on file."""
    u, v, angle = changed_astigmatism(
        particles.defocus_u, particles.defocus_v, particles.defocus_angle, error.T
    )
    return replace(particles, defocus_u=u, defocus_v=v, defocus_angle=angle)


@pytest.fixture(scope="module")
def wrong(simulation, wrong_by):
    return solve(simulation, with_error(simulation.particles, wrong_by))


@pytest.fixture(scope="module")
def right(simulation):
    return solve(simulation, simulation.particles)


def once(simulation, values):
    """One row of each micrograph."""
    return values[np.unique(simulation.truth.micrograph, return_index=True)[1]]


def assert_honest(pull, n):
    """Mean square 1, to five standard errors of `n` independent ones."""
    square = np.mean(pull**2)
    assert abs(square - 1) < 5 * np.sqrt(2 / n)


def test_the_refined_astigmatism_is_nearer_to_the_truth(wrong, wrong_by, simulation):
    left = once(simulation, wrong.fit.change + wrong_by)
    before = once(simulation, wrong_by)
    print(f"astigmatism {rms(before):.1f} -> {rms(left):.1f} Å, {wrong.fit.plain()}")
    assert rms(left) < 0.25 * rms(before)
    assert wrong.fit.at_limit == 0
    mirrored = wrong.fit.change * [1, -1]
    assert rms(once(simulation, mirrored + wrong_by)) > rms(before)


def test_its_errors_are_honest(wrong, right, wrong_by, simulation):
    pulls = [
        once(simulation, (wrong.fit.change + wrong_by) / wrong.fit.error[:, None]),
        once(simulation, right.fit.change / right.fit.error[:, None]),
    ]
    print(f"pulls {rms(pulls[0]):.2f}, of a right file {rms(pulls[1]):.2f}")
    for pull in pulls:
        assert_honest(pull, pull.size)
    with pytest.raises(AssertionError):
        assert_honest(2 * pulls[0], pulls[0].size)


def test_the_gain_is_held_out(wrong, simulation):
    gain, error = wrong.fit.gain
    print(f"gain {gain:.3f} ± {error:.3f} nats a particle")
    assert wrong.fit.used
    assert gain > 10 * error
    # the spoiled twin: particles that share no microscope's astigmatism
    shuffled = np.random.default_rng(1).permutation(wrong.particles.micrograph)
    gain, error = wrong.worth(shuffled)
    assert gain < 2 * error


def test_defoci_of_particles_are_better_for_it(wrong, right, simulation):
    truth = simulation.truth.defocus
    file, refined, known = (
        rms(e.defocus - truth) for e in (wrong.plain, wrong.refined, right.plain)
    )
    print(f"defocus {file:.1f} -> {refined:.1f} Å, {known:.1f} Å with the true astigmatism")
    assert refined < file
    assert refined - known < 0.3 * (file - known)
    pull = (wrong.refined.defocus - truth) / wrong.refined.defocus_error
    assert_honest(pull, pull.size)
    with pytest.raises(AssertionError):
        assert_honest(1.3 * pull, pull.size)


def test_where_the_file_is_right_nothing_changes(right):
    said = right.refined.settings["astigmatism"]
    print(said)
    assert said["used"] is False
    for name, column in right.plain.columns().items():
        np.testing.assert_array_equal(getattr(right.refined, name), column, err_msg=name)


@pytest.mark.parametrize("method", [ASKED, Relion()], ids=lambda m: m.name)
def test_what_is_written_holds_it(wrong, simulation, method, tmp_path):
    """A RELION file with the wrong astigmatism, refined, written and read again."""
    write_dataset(replace(simulation, particles=wrong.particles), tmp_path)
    particles = read_particles(tmp_path / "particles.star")
    estimates = method.estimate(particles, wrong.evidence)
    write_particles(particles, estimates, tmp_path / "refined.star")
    written, truth = read_particles(tmp_path / "refined.star"), simulation.truth
    np.testing.assert_allclose(written.defocus, estimates.defocus, atol=1e-5)
    true, before, after = (
        once(
            simulation,
            np.array(astigmatism_vector(p.defocus_u, p.defocus_v, p.defocus_angle)[1:]).T,
        )
        for p in (truth, particles, written)
    )
    print(f"{method.name}: {rms(before - true):.1f} -> {rms(after - true):.1f} Å")
    assert rms(after - true) < 0.35 * rms(before - true)
