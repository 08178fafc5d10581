"""`parfocal mask`: from the file of a map to the file of a mask."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parfocal.errors import InputError
from parfocal.fsc_faults import faults_of_mask
from parfocal.fsc_inputs import check_map, faults_of_headers
from parfocal.io import read_map, write_map
from parfocal.masks import cut_map, mask_of_cut


@dataclass(frozen=True, kw_only=True)
class MaskSettings:
    """What a user may choose."""

    threshold: float | None = None  # density of the low-passed map; None: automatic
    lowpass: float = 15.0  # Å; coarser where noise needs it and the threshold is automatic
    extend: float = 3.0  # px
    edge: float = 6.0  # px


def write_mask(
    source: Path,
    out: Path,
    settings: MaskSettings = MaskSettings(),
    *,
    pixel_size: float | None = None,
) -> dict[str, Any]:
    """Write the mask of a map's file; what was done, as strings and numbers. Raises InputError."""
    if Path(out).is_dir():
        raise InputError("is a folder", where=out, mend="give a file's name, such as mask.mrc")
    if Path(out).exists() and Path(out).samefile(source):
        raise InputError("is the map itself", where=out, mend="choose another --out")
    density, found = read_map(source)
    check_map(density, source)
    size = found if pixel_size is None else pixel_size
    if not (np.isfinite(size) and size > 0):
        what = "no pixel size" if pixel_size is None else f"--pixel-size of {size:g}"
        raise InputError(what, where=source, mend="give --pixel-size in Å, such as 1.06")
    try:
        cut = cut_map(density, size, threshold=settings.threshold, lowpass=settings.lowpass)
        mask = mask_of_cut(cut, extend=settings.extend, edge=settings.edge)
    except InputError as error:
        raise InputError(error.what, where=error.where or source, mend=error.mend) from None
    write_map(out, mask, size)
    return {
        "mask": str(out),
        "lowpass": round(cut.lowpass, 2),
        "threshold": float(f"{cut.threshold:.5g}"),
        "share_of_box": round(float(mask.mean(dtype=float)), 4),
        "pixel_size": round(float(size), 6),
        "warnings": [*faults_of_headers(size, pixel_size), *faults_of_mask(mask)],
    }
