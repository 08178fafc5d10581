"""What a run found: records, and their summary in numbers and in words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from parfocal.estimates import DefocusEstimates
from parfocal.estimators.micrograph import MicrographChange
from parfocal.evidence import Evidence
from parfocal.ice import PlaneFit
from parfocal.inputs import Inputs


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """One method's answer, and what was made of it."""

    estimates: DefocusEstimates
    planes: Mapping[str, PlaneFit]


@dataclass(frozen=True, kw_only=True)
class Run:
    """All that one run of `estimate` found, and where it was written."""

    out: Path
    inputs: Inputs
    evidence: Evidence
    results: Mapping[str, MethodResult]
    micrographs: Mapping[str, MicrographChange]
    info: Mapping[str, Any] = field(default_factory=dict)  # as in run.json

    def particles_file(self, method: str) -> Path:
        """Where a method's particles are written, in the format of the input."""
        source = self.inputs.particles.source
        return self.out / method / f"particles{source.suffix if source else ''}"

    def page_file(self, method: str) -> Path:
        """Where a method's page is written: the first one's is the report of the run."""
        first = next(iter(self.results))
        return (self.out if method == first else self.out / method) / "report.html"


def summarise(estimates: DefocusEstimates) -> dict[str, object]:
    """Counts and medians of one method, as run.json and `--json` give them."""
    ok = estimates.ok()
    gain, gain_error = held_out_gain(estimates)
    return {
        "counts": estimates.counts(),
        "median_error": _rounded(np.median(estimates.defocus_error[ok])) if ok.any() else None,
        "change_sd": _rounded(estimates.defocus_change[ok].std()) if ok.any() else None,
        "held_out_gain": _rounded(gain, 4),
        "held_out_gain_error": _rounded(gain_error, 4),
        **{k: v for k, v in estimates.settings.items() if k.startswith("error_factor")},
    }


def held_out_gain(estimates: DefocusEstimates) -> tuple[float, float]:
    """Mean held-out gain a particle [nats] with its standard error; nan without particles."""
    gain = estimates.held_out_gain[np.isfinite(estimates.held_out_gain)]
    if len(gain) < 2:
        return np.nan, np.nan
    return float(gain.mean()), float(gain.std(ddof=1) / np.sqrt(len(gain)))


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a method's defoci beat the input's, by held-out data: two standard errors decide."""

    helps: bool | None  # None: no difference is shown, or too few particles to tell
    text: str


def verdict(estimates: DefocusEstimates) -> Verdict:
    """What the held-out folds say of a method."""
    gain, error = held_out_gain(estimates)
    told = f"{gain:+.2f} ± {error:.2f} nats a particle on held-out data"
    if not np.isfinite(gain):
        return Verdict(helps=None, text="No verdict: too few particles could be scored.")
    if gain > 2 * error:
        return Verdict(helps=True, text=f"Per-particle defocus helps: {told}.")
    if gain < -2 * error:
        why = "a particle alone says too little here; its error bar shows how far it may be off"
        return Verdict(helps=False, text=f"Keep the input defocus, {told}: {why}.")
    return Verdict(
        helps=None, text=f"No difference is shown between per-particle and input defocus: {told}."
    )


def _rounded(value, digits=2):
    return round(float(value), digits) if np.isfinite(value) else None
