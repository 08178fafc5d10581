"""Sets, or a part of their rows, that are shifted by a constant or stuck at a bound."""

from typing import NamedTuple

import numpy as np
import scipy.special
import scipy.stats

from parfocal.agreement import spread_of
from parfocal.faults.blame import blame
from parfocal.faults.record import Fault, fault_of, percent
from parfocal.faults.table import LEAST_ROWS, Table, levels
from parfocal.grouped import MAD_TO_SD, Groups

SIGMAS = 5.0  # standard errors that a fault must be above
LEAST_SHIFT = 20.0  # Å; methods differ by less for good reasons
FEW = 5  # micrographs
LEVEL = 40.0  # Å, by which two methods' levels of a micrograph usually differ
MEDIAN_LOSS = 1.2533  # standard error of a median over that of a mean
LEAST_SHARE = 0.03  # of the rows that are shifted
LEAST_OFFSET = 1.2  # core widths between a shifted part and the rest
FARTHEST_LEVEL = 150.0  # Å; healthy methods' levels of a few micrographs may differ by as much
WIDEST = 1.6  # widths of a shifted part over the core's: a wider one is no common offset
QUARTILES = 1.35  # standard deviations between those of a Gaussian
STEP = 0.05  # core widths, of histograms
SMOOTH = 5  # steps, over which a density is taken
WINDOW = 11  # steps, in which a mode and the dip before it are counted
DIP = 3.5  # standard errors that a mode must stand out of the dip
REACH = 60.0  # core widths; what lies beyond is no offset but nonsense
TOWARDS = 0.4  # of its distance that the mean of what is near comes closer to the mode, about
CLEARLY = 3.0  # times more that one of two sets must be off than the other
WHOLE = 0.7  # of the shifted rows, that are in micrographs which are shifted as a whole
SPIKE = 0.02  # of the values at one bound
BEYOND = 0.005  # at most, of the values beyond it
ROUNDED = 1.5  # Å, that values at a bound may differ by
FARTHEST_CHANGE = 30_000  # Å


class Part(NamedTuple):
    """A part of the rows at an offset from the rest."""

    share: float
    share_error: float
    offset: float  # Å
    width: float  # Å, standard deviation of the rest
    apart: bool  # whether it is a second mode; else errors that are skew may look like it


def shifted(table: Table) -> tuple[list[Fault], Table]:
    """Sets shifted as a whole; and the table with these moved back."""
    groups, values = table.groups, table.values
    level = levels(groups, values)
    spread = [spread_of(groups.centred(values[:, k], robust=True)) for k in range(table.columns)]

    def difference(k, j):
        both = level[:, k] - level[:, j]
        return both[np.isfinite(both)]

    def error(k, j):
        between, rows = difference(k, j), np.isfinite(values[:, k] + values[:, j]).sum()
        m = len(between)
        within = MEDIAN_LOSS**2 * (spread[k] ** 2 + spread[j] ** 2) / max(rows, 1)
        least = np.sqrt(within + LEVEL**2 / m)
        scatter = MEDIAN_LOSS * MAD_TO_SD * np.median(np.abs(between - np.median(between)))
        if j >= table.sets:  # a prior errs by as much as it likes: only micrographs can tell
            scatter *= scipy.stats.t.isf(scipy.stats.norm.sf(SIGMAS), max(m - 1, 1)) / SIGMAS
        return max(least, scatter / np.sqrt(m))

    def strength(k, j):
        if np.isfinite(values[:, k] + values[:, j]).sum() < LEAST_ROWS:
            return np.nan
        if j >= table.sets and len(difference(k, j)) < FEW:
            return 0.0  # a prior may be wrong by as much in a few micrographs
        size = abs(np.median(difference(k, j)))
        return size if size > max(LEAST_SHIFT, SIGMAS * error(k, j)) else 0.0

    faults, out = [], values.copy()
    strengths = table.pairs(strength)
    named = blame(strengths, table.sets)
    guilty = {k for columns in named for k in columns}
    for columns in named:
        k = columns[0]
        others = list(columns[1:]) or [j for j in range(table.columns) if j not in guilty]
        others = [j for j in others if strengths[k, j] > 0]
        at = [float(np.median(difference(k, j))) for j in others]
        errors = [error(k, j) for j in others]
        by, off = float(np.median(at)), float(np.median(errors))
        same = np.mean(np.sign(np.concatenate([difference(k, j) for j in others])) == np.sign(by))
        if len(columns) > 1:
            text = f"all defoci of {table.names[k]} lie {by:+.0f} ± {off:.0f} Å from those of "
            text += f"{table.names[others[0]]}; nothing tells which of them is wrong"
            mend = "compare the optics of both, or add a third set or the input"
        else:
            text = f"all its defoci lie {by:+.0f} ± {off:.0f} Å from {table.against(guilty)}, with the "
            text += f"same sign in {percent(same)} of the micrographs: another pixel size, "
            text += "spherical aberration or input file, or a constant was added"
            mend = "compare its optics with the input's and run it again"
        count = int(np.isfinite(values[:, k]).sum())
        faults.append(fault_of(table.name(columns), "shifted", count, text, mend))
        out[:, k] -= by
    return faults, table.with_values(out)


def stuck(table: Table) -> tuple[list[Fault], Table]:
    """Sets with many values at one largest change from the prior; and the table without these."""
    faults, out = [], table
    if not table.has_prior:
        return faults, out
    for k in range(table.sets):
        change = table.values[:, k] - table.values[:, -1]
        bound = _bound(table.groups, change)
        if bound:
            at = np.abs(np.abs(change) - bound) <= ROUNDED
            up, n = float(np.mean(change[at] > 0)), int(np.isfinite(change).sum())
            text = f"{at.sum()} of {n} values ({percent(at.sum() / n)}) lie at one largest change, "
            text += f"±{bound:.0f} Å, {percent(up)} of them above {table.names[-1]}, and next to "
            text += "none beyond: the search stopped there"
            mend = "search a wider range, or leave these particles out"
            faults.append(fault_of(table.names[k], "stuck at a bound", at.sum(), text, mend))
            out = out.without([k], at)
    return faults, out


def _bound(groups: Groups, change: np.ndarray) -> int:
    """The size [Å] of change at which values pile up, none beyond; 0 if they do not."""
    known = np.isfinite(change)
    size = np.minimum(np.rint(np.abs(change[known])), FARTHEST_CHANGE).astype(np.int64)
    n = len(size)
    if n < LEAST_ROWS or not np.median(size):
        return 0
    counts = np.bincount(size, minlength=FARTHEST_CHANGE + 2)
    from_here = np.cumsum(counts[::-1])[::-1]
    bound = int(np.argmax(np.where(from_here > SPIKE * n, np.arange(len(counts)), 0)))
    peak = bound - 1 + int(np.argmax(counts[bound - 1 : bound + 2])) if bound else 0
    if not np.median(size) <= peak < FARTHEST_CHANGE:
        return 0
    at = int(counts[peak - 1 : peak + 2].sum())
    inside = int(counts[round(0.9 * peak) : peak - 1].sum())
    micrographs = len(np.unique(groups.index[known][np.abs(size - peak) <= 1]))
    spread_out = micrographs >= min(len(groups), 3 + len(groups) // 10)
    enough = SPIKE * n < at < n / 2 and from_here[peak + 2] < BEYOND * n and at > 2 * inside
    return peak if enough and spread_out else 0


def shifted_parts(table: Table) -> list[Fault]:
    """Sets of which a part of the rows lies at one offset from the rest; a lone set is not judged.

    Its ice may have a second layer, which shows in all sets alike, but in no difference of them.
    """
    if table.sets == 1:
        return []
    groups, few = table.taken(table.sample())
    parts, level = {}, levels(groups, few)

    def strength(k, j):
        both = few[:, k] - few[:, j]
        rows = np.isfinite(both)
        if rows.sum() < LEAST_ROWS:
            return np.nan
        between = level[:, k] - level[:, j]
        scatter = max(spread_of(between - np.nanmedian(between)), LEVEL)
        count = groups.count(both)
        part = part_at_an_offset(both[rows], scatter * np.sqrt(np.sum(count**2)) / count.sum())
        if part is None:
            return 0.0
        parts[k, j], parts[j, k] = part, part._replace(offset=-part.offset)
        return part.share * abs(part.offset)

    faults = []
    for columns in blame(table.pairs(strength), table.sets):
        named = list(columns)
        if len(named) > 1 and table.has_prior:
            named = _by_the_prior(table, named, parts[columns])
        k, other = named[0], named[1:]
        seen = [j for one, j in parts if one == k and (not other or j in other)]
        clearest = min(seen, key=lambda j: parts[k, j].width)
        faults.append(_of_part(table, named, clearest, parts[k, clearest]))
    return faults


def _of_part(table: Table, columns, witness: int, part: Part) -> Fault:
    k = columns[0]
    rows = np.isfinite(table.values[:, k] - table.values[:, witness]).sum()
    text = f"{percent(part.share)} ± {100 * part.share_error:.1f} % of the rows of "
    text += f"{table.names[k]} lie about {part.offset:+.0f} Å from the rest, held against "
    text += f"{table.names[witness]}, where the usual scatter is {part.width:.0f} Å"
    whole = _whole_micrographs(table, k, witness, part)
    clear = part.apart or bool(whole)
    cause = "nothing tells which of the two is wrong"
    if len(columns) == 1:
        cause = "another optics group or job was pasted in, or has another offset"
    if not clear:
        cause += "; or its errors are skew, for it is no mode of its own"
    mend = "look at which micrographs or optics groups they are in, and run these again"
    count = round(part.share * int(rows))
    text += f"{whole}: {cause}"
    return fault_of(table.name(columns), "shifted", count, text, mend, note=not clear)


def _by_the_prior(table: Table, columns: list[int], part: Part) -> list[int]:
    """Which of two sets is the one that is shifted in a part, by the prior; both if it cannot tell.

    Of rows far from each other, noise puts as many on either side, and what it adds to each set drops
    out of the difference of both sides: that of the shifted set remains.
    """
    change = table.values[:, columns] - table.values[:, -1:]
    change -= np.nanmedian(change, axis=0)
    difference = change[:, 0] - change[:, 1]
    far = np.abs(difference) > abs(part.offset) / 2
    change = change[far & np.isfinite(change).all(axis=1)]
    excess, error = np.abs(change.sum(axis=0)), np.sqrt(np.sum(change**2, axis=0))
    clear = excess > np.maximum(SIGMAS * error, CLEARLY * excess[::-1])
    return [k for k, it in zip(columns, clear, strict=True) if it] or columns


def _whole_micrographs(table: Table, k: int, j: int, part: Part) -> str:
    """What to say if the shifted rows are those of whole micrographs."""
    difference, groups = table.values[:, k] - table.values[:, j], table.groups
    middle = groups.median(difference) - np.nanmedian(difference)
    there = middle * np.sign(part.offset) > abs(part.offset) / 2
    rows = groups.count(difference)
    if rows[there].sum() < WHOLE * part.share * rows.sum():
        return ""
    name = groups.names[int(np.argmax(there))]
    return f"; {there.sum()} micrographs are wholly shifted, such as {name}"


def part_at_an_offset(difference: np.ndarray, centre_error: float) -> Part | None:
    """A part of the (n,) differences [Å] at one offset from the rest, or None.

    The rest is taken to be symmetric, about a centre known to `centre_error` [Å]. Then the tails beyond
    ±u of it differ by the share of the part for all u below its offset, and no more above: the share
    is their clearest difference, the offset where half of it is left, and the fall about as wide as
    the rest. A tail that is only skew falls more slowly, and is no fault.
    """
    centre, width = _core(difference)
    if not width > 0:
        return None
    bins, n = round(REACH / STEP), len(difference)
    step = np.floor((difference - centre) / (width * STEP)).astype(np.int64)
    counts = np.bincount(np.clip(step, -bins, bins - 1) + bins, minlength=2 * bins)
    upper, lower = np.cumsum(counts[: bins - 1 : -1])[::-1], np.cumsum(counts[:bins])[::-1]
    tail, both = (upper - lower) / n, (upper + lower) / n  # beyond u = 0, STEP, ...
    density = (both - np.append(both[SMOOTH:], np.zeros(SMOOTH))) / (SMOOTH * STEP * width)
    error = np.sqrt((both + 1 / n) / n + (density * centre_error) ** 2)
    first = round(1 / STEP)
    top = first + int(np.argmax((np.abs(tail) / error)[first:]))
    sign, size = np.sign(tail[top]), float(np.abs(tail[top]))
    if size < max(SIGMAS * error[top], LEAST_SHARE / 2):
        return None
    after = sign * tail[top:] / size
    half, most, least = (_falls_below(after, level) for level in (0.5, 0.75, 0.25))
    offset = (top + half) * STEP
    near = offset < max(LEAST_OFFSET, FARTHEST_LEVEL / width) or top + least >= bins
    if near or (least - most) * STEP > QUARTILES * WIDEST:
        return None
    u = top * STEP
    share = size / (scipy.special.ndtr(offset - u) - scipy.special.ndtr(-offset - u))
    if share < LEAST_SHARE:
        return None
    at_side = counts[bins:] if sign > 0 else counts[bins - 1 :: -1]
    return Part(
        share=float(share),
        share_error=float(error[top]),
        offset=float(sign * offset * width),
        width=width,
        apart=_second_mode(at_side, top + half),
    )


def _second_mode(counts: np.ndarray, at: int) -> bool:
    """Whether there is more at step `at` than somewhere between there and the middle."""
    near = np.convolve(counts, np.ones(WINDOW), mode="same")
    at = min(at, len(near) - 1)
    before, here = near[: at + 1].min(), near[at : at + WINDOW].max()
    return bool(here - before > DIP * np.sqrt(here + before + 1))


def _core(values: np.ndarray) -> tuple[float, float]:
    """(mode, standard deviation) of what most of the values are."""
    centre = float(np.median(values))
    width = MAD_TO_SD * float(np.median(np.abs(values - centre)))
    for _ in range(2):  # the median is drawn towards a part that is apart, the mode is not
        if not width > 0:
            break
        away = (values - centre) / width
        centre += width * float(np.mean(away[np.abs(away) < 1])) / TOWARDS
        sizes = [np.abs(values[side] - centre) for side in (values < centre, values >= centre)]
        width = MAD_TO_SD * min(float(np.median(size)) for size in sizes if len(size))
    return centre, width


def _falls_below(after: np.ndarray, level: float) -> int:
    below = np.flatnonzero(after < level)
    return int(below[0]) if len(below) else len(after)
