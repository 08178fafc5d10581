"""The astigmatism of each micrograph, refined from the azimuth that its particles' spectra keep.

A change (a, b) of the astigmatism vector is shared by the particles of a micrograph. With each one's
change of mean defocus δ believed to be Gaussian about m with deviation d, E e^{iπλδs} is
exp(iπλms - (πλds)²/2), and the expected log-likelihood of a micrograph, the M-step of an EM whose
hidden values are the δ, is a sum over bins of a few numbers:

    Q(a, b) = Σ_i p_i E[ℓ_i(δ_i; a, b)],    p_i: probability that image i holds its template.

It is maximised by Newton's method with the expected curvature. (a, b) has a Gaussian prior over
micrographs, its width learned from all of them (empirical Bayes), and one more of USUAL before any is
seen. Whether it is real is asked of particles that it was not fitted on: see `_gains`.

The harmonics are those of all the particle's pixels, and hold its own part in the map, which only the
sums without azimuth are freed of. That part is nearly round, so what is left of its pull to the input
is small: a slope of estimate against truth of 0.94, where the opposite half's map gives 0.95, and 0.71
if nothing is taken back (simulated, 600 particles a half). What parfocal.astigmatism drops costs the
likelihood 2 J₃(ρ)² of its maximum, and pulls too: by 2 to 5 % of a change that turns the end of the
signal by 2 to 5 rad.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, logsumexp

from parfocal.astigmatism import complex_sums, turn
from parfocal.calibration import particle_scales
from parfocal.curves import WRONG, ParticleCurves, robust
from parfocal.errors import InputError
from parfocal.estimates import DefocusEstimates
from parfocal.estimators.style import Piece, pieces
from parfocal.evidence import Evidence
from parfocal.grid import Fold, SpectraGrid
from parfocal.ladder import STEP, mean_gain
from parfocal.likelihood import retained_at
from parfocal.particles import Particles

USUAL = 50.0  # Å, of a and of b: one micrograph more, before any is seen
BROAD = 200.0  # Å, prior of the fit itself, whose maximum is shrunk once the width is known
FARTHEST = 4.0  # rad that the vector may turn where the signal ends
SIGNAL = 0.99  # of the information is below that
ROUNDS, SETTLED = 30, 0.05  # of Newton's method; Å
EM_ROUNDS = 200
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(7)  # of a Gaussian
PARTS = 3  # fitted: either half of the particles, and all


@dataclass(frozen=True, kw_only=True)
class AstigmatismFit:
    """Changes of the astigmatism vector (x, y) [Å], by particle, and what they are worth."""

    change: np.ndarray  # (n, 2) of the particle's micrograph; 0 where none was fitted
    error: np.ndarray  # (n,) Å, one standard deviation of x and of y; nan where none was fitted
    gain: tuple[float, float]  # nats a particle on particles not fitted, with its standard error
    prior_sd: float  # Å, of x and of y over micrographs
    at_limit: int  # micrographs whose change is as large as it may be: FARTHEST

    @property
    def used(self) -> bool:
        """Whether it gains STEP standard errors."""
        return self.gain[0] > STEP * self.gain[1]

    def plain(self) -> dict[str, object]:
        """As the settings of estimates.star give it."""
        gain, error = (round(v, 4) if np.isfinite(v) else None for v in self.gain)
        seen = np.isfinite(self.error)
        size = np.hypot(*self.change[seen].T)
        if self.used:
            reason = "it explains particles that it was not fitted on"
        elif gain is None:
            reason = "too few particles to tell"
        else:
            reason = f"on particles that it was not fitted on it gains less than {STEP:g} errors"
        return {
            "used": self.used,
            "reason": reason,
            "gain": [gain, error],
            "prior_sd": round(self.prior_sd, 2),
            "median_change": round(float(np.median(size)), 2) if seen.any() else None,
            "at_limit": self.at_limit,
        }


@dataclass(frozen=True, kw_only=True)
class ChangedEvidence(Evidence):
    """Evidence as if the particle file had another astigmatism.

    Of whole spectra only: the folds keep the file's, for the harmonics do not know folds. What
    changes is put into the pixels of no fold.
    """

    astigmatism: np.ndarray  # (n, 2) Å

    def batches(self, *, corrected: bool = True):
        """(rows, spectra, model) of each chunk, as `Evidence` has them."""
        for rows, spectra, model in super().batches(corrected=corrected):
            whole = spectra.sums.sum(axis=1)
            new = turned(whole, spectra.harmonics, model.grid, self.astigmatism[rows])
            sums = spectra.sums.copy()
            sums[:, Fold.GUARD] += new - whole
            yield rows, replace(spectra, sums=sums), model


def turned(sums, harmonics, grid: SpectraGrid, change) -> np.ndarray:
    """A copy of `sums` (m, bins, 8) with the astigmatism vector changed by `change` (m, 2) [Å].

    A and B alone change; Q does not.
    """
    out, rate = np.array(sums, dtype=float), grid.change_phase(1.0)
    a, b, a_waves, b_waves = complex_sums(out, harmonics.astype(float))
    a, b = turn(a, a_waves, rate, change).value, turn(b, b_waves, 2 * rate, change).value
    out[..., 0], out[..., 1], out[..., 2], out[..., 3] = a.real, a.imag, b.real, b.imag
    return out


def fit_astigmatism(
    particles: Particles, evidence: Evidence, estimates: DefocusEstimates
) -> AstigmatismFit:
    """Astigmatism of each micrograph, given what `estimates` say of the particles' mean defoci.

    A micrograph that spans optics groups is fitted as one of each. Raises InputError where the
    evidence was gathered without the azimuth.
    """
    if not all(model.grid.sectors for model in evidence.models.values()):
        raise InputError(
            "astigmatism asks for the azimuth, which these spectra do not hold",
            mend="gather them with astigmatism=True, or leave the setting away",
        )
    key, half = _keys(particles)
    x, information = np.zeros((key.max() + 1, PARTS, 2)), np.zeros((key.max() + 1, PARTS))
    limit = np.zeros(key.max() + 1)
    for piece in pieces(particles, evidence, whole=True, corrected=True):
        here, index = np.unique(key[piece.rows], return_inverse=True)
        problem = _problem(piece, _curves(piece, estimates), estimates)
        for part in range(PARTS):
            of_part = half[piece.rows] == part if part < 2 else np.ones(len(index), dtype=bool)
            pooled = problem.pooled(index, of_part, len(here))
            x[here, part], information[here, part], limit[here] = pooled.maximum()
    prior_sd = learn_width(x[:, -1], information[:, -1])
    precision = information + 1 / prior_sd**2
    x *= ((information + 1 / BROAD**2) / precision)[..., None]
    seen = information[key, -1] > 0
    gains = _gains(particles, evidence, estimates, x[key, 1 - half])
    far = np.hypot(*x[:, -1].T) > 0.99 * limit
    return AstigmatismFit(
        change=np.where(seen[:, None], x[key, -1], 0.0),
        error=np.where(seen, 1 / np.sqrt(precision[key, -1]), np.nan),
        gain=mean_gain(gains, particles.micrograph, fitted=2),
        prior_sd=prior_sd,
        at_limit=int(np.sum(far & (information[:, -1] > 0))),
    )


def learn_width(x, information) -> float:
    """Standard deviation [Å] of a and of b over micrographs, by EM from their fits.

    `x` (k, 2) are maxima under the prior BROAD, `information` (k,) [Å⁻²] is that of a and of b.
    """
    seen = information > 0
    x, information = x[seen], information[seen]
    best = x * (1 + 1 / (information * BROAD**2))[:, None]  # without a prior
    variance = USUAL**2
    for _ in range(EM_ROUNDS):
        share = information / (information + 1 / variance)
        square = np.sum((share[:, None] * best) ** 2, axis=1) / 2 + share / information
        variance = (USUAL**2 + square.sum()) / (1 + len(x))
    return float(np.sqrt(variance))


def _keys(particles: Particles):
    """(n,) number of each particle's micrograph in its optics group; (n,) its half, 0 or 1.

    Halves by rank of the ids within a micrograph, so that the order of particles does not matter.
    """
    _, micrograph = np.unique(particles.micrograph, return_inverse=True)
    key = np.unique(
        particles.optics_group * (micrograph.max(initial=0) + 1) + micrograph, return_inverse=True
    )[1]
    by_id = np.argsort(particles.particle_id, kind="stable")
    order = by_id[np.argsort(key[by_id], kind="stable")]
    first = np.searchsorted(key[order], key[order])
    half = np.empty(len(key), dtype=int)
    half[order] = (np.arange(len(key)) - first) % 2
    return key, half


def _curves(piece: Piece, estimates: DefocusEstimates) -> ParticleCurves:
    """Likelihoods of whole spectra, the particles' scales fitted at their estimates."""
    sums, prior = piece.sums.sum(axis=1), estimates.defocus_prior[piece.rows]
    change = estimates.defocus_change[piece.rows]
    signal, noise = particle_scales(sums, prior, piece.model, change)
    scales = {"signal": signal, "noise": noise, "best": change}
    return ParticleCurves(sums=sums, prior=prior, model=piece.model, grid=np.zeros(1), **scales)


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """Expected sums of particles, or of micrographs: Q = Σ Im a - (E - Re b) / 4 once turned."""

    a: np.ndarray  # complex (m, bins)
    b: np.ndarray
    a_waves: np.ndarray  # complex (m, bins, 4)
    b_waves: np.ndarray
    bend: np.ndarray  # (m, bins) expected curvature over rate²
    rate: np.ndarray  # (bins,) rad / Å

    def pooled(self, index, mask, count: int) -> "_Problem":
        """Sums over the particles of `mask` (m,) with equal `index` (m,), of which there are `count`."""
        chosen = (np.arange(count)[:, None] == index) & mask

        def total(part):
            return np.tensordot(chosen.astype(float), part, axes=1)

        parts = (self.a, self.b, self.a_waves, self.b_waves, self.bend)
        a, b, a_waves, b_waves, bend = map(total, parts)
        return replace(self, a=a, b=b, a_waves=a_waves, b_waves=b_waves, bend=bend)

    def maximum(self):
        """(m, 2) maximum of Q under the prior BROAD [Å], (m,) information, (m,) farthest [Å]."""
        information = self.bend @ self.rate**2
        held = np.cumsum(self.bend * self.rate**2, axis=1)
        top = np.argmax(held >= SIGNAL * held[:, -1:], axis=1)
        limit = FARTHEST / self.rate[top]
        x = np.zeros((len(self.a), 2))
        for _ in range(ROUNDS):
            a = turn(self.a, self.a_waves, self.rate, x)
            b = turn(self.b, self.b_waves, 2 * self.rate, x)
            pairs = zip(a[1:], b[1:], strict=True)
            slope = [np.sum(along.imag + swing.real / 4, axis=1) for along, swing in pairs]
            step = (np.transpose(slope) - x / BROAD**2) / (information + 1 / BROAD**2)[:, None]
            before, x = x, x + step
            x *= np.minimum(1, limit / np.maximum(np.hypot(*x.T), 1e-9))[:, None]
            if np.abs(x - before).max() < SETTLED:
                break
        return x, information, limit


def _problem(piece: Piece, curves: ParticleCurves, estimates: DefocusEstimates) -> _Problem:
    """Of each particle, its change of mean defocus being Gaussian as `estimates` have it."""
    model, rows = piece.model, piece.rows
    mean, sd = estimates.defocus_change[rows], estimates.defocus_error[rows]
    rate = model.grid.change_phase(1.0)
    right = expit(curves.at(mean[:, None])[:, 0] + np.log1p(-WRONG) - np.log(WRONG))
    once = np.exp(1j * np.outer(mean, rate) - np.outer(sd, rate) ** 2 / 2)
    twice = np.exp(2j * np.outer(mean, rate) - 2 * np.outer(sd, rate) ** 2)
    cross = (right * curves.signal / curves.noise)[:, None] * (model.amplitude / model.noise)
    norm = (
        cross * curves.signal[:, None] * model.amplitude * retained_at(model, curves.prior + mean)
    )
    a, b, a_waves, b_waves = complex_sums(curves.sums, piece.harmonics.astype(float))
    b = norm * twice * b
    energy = norm * curves.sums[..., 6] * np.abs(once)
    return _Problem(
        a=cross * once * a,
        b=b,
        a_waves=(cross * once)[..., None] * a_waves,
        b_waves=(norm * twice)[..., None] * b_waves,
        bend=(energy + b.real) / 4,
        rate=rate,
    )


def _gains(particles, evidence, estimates, change) -> np.ndarray:
    """(n,) nats by which particles are likelier with `change` (n, 2) [Å], found without them.

    ln ∫ prior e^ℓ' - ln ∫ prior e^ℓ over the change of mean defocus is ln E[e^(ℓ' - ℓ)] over what is
    believed of it with the file's astigmatism, here Gaussian.
    """
    gains = np.full(len(particles), np.nan)
    log_weight = np.log(NODE_WEIGHTS / NODE_WEIGHTS.sum())
    for piece in pieces(particles, evidence, whole=False, corrected=True):
        rows, curves = piece.rows, _curves(piece, estimates)
        mean, sd = estimates.defocus_change[rows], estimates.defocus_error[rows]
        places = mean[:, None] + sd[:, None] * NODES
        new = curves.of(turned(curves.sums, piece.harmonics, piece.model.grid, change[rows]))
        ratio = robust(new.at(places), WRONG) - robust(curves.at(places), WRONG)
        gains[rows] = logsumexp(ratio + log_weight, axis=1)
    return gains
