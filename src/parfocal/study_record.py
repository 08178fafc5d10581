"""What a study found, and where it was written: the records of its steps in one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parfocal.run import Run
from parfocal.set_runs import CompareRun, ConsensusRun
from parfocal.validation_record import ValidationRun

STEPS = ("estimate", "compare", "consensus", "validate")  # folders of a study, in order


@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """All that one study found. `info` is as in run.json; `best` the particles for the next job."""

    out: Path
    source: Path  # the particle file
    voltage: float  # kV, of the first optics group
    estimate: Run
    compare: CompareRun
    consensus: ConsensusRun
    validate: ValidationRun
    best: Path
    info: Mapping[str, Any] = field(default_factory=dict)
