"""The fit of astigmatism: what it asks of the data, and the width that it learns."""

from dataclasses import replace
from typing import NamedTuple, cast

import numpy as np
import pytest

from parfocal.conventions import changed_astigmatism
from parfocal.errors import InputError
from parfocal.estimators.astigmatism_fit import (
    USUAL,
    ChangedEvidence,
    fit_astigmatism,
    learn_width,
    turned,
)
from parfocal.estimators.bayes import Bayes
from parfocal.evidence import Evidence, gather
from parfocal.grid import Fold
from parfocal.particles import Particles

from .conftest import make_case, sums_of

N, MICROGRAPHS = 60, 3
OFF = np.array([[120.0, -80.0], [-60.0, 150.0], [0.0, -110.0]])  # Å, of each micrograph's file


class Wrong(NamedTuple):
    particles: Particles
    evidence: Evidence


@pytest.fixture(scope="module")
def case():
    return make_case(particles=N, micrographs=MICROGRAPHS, ice_tilt=0.0)


@pytest.fixture(scope="module")
def wrong(case) -> Wrong:
    """The particles with the astigmatism on file OFF, and their evidence."""
    p = case.particles
    off = OFF[np.unique(p.micrograph, return_inverse=True)[1]].T
    u, v, angle = changed_astigmatism(p.defocus_u, p.defocus_v, p.defocus_angle, off)
    particles = replace(p, defocus_u=u, defocus_v=v, defocus_angle=angle)
    images = case.simulation.images
    return Wrong(particles, gather(particles, images, case.reference, astigmatism=True))


@pytest.fixture(scope="module")
def found(wrong):
    return Bayes().estimate(*wrong)


@pytest.fixture(scope="module")
def fit(wrong, found):
    return fit_astigmatism(wrong.particles, wrong.evidence, found)


def of_micrographs(particles, values):
    return values[np.unique(particles.micrograph, return_index=True)[1]]


def test_what_is_wrong_on_file_is_found(wrong, fit):
    left = of_micrographs(wrong[0], fit.change) + OFF
    assert fit.used
    assert fit.at_limit == 0
    assert np.sqrt(np.mean(left**2)) < 0.2 * np.sqrt(np.mean(OFF**2))
    assert fit.plain()["median_change"] == pytest.approx(144, abs=30)  # of |(120, -80)|


def test_particles_of_a_micrograph_share_it(wrong, fit):
    for name in np.unique(wrong[0].micrograph):
        mine = wrong[0].micrograph == name
        assert (np.ptp(fit.change[mine], axis=0) == 0).all()
        assert np.ptp(fit.error[mine]) == 0


def test_the_order_of_particles_does_not_matter(case, wrong, found, fit):
    particles = wrong[0]
    rows = np.random.default_rng(0).permutation(N)

    class Shuffled:
        def read_into(self, row, out):
            case.simulation.images.read_into(int(rows[row]), out)

    shuffled = particles.take(rows)
    evidence = gather(shuffled, Shuffled(), case.reference, astigmatism=True)
    columns = {name: column[rows] for name, column in found.columns().items()}
    again = fit_astigmatism(shuffled, evidence, replace(found, **columns))
    np.testing.assert_allclose(again.change, fit.change[rows], atol=0.02)
    np.testing.assert_allclose(again.gain, fit.gain, rtol=1e-3)


def test_changed_evidence_is_that_of_the_changed_file(case, wrong):
    """As far as sectors can tell it; and the folds are the file's."""
    particles, evidence = wrong
    back = -OFF[np.unique(particles.micrograph, return_inverse=True)[1]] / 4
    u, v, angle = changed_astigmatism(
        particles.defocus_u, particles.defocus_v, particles.defocus_angle, back.T
    )
    moved = replace(particles, defocus_u=u, defocus_v=v, defocus_angle=angle)
    expected = sums_of(gather(moved, case.simulation.images, case.reference))
    before = sums_of(evidence)
    changed = sums_of(ChangedEvidence(**vars(evidence), astigmatism=back))
    np.testing.assert_array_equal(changed[:, : Fold.GUARD], before[:, : Fold.GUARD])
    new, old, true = (s.sum(axis=1)[..., :4] for s in (changed, before, expected))
    assert np.linalg.norm(new - true) < 0.3 * np.linalg.norm(old - true)
    mirrored = sums_of(ChangedEvidence(**vars(evidence), astigmatism=back * [1, -1]))
    assert np.linalg.norm(mirrored.sum(axis=1)[..., :4] - true) > np.linalg.norm(new - true) * 2
    np.testing.assert_array_equal(changed[..., 4:], before[..., 4:])


def test_turned_sums_leave_what_came_in(wrong):
    (_, spectra, model), *_ = wrong[1].batches()
    whole = spectra.sums.sum(axis=1)
    before = whole.copy()
    same = turned(whole, spectra.harmonics, model.grid, np.zeros((len(whole), 2)))
    np.testing.assert_allclose(same, before, rtol=1e-6)
    turned(whole, spectra.harmonics, model.grid, np.full((len(whole), 2), 50.0))
    np.testing.assert_array_equal(whole, before)


def test_the_method_says_what_it_did(wrong, found, fit):
    method = Bayes(astigmatism=True)
    estimates = method.estimate(*wrong)
    assert estimates.settings["astigmatism"] == fit.plain()
    ok = estimates.ok()
    vector = np.stack([estimates.astigmatism_change_x, estimates.astigmatism_change_y], axis=1)
    np.testing.assert_array_equal(vector[ok], fit.change[ok])
    assert not vector[~ok].any()
    assert method.asks_astigmatism
    assert not Bayes().asks_astigmatism
    assert found.settings["astigmatism"] is False
    assert not found.astigmatism_change_x.any()


def test_where_the_file_is_right_only_the_settings_differ(case):
    images = case.simulation.images
    evidence = gather(case.particles, images, case.reference, astigmatism=True)
    plain = Bayes().estimate(case.particles, evidence)
    asked = Bayes(astigmatism=True).estimate(case.particles, evidence)
    said = cast(dict, asked.settings["astigmatism"])
    assert said["used"] is False
    assert "less than 2 errors" in said["reason"]
    for name, column in plain.columns().items():
        np.testing.assert_array_equal(getattr(asked, name), column, err_msg=name)


def test_without_azimuths_it_is_refused_in_words(case):
    with pytest.raises(InputError, match="azimuth"):
        Bayes(astigmatism=True).estimate(case.particles, case.evidence)


@pytest.mark.parametrize("true", [5.0, 30.0, 200.0])
def test_the_width_is_learned_from_many_micrographs(true):
    rng = np.random.default_rng(3)
    information = 1 / rng.uniform(10, 60, 4000) ** 2
    noisy = rng.normal(0, true, (4000, 2)) + rng.normal(size=(4000, 2)) / np.sqrt(
        information[:, None]
    )
    x = noisy * (information / (information + 1 / 200.0**2))[:, None]  # as the fit gives it
    found = learn_width(x, information)
    assert found == pytest.approx(true, rel=0.05, abs=3)  # a narrow one is not told from 0
    assert learn_width(2 * x, information) > 1.3 * found or true < 10


def test_without_micrographs_the_width_is_the_usual_one():
    assert learn_width(np.zeros((2, 2)), np.zeros(2)) == USUAL
