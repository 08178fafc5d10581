"""Rows that are missing, or in another order."""

from collections.abc import Iterator

import numpy as np

from parfocal.faults.record import Fault, fault_of, percent
from parfocal.faults.table import Table

MISSING = 0.01  # of the base's particles; fewer are only noted


def missing_rows(table: Table) -> list[Fault]:
    """Particles that the base has and a set lacks, or the other way round."""
    joined, faults = table.joined, []
    n = len(joined)
    for k, joint in enumerate(joined.joints):
        lacks = ~np.isfinite(joined.defocus[:, k])
        if lacks.any():
            faults.append(_missing(table, k, lacks))
        if joint.beyond and table.base_set is None:
            faults.append(_beyond(joint.name, joint.beyond, joined.base.name, joint))
    extra = [j for k, j in enumerate(joined.joints) if k != table.base_set]
    if table.base_set is not None and extra and max(j.beyond for j in extra):
        least = min(extra, key=lambda j: j.beyond)
        if least.beyond > MISSING * (n + least.beyond):
            text = f"all other sets hold particles that it lacks, at least {least.beyond}, such as "
            text += f"{least.examples_beyond[0]}; it is the base, so they are left out"
            mend = "give the input with --input, or put a whole set first"
            faults.append(fault_of(joined.base.name, "rows missing", least.beyond, text, mend))
        else:
            faults += [_beyond(j.name, j.beyond, joined.base.name, j) for j in extra if j.beyond]
    return faults


def _missing(table: Table, k: int, lacks: np.ndarray) -> Fault:
    joined, n = table.joined, len(table)
    count, groups = int(lacks.sum()), table.groups
    unjoined = int(np.sum(joined.row[:, k] < 0))
    where = table.joined.base.particle_id[int(np.argmax(lacks))]
    text = f"{count} of {n} particles ({percent(count / n)}) are not in it, such as {where}"
    if unjoined < count:
        text += f"; {count - unjoined} of them have a row, but no number"
    size, gone = groups.sum(np.ones(n)), groups.sum(lacks)
    whole = (gone == size) & (gone > 0)
    mostly = size[whole].sum() > count / 2
    if mostly:
        name = groups.names[int(np.argmax(whole))]
        text += f"; {whole.sum()} micrographs are wholly missing, such as {name}"
    severe = count > MISSING * n
    cause = "its job left out micrographs" if mostly else "it was selected, or cut short"
    mend = f"{cause}: give the whole file, or compare what is in all sets only"
    return fault_of(joined.names[k], "rows missing", count, text, mend, note=not severe)


def _beyond(name: str, count: int, base: str, joint) -> Fault:
    text = f"{count} of its particles are not in {base}, such as {joint.examples_beyond[0]}"
    mend = "nothing to do, if they were left out on purpose"
    return fault_of(name, "rows beyond", count, text, mend, note=True)


def other_orders(table: Table) -> list[Fault]:
    """Notes of sets whose rows stand in another order, and were joined by key."""
    faults = []
    for joint in table.joined.joints:
        if not joint.in_order:
            text = f"its rows stand in another order than {table.joined.base.name}'s; they were "
            text += f"joined by {joint.by}, and nothing is lost"
            mend = "nothing to do; never compare these files row by row"
            faults.append(
                fault_of(joint.name, "rows re-sorted", joint.joined, text, mend, note=True)
            )
    return faults


def orders(table: Table, k: int, *, by_name: bool) -> Iterator[tuple[str, np.ndarray]]:
    """(what order, (n,) values of set k had they been meant for that order)."""
    joined = table.joined
    row, n = joined.row[:, k], len(table)
    size = max(int(joined.row.max()) + 1, n)
    filed = np.full(size + 1, np.nan)  # the last is for rows that are not there
    filed[row[row >= 0]] = table.values[row >= 0, k]

    def at(rows):
        return filed[np.where((rows >= 0) & (rows < size), rows, size)]

    plain = np.arange(n)
    if not np.array_equal(row, plain):
        yield f"the order of {joined.base.name}", at(plain)
    for j, name in enumerate(joined.names):
        if j not in (k, table.base_set) and not np.array_equal(joined.row[:, j], row):
            yield (
                f"the order of {name}",
                at(np.where(joined.row[:, j] >= 0, joined.row[:, j], size)),
            )
    known = np.where(row >= 0, row, size)
    for by, what in ((1, "below"), (-1, "above")):
        yield f"the particles one row {what}", at(known + by)
    yield "the opposite order", at(np.where(row >= 0, row.max() - row, size))
    if by_name:
        names = joined.base.particle_id
        yield "the order of particle names", _in_order_of(filed, names, row)
        yield "the order of micrograph names", _in_order_of(filed, joined.base.micrograph, row)


def _in_order_of(filed, labels, row) -> np.ndarray:
    """Values of the rows that are there, had they been written in the order of `labels`."""
    there = np.flatnonzero(row >= 0)
    there = there[np.argsort(row[there])]  # as in the file
    place = np.empty(len(there), dtype=np.intp)
    place[np.argsort(labels[there].astype(str), kind="stable")] = np.arange(len(there))
    out = np.full(len(row), np.nan)
    out[there] = filed[row[there]][place]
    return out
