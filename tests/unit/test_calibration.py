"""Data drawn from the model give its amplitude, falloff, noise and scales back."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.fft

from parfocal.calibration import calibrate
from parfocal.evidence import gather
from parfocal.reference import map_reference

from .conftest import SMALL, Scaled, make_case, sums_of

SCENES = {
    "as it comes": {},
    "faint": {"snr": 0.03},
    "coloured noise": {"noise": "coloured"},
    "wrong defoci": {"defocus_error": 600.0},
    "right defoci": {"defocus_error": 0.0, "height_scatter": 0.0, "ice_tilt": 0.0},
}


@pytest.fixture(scope="module", params=SCENES.values(), ids=SCENES)
def case(request):
    return make_case(**request.param)


def damped(density, factor, falloff):
    """The map times factor exp(-falloff k²)."""
    n, k = len(density), np.fft.fftfreq(len(density), SMALL.pixel_size)
    half = np.fft.rfftfreq(n, SMALL.pixel_size)
    s = k[:, None, None] ** 2 + k[:, None] ** 2 + half**2
    spectrum = scipy.fft.rfftn(density) * (factor * np.exp(-falloff * s))
    return scipy.fft.irfftn(spectrum, s=density.shape).astype(np.float32)


def scale_and_falloff(model, reference):
    """(scale, falloff) of an amplitude that is scale exp(-falloff s) weight."""
    weight = reference.weight_at(model.grid.k)
    ratio = np.log(model.amplitude[weight > 0] / weight[weight > 0])
    slope, offset = np.polyfit(model.grid.s[weight > 0], ratio, 1)
    assert np.ptp(ratio - offset - slope * model.grid.s[weight > 0]) < 1e-6
    return np.exp(offset), -slope


def fisher_errors(case, model, sums):
    """Standard errors of (ln scale, falloff) with all defoci known, from the templates' energies."""
    s, turn = model.grid.s, model.grid.change_phase(case.true_change).T
    oscillating = (sums[..., 2] + 1j * sums[..., 3]) * np.exp(2j * turn)
    energy = ((sums[..., 6] - oscillating.real) / 2).sum(axis=0) * model.amplitude**2
    moments = [np.sum(energy / model.noise * s**power) for power in range(3)]
    information = [[moments[0], -moments[1]], [-moments[1], moments[2]]]
    return np.sqrt(np.diag(np.linalg.inv(information)))


@pytest.mark.parametrize(("factor", "falloff"), [(1.0, 0.0), (3.0, 5.0), (0.01, -8.0)])
def test_scale_and_falloff_come_back(case, factor, falloff):
    """Of a reference that was spoilt by the inverse; 1 % for what the box cuts off, and 0.2 Å²."""
    simulation = case.simulation
    reference = map_reference(damped(simulation.map, factor, falloff), pixel_size=SMALL.pixel_size)
    evidence = gather(case.particles, simulation.images, reference)
    model = evidence.models[0]
    errors = fisher_errors(case, model, sums_of(evidence).sum(axis=1))
    found = scale_and_falloff(model, reference)
    assert abs(np.log(found[0] * factor)) < 0.01 + 3 * errors[0]
    assert abs(found[1] + falloff) < 0.2 + 3 * errors[1]


def test_noise_power_is_that_of_the_noise_alone(case):
    """Each bin to 4 standard errors and 1 %, and 3 % where coloured noise falls within bins."""
    model, noise = case.evidence.models[0], case.simulation.images.noise
    k = np.hypot(
        np.fft.fftfreq(SMALL.box, SMALL.pixel_size)[:, None],
        np.fft.rfftfreq(SMALL.box, SMALL.pixel_size),
    )
    order = np.argsort(k, axis=None)
    width = 60
    smooth = [np.convolve(a.ravel()[order], np.ones(width) / width) for a in (k, noise.power)]
    inner = slice(width, -width)
    here = (model.grid.k > 0.03) & (model.grid.k < 0.24)
    expected = np.interp(model.grid.k[here], smooth[0][inner], smooth[1][inner])
    error = np.sqrt(2 / (len(case.particles) * model.grid.n.sum(axis=0)[here]))
    allowed = 4 * error + (0.01 if noise.kind == "white" else 0.03)
    assert (np.abs(model.noise[here] / expected - 1) < allowed).all()


def test_particles_that_are_all_alike_have_no_spread_of_scales(case):
    """Though each one's own fit strays by one over the root of its signal over noise."""
    assert case.evidence.models[0].scale_sd < 0.7 / np.sqrt(
        case.simulation.scene.snr * SMALL.box**2
    )


def recalibrated(case, factor=1.0, images=None):
    """Noise model of the small scene from images times a factor, or from other images."""
    images = (
        Scaled(case.simulation.images, np.full(len(case.particles), factor))
        if images is None
        else images
    )
    return gather(case.particles, images, case.reference).models[0]


@pytest.mark.parametrize("factor", [1e-3, 1e4])
def test_units_of_the_images_do_not_matter(small, factor):
    one, other = recalibrated(small), recalibrated(small, factor)
    np.testing.assert_allclose(other.amplitude, factor * one.amplitude, rtol=1e-5)
    np.testing.assert_allclose(other.noise, factor**2 * one.noise, rtol=1e-5)
    assert other.scale_sd == pytest.approx(one.scale_sd, abs=1e-4)


class OwnSignal:
    """Images whose particle, but not whose noise, is as many times stronger as its factor says."""

    def __init__(self, images, factor):
        self.images, self.factor = images, factor

    def read_into(self, row, out):
        self.images.read_into(row, out)
        out += np.float32(self.factor[row] - 1) * self.images.clean(row)


@pytest.mark.parametrize("spread", [0.0, 0.15, 0.3])
def test_spread_of_the_particles_own_scales_comes_back(small, spread):
    """Within 4 standard errors of a quantile's range, or of noise alone."""
    n = len(small.particles)
    factor = np.random.default_rng(5).normal(1, spread, n)
    model = recalibrated(small, images=OwnSignal(small.simulation.images, factor))
    allowed = 4 * 1.2 * spread / np.sqrt(2 * n) if spread else 0.03
    assert model.scale_sd == pytest.approx(spread, abs=allowed)


def test_more_of_the_same_particles_change_nothing(small):
    """Twice each particle is the same data: EM sums, and nothing depends on their number."""
    model, sums = small.evidence.models[0], small.sums.sum(axis=1)
    prior = small.particles.defocus
    again = calibrate(
        np.concatenate([sums, sums]),
        np.concatenate([prior, prior]),
        model.grid,
        small.reference,
        change_max=1000.0,
    )
    np.testing.assert_allclose(again.amplitude, model.amplitude, rtol=1e-5)
    np.testing.assert_allclose(again.noise, model.noise, rtol=1e-5)


def test_images_without_noise_do_not_break_it():
    """Nothing is left to call noise, but for what the model cannot explain."""
    case = make_case(snr=1e6, particles=40, micrographs=1)
    model = case.evidence.models[0]
    assert (model.noise > 0).all()
    scale, falloff = scale_and_falloff(model, case.reference)
    assert scale == pytest.approx(1, abs=0.03)
    assert abs(falloff) < 1


def test_pure_noise_has_no_amplitude(small):
    """A reference turned the wrong way explains nothing of the images."""
    n = len(small.particles)
    turned = np.random.default_rng(1).permutation(n)
    wrong = replace(
        small.particles, rot=small.particles.rot[turned], tilt=small.particles.tilt[turned]
    )
    model = gather(wrong, small.simulation.images, small.reference).models[0]
    right = small.evidence.models[0]
    outer = model.grid.k > 0.1
    assert (model.amplitude[outer] < 0.2 * right.amplitude[outer]).all()


def test_no_particles_are_refused(small):
    model = small.evidence.models[0]
    with pytest.raises(ValueError, match="no particles"):
        calibrate(
            np.zeros((0, model.grid.bins, 8)),
            np.zeros(0),
            model.grid,
            small.reference,
            change_max=1000.0,
        )
