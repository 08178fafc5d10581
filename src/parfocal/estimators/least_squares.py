"""Weighted squared differences of images and templates, as other programs minimise them.

With weights W, a template of amplitude t = scale exp(-B s / 4), and the spectra's cross and norm,

    E(x) = Σ_b W_b (X_b - 2 t_b cross_b + t_b² norm_b),    x = (change δ, a, b, B, scale).

(a, b) is a change of the astigmatism vector. E holds no noise model, so its curvature is no error bar;
`least_squares_error` says what the noise does to its minimum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parfocal.astigmatism import complex_sums, turn
from parfocal.curves import ParticleCurves
from parfocal.grid import SpectraGrid
from parfocal.likelihood import retained_at

DEFOCUS, COSINE, SINE, B_FACTOR, SCALE = range(5)
NEUTRAL = np.array([0.0, 0.0, 0.0, 0.0, 1.0])
SETTLED = np.array([0.02, 0.02, 0.02, 0.02, 1e-5])  # Å, Å, Å, Å², 1: smaller steps are none
MOST_STEPS = 60
GIVEN_UP = 1e8  # damping at which no step goes down any more


@dataclass(frozen=True, kw_only=True)
class Problems:
    """Weighted spectra of m images, or of sums over images, each a problem of its own."""

    a: NDArray[np.complex128]  # complex (m, bins), W A
    b: NDArray[np.complex128]  # complex (m, bins), W B
    e: np.ndarray  # (m, bins), W E
    a_waves: NDArray[
        np.complex128
    ]  # complex (m, bins, 4), W A cos 2φ ... ; (m, 0, 4) where not needed
    b_waves: NDArray[np.complex128]
    s: np.ndarray  # (bins,) Å⁻²
    rate: np.ndarray  # (bins,) rad / Å, πλs

    def take(self, rows) -> "Problems":
        """Some of the problems."""
        parts = (part[rows] for part in (self.a, self.b, self.e, self.a_waves, self.b_waves))
        return self._of(*parts)

    def settled(self, x, free: Sequence[int]) -> "Problems":
        """The problems that remain once all of x (m, 5) but `free` is put into the spectra."""
        fixed = np.where(np.isin(np.arange(5), free), NEUTRAL, x)
        t = fixed[:, SCALE, None] * np.exp(-fixed[:, B_FACTOR, None] * self.s / 4)
        once = t * np.exp(1j * np.outer(fixed[:, DEFOCUS], self.rate))
        a, b, a_waves, b_waves = self.a, self.b, self.a_waves, self.b_waves
        if COSINE in free:
            a_waves, b_waves = a_waves * once[..., None], b_waves * once[..., None] ** 2
        else:
            if fixed[:, COSINE : SINE + 1].any():
                a = turn(a, a_waves, self.rate, fixed[:, COSINE : SINE + 1]).value
                b = turn(b, b_waves, 2 * self.rate, fixed[:, COSINE : SINE + 1]).value
            a_waves, b_waves = a_waves[:, :0], b_waves[:, :0]
        return self._of(a * once, b * once**2, self.e * t**2, a_waves, b_waves)

    def pooled(self, index) -> "Problems":
        """Sums over the problems of equal `index` (m,), which counts from 0."""
        order = np.argsort(index, kind="stable")
        starts = np.flatnonzero(np.diff(index[order], prepend=-1))
        parts = (self.a, self.b, self.e, self.a_waves, self.b_waves)
        return self._of(*(np.add.reduceat(part[order], starts, axis=0) for part in parts))

    def _of(self, a, b, e, a_waves, b_waves):
        return Problems(a=a, b=b, e=e, a_waves=a_waves, b_waves=b_waves, s=self.s, rate=self.rate)


def problems(sums, harmonics, grid: SpectraGrid, weight) -> Problems:
    """Problems of m particles from `sums` (m, bins, 8), `harmonics` (m, bins or 0, 16) and W (bins,).

    Bins without weight are left out.
    """
    kept = weight > 0
    w = weight[kept]
    waves = harmonics[:, kept] if harmonics.shape[1] else harmonics
    a, b, a_waves, b_waves = complex_sums(sums[:, kept].astype(float), waves.astype(float))
    far = w[:, None] if harmonics.shape[1] else 1.0
    return Problems(
        a=a * w,
        b=b * w,
        e=sums[:, kept, 6] * w,
        a_waves=a_waves * far,
        b_waves=b_waves * far,
        s=grid.s[kept],
        rate=grid.change_phase(1.0)[kept],
    )


def cross_and_norm(problems: Problems, change) -> tuple[np.ndarray, np.ndarray]:
    """⟨X, CTF P⟩ and ‖CTF P‖² under the weights, on a grid of changes (c,) [Å]: (m, c) each."""
    turned = np.multiply.outer(problems.rate, change)
    sine, cosine = np.sin(turned), np.cos(turned)
    cross = problems.a.real @ sine + problems.a.imag @ cosine
    swing = problems.b.real @ (cosine**2 - sine**2) - problems.b.imag @ (2 * sine * cosine)
    return cross, (problems.e.sum(axis=1, keepdims=True) - swing) / 2


def cost(problems: Problems, change) -> np.ndarray:
    """(m, c) E, but for a constant, on a grid of changes (c,) [Å], all else neutral."""
    cross, norm = cross_and_norm(problems, change)
    return norm - 2 * cross


def descend(problems: Problems, x, free: Sequence[int]) -> np.ndarray:
    """x (m, 5) after going down E from `x`, `free` parameters moving, to the minimum it leads to.

    Gauss-Newton with damping (Levenberg-Marquardt), each problem by itself. A template turns no
    slower than E rises, so a step does not leap over a hill: what is found is the nearest minimum
    downhill, as by any descent. `problems` must be settled in all that is not free.
    """
    x, free = np.array(x, dtype=float), list(free)
    active, damping = np.arange(len(x)), np.full(len(x), 1e-4)
    here, value, slope, bend = problems, *_expand(problems, x, free)
    for _ in range(MOST_STEPS):
        diagonal = np.einsum("mii->mi", bend)
        eye = np.eye(len(free)) * (damping[active, None] * diagonal + 1e-30)[:, None]
        step = -np.linalg.solve(bend + eye, slope[..., None])[..., 0]
        trial = x[active]
        trial[:, free] += step
        with np.errstate(over="ignore", invalid="ignore"):  # of a step too far, which is not taken
            new_value, new_slope, new_bend = _expand(here, trial, free)
        down = new_value <= value
        x[active[down]] = trial[down]
        value = np.where(down, new_value, value)
        slope = np.where(down[:, None], new_slope, slope)
        bend = np.where(down[:, None, None], new_bend, bend)
        damping[active] *= np.where(down, 0.1, 10.0)
        going = (np.abs(step) > SETTLED[free]).any(axis=1) & (damping[active] < GIVEN_UP)
        if not going.any():
            break
        if not going.all():
            active, here = active[going], here.take(going)
            value, slope, bend = value[going], slope[going], bend[going]
    return x


def improve(whole: Problems, x, free: Sequence[int], index=None) -> np.ndarray:
    """x (m, 5) with its `free` parameters gone down the hill that the others leave.

    With `index` (m,), which counts from 0, problems of equal index share what is free.
    """
    x, out = np.asarray(x), np.array(x)
    free = list(free)
    rest, start = whole.settled(x, free), np.tile(NEUTRAL, (len(x), 1))
    start[:, free] = x[:, free]
    if index is None:
        out[:, free] = descend(rest, start, free)[:, free]
    else:
        first = np.unique(index, return_index=True)[1]
        out[:, free] = descend(rest.pooled(index), start[first], free)[index][:, free]
    return out


def _expand(problems: Problems, x, free):
    """(E, gradient, Hessian) by `free`, (m,), (m, f), (m, f, f), at x (m, 5).

    The Hessian is Gauss-Newton's, with E isotropic over the azimuth; of δ the exact one where that
    is not much smaller.
    """
    p, rate = problems, problems.rate
    log_t = (-p.s / 4, 1 / x[:, SCALE, None])  # d ln t by B and by scale
    t = x[:, SCALE, None] * np.exp(-x[:, B_FACTOR, None] * p.s / 4)
    spin = np.exp(1j * x[:, DEFOCUS, None] * rate)
    gradient, hessian = np.zeros((len(x), 5)), np.zeros((len(x), 5, 5))
    a, b = p.a, p.b
    if COSINE in free:
        turned_a = turn(a, p.a_waves, rate, x[:, COSINE : SINE + 1])
        turned_b = turn(b, p.b_waves, 2 * rate, x[:, COSINE : SINE + 1])
        a, b = turned_a.value, turned_b.value
        for i in (1, 2):
            slope = -2 * t * (turned_a[i] * spin).imag - t**2 / 2 * (turned_b[i] * spin**2).real
            gradient[:, i] = slope.sum(axis=1)
    v, w = t * a * spin, t**2 * b * spin**2
    e = t**2 * p.e
    value = np.sum(-2 * v.imag + (e - w.real) / 2, axis=1)
    gradient[:, DEFOCUS] = (-2 * v.real + w.imag) @ rate
    hessian[:, DEFOCUS, DEFOCUS] = gauss = (e + w.real) @ rate**2
    hessian[:, COSINE, COSINE] = hessian[:, SINE, SINE] = gauss / 2
    exact = 2 * (v.imag + w.real) @ rate**2
    hessian[:, DEFOCUS, DEFOCUS] = np.where(exact > gauss / 4, exact, gauss)
    if SCALE in free:
        pull, stiff, tie = -2 * v.imag + e - w.real, e - w.real, w.imag * rate
        for i, one in enumerate(log_t, B_FACTOR):
            gradient[:, i] = np.sum(pull * one, axis=1)
            hessian[:, DEFOCUS, i] = hessian[:, i, DEFOCUS] = np.sum(tie * one, axis=1)
            for j, other in enumerate(log_t, B_FACTOR):
                hessian[:, i, j] = np.sum(stiff * one * other, axis=1)
    return value, gradient[:, free], hessian[:, free][:, :, free]


def least_squares_error(curves: ParticleCurves, weight, change) -> tuple[np.ndarray, np.ndarray]:
    """(standard deviation [Å], temper), (m,) each, of the minimum of a weighted squared difference.

    `weight` (bins,) or (m, bins) is W t, what multiplies ⟨X, CTF P⟩ in the cost; a factor in it does
    not matter to the error. With noise power v, amplitude a, and D the energy of the template's
    derivative by δ at `change` (m,),

        var = Σ W² t² v D / (Σ W t a D)²,    temper = Σ W t a D / Σ W² t² v D.

    Temper times -E / 2 is a log-likelihood as sharp as its minimum is good (Pauli, Racugno and
    Ventura, Stat. Sinica 21, 2011). Wrong where the minimum is another than the truth's.
    """
    model, sums = curves.model, curves.sums
    w = np.exp(2j * model.grid.change_phase(change).T)
    energy = (sums[..., 6] + ((sums[..., 2] + 1j * sums[..., 3]) * w).real) / 2
    energy = energy * model.grid.change_phase(1.0) ** 2
    energy = energy * retained_at(model, curves.prior + change)
    score = np.sum(weight**2 * model.noise * energy, axis=1) * curves.noise
    curvature = np.sum(weight * model.amplitude * energy, axis=1) * curves.signal
    score, curvature = np.maximum(score, 1e-300), np.maximum(curvature, 1e-300)
    return np.sqrt(score) / curvature, curvature / score
