"""The ladder and the verdict, from gains that are known."""

import json
from dataclasses import replace

import numpy as np
import pytest

from parfocal.estimates import Status
from parfocal.ladder import RUNGS, WORTH, climb, ladder_of, mean_gain
from parfocal.verdict import Band, held_out_gain, verdict

from .test_ice import made_up

BAND = Band(resolution=3.0, wavelength=0.0197)


def scored(rng, means, *, micrographs=20, particles=50, shared=0.0, noise=1.0):
    """Estimates with gains of the three rungs about `means`; `shared` is a micrograph's own part."""
    n = micrographs * particles
    names = np.repeat([f"m{i}" for i in range(micrographs)], particles)
    x, y = rng.uniform(0, 4000, (2, n))
    estimates = made_up(names, x, y, np.full(n, 1e4))
    common = np.repeat(rng.normal(0, shared, micrographs), particles) + rng.normal(0, noise, n)
    columns = [mean + common + rng.normal(0, 0.05 * noise, n) for mean in means]
    names = ("gain_of_shift", "gain_of_plane", "held_out_gain")
    change = rng.normal(0, 100.0, n)
    return replace(
        estimates,
        defocus_change=change,
        change_low=change - 20,
        change_high=change + 20,
        **dict(zip(names, columns, strict=True)),
    )


@pytest.mark.parametrize(
    ("means", "best", "helps", "says"),
    [
        ((1.0, 1.5, 2.0), "plane + particle", True, "Local defocus helps: +2.0"),
        ((1.0, 1.5, 1.4), "plane", True, "A plane for each micrograph helps: +1.5"),
        ((1.0, 0.5, 0.4), "micrograph shift", True, "One shift a micrograph helps: +1.0"),
        ((-1.0, -0.5, -0.4), "input", False, "Keep the micrograph defocus"),
    ],
)
def test_the_verdict_names_the_simplest_model_that_the_data_support(means, best, helps, says):
    found = verdict(scored(np.random.default_rng(1), means), BAND)
    assert (found.best, found.helps) == (best, helps)
    assert found.text.startswith(says)


def test_a_gain_within_its_error_takes_no_step():
    estimates = scored(np.random.default_rng(2), (0.01, 0.01, 0.01))
    mean, error = mean_gain(estimates.held_out_gain, estimates.micrograph, 3)
    assert 0 < mean < 2 * error
    found = verdict(estimates, BAND)
    assert (found.best, found.helps) == ("input", False)


def test_the_error_is_of_measuring_this_set():
    """The same micrographs measured again: the mean's spread is what its error says."""
    rng, means, errors = np.random.default_rng(3), [], []
    own = np.repeat(rng.normal(0, 2.0, 12), 20)  # each micrograph gains what it gains
    for _ in range(300):
        estimates = scored(rng, (0, 0, 0), micrographs=12, particles=20)
        mean, error = mean_gain(own + estimates.held_out_gain, estimates.micrograph)
        means.append(mean)
        errors.append(error)
    real, said = np.std(means), np.sqrt(np.mean(np.square(errors)))
    assert said == pytest.approx(real, rel=4 / np.sqrt(2 * 300))
    over_micrographs = 2.0 / np.sqrt(12)  # the spoiled twin
    assert over_micrographs > 3 * real


def test_parameters_that_a_micrograph_shares_cost_a_nat_each():
    estimates = scored(np.random.default_rng(7), (0, 0, 0), micrographs=12, particles=20)
    _, alone = mean_gain(estimates.held_out_gain, estimates.micrograph)
    _, shared = mean_gain(estimates.held_out_gain, estimates.micrograph, 3)
    assert shared**2 - alone**2 == pytest.approx(3 * 12 / 240**2)


def test_unscored_particles_do_not_count():
    estimates = scored(np.random.default_rng(4), (1.0, 1.5, 2.0))
    gains = np.stack(
        [estimates.gain_of_shift, estimates.gain_of_plane, estimates.held_out_gain], axis=1
    )
    holes = gains.copy()
    holes[::3] = np.nan
    kept = np.arange(len(gains)) % 3 > 0
    one, other = climb(holes, estimates.micrograph), climb(gains[kept], estimates.micrograph[kept])
    assert one == other
    assert list(one.gain) == list(RUNGS[1:])


def test_a_method_without_a_ladder_is_judged_by_its_gain():
    estimates = scored(np.random.default_rng(5), (1.0, 1.5, 2.0))
    alone = replace(estimates, gain_of_shift=np.full(1000, np.nan))
    assert ladder_of(alone) is None
    assert verdict(alone, BAND).helps is True
    assert verdict(replace(alone, held_out_gain=-alone.held_out_gain), BAND).helps is False
    unscored = replace(alone, held_out_gain=np.full(1000, np.nan))
    assert verdict(unscored, BAND).text.startswith("No verdict")


def test_one_particle_is_no_ladder():
    estimates = scored(np.random.default_rng(5), (1.0, 1.5, 2.0))
    assert ladder_of(estimates, [7]) is None
    assert ladder_of(estimates, [7, 8]) is not None
    plain = climb(np.ones((1, 3)), np.array(["m"])).plain()
    assert json.loads(json.dumps(plain, allow_nan=False))["over_plane"] == [None, None]


def test_particles_whose_change_is_not_used_do_not_vote():
    estimates = scored(np.random.default_rng(6), (1.0, 1.5, 2.0))
    alone = replace(estimates, gain_of_shift=np.full(1000, np.nan))
    status = np.where(np.arange(1000) % 2, Status.OK, Status.FLAT)
    gain = np.where(status == Status.OK, -1.0, 50.0) + alone.held_out_gain
    flat = replace(
        alone,
        status=status,
        held_out_gain=np.where(status == Status.OK, -alone.held_out_gain, gain),
        defocus_change=np.where(status == Status.OK, alone.defocus_change, 0.0),
    )
    assert verdict(flat, BAND).helps is False


def test_the_signal_that_defocus_errors_leave():
    """At 3 Å and 300 kV an error of 146 Å turns the phase by 1 rad: e^-½ is left."""
    error = 3.0**2 / (np.pi * 0.0197)
    assert error == pytest.approx(145.4, abs=0.1)
    assert BAND.signal_kept(error) == pytest.approx(np.exp(-0.5))
    assert BAND.signal_kept(0.0) == 1


def gain_of_heights(x):
    """Nats that heights of variance `x` times a fold's error variance gain, drawn and scored."""
    rng, n = np.random.default_rng(8), 400_000
    height = rng.normal(0, np.sqrt(x), n)
    folds = height + rng.normal(0, 1, (2, n))
    gain = np.zeros(n)
    for fitted, scored in (folds, folds[::-1]):
        mean, variance = fitted * x / (1 + x), x / (1 + x) + 1
        gain += scored**2 / 2 - (scored - mean) ** 2 / (2 * variance) - np.log(variance) / 2
    return gain.mean(), gain.std() / np.sqrt(n)


def test_what_is_worth_a_step_takes_five_percent_off_the_error():
    for x in (0.1, 0.5):
        mean, error = gain_of_heights(x)
        assert mean == pytest.approx(x - np.log(1 + x / (1 + x)), abs=4 * error)
    x = 0.0376
    assert x - np.log(1 + x / (1 + x)) == pytest.approx(WORTH, rel=0.01)
    assert 1 / np.sqrt(1 + 3 * x) == pytest.approx(0.95, abs=0.005)


def test_a_gain_that_is_sure_and_worth_nothing_takes_no_step():
    """Steps of a few standard errors in a large set, of half of WORTH each and of twice."""
    rng = np.random.default_rng(9)
    for share, best in ((0.5, "plane"), (2.0, "plane + particle")):
        means = (0.5, 1.0, 1.0 + share * WORTH)
        estimates = scored(rng, means, micrographs=4, particles=1000, noise=1e-3)
        ladder = ladder_of(estimates)
        assert ladder is not None
        assert ladder.over_plane[0] > 4 * ladder.over_plane[1]
        assert ladder.best == best


def test_the_gain_that_is_told_is_the_one_that_decides():
    """One number with one error, wherever it is told: that of the best rung, fits counted."""
    estimates = scored(np.random.default_rng(1), (1.0, 1.5, 1.4))
    ladder = ladder_of(estimates)
    assert ladder is not None
    assert held_out_gain(estimates) == ladder.gain["plane"]
    gain, error = held_out_gain(estimates)
    assert f"{gain:+.2f} ± {error:.2f} nats" in verdict(estimates, BAND).text
    alone = mean_gain(estimates.gain_of_plane, estimates.micrograph)
    assert error > alone[1]
