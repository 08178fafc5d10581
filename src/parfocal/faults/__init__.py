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

    Offsets, shuffles and signs are told by statistics five standard errors or more from what healthy
    sets give, directions of astigmatism by four of those of chance, the rest by counts. Sets are held
    against each other in pairs and against the prior, which is trusted: who disagrees with most is
    named; both are where nothing tells which. What was found is mended, or left out, before the next
    is looked for.

    Not seen: a fault that most sets have; rows shuffled within micrographs, where the others agree by
    less than 0.5, or only a part of them; a shifted part below 3 % of the rows, below 150 Å, or below
    1.2 times the scatter of the difference (up to about three times it may be skew errors, and is
    only noted), or in a lone set, where it may be a second layer of the ice; a shuffle over micrographs
    whose levels differ by little more than noise; a doubled change with less than three sets, less
    than some hundred micrographs, or a prior that hardly errs; degrees for
    radians where the angles also have noise of their own and whole turns were taken off them (noted
    as unlike the others'); values at a bound without a prior.
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
