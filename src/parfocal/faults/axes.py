"""Directions: of astigmatism, and of the coordinates. Units, axes and signs of either."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from parfocal.faults.blame import blame
from parfocal.faults.record import Fault, fault_of
from parfocal.faults.table import LEAST_ROWS, Table
from parfocal.grouped import Groups

SIGMAS = 4.0  # standard errors of chance, that another reading must be above
BETTER = 0.3  # cosine similarity, by which it must be better as well
FITS = 0.5  # and what it must reach
SEVERAL = 3  # micrographs
MOST = 0.9  # of the vectors
COPIED = 0.02  # of the size, within which vectors are the same, however few
LEAST_ASTIGMATISM = 1.0  # Å; below there is no direction
LONGEST = 1.0  # medians, at which vectors are cut: a few long ones must not decide
SAME_ANGLE = 0.115  # rad; a full turn in radians, read as degrees, is 0.110
TURNS = 4 * np.pi  # rad, beyond which no program writes an angle: degrees are
STRAIGHT = 0.9  # correlation of coordinates that are the same but for an axis


def _times(angle: np.ndarray, factor: float) -> np.ndarray:
    """Unit vectors of the doubled `angle` [rad] had it been multiplied by `factor`."""
    return np.exp(2j * angle * factor)


FROM_DEGREES, FROM_RADIANS = "degrees for radians", "radians for degrees"
LOST, UNLIKE = "angle lost", "astigmatism unlike the others"
READINGS: dict[str, tuple[Callable, str, str]] = {
    # kind: (what the right vectors, of this length and angle, become, what it is, what to do)
    "swapped U and V": (
        lambda size, angle: -size * np.exp(2j * angle),
        "its astigmatism is turned by 90°: U and V are swapped, or the angle counts to V",
        "swap its defocus U and V, or add 90° to its angle",
    ),
    "wrong sign of y": (
        lambda size, angle: size * np.exp(-2j * angle),
        "its astigmatism is mirrored: the angle is counted the other way, with y upwards",
        "turn the sign of its angle (or mirror y once, not twice)",
    ),
    "angle from the wrong axis": (
        lambda size, angle: -size * np.exp(-2j * angle),
        "its angle is 90° less the right one: it is counted from y",
        "write 90° less its angle",
    ),
    FROM_DEGREES: (
        lambda size, angle: size * _times(angle, 180 / np.pi),
        "its angles are 180/π times too large: degrees stand where radians should",
        "multiply its angles by π/180",
    ),
    FROM_RADIANS: (
        lambda size, angle: size * _times(angle, np.pi / 180),
        "its angles are 180/π times too small: radians stand where degrees should",
        "multiply its angles by 180/π",
    ),
}


class Reading(NamedTuple):
    """How one set's astigmatism is to be read to agree with another's, or that it does not."""

    kind: str
    fits: float  # cosine similarity so read
    as_it_is: float


def astigmatism_faults(table: Table) -> list[Fault]:
    """Sets whose astigmatism points elsewhere than the others', by a reading of the angle.

    A set that agrees with none by any reading is only noted: its angles may be its own.
    """
    rows, joined = table.sample(), table.joined
    vectors = [joined.astigmatism[rows, k] @ [1, 1j] for k in range(table.sets)]
    names = list(joined.names)
    if table.base_set is None:
        vectors.append(joined.base.astigmatism[rows] @ [1, 1j])
        names.append(joined.base.name)
    groups, forms = table.groups.take(rows), [_forms(v) for v in vectors]
    base = len(vectors) - 1 if table.base_set is None else table.base_set
    forms[base].append((joined.base.half_difference[rows], joined.base.angle[rows]))
    seen: dict[tuple[int, int], Reading] = {}
    clear, unlike = (np.full((len(vectors), len(vectors)), np.nan) for _ in range(2))
    for k in range(table.sets):
        for j in range(len(vectors)):
            if j == k or np.isfinite(vectors[k] + vectors[j]).sum() < LEAST_ROWS:
                continue
            reading = _reading(groups, vectors[k], forms[j])
            clear[k, j] = unlike[k, j] = 0.0
            if reading is not None:
                if reading.kind == UNLIKE and joined.widest_angle[k] > TURNS:
                    reading = reading._replace(kind=FROM_DEGREES)
                seen[k, j] = reading
                (unlike if reading.kind == UNLIKE else clear)[k, j] = 1 - reading.as_it_is
    named = blame(clear, table.sets)
    done = {k for columns in named for k in columns}
    for k in range(table.sets):
        for j in range(len(vectors)):
            if {k, j} & done:
                unlike[k, j] = np.nan
    named += [columns for columns in blame(unlike, table.sets) if len(columns) == 1]
    return [_of_reading(table, names, columns, seen) for columns in named]


def _of_reading(table: Table, names: list[str], columns, seen) -> Fault:
    k = columns[0]
    kinds = [reading.kind for pair, reading in seen.items() if pair[0] == k]
    kind = max(set(kinds), key=kinds.count)
    j, reading = next((j, r) for (one, j), r in seen.items() if one == k and r.kind == kind)
    what, mend = TOLD[kind] if kind in TOLD else READINGS[kind][1:]
    text = f"{what}. As it stands it agrees with {names[j]} by {reading.as_it_is:.2f}"
    text += f", so read by {reading.fits:.2f}" if reading.fits > reading.as_it_is else ""
    if len(columns) > 1:
        text += f"; or it is {names[columns[1]]}'s that is wrong: nothing tells which"
    name = " or ".join(names[i] for i in columns)
    count = int(np.isfinite(table.joined.astigmatism[:, k, 0]).sum())
    return fault_of(name, kind, count, text, mend, note=kind == UNLIKE)


TOLD = {
    LOST: (
        "all its angles are 0: they were not written, or not read",
        "write the angles with U and V",
    ),
    UNLIKE: (
        "its astigmatism points elsewhere than the others', by no simple change of the angle",
        "look at the unit of its angles (degrees for radians would do this), and at what it refined",
    ),
}


def _forms(vector: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(size, angle) as programs may write them: in either half turn, with U above V or below."""
    size, angle = np.abs(vector), np.angle(vector) / 2
    across = angle + np.where(angle > 0, -np.pi / 2, np.pi / 2)
    return [
        (sign * size, each)
        for sign, turn in ((1, angle), (-1, across))
        for each in (np.mod(turn, np.pi), turn)
    ]


def _reading(groups: Groups, vector, forms) -> Reading | None:
    """The reading that fits clearly better than the vectors as they are; None if these fit."""
    vector = _cut(vector)
    size, angle = forms[0]
    if not min(np.nanmedian(np.abs(vector)), np.nanmedian(size)) > LEAST_ASTIGMATISM:
        return None
    plain = _cut(size * np.exp(2j * angle))
    if _copied(vector, plain):
        return None
    sums = _sums(groups, vector, plain)
    as_it_is = float(_similar(sums.sum(axis=0)))
    best, copied = Reading(UNLIKE, 0.0, as_it_is), False
    for kind, turned in _readings(vector, forms):
        fits = float(_similar(_sums(groups, vector, turned).sum(axis=0)))
        same = fits > 1 - COPIED and _copied(vector, turned)
        if (same, fits) > (copied, best.fits + 1e-6):
            best, copied = Reading(kind, fits, as_it_is), same
    # by chance vectors of random directions give a similarity of 0, with this standard error
    length = np.sqrt(sums[:, 0] * sums[:, 1])
    chance = float(np.sqrt(np.sum(length**2) / 2 / np.prod(sums[:, :2].sum(axis=0))))
    better = best.fits > max(FITS, SIGMAS * chance) and best.fits - as_it_is > BETTER
    several = (
        np.sum(sums[:, 0] > 0) >= SEVERAL
    )  # directions; fewer are mirrored or turned by chance
    if better or (copied and (several or as_it_is < -FITS)):
        lost = best.kind == FROM_RADIANS and _no_angle(vector, forms)
        return best._replace(kind=LOST) if lost else best
    if as_it_is + SIGMAS * chance < FITS:
        return Reading(UNLIKE, as_it_is, as_it_is)
    return None


def _readings(vector, forms) -> Iterator[tuple[str, np.ndarray]]:
    """(kind, what the right vectors become) of every reading that may be."""
    for kind, (become, _, _) in READINGS.items():
        if kind == FROM_RADIANS and not _near_axis(np.angle(vector) / 2):
            continue
        for size, angle in forms if kind in (FROM_DEGREES, FROM_RADIANS) else forms[:1]:
            yield kind, _cut(become(size, angle))


def _copied(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether nearly all vectors are the same but for rounding."""
    apart, size = np.abs(a - b), np.nanmedian(np.abs(a))
    return bool(np.nanquantile(apart, MOST) < COPIED * size)


def _from_axis(angle: np.ndarray) -> np.ndarray:
    """Angles [rad] from the nearer axis, x or y: U and V may be in either order."""
    return np.mod(angle + np.pi / 4, np.pi / 2) - np.pi / 4


def _near_axis(angle: np.ndarray) -> bool:
    """Whether angles [rad] are as small as those in degrees are when read as radians."""
    return bool(np.nanquantile(np.abs(_from_axis(angle)), 0.95) < SAME_ANGLE)


def _no_angle(vector, forms) -> bool:
    """Whether small angles do not follow the right ones, as those in radians would."""
    turn = _from_axis(np.angle(vector) / 2)
    if np.nanstd(turn) < 1e-4:
        return True
    right = [angle * np.pi / 180 for _, angle in forms]
    return not any(np.nanmedian(np.abs(turn - r)) < 0.5 * np.nanstd(turn) for r in right)


def _cut(vector: np.ndarray) -> np.ndarray:
    size = np.abs(vector)
    limit = LONGEST * np.nanmedian(size) if np.isfinite(size).any() else 0.0
    return vector * np.minimum(1, limit / np.where(size > 0, size, 1.0))


def _sums(groups: Groups, a, b) -> np.ndarray:
    """(groups, 3): sums of |a|², |b|² and Re a* b of rows that have both."""
    both = np.isfinite(a) & np.isfinite(b)
    a, b = np.where(both, a, 0), np.where(both, b, 0)
    columns = np.abs(a) ** 2, np.abs(b) ** 2, np.real(a.conj() * b)
    return np.stack([groups.sum(c) for c in columns], axis=1)


def _similar(sums: np.ndarray) -> np.ndarray:
    aa, bb, ab = np.moveaxis(sums, -1, 0)
    square = aa * bb
    return np.where(square > 0, ab / np.sqrt(np.where(square > 0, square, 1.0)), 0.0)


COORDINATES = {
    # kind: (axis of the one, axis of the other, sign), twice
    "wrong sign of y": ((0, 0, 1), (1, 1, -1)),
    "wrong sign of x": ((0, 0, -1), (1, 1, 1)),
    "x and y swapped": ((0, 1, 1), (1, 0, 1)),
}


def coordinate_faults(table: Table) -> list[Fault]:
    """Sets whose coordinates run another way in the micrograph than the others'."""
    rows, joined = table.sample(), table.joined
    groups, names = table.groups.take(rows), list(joined.names)
    places = [joined.coordinate[rows, k].T for k in range(table.sets)]
    if table.base_set is None:
        places.append(np.stack([joined.base.coordinate_x[rows], joined.base.coordinate_y[rows]]))
        names.append(joined.base.name)
    places = [[groups.centred(axis) for axis in place] for place in places]
    seen: dict[tuple[int, int], tuple[str, float]] = {}
    strength = np.full((len(places), len(places)), np.nan)
    for k in range(table.sets):
        for j in range(len(places)):
            both = np.isfinite(places[k][0] + places[j][0])
            if j == k or both.sum() < LEAST_ROWS:
                continue
            strength[k, j] = 0.0
            r = [[_correlation(a, b) for b in places[j]] for a in places[k]]
            if min(r[0][0], r[1][1]) > STRAIGHT:
                continue
            for kind, axes in COORDINATES.items():
                least = min(sign * r[a][b] for a, b, sign in axes)
                if least > STRAIGHT:
                    seen[k, j] = kind, least
                    strength[k, j] = least
    faults = []
    for columns in blame(strength, table.sets):
        k = columns[0]
        j = next(j for (one, j) in seen if one == k)
        kind, least = seen[k, j]
        what = "run the other way" if "sign" in kind else "are each other's"
        axis = {"wrong sign of y": "y", "wrong sign of x": "x"}.get(kind, "x and y")
        text = f"its coordinates {axis} {what}, held against {names[j]} (correlation at least "
        text += f"{least:.2f}, apart from that): planes and tilts come out mirrored"
        if len(columns) > 1:
            text += f"; or it is {names[columns[1]]}'s that do: nothing tells which"
        mend = "write its coordinates anew, from the upper left with y downwards"
        name = " or ".join(names[i] for i in columns)
        count = int(np.isfinite(joined.coordinate[:, k, 1]).sum())
        faults.append(fault_of(name, kind, count, text, mend))
    return faults


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    square = float(a @ a) * float(b @ b)
    return float(a @ b) / np.sqrt(square) if square > 0 else 0.0
