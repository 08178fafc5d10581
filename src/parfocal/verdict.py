"""The verdict: whether a method's defoci beat the input's, by how much, and what that may bring."""

import math
from dataclasses import dataclass

import numpy as np

from parfocal.estimates import DefocusEstimates
from parfocal.ladder import RUNGS, Ladder, ladder_of, mean_gain

SURE = 2.0  # standard errors that decide
LEAST_SEEN = 1.0  # %, of the signal at the map's resolution, that is worth a word


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether the particles should go on with a method's defoci: two standard errors decide."""

    helps: bool | None  # None: no difference is shown, or too few particles to tell
    text: str
    best: str = ""  # rung of the ladder that the data support, of a method that has one


@dataclass(frozen=True, kw_only=True)
class Band:
    """Where the map's signal ends: what a defocus error costs there."""

    resolution: float  # Å
    wavelength: float  # Å

    def signal_kept(self, error: float) -> float:
        """Share of the signal at `resolution` left by defocus errors of rms `error` [Å].

        The mean of cos of their phase error π λ δ / d², taken as Gaussian.
        """
        return math.exp(-0.5 * (math.pi * self.wavelength * error / self.resolution**2) ** 2)


def held_out_gain(estimates: DefocusEstimates) -> tuple[float, float]:
    """Mean held-out gain a particle [nats] with its standard error; nan without particles.

    With a ladder that of its best rung, or of its last where no rung helps, parameters that
    micrographs fit counted in the error; else of the particles whose change is used.
    """
    ladder = ladder_of(estimates)
    if ladder is not None:
        return ladder.gain.get(ladder.best, ladder.gain[RUNGS[-1]])
    used = np.where(estimates.ok(), estimates.held_out_gain, np.nan)
    return mean_gain(used, estimates.micrograph)


def verdict(estimates: DefocusEstimates, band: Band) -> Verdict:
    """What the held-out folds say of a method."""
    ladder = ladder_of(estimates)
    if ladder is not None:
        return _by_ladder(estimates, ladder, band)
    gain, error = held_out_gain(estimates)
    told = f"{_nats(gain, error)} on held-out data"
    if not np.isfinite(gain):
        text = "No verdict: fewer than two particles were scored on held-out data."
        return Verdict(helps=None, text=text)
    if gain > SURE * error:
        return Verdict(helps=True, text=f"Local defocus helps: {told}.")
    if gain < -SURE * error:
        why = "a particle alone says too little here; its error bar shows how far it may be off"
        return Verdict(helps=False, text=f"Keep the micrograph defocus, {told}: {why}.")
    return Verdict(
        helps=None, text=f"No difference is shown between local and input defocus: {told}."
    )


def _by_ladder(estimates: DefocusEstimates, ladder: Ladder, band: Band) -> Verdict:
    if ladder.best == "input":
        finest = _nats(*ladder.gain[RUNGS[-1]])
        text = (
            f"Keep the micrograph defocus: local defocus shows no gain on held-out data ({finest})."
        )
        return Verdict(helps=False, text=text, best=ladder.best)
    gain, error = ladder.gain[ladder.best]
    if gain <= SURE * error:
        told = f"{_nats(gain, error)} on held-out data"
        text = f"No difference is shown between local and input defocus: {told}."
        return Verdict(helps=None, text=text, best=ladder.best)
    what, more = {
        "micrograph shift": ("One shift a micrograph helps", "planes and heights show no more"),
        "plane": ("A plane for each micrograph helps", "the particles' own heights show no more"),
        "plane + particle": (
            "Local defocus helps",
            f"of it {_nats(*ladder.over_plane)} beyond the planes of the ice",
        ),
    }[ladder.best]
    text = f"{what}: {_nats(gain, error)} on held-out data; {more}. {_expected(estimates, band)}"
    return Verdict(helps=True, text=text, best=ladder.best)


def _expected(estimates: DefocusEstimates, band: Band) -> str:
    ok = estimates.ok()
    after = float(np.sqrt(np.mean(estimates.defocus_error[ok] ** 2)))
    before = float(np.hypot(after, np.sqrt(np.mean(estimates.defocus_change[ok] ** 2))))
    kept = [100 * band.signal_kept(error) for error in (before, after)]
    seen = (
        f"the signal at {band.resolution:.1f} Å rises from {kept[0]:.0f} to {kept[1]:.0f} % of what "
        "exact defoci would give"
        if kept[1] - kept[0] >= LEAST_SEEN
        else f"which at {band.resolution:.1f} Å the map will not notice"
    )
    return f"Expected gain: defocus errors fall from {before:.0f} to {after:.0f} Å rms, {seen}."


def _nats(gain: float, error: float) -> str:
    digits = 2 if not 0 < error < 0.01 else 3
    return f"{gain:+.{digits}f} ± {error:.{digits}f} nats a particle"
