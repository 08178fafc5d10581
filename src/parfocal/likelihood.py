"""Spectra + weights -> log-likelihood curves over the change of defocus, their peak and error.

The image is modelled as X = m a(k) CTF_δ P + noise of power v(k) that is Gaussian and independent
between the box's own Fourier pixels; m is the particle's scale (and u its noise, see calibration),
a(k) the group's amplitude (scale, falloff, FSC weight). Up to a constant, with w = a / v,

    ℓ(δ) = Σ_b m w_b Im[A_b e^{iπλδs}] - m² w_b a_b g_b(δ) ¼ (E_b - Re[B_b e^{2iπλδs}]).

g is the share of the template's energy that delocalisation leaves inside the box: the cropped
image holds no more of it, while P's own energy knows no box.
"""

from dataclasses import dataclass

import numpy as np

from parfocal.grid import SpectraGrid
from parfocal.optics import delocalisation

STEP_PHASE = 0.25  # rad, turn of the highest weighted frequency from one grid point to the next
RETAINED_STEP = 25.0  # Å of defocus between entries of the table of retained energy


@dataclass(frozen=True, kw_only=True)
class NoiseModel:
    """What one optics group's images are made of, per bin: the weights of the likelihood."""

    grid: SpectraGrid
    amplitude: np.ndarray  # (bins,) a: scale x falloff x FSC weight
    noise: np.ndarray  # (bins,) v: power of the noise in a pixel of the box's transform
    scale_sd: float  # spread of the particles' own scales m around 1
    fold_variance: float = 1.0  # of the folds' difference, over what their curves claim; see folds
    defocus: np.ndarray  # (t,) Å, mean defoci at which `retained` is tabulated
    retained: np.ndarray  # (t, bins) g


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Log-likelihood of m particles over a grid of changes [Å], relative to nothing in particular."""

    change: np.ndarray  # (c,) Å, evenly spaced, symmetric around 0
    value: np.ndarray  # (m, c) nats


def retained_table(grid, reference, defocus):
    """(t, bins) share of energy left in the box at mean defoci `defocus` (t,) [Å]."""
    distance = delocalisation(grid.k, np.asarray(defocus)[:, None], grid.optics)
    half_width = grid.optics.image_size * grid.optics.pixel_size / 2
    return reference.retained(distance, half_width)


def defocus_table(prior, change_max):
    """Defoci [Å] at which to tabulate the retained energy, for particles of mean defocus `prior`."""
    low, high = np.min(prior) - change_max, np.max(prior) + change_max
    return np.arange(low, high + RETAINED_STEP, RETAINED_STEP)


def change_grid(grid: SpectraGrid, amplitude, change_max):
    """Changes [Å] fine enough for the highest frequency that `amplitude` (bins,) still weighs."""
    weight = np.cumsum(amplitude**2 * grid.n.sum(axis=0))
    top = grid.s[np.searchsorted(weight, 0.999 * weight[-1])]
    step = STEP_PHASE / (np.pi * grid.optics.wavelength * top)
    half = max(32, int(np.ceil(change_max / step)))
    return np.linspace(-change_max, change_max, 2 * half + 1)


def template_terms(sums, prior, model: NoiseModel, change):
    """The two terms of ℓ on a grid of changes: (m, c) each, ℓ = scale cross - scale² norm.

    `sums` is (m, bins, 8), `prior` (m,) the mean defoci.
    """
    weight = model.amplitude / model.noise
    turn = model.grid.change_phase(change)
    a = sums[..., 0:2] * weight[:, None]
    cross = a[..., 0] @ np.sin(turn) + a[..., 1] @ np.cos(turn)
    weight = weight * model.amplitude / 4
    here = retained_at(model, prior)
    b = sums[..., 2:4] * (weight * here)[..., None]
    norm = b[..., 1] @ np.sin(2 * turn) - b[..., 0] @ np.cos(2 * turn)
    energy = (sums[..., 6] * weight) @ model.retained.T
    norm += _shifted(energy, _table_place(model, np.add.outer(prior, change)))
    return cross, norm


def retained_at(model: NoiseModel, defocus):
    """(m, bins) share of energy left in the box at mean defoci `defocus` (m,), nearest entry."""
    place = np.rint(_table_place(model, defocus)).astype(int)
    return model.retained[np.clip(place, 0, len(model.defocus) - 1)]


def _table_place(model, defocus):
    return (defocus - model.defocus[0]) / RETAINED_STEP


def _shifted(table, place):
    """table[i, place[i, j]] by linear interpolation."""
    place = np.clip(place, 0, table.shape[1] - 1.001)
    low = place.astype(int)
    share = place - low
    at = np.take_along_axis(table, low, axis=1)
    return at + share * (np.take_along_axis(table, low + 1, axis=1) - at)


def terms_at(sums, prior, model: NoiseModel, change):
    """As `template_terms`, at each particle's own changes (m, c): direct sums, for a few points."""
    weight = model.amplitude / model.noise
    cross, norm = np.empty(change.shape), np.empty(change.shape)
    energy = (sums[..., 6] * (weight * model.amplitude / 4)) @ model.retained.T
    here = retained_at(model, prior)
    a = (sums[..., 0] + 1j * sums[..., 1]) * weight
    b = (sums[..., 2] + 1j * sums[..., 3]) * (weight * model.amplitude / 4 * here)
    for j in range(change.shape[1]):
        turn = np.exp(1j * model.grid.change_phase(change[:, j]).T)
        cross[:, j] = np.einsum("mb,mb->m", a, turn).imag
        norm[:, j] = -np.einsum("mb,mb,mb->m", b, turn, turn).real
    norm += _shifted(energy, _table_place(model, prior[:, None] + change))
    return cross, norm


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """The maximum of each of m curves, and how sharp it is."""

    change: np.ndarray  # (m,) Å
    value: np.ndarray  # (m,) nats at the maximum
    error: np.ndarray  # (m,) Å, root mean square distance of the truth from `change`, flat prior
    error_at_prior: np.ndarray  # (m,) Å, the same distance from a change of 0
    spread: np.ndarray  # (m,) Å, standard deviation of the curve read as a probability
    rival: np.ndarray  # (m,) nats by which the best other maximum is lower, inf if there is none
    edge: np.ndarray  # (m,) bool, the maximum is the first or last point of the grid


def find_peaks(curves: Curves, evaluate) -> Peaks:
    """Maximum and error of each curve; `evaluate(change (m, 3)) -> (m, 3)` gives exact values.

    The error is √E[(δ - δ̂)²] with the curve as posterior over the searched range: the curvature's
    1/√-ℓ″ for a sharp peak, and wide, as it must be, for a flat or many-peaked curve. A peak
    narrower than the grid is integrated by Laplace's method from three exact points.
    """
    change, value = curves.change, curves.value
    step = change[1] - change[0]
    best = np.argmax(value, axis=1)
    edge = (best == 0) | (best == len(change) - 1)
    place, top, sharp = _refine(change[np.clip(best, 1, len(change) - 2)], step, evaluate)
    place = np.where(edge, change[best], np.clip(place, change[0], change[-1]))
    top = np.where(edge, value.max(axis=1), np.maximum(top, value.max(axis=1)))
    density = np.exp(value - value.max(axis=1, keepdims=True))
    total = density.sum(axis=1)
    mean = density @ change / total
    square = density @ change**2 / total
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    error = np.sqrt(np.maximum(square - 2 * mean * place + place**2, 0))
    narrow = (sharp < 1.5 * step) & (error < 1.5 * step) & ~edge
    return Peaks(
        change=place,
        value=top,
        error=np.where(narrow, sharp, np.maximum(error, step / 2)),
        error_at_prior=np.where(narrow, np.hypot(sharp, place), np.sqrt(square)),
        spread=np.where(narrow, sharp, np.maximum(spread, step / 2)),
        rival=top
        - _best_rival(value, best, np.maximum(2 * np.minimum(sharp, error), 2 * step), step),
        edge=edge,
    )


def _refine(place, step, evaluate):
    """Twice the parabola through three exact points around `place`: (maximum, value, 1/√-ℓ″)."""
    top = sharp = np.full(len(place), np.nan)
    for h in (step / 2, step / 8):
        left, centre, right = evaluate(place[:, None] + np.array([-h, 0.0, h])).T
        bend = np.minimum(left - 2 * centre + right, -1e-12)
        move = np.clip((left - right) / (2 * bend), -2, 2)
        place, top = place + h * move, centre - (left - right) ** 2 / (8 * bend)
        sharp = h / np.sqrt(-bend)
    return place, top, sharp


def _best_rival(value, best, apart, step):
    """Height of the highest other local maximum farther than `apart` [Å] from the best one."""
    inner = value[:, 1:-1]
    peak = (inner >= value[:, :-2]) & (inner >= value[:, 2:])
    distance = np.abs(np.arange(1, value.shape[1] - 1) - best[:, None]) * step
    rivals = np.where(peak & (distance > apart[:, None]), inner, -np.inf)
    return rivals.max(axis=1, initial=-np.inf)
