"""fsc.star: curves as relion_postprocess writes them, for the programs and people that read those."""

import os
from collections.abc import Mapping

import numpy as np

from parfocal.fsc_curves import FscCurves
from parfocal.guinier import Guinier
from parfocal.io.star import Block, Rounded, write_star

FAR = 999.0  # Å, what RELION calls the resolution of shell 0
COLUMNS = {
    "rlnFourierShellCorrelationCorrected": "corrected",
    "rlnFourierShellCorrelationUnmaskedMaps": "unmasked",
    "rlnFourierShellCorrelationMaskedMaps": "masked",
    "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps": "randomised",
}


def write_fsc_star(
    path: str | os.PathLike,
    curves: FscCurves,
    *,
    guinier: Guinier | None = None,
    general: Mapping[str, str] | None = None,
) -> None:
    """Write data_general, data_fsc and, with `guinier`, data_guinier.

    `general` is what else goes into data_general. `parfocal estimate --fsc`, relion_ctf_refine --f and
    whatever else reads a postprocess.star can read it. rlnFinalResolution is between shells, where
    RELION's is that of the last shell at 0.143 or above. In shell 0 all are 1, as RELION has them.
    """
    start = curves.randomised_from
    pairs = {"rlnFinalResolution": f"{curves.resolution():.6f}"}
    if start < len(curves.k):
        pairs["rlnRandomiseFrom"] = f"{1 / curves.k[start]:.6f}"
    if guinier is not None:
        pairs["rlnFittedSlopeGuinierPlot"] = f"{guinier.slope:.6f}"
        pairs["rlnFittedInterceptGuinierPlot"] = f"{guinier.intercept:.6f}"
    blocks: dict[str, Block] = {"general": pairs | dict(general or {}), "fsc": _shells(curves)}
    if guinier is not None:
        blocks["guinier"] = _guinier(guinier)
    write_star(path, blocks)


def _shells(curves: FscCurves) -> Block:
    resolution = np.append(FAR, 1 / curves.k[1:])
    columns: dict[str, list[str] | Rounded] = {
        "rlnSpectralIndex": [str(shell) for shell in range(len(curves.k))],
        "rlnResolution": Rounded(1 / resolution, 6),
        "rlnAngstromResolution": Rounded(resolution, 6),
    }
    for column, name in COLUMNS.items():
        columns[column] = Rounded(np.append(1.0, getattr(curves, name)[1:]), 6)
    return columns


def _guinier(guinier: Guinier) -> Block:
    """Shells in which there is something to take the logarithm of."""
    held = np.isfinite(guinier.weighted)
    line = guinier.intercept + guinier.slope * guinier.k_squared
    return {
        "rlnResolutionSquared": Rounded(guinier.k_squared[held], 8),
        "rlnLogAmplitudesOriginal": Rounded(guinier.original[held], 5),
        "rlnLogAmplitudesWeighted": Rounded(guinier.weighted[held], 5),
        "parfocalLogAmplitudesFitted": Rounded(line[held], 5),
    }
