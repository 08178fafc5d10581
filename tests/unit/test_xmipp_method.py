"""The methods xmipp, xmipp-cc and highres as wholes, on a small simulated set."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.estimates import Status
from parfocal.estimators.highres import HighRes
from parfocal.estimators.xmipp import Xmipp
from parfocal.evidence import gather
from parfocal.execution import threads

from .conftest import make_case

METHODS = (Xmipp(), Xmipp(name="xmipp-cc", cost="cc"), HighRes())
N = 24


@pytest.fixture(scope="module")
def case():
    return make_case(particles=N, defocus_error=0.0, ice_tilt=0.0)


def each(method):
    return pytest.mark.parametrize("method", method, ids=lambda m: m.name)


@each(METHODS)
def test_threads_change_nothing(case, method):
    estimates = method.estimate(case.particles, case.evidence)
    shared = method.estimate(case.particles, replace(case.evidence, run=threads(2)))
    for name, column in estimates.columns().items():
        np.testing.assert_array_equal(getattr(shared, name), column)
    assert estimates.method == method.name
    assert np.isnan(estimates.held_out_gain).all()


@each(METHODS)
def test_at_the_limit_the_prior_is_kept_and_the_error_is_wide(case, method):
    narrow = replace(method, max_change=10.0)
    estimates = narrow.estimate(case.particles, case.evidence)
    stopped = ~estimates.ok()
    assert stopped.mean() > 0.9
    assert np.isin(estimates.status[stopped], (Status.AT_BOUND, Status.FLAT)).all()
    assert (estimates.defocus_change[stopped] == 0).all()
    np.testing.assert_allclose(
        estimates.defocus_error[stopped], case.evidence.change_max / np.sqrt(3)
    )


@each(METHODS)
def test_no_search_beyond_the_range_that_was_asked_for(case, method):
    evidence = gather(case.particles, case.simulation.images, case.reference, change_max=130.0)
    estimates = method.estimate(case.particles, evidence)
    assert np.abs(estimates.defocus_change).max() <= 130
    assert (estimates.status == Status.AT_BOUND).mean() > 0.1


def test_one_height_is_reported_as_a_change_of_the_mean(case):
    p = case.particles
    stretched = replace(p, defocus_u=p.defocus_u + 400, defocus_v=p.defocus_v - 400)
    evidence = gather(stretched, case.simulation.images, case.reference)
    method = Xmipp(cost="cc", same_defocus=True, max_change=1000.0)
    estimates = method.estimate(stretched, evidence)
    ok = estimates.ok()
    assert ok.mean() > 0.9
    pull = ((estimates.defocus - case.simulation.truth.defocus) / estimates.defocus_error)[ok]
    assert np.mean(pull**2) < 1 + 5 * np.sqrt(2 / N)
