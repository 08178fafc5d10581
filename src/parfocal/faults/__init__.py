"""Faults of sets of defoci, each by its name: what is wrong with whose file, and how to mend it."""

from parfocal.faults.axes import astigmatism_faults, coordinate_faults
from parfocal.faults.gross import copies, scale_faults
from parfocal.faults.heights import doubled, turned
from parfocal.faults.offsets import shifted, shifted_parts, stuck
from parfocal.faults.record import Fault, worst_first
from parfocal.faults.rows import missing_rows, other_orders
from parfocal.faults.shuffles import shuffled, shuffled_within
from parfocal.faults.table import table_of
from parfocal.join import Joined

__all__ = ["Fault", "find_faults"]


def find_faults(joined: Joined) -> tuple[Fault, ...]:
    """What is wrong with the sets, worst first; empty if nothing is.

    Each is told by a statistic that is more than five standard errors from what healthy sets give.
    Sets are held against each other in pairs and against the prior, which is trusted: who disagrees
    with most is named; both are where nothing tells which. What was found is mended, or left out,
    before the next is looked for.

    Not seen: rows shuffled within micrographs, or changes doubled, where the sets agree little or the
    prior hardly errs; a fault that most sets have; less than some 3 % of the rows, or offsets below 1.5
    times the scatter of the difference; angles in a wrong unit that also have noise of their own.
    """
    table = table_of(joined)
    faults = missing_rows(table) + other_orders(table)
    faults += coordinate_faults(table) + astigmatism_faults(table)
    for look in (scale_faults, copies, shuffled, stuck, shifted):
        found, table = look(table)
        faults += found
    faults += shifted_parts(table)
    found, table = shuffled_within(table)
    faults += found + turned(table) + doubled(table)
    return worst_first(faults)
