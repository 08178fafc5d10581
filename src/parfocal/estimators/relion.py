"""Methods `relion` and `relion-grid`: RELION's CtfRefine, from the spectra alone."""

from dataclasses import dataclass

import numpy as np

from parfocal.curves import ParticleCurves, scaled_curves
from parfocal.errors import InputError
from parfocal.estimates import DefocusEstimates
from parfocal.estimators.draft import Draft
from parfocal.estimators.least_squares import (
    B_FACTOR,
    COSINE,
    DEFOCUS,
    NEUTRAL,
    SCALE,
    SINE,
    Problems,
    cost,
    improve,
    problems,
)
from parfocal.estimators.style import (
    FOLDS,
    Fit,
    Piece,
    check_limits,
    data_scale,
    fill,
    pieces,
    shell_weight,
)
from parfocal.evidence import Evidence
from parfocal.particles import Particles

LEAST_FSC = 0.143
LETTERS = {1: (DEFOCUS,), 2: (COSINE, SINE), 4: (B_FACTOR, SCALE)}  # place -> parameters
ROUNDS = 10  # between the parameters of particles and those of micrographs
SETTLED = 0.2  # Å of defocus
COARSE = 400.0  # Å, step of the brute force
FINER = ((200.0, 40.0), (20.0, 4.0))  # Å, range and step of what follows


@dataclass(frozen=True, kw_only=True)
class Relion:
    """RELION's CtfRefine (3.1 and later): FSC-weighted least squares, with no noise model or prior.

    Σ FSC(k) |X - scale exp(-B k²/4) CTF P|² from `k_min` [Å] to FSC 0.143 is minimised from the
    values on file down to the nearest minimum. `fit_mode` is RELION's, a letter each for phase
    shift, defocus, astigmatism, Cs, and B-factor with scale: p each particle, m each micrograph, f
    fixed; phase shift and Cs can only be f. With `brute_force`, RELION's `--bf_only`: defocus alone,
    of each particle, ± `search_range` [Å] in steps of 400, then ± 200 in 40, then ± 20 in 4, all
    within the evidence's own range where that is smaller. RELION takes the images to be on the
    map's scale; here that is measured, once an optics group (`measure_scale`).

    Astigmatism needs spectra gathered with `astigmatism=True`, and its change must be as small as
    parfocal.astigmatism says. A micrograph that spans optics groups is fitted as one of each.

    As RELION's only on spectra of images without padding: there CTFs wrap around as in RELION
    (its --ctf_pad does not reach this fit), which padded spectra, a run's default, do not. RELION
    stops after 100 iterations, this at the minimum; that differs in mode p of B and scale, and for a
    micrograph whose defocus is off by some hundred Å.

    The error is what the noise of our own model does to the minimum, and counts other minima of
    the curve: RELION gives none. Raises InputError for a mode that is not there.
    """

    fit_mode: str = "fpmfm"
    brute_force: bool = False
    k_min: float = 30.0  # Å
    search_range: float = 2000.0  # Å, of the brute force
    measure_scale: bool = True
    name: str = "relion"

    def __post_init__(self) -> None:
        mode = self.fit_mode
        if len(mode) != 5 or set(mode) - set("pmf"):
            raise InputError(
                f"fit_mode {mode!r} is none", mend="give five letters p, m or f: fpmfm"
            )
        if mode[0] != "f" or mode[3] != "f":
            mend = "leave their letters f, as in fpmfm"
            raise InputError("phase shift and Cs cannot be fitted here", mend=mend)
        check_limits(self.k_min, self.search_range)

    @property
    def scans(self) -> float:
        """How far [Å] it looks either side of the input: a run that holds less warns."""
        return self.search_range if self.brute_force else 0.0

    @property
    def asks_astigmatism(self) -> bool:
        """Whether it needs evidence gathered with `astigmatism=True`."""
        return not self.brute_force and self.fit_mode[2] != "f"

    def parameters(self, letter: str) -> list[int]:
        """What is fitted with this letter."""
        mode = "fpfff" if self.brute_force else self.fit_mode
        return [p for place, group in LETTERS.items() if mode[place] == letter for p in group]

    def estimate(self, particles: Particles, evidence: Evidence) -> DefocusEstimates:
        """Estimates of all `particles`, in their order. Raises InputError."""
        draft = Draft(self, particles, evidence)
        found = fit_relion(self, particles, evidence, draft)
        seen = found[np.isfinite(found).all(axis=1)]
        if self.brute_force or not len(seen):
            return draft.finish()
        if self.asks_astigmatism:
            draft.astigmatism = found[:, COSINE : SINE + 1]
        middle = np.median(seen, axis=0)
        astigmatism = 2 * np.median(np.hypot(seen[:, COSINE], seen[:, SINE]))  # of U - V
        return draft.finish(
            astigmatism_change=round(float(astigmatism), 2),
            b_factor=round(float(middle[B_FACTOR]), 2),
            scale=round(float(middle[SCALE]), 4),
        )


def fit_relion(
    method: Relion, particles: Particles, evidence: Evidence, draft: Draft
) -> np.ndarray:
    """Fill `draft`; (n, 5): changes of defocus and astigmatism vector [Å], B [Å²], scale; else nan."""
    out = np.full((len(particles), 5), np.nan)
    for piece in pieces(particles, evidence, whole=bool(method.parameters("m"))):
        if method.asks_astigmatism and not piece.harmonics.shape[1]:
            raise InputError(
                f"fit_mode {method.fit_mode} asks for the azimuth, which these spectra do not hold",
                mend="gather them with astigmatism=True, or take fit_mode fpffm",
            )
        rows = piece.rows
        curves = scaled_curves(
            piece.sums.sum(axis=1), particles.defocus[rows], piece.model, evidence.change()
        )
        micrograph = np.unique(particles.micrograph[rows], return_inverse=True)[1]
        out[rows], fit = _fit(method, piece, micrograph, evidence, curves)
        fill(draft, fit, curves, [curves.of(piece.sums[:, fold]) for fold in FOLDS])
    return out


def _fit(method: Relion, piece: Piece, micrograph, evidence: Evidence, curves: ParticleCurves):
    """(x (m, 5), Fit) of a piece, `micrograph` (m,) counting from 0."""
    grid, reference = piece.model.grid, evidence.reference
    weight = shell_weight(reference, grid, least=LEAST_FSC, low=method.k_min)
    start = np.tile(NEUTRAL, (len(piece.rows), 1))
    start[:, SCALE] = data_scale(piece.model, reference) if method.measure_scale else 1.0
    harmonics = piece.harmonics if method.asks_astigmatism else piece.harmonics[:, :0]
    whole = problems(curves.sums, harmonics, grid, weight)
    reach = evidence.change_max
    if method.brute_force:
        reach = min(reach, method.search_range)
        x = scan(whole, start, reach)
    else:
        x = settle(whole, start, method, micrograph)
    alone = np.where(np.arange(5) < B_FACTOR, start, x)  # a fold's defocus is its own
    apart = []
    for fold in FOLDS:
        part = problems(piece.sums[:, fold], harmonics[:, :0], grid, weight)
        if method.brute_force:
            found = scan(part, alone, reach)
        elif DEFOCUS in method.parameters("f"):
            found = alone
        else:
            shared = micrograph if DEFOCUS in method.parameters("m") else None
            found = improve(part, alone, [DEFOCUS], shared)
        apart.append(found[:, DEFOCUS])
    return x, Fit(
        rows=piece.rows,
        change=x[:, DEFOCUS],
        fold_change=(apart[0], apart[1]),
        cost=cost(whole.settled(x, [DEFOCUS]), curves.grid),
        weight=weight * x[:, SCALE, None] * np.exp(-x[:, B_FACTOR, None] * grid.s / 4),
        edge=np.abs(x[:, DEFOCUS]) > reach - FINER[-1][1] / 2,
    )


def settle(whole: Problems, start, method: Relion, micrograph) -> np.ndarray:
    """x (m, 5) at the minimum downhill from `start`: particles and micrographs in turn."""
    x, own, shared = start, method.parameters("p"), method.parameters("m")
    for _ in range(ROUNDS):
        before = x
        if own:
            x = improve(whole, x, own)
        if shared:
            x = improve(whole, x, shared, micrograph)
        if not (own and shared) or np.abs(x - before)[:, : SINE + 1].max() < SETTLED:
            break
    return x


def scan(whole: Problems, start, reach: float) -> np.ndarray:
    """x (m, 5) with the change of defocus of RELION's brute force, within ± `reach` [Å]."""
    n = int(reach / COARSE + 1e-9)
    x = np.array(start)
    for width, step in ((n * COARSE, COARSE), *FINER):
        count = round(width / step)
        offset = step * np.arange(-count, count + 1)
        place = x[:, DEFOCUS, None] + offset
        value = cost(whole.settled(x, []), offset)
        best = np.argmin(np.where(np.abs(place) <= reach * (1 + 1e-9), value, np.inf), axis=1)
        x[:, DEFOCUS] = place[np.arange(len(x)), best]
    return x
