"""parfocal: per-particle defocus for single-particle cryo-EM, with an error bar."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from parfocal.compare_run import run_compare
    from parfocal.consensus_run import run_consensus
    from parfocal.estimators import ESTIMATORS
    from parfocal.evidence import gather
    from parfocal.extract import ExtractSettings, extract_particles
    from parfocal.ice import fit_plane, fit_planes
    from parfocal.inputs import read_inputs
    from parfocal.io import read_estimates, read_particles, write_estimates, write_particles
    from parfocal.iterate_run import run_iterate
    from parfocal.pipeline import EstimateSettings, estimate
    from parfocal.reference import half_map_reference, map_reference
    from parfocal.reference_files import ReferenceFiles
    from parfocal.set_inputs import read_sets
    from parfocal.study import run_study
    from parfocal.validation_run import run_validation

_HOME = {  # public name -> module; imported when first asked for, so that `import parfocal` is quick
    "ESTIMATORS": "estimators",
    "EstimateSettings": "pipeline",
    "ExtractSettings": "extract",
    "ReferenceFiles": "reference_files",
    "estimate": "pipeline",
    "extract_particles": "extract",
    "fit_plane": "ice",
    "fit_planes": "ice",
    "gather": "evidence",
    "half_map_reference": "reference",
    "map_reference": "reference",
    "read_estimates": "io",
    "read_inputs": "inputs",
    "read_particles": "io",
    "read_sets": "set_inputs",
    "run_compare": "compare_run",
    "run_consensus": "consensus_run",
    "run_iterate": "iterate_run",
    "run_study": "study",
    "run_validation": "validation_run",
    "write_estimates": "io",
    "write_particles": "io",
}

__all__ = [  # noqa: RUF022 - in the order of the work
    "read_inputs",
    "read_particles",
    "ReferenceFiles",
    "half_map_reference",
    "map_reference",
    "gather",
    "ESTIMATORS",
    "fit_plane",
    "fit_planes",
    "write_particles",
    "write_estimates",
    "read_estimates",
    "EstimateSettings",
    "estimate",
    "read_sets",
    "run_compare",
    "run_consensus",
    "run_iterate",
    "run_validation",
    "run_study",
    "extract_particles",
    "ExtractSettings",
]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'parfocal' has no attribute {name!r}")
    return getattr(import_module(f"parfocal.{_HOME[name]}"), name)
