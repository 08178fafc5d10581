"""Negative controls: sets of defoci that must make a worse map, if the set they come from is right."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from parfocal.conventions import astigmatism_vector, changed_astigmatism
from parfocal.grouped import groups_of
from parfocal.particles import Particles

SHUFFLED, TWICE, REVERSED = "shuffled", "twice", "reversed"
KINDS = {
    SHUFFLED: "its heights dealt out anew among the particles of each micrograph",
    TWICE: "its correction of the input added twice",
    REVERSED: "its correction of the input with the sign turned",
}


def negative_controls(
    name: str, base: Particles, corrected: Particles, *, rng: np.random.Generator
) -> dict[str, Particles]:
    """Three sets by name, NAME-shuffled, NAME-twice and NAME-reversed, row by row those of `base`.

    Where every particle has its own height, shuffled ones are worse than none. A correction that is
    right by a whole micrograph survives the shuffle and fails the other two. Twice is as good as none
    where the correction is exact, and better than once where it falls short by more than a third of
    what is true; reversed is always worse than none if there is any truth in it.
    """
    groups = groups_of(base.micrograph)
    change = corrected.defocus - base.defocus
    order = np.lexsort((rng.random(len(base)), groups.index))
    within = np.argsort(groups.index, kind="stable")
    shuffled = np.empty(len(base))
    shuffled[within] = change[order]
    once = _vector(corrected) - _vector(base)
    made: dict[str, Callable[[], Particles]] = {
        SHUFFLED: lambda: _changed(base, shuffled, once),
        TWICE: lambda: _changed(base, 2 * change, 2 * once),
        REVERSED: lambda: _changed(base, -change, -once),
    }
    return {f"{name}-{kind}": make() for kind, make in made.items()}


def _vector(particles: Particles) -> np.ndarray:
    """(2, n) Å, of astigmatism."""
    return np.stack(
        astigmatism_vector(particles.defocus_u, particles.defocus_v, particles.defocus_angle)[1:]
    )


def _changed(base: Particles, change: np.ndarray, vector: np.ndarray) -> Particles:
    """`base` with its mean defocus changed by `change` (n,), its astigmatism by `vector` (2, n). Å."""
    u, v, angle = changed_astigmatism(base.defocus_u, base.defocus_v, base.defocus_angle, vector)
    return replace(base, defocus_u=u + change, defocus_v=v + change, defocus_angle=angle)
