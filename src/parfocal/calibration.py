"""Noise, scale and falloff of an optics group, from the spectra of its own particles.

Expectation-maximisation of the model in likelihood.py with the particles' changes hidden, given a
Gaussian population of changes whose width is learned too. So nothing has to be known of the defoci
to learn the amplitudes, and a particle without information does not pretend to fit. An image that holds
something else than its reference, for which no template at all is likelier, is left out as far as
that is probable.
"""

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logsumexp

from parfocal.grid import SpectraGrid
from parfocal.likelihood import (
    NoiseModel,
    change_grid,
    defocus_table,
    retained_at,
    retained_table,
    template_terms,
    terms_at,
)
from parfocal.reference import Reference

ROUNDS = 8
SCALED = 2  # rounds until the images' unit is known, and images can be told from noise
SCALE_ROUNDS = 3  # between a particle's scale and its noise, which depend on each other
MODEL_ERROR = 3e-3  # of an image's power that the model cannot explain, even without noise
WIDTH_START = 300.0  # Å
WIDTH_LEAST = 20.0  # Å
WRONG_LEAST, WRONG_MOST = 0.01, 0.7  # share of images that hold something else


def calibrate(sums, prior, grid: SpectraGrid, reference: Reference, *, change_max) -> NoiseModel:
    """Noise model of one optics group from `sums` (m, bins, 8) and mean defoci `prior` (m,) [Å].

    a(k) = scale exp(-falloff k²) times the reference's weight, v(k) one power per bin. A few
    hundred particles suffice: m sets only the precision. Raises ValueError on no particles.
    """
    if not len(sums):
        raise ValueError("no particles to calibrate with")
    weight = reference.weight_at(grid.k)
    defocus = defocus_table(prior, change_max)
    model = NoiseModel(
        grid=grid,
        amplitude=weight,
        noise=_power(sums[..., 7].sum(axis=0) / len(sums), grid),
        scale_sd=0.0,
        defocus=defocus,
        retained=retained_table(grid, reference, defocus),
    )
    width, right = WIDTH_START, np.ones(len(sums))
    for number in range(ROUNDS):
        change = change_grid(grid, model.amplitude, change_max)
        if number >= SCALED:
            right = _right(sums, prior, model, change, (width, right))
        cross, norm, width = _expected_terms(sums, prior, model, change, (width, right))
        scale, falloff = _fit_amplitude(cross, norm, model.noise, grid.s, weight)
        amplitude = scale * np.exp(-falloff * grid.s) * weight
        power = sums[..., 7].sum(axis=0)
        residual = power - 2 * amplitude * cross + amplitude**2 * norm
        noise = _power(np.maximum(residual, MODEL_ERROR * power) / len(sums), grid)
        model = replace(model, amplitude=amplitude, noise=noise)
    held = right > 0.5
    return replace(model, scale_sd=_scale_spread(sums[held], prior[held], model, change))


def particle_scales(sums, prior, model: NoiseModel, change):
    """Each particle's own scale m of the signal and u of the noise power, at `change` (m,) [Å].

    u is the power of the residual that m leaves, over the model's. m is fitted and shrunk towards 1
    by what the population's spread `scale_sd` says. ℓ of a particle is (m cross - m² norm) / u.
    """
    cross, norm = (term[:, 0] for term in terms_at(sums, prior, model, change[:, None]))
    total = sums[..., 7] @ (1 / model.noise)
    signal = np.ones(len(sums))
    for _ in range(SCALE_ROUNDS):
        residual = total - 2 * signal * cross + 2 * signal**2 * norm
        noise = np.maximum(residual, MODEL_ERROR * total) / model.grid.n.sum()
        trust = model.scale_sd**2 / noise
        signal = (1 + trust * cross) / (1 + trust * 2 * norm)
    return signal, noise


def _scale_spread(sums, prior, model, change):
    """Spread of the particles' scales beyond what noise explains, from the middle 68 %."""
    cross, norm = template_terms(sums, prior, model, change)
    best = np.argmax(cross - norm, axis=1)[:, None]
    cross, norm = (np.take_along_axis(term, best, axis=1)[:, 0] for term in (cross, norm))
    low, high = np.quantile(cross / (2 * norm), [0.16, 0.84])
    return float(np.sqrt(max(0.0, ((high - low) / 2) ** 2 - np.median(1 / (2 * norm)))))


def _log_density(sums, prior, model, change, width):
    """(m, c) log-likelihood of each change, and log of the population's density, up to a constant."""
    cross, norm = template_terms(sums, prior, model, change)
    return cross - norm, -(change**2) / (2 * width**2)


def _right(sums, prior, model, change, population):
    """(m,) probability that an image holds the template, rather than none, whose ℓ is 0.

    `population` is the width of the changes and these probabilities so far.
    """
    width, right = population
    value, log_prior = _log_density(sums, prior, model, change, width)
    odds = logsumexp(value + log_prior, axis=1) - logsumexp(log_prior)
    wrong = np.clip(1 - right.mean(), WRONG_LEAST, WRONG_MOST)
    return expit(odds + np.log1p(-wrong) - np.log(wrong))


def _expected_terms(sums, prior, model, change, population):
    """Per bin, cross and norm of the template without amplitude, summed over particles as far as they
    are right and averaged over their changes; and the width of the changes [Å].
    """
    width, right = population
    density = np.exp(log_softmax(sum(_log_density(sums, prior, model, change, width)), axis=1))
    mean, square = density @ change, density @ change**2
    width = max(WIDTH_LEAST, float(np.sqrt(np.sum(right * square) / max(right.sum(), 1e-9))))
    turn = np.exp(1j * model.grid.change_phase(change)).T
    once, twice = density @ turn, density @ turn**2
    a, b = sums[..., 0] + 1j * sums[..., 1], sums[..., 2] + 1j * sums[..., 3]
    expected_norm = retained_at(model, prior + mean) * (sums[..., 6] - (b * twice).real) / 2
    return right @ (a * once).imag, right @ expected_norm, width


def _fit_amplitude(cross, norm, noise, s, weight):
    """Maximum-likelihood (scale, falloff) of a = scale exp(-falloff s) weight."""

    def best_scale(falloff):
        shape = np.exp(-falloff * s) * weight
        top = np.sum(shape * cross / noise)
        bottom = np.sum(shape**2 * norm / noise)
        return max(top / bottom, 1e-12), top**2 / bottom if top > 0 else 0.0

    span = 8.0 / s.max()  # amplitude changes by at most e^±8 over the band
    found = minimize_scalar(lambda f: -best_scale(f)[1], bounds=(-span, span), method="bounded")
    return best_scale(found.x)[0], found.x


def _power(sums, grid):
    """Power per independent value, each bin averaged with its neighbours where it holds few."""
    n = grid.n.sum(axis=0)
    kernel = np.array([0.25, 0.5, 0.25])
    padded = [np.pad(a, 1, mode="edge") for a in (sums, n)]
    top, bottom = (np.convolve(a, kernel, mode="valid") for a in padded)
    return np.maximum(top / bottom, 1e-30 + top.max() * 1e-12)
