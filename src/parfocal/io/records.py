"""What every reader ends with: its columns checked, and turned into our records."""

from collections.abc import Iterable, Sequence

import numpy as np

from parfocal.errors import InputError
from parfocal.optics import Optics
from parfocal.particles import Particles

TEXT = ("particle_id", "stack", "micrograph")


def distinct(values: Iterable) -> tuple[list, np.ndarray]:
    """The different values in order of first appearance, and for each row which one it is."""
    number: dict = {}
    inverse = np.fromiter((number.setdefault(value, len(number)) for value in values), np.intp)
    return list(number), inverse


def unique_ids(names: Sequence[str]) -> list[str]:
    """Particle ids from names that may repeat: the second of a name gets `~2`, the third `~3`.

    Names repeat in symmetry-expanded sets and in subparticles of one image. The first keeps its
    name, and a `#` would be taken for a comment by some readers of STAR files.
    """
    if len(set(names)) == len(names):
        return list(names)
    count: dict[str, int] = {}
    ids = []
    for name in names:
        count[name] = count.get(name, 0) + 1
        ids.append(name if count[name] == 1 else f"{name}~{count[name]}")
    return ids


def checked_optics(*, where: str, **settings) -> Optics:
    """Optics, or InputError if the settings are not possible."""
    try:
        return Optics(**settings)
    except ValueError as error:
        raise InputError(
            str(error), where=where, mend="correct that value (boxes are even)"
        ) from None


def checked_particles(*, where: str, **columns) -> Particles:
    """Particles, or InputError if there are none or two rows claim the same id."""
    for name in TEXT:
        columns[name] = strings(columns[name])
    refuse_repeats(columns["particle_id"].tolist(), where)
    return Particles(**columns)


def refuse_repeats(ids: Sequence[str], where: str) -> None:
    """InputError if there are no particles, or two rows claim the same id."""
    if not ids:
        raise InputError("no particles", where=where, mend="check the job that wrote this file")
    if len(set(ids)) == len(ids):
        return
    seen: dict[str, int] = {}
    for row, name in enumerate(ids):
        if seen.setdefault(name, row) != row:
            raise InputError(
                f"particle {name} is in row {seen[name] + 1} and again in row {row + 1}",
                where=where,
                mend="remove one of them",
            )


def strings(values: Sequence[str]) -> np.ndarray:
    """(n,) object: Python strings, equal ones held once. Fixed width costs 4 bytes a letter a row."""
    held: dict[str, str] = {}
    return np.array([held.setdefault(value, value) for value in values], dtype=object)
