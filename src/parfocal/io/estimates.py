"""estimates.star: what a method gave for every particle, and how it was run."""

import json
import os
from pathlib import Path

import numpy as np

from parfocal.errors import InputError
from parfocal.estimates import DefocusEstimates, Status
from parfocal.io.star import Table, read_star, write_star

TEXT = {"parfocalParticleId": "particle_id", "parfocalMicrograph": "micrograph"}
NUMBERS = {  # column: attribute, decimals
    "parfocalCoordinateX": ("coordinate_x", 3),
    "parfocalCoordinateY": ("coordinate_y", 3),
    "parfocalDefocusPrior": ("defocus_prior", 4),
    "parfocalDefocus": ("defocus", 4),
    "parfocalDefocusError": ("defocus_error", 4),
    "parfocalDefocusLow": ("defocus_low", 4),
    "parfocalDefocusHigh": ("defocus_high", 4),
    "parfocalAstigmatismChangeX": ("astigmatism_change_x", 4),
    "parfocalAstigmatismChangeY": ("astigmatism_change_y", 4),
    "parfocalSheetProbability": ("sheet_probability", 4),
    "parfocalIceHeight": ("ice_height", 4),
    "parfocalGainOfShift": ("gain_of_shift", 6),
    "parfocalGainOfPlane": ("gain_of_plane", 6),
    "parfocalHeldOutGain": ("held_out_gain", 6),
}
LATER = {"astigmatism_change_x": 0.0, "astigmatism_change_y": 0.0}  # that older files lack
CHANGES = {"defocus_change": "defocus", "change_low": "defocus_low", "change_high": "defocus_high"}
STATUS = "parfocalStatus"
METHOD, VERSION, SETTINGS = "parfocalMethod", "parfocalVersion", "parfocalSettings"


def write_estimates(path: str | os.PathLike, estimates: DefocusEstimates) -> None:
    """Write estimates: a row per particle in their order, lengths in Å, `nan` where unknown.

    Settings become JSON, so they must be plain values; a tuple comes back as a list.
    """
    run = {
        METHOD: estimates.method,
        VERSION: estimates.version,
        SETTINGS: json.dumps(dict(estimates.settings)),
    }
    columns = {name: getattr(estimates, attribute).tolist() for name, attribute in TEXT.items()}
    for name, (attribute, decimals) in NUMBERS.items():
        columns[name] = [f"{value:.{decimals}f}" for value in getattr(estimates, attribute)]
    columns[STATUS] = [Status(status).label for status in estimates.status.tolist()]
    write_star(path, {"parfocal_run": run, "estimates": columns})


def read_estimates(path: str | os.PathLike) -> DefocusEstimates:
    """Read what `write_estimates` wrote. InputError if it is another file, or was damaged."""
    blocks = read_star(path)
    if not {"parfocal_run", "estimates"} <= blocks.keys():
        raise InputError(
            "no blocks data_parfocal_run and data_estimates",
            where=path,
            mend="give an estimates.star that parfocal wrote",
        )
    run, table = blocks["parfocal_run"], blocks["estimates"]
    numbers = {
        attribute: table.numbers(name, LATER.get(attribute))
        for name, (attribute, _) in NUMBERS.items()
    }
    for change, defocus in CHANGES.items():
        numbers[change] = numbers.pop(defocus) - numbers["defocus_prior"]
    text = {attribute: np.array(table.text(name), dtype=str) for name, attribute in TEXT.items()}
    try:
        return DefocusEstimates(
            method=run.text(METHOD)[0],
            version=run.text(VERSION)[0],
            settings=json.loads(run.text(SETTINGS)[0]),
            status=_statuses(table),
            **text,
            **numbers,
        )
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(str(error), where=Path(path), mend="write it again") from None


def _statuses(table: Table) -> np.ndarray:
    known = {status.label: int(status) for status in Status}
    labels = table.text(STATUS)
    if unknown := next((row for row, label in enumerate(labels) if label not in known), None):
        what, where = f"{labels[unknown]!r} is not a status", table.cell(STATUS, unknown)
        raise InputError(what, where=where, mend=f"give one of {', '.join(known)}")
    return np.array([known[label] for label in labels], dtype=np.int64)
