"""Method `profile`: the factor that the folds ask of the errors, and the verdict on a peak."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.chunks import MemoryStore
from parfocal.estimates import Status
from parfocal.estimators import Profile
from parfocal.estimators.draft import Draft
from parfocal.estimators.profile import FACTOR_PRIOR, _fill, error_factor, judge
from parfocal.evidence import gather
from parfocal.grid import Fold
from parfocal.likelihood import Peaks
from parfocal.simulate.noise import Noise

from .conftest import SMALL, NoiseOnly, make_case


@pytest.fixture(scope="module")
def estimates(small):
    return Profile().estimate(small.particles, small.evidence)


def draw(sd, n, seed=0):
    return np.random.default_rng(seed).normal(0, sd, n)


@pytest.mark.parametrize("sd", [1.0, 1.2, 1.5, 2.0])
def test_the_factor_is_the_spread_of_many_pulls(sd):
    factor, error = error_factor(draw(sd, 20_000))
    cut = np.sqrt(np.mean(np.minimum(np.abs(draw(sd, 10**6, seed=1)), 4) ** 2))  # pulls end at 4
    assert factor == pytest.approx(max(1, cut), abs=4 * error + 0.005)
    assert error == pytest.approx(cut / np.sqrt(2 * 20_000), rel=0.3)


def test_the_factors_error_is_that_of_its_repeats():
    factors, errors = np.array([error_factor(draw(1.5, 20_000, seed)) for seed in range(60)]).T
    assert errors.mean() == pytest.approx(factors.std(), rel=0.3)


@pytest.mark.parametrize("pulls", [[], [3.0], [np.nan, np.nan], [np.nan, 2.0]])
def test_without_two_pulls_there_is_no_factor(pulls):
    assert error_factor(np.array(pulls)) == (1.0, FACTOR_PRIOR)


def test_few_pulls_hardly_move_it():
    for seed in range(20):
        assert 1 <= error_factor(draw(1.5, 10, seed))[0] < 1.1


@pytest.mark.parametrize("sd", [1e-3, 0.5, 0.9])
def test_errors_are_never_made_smaller(sd):
    assert error_factor(draw(sd, 5000))[0] == 1


def test_a_few_wrong_particles_do_not_set_it():
    pulls = np.concatenate([draw(1.0, 2000), np.full(20, 1e6)])
    assert error_factor(pulls)[0] < 1.09  # 1 % at the cut of 4: √(1 + 0.16)


def with_folds_apart(evidence, apart):
    """Evidence whose folds see each particle's defocus `apart` (n,) [Å] from each other."""
    store = MemoryStore()
    for number, (rows, spectra, model) in enumerate(evidence.batches()):
        sums = spectra.sums.copy()
        for fold, sign in ((Fold.FIRST, 0.5), (Fold.SECOND, -0.5)):
            turn = np.exp(-1j * model.grid.change_phase(sign * apart[rows]).T)
            for column, turned in ((0, turn), (2, turn**2)):
                pair = (sums[:, fold, :, column] + 1j * sums[:, fold, :, column + 1]) * turned
                sums[:, fold, :, column], sums[:, fold, :, column + 1] = pair.real, pair.imag
        store.put(number, replace(spectra, sums=sums))
    return replace(evidence, store=store)


def test_folds_that_disagree_raise_all_errors_and_agreeing_ones_none(small, estimates):
    """By about a pull of 1 more: √2, of which 300 particles are believed six tenths in ln."""
    assert estimates.settings["error_factor"] < 1.05
    claimed = 2 * np.sqrt(3 / 2) * estimates.defocus_error  # a third of the pixels in each fold
    apart = np.random.default_rng(8).normal(0, claimed)
    spread = Profile().estimate(small.particles, with_folds_apart(small.evidence, apart))
    factor = spread.settings["error_factor"]
    assert 1.15 < factor < 1.35
    ratio = spread.defocus_error / estimates.defocus_error
    assert np.median(ratio) > 1.1


def make_peaks(**changes):
    """One good peak of 30 Å, 9 nats above its rival."""
    settings = {
        "change": 10.0,
        "value": 50.0,
        "error": 30.0,
        "error_at_prior": 40.0,
        "spread": 30.0,
        "rival": 9.0,
        "edge": False,
    }
    return Peaks(**{name: np.array([value]) for name, value in (settings | changes).items()})


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, Status.OK),
        ({"rival": np.inf}, Status.OK),
        ({"rival": 1.9}, Status.MULTIMODAL),
        ({"rival": 2.1}, Status.OK),
        ({"edge": True}, Status.AT_BOUND),
        ({"edge": True, "rival": 0.0}, Status.AT_BOUND),
        ({"spread": 1000 / np.sqrt(3)}, Status.FLAT),
        ({"spread": 1000 / np.sqrt(3), "edge": True, "rival": 0.0}, Status.FLAT),
        ({"spread": 400.0}, Status.OK),
    ],
)
def test_a_peak_is_judged(changes, status):
    assert judge(make_peaks(**changes), 1000.0) == [status]


def test_estimates_are_right_within_their_errors(small, estimates):
    ok = estimates.ok()
    assert ok.mean() > 0.98
    pull = (estimates.defocus_change - small.true_change)[ok] / estimates.defocus_error[ok]
    assert abs(pull.mean()) < 4 / np.sqrt(ok.sum())
    assert abs(pull.std() - 1) < 4 / np.sqrt(2 * ok.sum())
    bound = small.simulation.truth.cramer_rao[ok]
    assert np.median(estimates.defocus_error[ok] / bound) == pytest.approx(1, abs=0.1)


def test_the_gain_is_what_the_held_out_fold_says_of_a_true_error(small, estimates):
    """Half of (true change / error)² for each half of the data, less what fitting costs."""
    ok = estimates.ok()
    expected = ((small.true_change / estimates.defocus_error) ** 2 / 2)[ok]
    gain = estimates.held_out_gain[ok]
    slope = np.sum(gain * expected) / np.sum(expected**2)
    assert 0.5 < slope < 1.1  # curves are no parabolas so far out, and the guard's pixels are left
    assert (gain[expected > 10] > 0).mean() > 0.95


def test_of_right_defoci_the_held_out_fold_says_so():
    case = make_case(seed=4, defocus_error=0.0, height_scatter=0.0, ice_tilt=0.0, particles=200)
    gain = Profile().estimate(case.particles, case.evidence).held_out_gain
    assert -2.5 < gain.mean() < -0.5  # each fold loses its own error's half nat or so in the other


def test_a_true_change_beyond_the_range_is_not_taken_for_an_estimate():
    """All true changes lie near 600 Å, and the search ends at 300."""
    case = make_case(seed=5, particles=60, micrographs=1, ice_tilt=0.0, height_scatter=20.0)
    truth = case.simulation.truth
    particles = replace(
        case.particles, defocus_u=truth.defocus_u - 600, defocus_v=truth.defocus_v - 600
    )
    evidence = gather(particles, case.simulation.images, case.reference, change_max=300.0)
    estimates = Profile().estimate(particles, evidence)
    bound = estimates.status == Status.AT_BOUND
    assert bound.mean() > 0.9
    assert (estimates.defocus_change[bound] == 0).all()
    assert (estimates.defocus_error[bound] > 100).all()
    assert (np.abs(estimates.defocus_change) <= 300).all()


def test_images_without_noise_are_the_easiest():
    """Where nothing but the model's own error is left, of a few Å."""
    case = make_case(snr=1e6, particles=40, micrographs=1)
    estimates = Profile().estimate(case.particles, case.evidence)
    assert estimates.ok().all()
    assert np.abs(estimates.defocus_change - case.true_change).max() < 20


def test_images_without_particles_are_flat_or_at_least_not_sharp(small):
    images = NoiseOnly(Noise(kind="white", size=SMALL.box, pixel_size=SMALL.pixel_size))
    evidence = gather(small.particles, images, small.reference)
    estimates = Profile().estimate(small.particles, evidence)
    assert (estimates.status == Status.FLAT).mean() > 0.9
    assert (estimates.defocus_error > 300).all()


def test_either_folds_estimate_is_of_about_a_third_of_the_pixels(small, estimates):
    """Each strays √3 errors from the truth: half their difference √(3/2), times what padding makes."""
    ok = estimates.ok()
    ones, twos = estimates.change_of_fold_1[ok], estimates.change_of_fold_2[ok]
    assert np.isfinite([ones, twos]).all()
    assert np.isnan(estimates.change_of_fold_1[~ok]).all()
    n, truth, error = ok.sum(), small.true_change[ok], estimates.defocus_error[ok]
    model = next(iter(small.evidence.models.values()))
    half = (ones - twos) / 2
    assert abs(half.mean()) < 4 * half.std() / np.sqrt(n)
    expected = np.sqrt(1.5 * model.fold_variance)
    assert np.std(half / error) == pytest.approx(expected, abs=4 * expected / np.sqrt(2 * n))
    for fold in (ones, twos):
        assert np.std((fold - truth) / error) == pytest.approx(np.sqrt(3), rel=4 / np.sqrt(2 * n))
    # their noise is their own: the whole's is in both
    apart = np.corrcoef(ones - truth, twos - truth)[0, 1]
    assert abs(apart) < 4 / np.sqrt(n)
    whole = np.corrcoef(ones - truth, estimates.defocus_change[ok] - truth)[0, 1]
    assert whole == pytest.approx(np.sqrt(1 / 3), abs=4 * (1 - 1 / 3) / np.sqrt(n))


def test_in_pure_noise_the_folds_estimates_have_nothing_in_common(small):
    images = NoiseOnly(Noise(kind="white", size=SMALL.box, pixel_size=SMALL.pixel_size))
    evidence = gather(small.particles, images, small.reference)
    draft = Draft(Profile(), small.particles, evidence)
    for rows, spectra, model in evidence.batches():
        _fill(draft, rows, spectra.sums, model, evidence.change())
    assert np.isfinite(draft.folds).all()
    n = len(draft.folds)
    assert abs(np.corrcoef(draft.folds.T)[0, 1]) < 4 / np.sqrt(n)
    assert np.corrcoef(draft.folds[:, 0], draft.change)[0, 1] > 4 / np.sqrt(n)  # which holds it
    # and where nothing is known no fold is told either
    finished = Profile().estimate(small.particles, evidence)
    assert np.isnan(finished.change_of_fold_1[~finished.ok()]).all()
