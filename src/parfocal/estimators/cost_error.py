"""What noise does to a defocus that was found by comparing an image with its template over a circle."""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from parfocal.calibration import particle_scales
from parfocal.likelihood import NoiseModel
from parfocal.optics import delocalisation
from parfocal.reference import Reference
from parfocal.template import ROLLOFF

CIRCLE = np.pi / 4  # of the box's area


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What of a cost its error depends on."""

    low_pass: float  # Å
    interpolated: bool  # the image was moved by bilinear interpolation
    l1: bool = False  # else least squares or correlation


def cost_error(sums, prior, change, model: NoiseModel, reference: Reference, cost: Cost):
    """Standard deviation (m,) [Å] of the mean defocus near the minimum of a cost in pixels.

    `sums` (m, bins, 8), folds summed; `prior` and `change` (m,) [Å]. The cost is not the likelihood,
    so its curvature is no error; for least squares, and for correlation, with template derivative T'
    (of energy D a bin), response R of the bilinear interpolation and noise power S behind it,

        var = Σ c S D / (Σ m R a g D)²  over the low-passed band.

    g is the share of the particle's energy that delocalisation leaves in the circle, c that of the
    template, which wraps around. With cost L1, signs of the residual take its place: S becomes the
    transform of σ² arcsin(ρ), ρ the noise's autocorrelation (π/2 times S for white noise). Wrong
    where the cost has another minimum within reach.
    """
    optics, k = model.grid.optics, model.grid.k
    band = k <= 1 / cost.low_pass
    turn = np.exp(2j * model.grid.change_phase(change).T)
    energy = sums[..., 6] + ((sums[..., 2] + 1j * sums[..., 3]) * turn).real
    energy = energy / 2 * (np.pi * optics.wavelength * model.grid.s) ** 2 * band
    distance = delocalisation(k, (prior + change)[:, None], optics)
    half_width = optics.image_size * optics.pixel_size / 2
    in_box = reference.retained(distance, half_width)
    in_circle = reference.retained(distance, half_width * np.sqrt(CIRCLE))  # a square as large
    signal, noise = particle_scales(sums, prior, model, change)
    power = _noise_behind(model, cost)
    gradient = noise * np.sum((in_circle + CIRCLE * (1 - in_box)) * power * energy, axis=1)
    response = _response(k * optics.pixel_size) if cost.interpolated else 1.0
    curvature = signal * np.sum(response * model.amplitude * in_circle * energy, axis=1)
    return np.sqrt(gradient) / np.maximum(curvature, 1e-30)


def _noise_behind(model: NoiseModel, cost: Cost):
    """(bins,) power of the noise behind low-pass and interpolation, as the cost takes it."""
    n, k = model.grid.optics.image_size, model.grid.k * model.grid.optics.pixel_size
    limit = model.grid.optics.pixel_size / cost.low_pass
    x, y = np.fft.rfftfreq(n), np.fft.fftfreq(n)[:, None]
    radius = np.hypot(x, y)
    edge = np.clip((radius - limit) / ROLLOFF, 0, 1)
    power = np.interp(radius, k, model.noise) * (0.5 + 0.5 * np.cos(np.pi * edge)) ** 2
    if cost.interpolated:
        power *= _passed(x) * _passed(y)
    if cost.l1:
        correlation = scipy.fft.irfft2(power, s=(n, n))
        variance = correlation[0, 0]
        power = scipy.fft.rfft2(variance * np.arcsin(np.clip(correlation / variance, -1, 1))).real
    shell = np.rint(radius * n).astype(int).ravel()
    profile = np.bincount(shell, power.ravel()) / np.bincount(shell)
    return np.interp(k * n, np.arange(len(profile)), profile)


def _passed(x):
    """Share of noise power that linear interpolation passes at `x` cycles per pixel, over all shifts."""
    return (2 + np.cos(2 * np.pi * x)) / 3


def _response(k):
    """Mean share of a wave's amplitude that it passes, over all shifts and directions of `k` (m,).

    Over its places between two pixels, linear interpolation is on average a triangle, hence sinc².
    """
    azimuth = (np.arange(8) + 0.5) * np.pi / 16
    x, y = np.multiply.outer(k, np.cos(azimuth)), np.multiply.outer(k, np.sin(azimuth))
    return np.mean(np.sinc(x) ** 2 * np.sinc(y) ** 2, axis=-1)
