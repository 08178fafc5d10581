"""What a comparison and a consensus found, and where it was written: the records of their runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from parfocal.compare import Comparison
from parfocal.consensus import Consensus
from parfocal.estimates import DefocusEstimates
from parfocal.faults import Fault
from parfocal.join import Joined
from parfocal.particles import Particles
from parfocal.stability import FoldStability, Repeat


@dataclass(frozen=True, kw_only=True)
class CompareRun:
    """What was found, and where it was written."""

    out: Path
    joined: Joined
    comparison: Comparison
    faults: tuple[Fault, ...]
    folds: Mapping[str, FoldStability]  # by set, of those that have folds
    repeats: tuple[Repeat, ...]  # of each pair of runs, if asked for
    info: Mapping[str, Any] = field(default_factory=dict)  # as in run.json


@dataclass(frozen=True, kw_only=True)
class ConsensusRun:
    """What was found, and where it was written."""

    out: Path
    found: Consensus
    estimates: DefocusEstimates
    left_out: np.ndarray  # (n,) str, by which limit; "" if kept
    template: Particles | None
    faults: tuple[Fault, ...]
    info: Mapping[str, Any] = field(default_factory=dict)  # as in run.json

    def file(self, name: str) -> Path:
        """Where particles are written, in the format of the file that they came from."""
        source = self.template.source if self.template else None
        return self.out / f"{name}{source.suffix if source else '.star'}"
