"""Method `cryosparc`: its band, its scale, and the minimum that wins."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.errors import InputError
from parfocal.estimates import Status
from parfocal.estimators.cryosparc import Cryosparc
from parfocal.estimators.relion import Relion
from parfocal.estimators.style import data_scale
from parfocal.evidence import gather

from .conftest import Scaled, make_case

N = 40
V4 = Cryosparc(name="cryosparc-v4", fit_scale=False)


@pytest.fixture(scope="module")
def case():
    return make_case(particles=N, micrographs=2)


def plain_lowest(case, row, *, band, fit_scale):
    """The change of least squared error by a fine scan of sums over the band, in plain sums."""
    (rows, spectra, model), *_ = case.evidence.batches(corrected=False)
    sums = spectra.sums[list(rows).index(row)].sum(axis=0, dtype=float)[band(model.grid.k)]
    s = model.grid.s[band(model.grid.k)]
    scale = data_scale(model, case.reference)
    change = np.arange(-1000, 1000.1, 1.0)
    turn = np.exp(1j * np.pi * model.grid.optics.wavelength * np.multiply.outer(change, s))
    cross = np.imag(turn @ (sums[:, 0] + 1j * sums[:, 1]))
    norm = (sums[:, 6].sum() - np.real(turn**2 @ (sums[:, 2] + 1j * sums[:, 3]))) / 2
    if fit_scale:
        scale = np.maximum(cross / norm, 0)
    return change[np.argmin(scale**2 * norm - 2 * scale * cross)]


def band(k):
    return k >= 1 / 20


@pytest.mark.parametrize("fit_scale", [True, False])
def test_the_minimum_of_the_plain_sums_wins(case, fit_scale):
    method = Cryosparc(fit_scale=fit_scale)
    estimates = method.estimate(case.particles, case.evidence)
    for row in range(8):
        expected = plain_lowest(case, row, band=band, fit_scale=fit_scale)
        if estimates.status[row] == Status.OK:
            assert estimates.defocus_change[row] == pytest.approx(expected, abs=1.0)
    other = [
        plain_lowest(case, row, band=lambda k: k >= 0, fit_scale=fit_scale) for row in range(8)
    ]
    assert np.abs(other - estimates.defocus_change[:8]).max() > 1.0  # the band does matter


def test_nothing_beyond_the_first_shell_below_one_half_is_used(case):
    fsc = np.where(np.arange(len(case.reference.weight)) < 20, 0.9, 0.2)
    fsc[24:] = 1.0  # after a gap, however good
    reference = replace(case.reference, weight=fsc)
    evidence = replace(case.evidence, reference=reference)
    cut = case._replace(evidence=evidence, reference=reference)
    estimates = Cryosparc().estimate(case.particles, evidence)
    step = case.reference.box * case.reference.pixel_size

    def inside(k):
        return (k >= 1 / 20) & (np.rint(k * step) < 20)

    for row in np.flatnonzero(estimates.ok())[:5]:
        expected = plain_lowest(cut, row, band=inside, fit_scale=True)
        assert estimates.defocus_change[row] == pytest.approx(expected, abs=1.0)


def test_a_particles_own_scale_does_not_matter_where_it_is_fitted(case):
    factor = np.random.default_rng(2).uniform(0.5, 2, N)
    evidence = gather(case.particles, Scaled(case.simulation.images, factor), case.reference)
    moved = [
        np.abs(
            method.estimate(case.particles, evidence).defocus_change
            - method.estimate(case.particles, case.evidence).defocus_change
        )
        for method in (Cryosparc(), V4)
    ]
    assert moved[0].max() < 0.5
    assert moved[1].max() > 2.0


def test_range_ends_the_search(case):
    estimates = Cryosparc(search_range=40.0).estimate(case.particles, case.evidence)
    free = Cryosparc().estimate(case.particles, case.evidence)
    beyond = np.abs(free.defocus_change) > 100
    assert beyond.any()
    assert np.isin(estimates.status[beyond], [Status.AT_BOUND, Status.FLAT]).mean() > 0.9
    assert np.abs(estimates.defocus_change).max() <= 40.0


@pytest.mark.parametrize("method", [Cryosparc, Relion])
@pytest.mark.parametrize("limit", [{"k_min": 0.0}, {"search_range": -1.0}, {"k_min": np.nan}])
def test_limits_that_cannot_be_are_refused(method, limit):
    with pytest.raises(InputError, match=next(iter(limit))):
        method(**limit)


def test_a_range_below_the_grids_step_is_a_range(case):
    estimates = Cryosparc(search_range=0.5).estimate(case.particles, case.evidence)
    assert np.abs(estimates.defocus_change).max() <= 0.5
