"""Which particle of one set is which of another: by name or by place, never by row."""

from collections import Counter
from itertools import repeat
from operator import contains
from typing import NamedTuple

import numpy as np
import scipy.spatial

from parfocal.defocus_set import REPEAT, DefocusSet
from parfocal.io.records import unique_ids

TOLERANCE = (
    10.0  # Å between coordinates of one particle in two programs; picks lie much farther apart
)
BY_ID, BY_IMAGE, BY_PLACE = "particle id", "image", "place in the micrograph"
BY_MIRROR = "place in the micrograph, y counted the other way"
FAR = 1e7  # Å, keeps micrographs apart in one tree
ASIDE = (7.3, -4.1)  # tolerances: x and y moved aside, off any lattice, to see what meets by chance
TIE = 1e-3  # Å; nobody knows which of two places is meant whose distances differ by no more
ABOVE_CHANCE = 3.0  # times more must meet than that
LEAST = 0.5  # of the smaller set that must agree, where a guess is to be believed
SAMPLE = 20_000  # particles that tell the height of a mirror
UNKNOWN = -1  # row of a particle that a set lacks


class Match(NamedTuple):
    """How the particles of one set were found in another."""

    row: np.ndarray  # (n,) int, in the other set; -1 where it lacks the particle
    by: str  # what they were known by
    alike: int = 0  # of those found, how many share their image, and are told apart by order alone
    unlike: int = 0  # in images of which the other set holds another number of particles

    @property
    def found(self) -> int:
        return int(np.sum(self.row >= 0))


def match(base: DefocusSet, other: DefocusSet, tolerance: float = TOLERANCE) -> Match:
    """The row in `other` of each particle of `base`, by whichever of these finds the most:

    particle id; index and stack of the image, where this does not put particles more than `tolerance`
    [Å] from where they are; micrograph and coordinate within `tolerance`; the same with y counted
    the other way. Several particles of one image are the same where both sets hold as many, in the
    order of either, for nothing else tells them apart.
    """
    if len(base) == len(other) and (base.particle_id == other.particle_id).all():
        names = base.particle_id.tolist()
        several = any(map(contains, names, repeat("~")))
        alike = sum(times > 1 for times in _times(_images(names))) if several else 0
        return Match(np.arange(len(base)), BY_ID, alike)
    best = Match(np.full(len(base), UNKNOWN), BY_ID)
    for way in (_by_id, _by_image, _by_place, _by_mirrored_place):
        found = way(base, other, tolerance)
        best = max(best, found, key=lambda one: (one.found, one.unlike))  # of equals the first
        if best.found == min(len(base), len(other)):
            break
    return best


def _by_id(base: DefocusSet, other: DefocusSet, _: float) -> Match:
    return _by_name(_images(base.particle_id.tolist()), _images(other.particle_id.tolist()), BY_ID)


def _by_image(base: DefocusSet, other: DefocusSet, tolerance: float) -> Match:
    found = _by_name(base.image_keys(), other.image_keys(), BY_IMAGE)
    met = found.row >= 0
    aside = np.abs(base.coordinate_x[met] - other.coordinate_x[found.row[met]])
    known = np.isfinite(aside)
    if known.any() and np.mean(aside[known] <= tolerance) < LEAST:  # another extraction's images
        return Match(np.full(len(base), UNKNOWN), BY_IMAGE)
    return found


def _by_name(ours: list[str], theirs: list[str], by: str) -> Match:
    """By equal names of images that are known; one with several particles must have as many."""
    row_of = {name: row for row, name in enumerate(unique_ids(theirs))}
    count = Counter(theirs)
    row = np.full(len(ours), UNKNOWN)
    alike = unlike = 0
    named = zip(ours, unique_ids(ours), _times(ours), strict=True)
    for place, (name, own, times) in enumerate(named):
        if name and count[name] == times:
            row[place] = row_of[own]
            alike += times > 1
        elif name:
            unlike += count[name] > 0
    return Match(row, by, alike, unlike)


def _images(names: list[str]) -> list[str]:
    """Ids without what made them unique."""
    return [REPEAT.sub("", name) if "~" in name else name for name in names]


def _times(names: list[str]) -> list[int]:
    """How often each of the names is there."""
    count = Counter(names)
    return [count[name] for name in names]


def _by_place(base: DefocusSet, other: DefocusSet, tolerance: float) -> Match:
    """The nearest within `tolerance` [Å], both ways, on the micrograph of the same name.

    None if hardly more meet than where one set is moved aside.
    """
    ours, theirs = _places(base, other)
    return Match(_nearest(ours, theirs, tolerance), BY_PLACE)


def _by_mirrored_place(base: DefocusSet, other: DefocusSet, tolerance: float) -> Match:
    """As `_by_place`, had y in `other` been counted from the other edge; for most particles or none."""
    ours, theirs = _places(base, other)
    height = _height(ours, theirs, tolerance)
    row = _nearest(ours, theirs * [1, 1, -1] + [0, 0, height], tolerance)
    believed = np.sum(row >= 0) >= LEAST * min(len(base), len(other))
    return Match(np.where(believed, row, UNKNOWN), BY_MIRROR)


def _places(base: DefocusSet, other: DefocusSet) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) each: micrograph, far from each other, x and y."""
    number: dict[str, int] = {}
    places = []
    for one in (base, other):
        micrograph = [number.setdefault(name, len(number)) for name in one.micrograph_keys()]
        columns = [FAR * np.array(micrograph, dtype=float), one.coordinate_x, one.coordinate_y]
        places.append(np.stack(columns, axis=1))
    return places[0], places[1]


def _nearest(ours: np.ndarray, theirs: np.ndarray, tolerance: float) -> np.ndarray:
    """(n,) rows of `theirs` that lie nearest to `ours`, as `ours` to them; -1 without, or by chance."""
    row = np.full(len(ours), UNKNOWN)
    here, there = (np.flatnonzero(np.isfinite(p).all(axis=1)) for p in (ours, theirs))
    if not len(here) or not len(there):
        return row
    nearest = _closest(ours[here], theirs[there], tolerance)
    back = _closest(theirs[there], ours[here], tolerance)
    met = np.flatnonzero(nearest < len(there))
    mutual = met[back[nearest[met]] == met]
    moved = ours[here] + [0, ASIDE[0] * tolerance, ASIDE[1] * tolerance]
    chance = np.sum(_closest(moved, theirs[there], tolerance) < len(there))
    if len(mutual) > ABOVE_CHANCE * chance:
        row[here[mutual]] = there[nearest[mutual]]
    return row


def _closest(places: np.ndarray, among: np.ndarray, tolerance: float) -> np.ndarray:
    """(n,) which of `among` is closest; their number where none is in reach, or two are alike."""
    distance, index = scipy.spatial.cKDTree(among).query(
        places, k=2, distance_upper_bound=tolerance
    )
    first, second = np.asarray(distance).T
    return np.where(second <= first + TIE, len(among), np.asarray(index)[:, 0])


def _height(ours: np.ndarray, theirs: np.ndarray, tolerance: float) -> float:
    """What y here and y there most often add up to [Å], of particles with nearly the same x."""
    ours = ours[:SAMPLE][np.isfinite(ours[:SAMPLE]).all(axis=1)]
    theirs = theirs[np.isfinite(theirs).all(axis=1)]
    if not len(ours) or not len(theirs):
        return 0.0
    trees = [scipy.spatial.cKDTree(places[:, :2]) for places in (ours, theirs)]
    pairs = trees[0].sparse_distance_matrix(trees[1], tolerance, output_type="coo_matrix")
    height = ours[pairs.row, 2] + theirs[pairs.col, 2]
    if not len(height):
        return 0.0
    values, count = np.unique(np.rint(height / tolerance), return_counts=True)
    most = values[np.argmax(count)] * tolerance
    return float(np.median(height[np.abs(height - most) <= tolerance]))
