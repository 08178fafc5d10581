"""Estimate, reconstruct, estimate again: rounds that end where held-out data gain no more.

Each round reconstructs the half-maps with the defoci of the round before, meets them, and takes each
particle's own part out of its half-map, as it was put there. Then the spectra are turned back to the
input's defocus, so that every round asks the same question as the first: a change of the *input*,
under the same model of the ice, with the same held-out score. Nothing is shrunk twice, and error
bars and gains keep their meaning; the rounds differ in their maps alone.

Half-sets stay independent. A particle meets the map of its own half only. What the halves share is
the planes and widths that `bayes` learns from both. But a likelihood curve is the same when all images
of a half change sign, and its map with them (mask and FSC weights taken as given). So if the images
are noise, whose sign is as good as its opposite, the estimates do not know it, the maps' product
changes sign with it, and its mean is 0 in every round.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from parfocal.estimates import DefocusEstimates
from parfocal.estimators.draft import Method
from parfocal.evidence import Evidence, gather
from parfocal.fsc_curves import FscCurves
from parfocal.grid import SpectraGrid
from parfocal.ladder import FITTED, RUNGS, ladder_of, mean_gain
from parfocal.own_reference import OwnReference
from parfocal.particles import Images, Particles

ENOUGH = 1.0  # standard errors that a round must gain over the one before it
SETTLED = 0.1  # of the rms error bar: to move by less changes the error by less than 0.5 %


@dataclass(frozen=True, kw_only=True)
class Round:
    """What came of one round. Gains in nats a particle."""

    number: int  # from 1
    estimates: DefocusEstimates  # changes of the input
    gain: tuple[float, float]  # over the input, of what is reported, with its standard error
    step: tuple[float, float]  # over the round before, particle by particle
    moved: float  # Å, rms change of defocus since the round before
    error: float  # Å, rms error bar

    @property
    def pays(self) -> bool:
        """Whether the step is above its standard error, and defoci still move."""
        return self.step[0] > ENOUGH * self.step[1] and self.moved > SETTLED * self.error


@dataclass(frozen=True, kw_only=True)
class RebasedEvidence(Evidence):
    """Evidence as if it had been gathered from particles whose mean defoci are `shift` higher.

    Own parts are taken back first, with the CTFs that the evidence was gathered with.
    """

    shift: np.ndarray  # (n,) Å

    def batches(self, *, corrected: bool = True):
        """(rows, spectra, model) of each chunk, as `Evidence` has them."""
        for rows, spectra, model in super().batches(corrected=corrected):
            sums = rebased(spectra.sums, model.grid, self.shift[rows])
            yield rows, replace(spectra, sums=sums), model


def rebased(sums, grid: SpectraGrid, shift) -> np.ndarray:
    """A copy of `sums` (m, folds, bins, 8) with the base phase χ₀ of defoci `shift` (m,) [Å] higher.

    A turns by π λ shift s and B and Q by twice that: exact but for the width of a bin.
    """
    turn = grid.change_phase(np.asarray(shift)).T[:, None, :]
    out = np.array(sums, dtype=np.float32)
    for first, times in ((0, 1), (2, 2), (4, 2)):
        turned = (sums[..., first] + 1j * sums[..., first + 1]) * np.exp(1j * times * turn)
        out[..., first], out[..., first + 1] = turned.real, turned.imag
    return out


def iterate(
    particles: Particles,
    images: Images,
    method: Method,
    *,
    remake: Callable[[Particles, np.ndarray | None], OwnReference],
    done: Sequence[Round] = (),
    change_max: float = 1000.0,
    options: Callable[[int], dict] = lambda number: {},
) -> Iterator[tuple[Round, OwnReference]]:
    """Rounds of `method` after those `done`, each with the maps that it met, made with the defoci of
    the round before; the first round that does not pay is the last.

    `remake` makes the reference of particles under a mask, None at first and in the rounds that follow
    the one that it made: `own_reference` with its options set. `options` (of the round's number)
    are those of `gather`. The method must ask spectra alone, as bayes and profile do. Raises InputError.
    """
    if done and not done[-1].pays:
        return
    current, mask = after(particles, done), None
    last = reported_gain(done[-1].estimates) if done else np.zeros(len(particles))
    for number in count(len(done) + 1):
        met = remake(current, mask)
        shift = particles.defocus - current.defocus
        reach = change_max + float(np.abs(shift).max(initial=0))
        evidence = gather(current, images, met.reference, change_max=reach, **options(number))
        asked = RebasedEvidence(**{**vars(evidence), "change_max": change_max}, shift=shift)
        estimates = method.estimate(particles, asked)
        gain = reported_gain(estimates)
        fitted = FITTED[RUNGS.index(reported_rung(estimates))] if number == 1 else 0
        change = estimates.defocus_change
        found = Round(
            number=number,
            estimates=estimates,
            gain=mean_gain(gain, estimates.micrograph, fitted),
            step=mean_gain(gain - last, estimates.micrograph, fitted),
            moved=_rms((change + shift)[estimates.ok()]),
            error=_rms(estimates.defocus_error[estimates.ok()]),
        )
        yield found, met
        if not found.pays:
            return
        current, last, mask = after(particles, [found]), gain, met.mask


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The input's defoci, or a round's, as a line of a table."""

    name: str
    gain: tuple[float, float]  # over the input, nats a particle, with its standard error
    step: tuple[float, float]  # over the line before
    moved: float  # Å, rms change of defocus since the line before
    resolution: float  # Å, of the half-maps made with these defoci; nan where none were made
    kept: bool  # its defoci are the result


def standings(rounds: Sequence[Round], curves: Sequence[FscCurves]) -> tuple[Standing, ...]:
    """A line for the input and for each round; `curves` are the FSCs of the maps made with each."""
    kept = sum(each.pays for each in rounds)
    resolution = [each.resolution() for each in curves]
    resolution += [np.nan] * (len(rounds) + 1 - len(curves))
    nothing = 0.0, np.nan
    first = ("input", nothing, nothing, 0.0)
    lines = [first, *((f"round {r.number}", r.gain, r.step, r.moved) for r in rounds)]
    return tuple(
        Standing(
            name=name,
            gain=gain,
            step=step,
            moved=moved,
            resolution=resolution[i],
            kept=i == kept,
        )
        for i, (name, gain, step, moved) in enumerate(lines)
    )


def after(particles: Particles, rounds: Sequence[Round]) -> Particles:
    """`particles` with the defoci of the last of `rounds`; as they are where there is none."""
    return changed(particles, rounds[-1].estimates.defocus_change) if rounds else particles


def changed(particles: Particles, change) -> Particles:
    """`particles` with their mean defoci moved by `change` (n,) [Å], astigmatism kept."""
    return replace(
        particles, defocus_u=particles.defocus_u + change, defocus_v=particles.defocus_v + change
    )


def _rms(values) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else np.nan


def reported_rung(estimates: DefocusEstimates) -> str:
    """The rung of the ladder that the changes are of; the last of methods without a ladder."""
    ladder = ladder_of(estimates)
    return RUNGS[-1] if ladder is None else ladder.best


def reported_gain(estimates: DefocusEstimates) -> np.ndarray:
    """(n,) held-out gain [nats] of the changes that are reported: 0 where there is none.

    nan where nothing was scored.
    """
    columns = {
        "micrograph shift": estimates.gain_of_shift,
        "plane": estimates.gain_of_plane,
        "plane + particle": estimates.held_out_gain,
    }
    gain = columns.get(reported_rung(estimates), np.zeros(len(estimates)))
    return np.where(estimates.ok(), gain, 0.0)
