"""Method `relion`: its modes, its brute force, and what belongs to a micrograph."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from parfocal.conventions import astigmatism_vector
from parfocal.errors import InputError
from parfocal.estimates import Status
from parfocal.estimators.draft import Draft
from parfocal.estimators.least_squares import NEUTRAL, cost, problems
from parfocal.estimators.relion import Relion, fit_relion, scan
from parfocal.estimators.style import data_scale, pieces, shell_weight
from parfocal.evidence import Evidence, gather

from .conftest import Scaled, make_case

N, MICROGRAPHS = 60, 3
GRID = Relion(name="relion-grid", brute_force=True)


@pytest.fixture(scope="module")
def case():
    return make_case(particles=N, micrographs=MICROGRAPHS, defocus_error=150.0)


@pytest.fixture(scope="module")
def evidence(case):
    return gather(case.particles, case.simulation.images, case.reference, astigmatism=True)


def fitted(method, particles, evidence):
    """(n, 5) parameters that the method found."""
    return fit_relion(method, particles, evidence, Draft(method, particles, evidence))


def by_micrograph(particles, values):
    return [values[particles.micrograph == name] for name in np.unique(particles.micrograph)]


@pytest.mark.parametrize("mode", ["", "fpm", "fpmfmf", "fpxfm", "FPMFM"])
def test_a_mode_that_is_none_is_refused(mode):
    with pytest.raises(InputError, match="fit_mode"):
        Relion(fit_mode=mode)


@pytest.mark.parametrize("mode", ["ppmfm", "mpmfm", "fpmpm", "fpmmm"])
def test_phase_shift_and_cs_are_fixed(mode):
    with pytest.raises(InputError, match="phase shift and Cs"):
        Relion(fit_mode=mode)


def test_only_a_fit_of_astigmatism_asks_for_it():
    asks = {mode: Relion(fit_mode=mode).asks_astigmatism for mode in ("fpmfm", "fppff", "fpffm")}
    assert asks == {"fpmfm": True, "fppff": True, "fpffm": False}
    assert not GRID.asks_astigmatism


def test_without_azimuths_the_mode_is_refused_in_words(case):
    with pytest.raises(InputError, match="azimuth"):
        Relion().estimate(case.particles, case.evidence)


@pytest.mark.parametrize("mode", ["fpmfm", "fmmfm", "fppff", "fffff", "ffpfp"])
def test_each_letter_says_who_shares(case, evidence, mode):
    found = fitted(Relion(fit_mode=mode), case.particles, evidence)
    start = data_scale(evidence.models[0], evidence.reference)
    neutral = np.array([0, 0, 0, 0, start])
    for place, columns in ((1, [0]), (2, [1, 2]), (4, [3, 4])):
        for mine in by_micrograph(case.particles, found[:, columns]):
            if mode[place] == "f":
                assert (mine == neutral[columns]).all()
            else:
                assert (np.ptp(mine, axis=0) == 0).all() == (mode[place] == "m")


def test_particles_of_each_micrograph_wait_for_the_others(case, evidence):
    """Micrographs that two chunks share are given whole."""
    (rows, spectra, model), *_ = evidence.batches()

    class Cut:
        def batches(self, *, corrected):
            assert not corrected  # as RELION sees them
            for part in (slice(0, 30), slice(30, None)):
                columns = {k: getattr(spectra, k)[part] for k in vars(spectra)}
                yield rows[part], replace(spectra, **columns), model

    seen = list(pieces(case.particles, cast(Evidence, Cut()), whole=True))
    assert len(seen) == 2
    names = [set(case.particles.micrograph[piece.rows]) for piece in seen]
    assert not names[0] & names[1]
    assert sorted(np.concatenate([piece.rows for piece in seen])) == list(range(N))
    cut = list(pieces(case.particles, cast(Evidence, Cut()), whole=False))
    assert [len(piece.rows) for piece in cut] == [30, 30]


def test_astigmatism_wrong_on_file_is_found(case):
    """All particles' astigmatism vector 60 Å off along both axes; true defoci as they were."""
    p = case.particles
    mean, cosine, sine = astigmatism_vector(p.defocus_u, p.defocus_v, p.defocus_angle)
    cosine, sine = cosine - 60, sine + 60
    half, angle = np.hypot(cosine, sine), np.arctan2(sine, cosine) / 2
    wrong = replace(p, defocus_u=mean + half, defocus_v=mean - half, defocus_angle=angle)
    evidence = gather(wrong, case.simulation.images, case.reference, astigmatism=True)
    found = fitted(Relion(), wrong, evidence)
    scatter = fitted(
        Relion(), p, gather(p, case.simulation.images, case.reference, astigmatism=True)
    )
    np.testing.assert_allclose(found[:, 1] - scatter[:, 1], 60, atol=6)
    np.testing.assert_allclose(found[:, 2] - scatter[:, 2], -60, atol=6)
    assert np.abs(scatter[:, 1:3]).max() < 40
    estimates = Relion().estimate(wrong, evidence)  # what RELION would write
    ok = estimates.ok()
    for name, column in (("x", found[:, 1]), ("y", found[:, 2])):
        reported = getattr(estimates, f"astigmatism_change_{name}")
        np.testing.assert_array_equal(reported, np.where(ok, column, 0.0))
    assert np.median(estimates.astigmatism_change_x) > 30
    for fixed in (GRID, Relion(fit_mode="fpffm")):
        assert not fixed.estimate(wrong, evidence).astigmatism_change_x.any()


def plain_scan(curve, reach):
    """RELION's brute force, written out for one particle; `curve(change)` is its cost."""
    best = min(np.arange(-5, 6) * 400.0, key=lambda c: curve(c) if abs(c) <= reach else np.inf)
    for width, step in ((200, 40), (20, 4)):
        places = best + np.arange(-width, width + 1, step)
        best = min(places, key=lambda c: curve(c) if abs(c) <= reach else np.inf)
    return best


@pytest.mark.parametrize("reach", [2000.0, 1000.0, 300.0])
def test_brute_force_follows_relions_schedule(evidence, reach):
    (_, spectra, model), *_ = evidence.batches()
    weight = shell_weight(evidence.reference, model.grid, least=0.143, low=30.0)
    some = slice(0, 6)
    problem = problems(
        spectra.sums[some].sum(axis=1), spectra.harmonics[some, :0], model.grid, weight
    )
    found = scan(problem, np.tile(NEUTRAL, (6, 1)), reach)[:, 0]
    assert (np.abs(found) <= reach).all()
    for i in range(6):
        alone = problem.take([i])
        assert found[i] == plain_scan(lambda c, a=alone: cost(a, np.array([c]))[0, 0], reach)


def test_brute_force_at_the_end_of_its_range_says_so(case, evidence):
    near = Relion(brute_force=True, search_range=40.0)
    estimates = near.estimate(case.particles, evidence)
    found = fitted(near, case.particles, evidence)[:, 0]
    np.testing.assert_array_equal(estimates.status == Status.AT_BOUND, np.abs(found) == 40)
    assert (estimates.status == Status.AT_BOUND).any()
    assert (estimates.status == Status.OK).any()


def test_scale_is_measured_unless_told_not_to(case):
    images = Scaled(case.simulation.images, np.full(N, 10.0))
    evidence = gather(case.particles, images, case.reference)
    usual = case.evidence
    scale = data_scale(evidence.models[0], evidence.reference)
    assert scale == pytest.approx(10 * data_scale(usual.models[0], usual.reference), rel=1e-3)
    taken = [GRID.estimate(case.particles, e).defocus_change for e in (evidence, usual)]
    assert np.abs(taken[0] - taken[1]).max() <= 8  # two steps of the finest grid
    bare = replace(GRID, measure_scale=False)
    ten = fitted(bare, case.particles, evidence)
    np.testing.assert_array_equal(ten[:, 4], 1)


def test_shell_weight_is_the_fsc_between_its_limits(case):
    grid = case.evidence.models[0].grid
    fsc = np.linspace(1, -0.1, len(case.reference.weight))
    reference = replace(case.reference, weight=fsc)
    weight = shell_weight(reference, grid, least=0.143, low=30.0)
    shells = np.rint(grid.k * reference.box * reference.pixel_size).astype(int)
    used = weight > 0
    np.testing.assert_array_equal(weight[used], fsc[shells[used]])
    np.testing.assert_array_equal(used, (fsc[shells] >= 0.143) & (grid.k >= 1 / 30))
    with pytest.raises(InputError, match="FSC"):
        shell_weight(replace(reference, weight=0.1 * fsc), grid, least=0.143, low=30.0)
