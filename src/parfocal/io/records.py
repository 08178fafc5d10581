"""What every reader ends with: its columns checked, and turned into our records."""

from collections.abc import Iterable

import numpy as np

from parfocal.errors import InputError
from parfocal.optics import Optics
from parfocal.particles import Particles


def distinct(values: Iterable) -> tuple[list, np.ndarray]:
    """The different values in order of first appearance, and for each row which one it is."""
    number: dict = {}
    inverse = np.fromiter((number.setdefault(value, len(number)) for value in values), np.intp)
    return list(number), inverse


def checked_optics(*, where: str, **settings) -> Optics:
    """Optics, or InputError if the settings are not possible."""
    try:
        return Optics(**settings)
    except ValueError as error:
        raise InputError(str(error), where=where, mend="correct that value") from None


def checked_particles(*, where: str, **columns) -> Particles:
    """Particles, or InputError if there are none or two rows claim the same id."""
    ids = columns["particle_id"].tolist()
    if not ids:
        raise InputError("no particles", where=where, mend="check the job that wrote this file")
    seen: dict[str, int] = {}
    for row, name in enumerate(ids):
        if seen.setdefault(name, row) != row:
            raise InputError(
                f"particle {name} is in row {seen[name] + 1} and again in row {row + 1}",
                where=where,
                mend="remove duplicates; of a symmetry-expanded set give the set before expansion",
            )
    return Particles(**columns)
