"""Defoci of the wrong sign or unit, and sets that hold what another set, or the input, holds."""

from collections.abc import Iterator

import numpy as np

from parfocal.agreement import LEAST_SPREAD, MIN_PARTICLES
from parfocal.faults.record import Fault, fault_of, percent
from parfocal.faults.table import LEAST_ROWS, Table

UNITS = {"in µm": 1e4, "in nm": 10.0, "in m": 1e10}  # Å in one
NO_DEFOCUS = 20.0  # Å; no set has a median as small
NOT_ZERO = 1e-12
FACTOR = 1.5  # within which a ratio of medians is that of two units
MOST = 0.9  # of the rows, or micrographs, that must show what is said of the set
SAME = 0.02  # Å, what rounding in files may change


def scale_faults(table: Table) -> tuple[list[Fault], Table]:
    """Defoci that are negative, or in another unit than Å; and the table with them mended."""
    faults, values = [], table.values.copy()
    for k in range(table.columns):
        one = values[:, k][np.isfinite(values[:, k])]
        if len(one) and np.mean(one < 0) > MOST:
            values[:, k] *= -1
            faults += _scale_fault(
                table,
                k,
                "defocus negative",
                f"{percent(float(np.mean(one < 0)))} of its defoci are below 0, median "
                f"{np.median(one):g}: it counts underfocus as negative",
                "turn the sign of its defoci, U and V",
            )
    known = [v[np.isfinite(v)] for v in values.T]
    medians = np.array([np.median(v) if len(v) else np.nan for v in known])
    for k, unit in _units(medians):
        values[:, k] *= UNITS[unit]
        text = f"the median of its defoci is {medians[k]:.4g}, too small for Å by {UNITS[unit]:g}"
        mend = f"multiply its defoci by {UNITS[unit]:g}"
        faults += _scale_fault(table, k, unit, text, mend)
    return faults, table.with_values(values)


def _units(medians: np.ndarray) -> Iterator[tuple[int, str]]:
    """(column, unit) of those that are not in Å: by size alone, or against the larger half."""
    medians = medians.copy()
    for k in np.flatnonzero((np.abs(medians) > NOT_ZERO) & (medians < NO_DEFOCUS)):
        unit = "in µm" if medians[k] * UNITS["in µm"] > NO_DEFOCUS else "in m"
        medians[k] *= UNITS[unit]
        yield int(k), unit
    known = np.sort(medians[np.isfinite(medians)])
    if len(known) > 1:
        ratio = known[len(known) // 2] / medians
        near = np.abs(np.log(ratio / UNITS["in nm"])) < np.log(FACTOR)
        yield from ((int(k), "in nm") for k in np.flatnonzero(near))


def _scale_fault(table: Table, k: int, kind: str, text: str, mend: str) -> list[Fault]:
    """One fault; of the base by its name; none of a prior that other sets told."""
    if k >= table.sets and table.base_set is not None:
        return []
    count = int(np.isfinite(table.values[:, k]).sum())
    return [fault_of(table.names[k], kind, count, text, mend)]


def copies(table: Table) -> tuple[list[Fault], Table]:
    """Sets with the same values, or the input's, or one a micrograph; copies count once after."""
    faults, rows, copied = [], table.sample(), []
    for k in range(table.sets):
        own, name = table.values[:, k], table.names[k]
        if table.has_prior and _alike(own[rows], table.values[rows, -1]) > MOST:
            count = np.sum(np.abs(own - table.values[:, -1]) <= SAME)
            text = f"its defoci are those of {table.names[-1]}: nothing was refined"
            mend = "give the file that the local refinement wrote"
            faults.append(fault_of(name, "same as the input", count, text, mend, note=True))
            continue
        if _one_value(table, own):
            count = np.isfinite(own).sum()
            text = (
                "all particles of a micrograph have one defocus: a global estimate, not a local one"
            )
            mend = "leave it out, or give the file after local refinement"
            faults.append(fault_of(name, "one value per micrograph", count, text, mend, note=True))
        for j in range(k):
            share = _alike(own[rows], table.values[rows, j])
            if share > MOST and j not in copied:
                copied.append(k)
                count = np.sum(np.abs(own - table.values[:, j]) <= SAME)
                text = (
                    f"{percent(share)} of their particles have the same defocus to {SAME} Å: one "
                )
                text += "file was given twice, or copied from the other"
                mend = "leave one of them out: they agree with each other whatever the truth"
                names = f"{table.names[j]} and {name}"
                faults.append(fault_of(names, "same values", count, text, mend))
                break
    return faults, table.without(copied)


def _alike(a: np.ndarray, b: np.ndarray) -> float:
    """Share of rows with both in which they are the same; 0 with too few rows."""
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < LEAST_ROWS:
        return 0.0
    return float(np.mean(np.abs(a[both] - b[both]) <= SAME))


def _one_value(table: Table, values: np.ndarray) -> bool:
    groups = table.groups
    squares, _, _, freedom = groups.moments(*[groups.centred(values, robust=True)] * 2).T
    large = freedom >= MIN_PARTICLES - 1
    constant = squares[large] <= freedom[large] * LEAST_SPREAD**2
    return bool(len(constant)) and float(constant.mean()) > MOST
