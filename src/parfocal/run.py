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
from parfocal.verdict import Band, held_out_gain

REPORTED = (
    "error_factor",
    "ladder",
    "layer",
    "width",
    "astigmatism",
)  # of the settings, what was found and not set


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

    def band(self) -> Band:
        """Where the reference's signal ends, for the first optics group."""
        reference, optics = self.inputs.reference, self.inputs.particles.optics[0]
        return Band(resolution=1 / reference.k_signal, wavelength=optics.wavelength)

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
        **{k: v for k, v in estimates.settings.items() if k.startswith(REPORTED)},
    }


def _rounded(value, digits=2):
    return round(float(value), digits) if np.isfinite(value) else None
