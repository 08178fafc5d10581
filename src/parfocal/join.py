"""Joining sets of defoci into one table, a row per particle of the base."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from parfocal.defocus_set import DefocusSet
from parfocal.errors import InputError
from parfocal.matching import TOLERANCE, Match, match

TOLD = 3  # particles named of those that a set lacks


@dataclass(frozen=True, kw_only=True)
class Joint:
    """How one set met the base, by name and by number."""

    name: str
    by: str  # what the particles were known by
    particles: int  # in the set
    joined: int
    missing: int  # particles of the base that the set lacks
    beyond: int  # particles of the set that the base lacks
    examples_missing: tuple[str, ...]  # ids in the base
    examples_beyond: tuple[str, ...]  # ids in the set
    in_order: bool  # whether the joined particles stand in the base's order
    alike: int = 0  # of the joined, how many share their image, and are told apart by order alone
    unlike: int = 0  # of the missing, in images of which the set holds another number of particles
    failed: int = 0  # of the joined, not to be trusted: a failed fit, or a defocus that cannot be

    def __str__(self) -> str:
        told = f"{self.name}: {self.joined} of {self.particles} particles joined by {self.by}"
        for count, what, names in (
            (self.missing, "of the base are not in it", self.examples_missing),
            (self.beyond, "are not in the base", self.examples_beyond),
        ):
            if count:
                told += f"; {count} {what}, such as {names[0]}"
        if self.alike:
            told += f"; {self.alike} share their image, and only their order tells them apart"
        if self.unlike:
            told += f"; {_unlike(self.unlike)}"
        if self.failed:
            told += f"; {self.failed} not to be trusted, by status or defocus"
        return told if self.in_order else f"{told}; its rows are in another order"


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Defoci of n particles by K sets. Rows follow the base; nan where a set lacks the particle."""

    names: tuple[str, ...]
    joints: tuple[Joint, ...]
    base: DefocusSet
    prior: np.ndarray  # (n,) Å, the global defocus; nan where nobody told
    defocus: np.ndarray  # (n, K) Å, as all that follows
    error: np.ndarray  # (n, K)
    folds: np.ndarray  # (n, K, 2), defocus from either fold
    astigmatism: np.ndarray  # (n, K, 2), vector
    coordinate: np.ndarray  # (n, K, 2), x and y as the set has them
    ok: np.ndarray  # (n, K) bool, joined and to be trusted
    row: np.ndarray  # (n, K) int in the set's file; -1 where it lacks the particle
    posterior: np.ndarray  # (K,) bool, of sets whose values are means over a prior
    widest_angle: np.ndarray  # (K,) rad, largest size of an angle as it is on file; nan without any

    def __len__(self) -> int:
        return len(self.base)

    def change(self) -> np.ndarray:
        """(n, K) Å, defocus less the prior; nan where not to be trusted, or without a prior."""
        return np.where(self.ok, self.defocus - self.prior[:, None], np.nan)


def join(
    sets: Iterable[DefocusSet], base: DefocusSet | None = None, *, tolerance: float = TOLERANCE
) -> Joined:
    """Join `sets`, each read when its turn comes, to the particles of `base` (default: the first).

    A given base is the input of all: its defocus is the prior. Without one the prior is what the
    first set that knows tells. Particles are known as `match` has it, coordinates within `tolerance`
    [Å]. InputError if two sets have one name, or a set has no particles or none of the base's.
    """
    if not 0 < tolerance < np.inf:
        raise InputError(f"tolerance = {tolerance:g}", mend="give a number of Å above 0")
    names: list[str] = []
    joints, columns, posterior, widest = [], [], [], []
    prior = np.full(0, np.nan) if base is None else base.defocus
    for one in sets:
        if one.name in names:
            what = f"two sets are called {one.name!r}"
            raise InputError(what, mend="name them apart, as in NAME=FILE")
        if base is None:
            base, prior = one, np.full(len(one), np.nan)
        found = match(base, one, tolerance)
        joints.append(_joint(base, one, found))
        names.append(one.name)
        columns.append(_columns(base, one, found.row))
        posterior.append(one.posterior)
        known = np.abs(one.angle[np.isfinite(one.angle)])
        widest.append(known.max() if len(known) else np.nan)
        prior = np.where(np.isfinite(prior), prior, _taken(one.prior, found.row))
    if base is None or not columns:
        raise InputError("no sets to join", mend="give one or more of NAME=FILE")
    stacked = {key: np.stack([c.pop(key) for c in columns], axis=1) for key in tuple(columns[0])}
    return Joined(
        names=tuple(names),
        joints=tuple(joints),
        base=base,
        prior=prior,
        posterior=np.array(posterior),
        widest_angle=np.array(widest, dtype=float),
        **stacked,
    )


def _taken(column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """`column` in the base's order; nan where the set lacks the particle."""
    shape = (len(row),) + (1,) * (column.ndim - 1)
    return np.where((row >= 0).reshape(shape), column[row], np.nan)


def _columns(base: DefocusSet, one: DefocusSet, row: np.ndarray) -> dict[str, np.ndarray]:
    change = _taken(one.astigmatism_change, row)
    vector = _taken(one.astigmatism, row)
    return {
        "defocus": _taken(one.defocus, row),
        "error": _taken(one.error, row),
        "folds": np.stack([_taken(one.fold_1, row), _taken(one.fold_2, row)], axis=1),
        "astigmatism": np.where(np.isfinite(vector), vector, base.astigmatism + change),
        "coordinate": np.stack(
            [_taken(one.coordinate_x, row), _taken(one.coordinate_y, row)], axis=1
        ),
        "ok": (row >= 0) & one.ok[row],
        "row": row,
    }


def _joint(base: DefocusSet, one: DefocusSet, found: Match) -> Joint:
    row, joined = found.row, found.row[found.row >= 0]
    if not len(joined):
        raise InputError(
            f"no particle of {one.name} is one of {base.name}'s {len(base)}, such as "
            f"{base.particle_id[0]}; its own are such as {one.particle_id[0]}",
            where=one.source or one.name,
            mend=f"{_unlike(found.unlike)}: give both with all of these"
            if found.unlike
            else "give files of the same particles, or another --tolerance between coordinates",
        )
    lacking = np.flatnonzero(row < 0)
    beyond = np.flatnonzero(np.bincount(joined, minlength=len(one)) == 0)
    return Joint(
        name=one.name,
        by=found.by,
        particles=len(one),
        joined=len(joined),
        missing=len(lacking),
        beyond=len(beyond),
        examples_missing=tuple(base.particle_id[lacking[:TOLD]].tolist()),
        examples_beyond=tuple(one.particle_id[beyond[:TOLD]].tolist()),
        in_order=bool((np.diff(joined) > 0).all()),
        alike=found.alike,
        unlike=found.unlike,
        failed=int(np.sum(~one.ok[joined])),
    )


def _unlike(count: int) -> str:
    return f"{count} in images of which the sets hold different numbers of particles"
