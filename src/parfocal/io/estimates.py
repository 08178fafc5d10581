"""estimates.star: what a method gave for every particle, and how it was run."""

import json
import os
from pathlib import Path

import numpy as np

from parfocal.errors import InputError
from parfocal.estimates import DefocusEstimates, Status
from parfocal.io.records import refuse_repeats, strings
from parfocal.io.star import Rounded, Table, read_star, write_star

PARTICLE, MICROGRAPH = "parfocalParticleId", "parfocalMicrograph"
NUMBERS = {  # column: attribute, decimals
    "parfocalCoordinateX": ("coordinate_x", 3),
    "parfocalCoordinateY": ("coordinate_y", 3),
    "parfocalDefocusPrior": ("defocus_prior", 4),
    "parfocalDefocus": ("defocus", 4),
    "parfocalDefocusError": ("defocus_error", 4),
    "parfocalDefocusLow": ("defocus_low", 4),
    "parfocalDefocusHigh": ("defocus_high", 4),
    "parfocalDefocusFold1": ("defocus_of_fold_1", 4),
    "parfocalDefocusFold2": ("defocus_of_fold_2", 4),
    "parfocalAstigmatismChangeX": ("astigmatism_change_x", 4),
    "parfocalAstigmatismChangeY": ("astigmatism_change_y", 4),
    "parfocalSheetProbability": ("sheet_probability", 4),
    "parfocalIceHeight": ("ice_height", 4),
    "parfocalGainOfShift": ("gain_of_shift", 6),
    "parfocalGainOfPlane": ("gain_of_plane", 6),
    "parfocalHeldOutGain": ("held_out_gain", 6),
}
LATER = {  # that older files lack
    "astigmatism_change_x": 0.0,
    "astigmatism_change_y": 0.0,
    "defocus_of_fold_1": np.nan,
    "defocus_of_fold_2": np.nan,
}
CHANGES = {
    "defocus_change": "defocus",
    "change_low": "defocus_low",
    "change_high": "defocus_high",
    "change_of_fold_1": "defocus_of_fold_1",
    "change_of_fold_2": "defocus_of_fold_2",
}
BESIDES = (  # what a method tells beside the defocus and its error
    "defocus_low",
    "defocus_high",
    "sheet_probability",
    "ice_height",
    "gain_of_shift",
    "gain_of_plane",
    "held_out_gain",
)
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
    labels = {int(status): status.label for status in Status}
    columns = {PARTICLE: estimates.particle_id.tolist(), MICROGRAPH: estimates.micrograph.tolist()}
    for name, (attribute, decimals) in NUMBERS.items():
        columns[name] = Rounded(getattr(estimates, attribute), decimals)
    columns[STATUS] = [labels[status] for status in estimates.status.tolist()]
    write_star(path, {"parfocal_run": run, "estimates": columns})


def holds_estimates(path: str | os.PathLike) -> bool:
    """Whether a file begins as those that `write_estimates` writes."""
    try:
        with open(path, "rb") as file:
            return b"data_parfocal_run" in file.read(4096)
    except OSError as error:
        raise InputError.of_system(error, Path(path)) from None


def read_estimates(path: str | os.PathLike, *, brief: bool = False) -> DefocusEstimates:
    """Read what `write_estimates` wrote. InputError if it is another file, or was damaged.

    `brief` leaves unread what says nothing of a defocus and its error: interval, sheet, height and
    gains are as if a method had not told them.
    """
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
        if not (brief and attribute in BESIDES)
    }
    for change, defocus in CHANGES.items():
        if defocus in numbers:
            numbers[change] = numbers.pop(defocus) - numbers["defocus_prior"]
    if brief:
        numbers |= dict.fromkeys(("ice_height", "held_out_gain"), np.full(len(table), np.nan))
    ids = table.text(PARTICLE)
    refuse_repeats(ids, table.where)
    try:
        return DefocusEstimates(
            method=run.text(METHOD)[0],
            version=run.text(VERSION)[0],
            settings=json.loads(run.text(SETTINGS)[0]),
            particle_id=np.array(ids, dtype=object),
            micrograph=strings(table.text(MICROGRAPH)),
            status=_statuses(table),
            **numbers,
        )
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(str(error), where=Path(path), mend="write it again") from None


def _statuses(table: Table) -> np.ndarray:
    known = {status.label: int(status) for status in Status}
    labels = table.text(STATUS)
    found = [known.get(label, -1) for label in labels]
    if -1 in found:
        row = found.index(-1)
        what, where = f"{labels[row]!r} is not a status", table.cell(STATUS, row)
        raise InputError(what, where=where, mend=f"give one of {', '.join(known)}")
    return np.array(found, dtype=np.int64)
