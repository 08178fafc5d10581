"""Half-sets for particles that have none: a random split, balanced within every micrograph."""

from dataclasses import replace

import numpy as np

from parfocal.errors import InputError
from parfocal.particles import Particles

DRAWN = (
    "half-sets were drawn at random, balanced in every micrograph (seed {seed}): if these particles "
    "were refined against one map, half-maps agree too well at the frequencies that it used"
)
BOTH = (
    "{images} images are in both half-sets, and their noise is in both half-maps: the FSC is too high "
    "(symmetry expansion: give all copies of an image to one half-set)"
)
SPLIT = "give the particles of a refinement with half-sets, or --split SEED to have them split"


def split_half_sets(particles: Particles, *, rng: np.random.Generator) -> Particles:
    """`particles` with half-sets 1 and 2 drawn at random, whatever they had before.

    In every micrograph the halves differ by one particle at most, and so they do over all of them:
    odd ones are dealt out in turn, in random order. Particles of one image, such as of symmetry
    expansion, stay together, or the halves would share noise; they then count as one.

    Halves made after a refinement against one map are not independent at the frequencies that the
    refinement saw: their FSC is an upper bound there.
    """
    image = _numbered(particles.stack, particles.image_index)
    first = np.unique(image, return_index=True)[1]  # one row of each image
    micrograph = _numbered(particles.micrograph)[first]
    rank = rng.permutation(int(micrograph.max(initial=-1)) + 1)[micrograph]
    order = np.lexsort((rng.random(len(first)), rank))  # micrograph by micrograph, each shuffled
    half = np.empty(len(first), dtype=int)
    half[order] = (np.arange(len(first)) + rng.integers(2)) % 2 + 1
    return replace(particles, half_set=half[image])


def images_in_both(particles: Particles) -> int:
    """How many images particles of both half-sets are cut from, whose noise both half-maps share."""
    first, second = (
        set(zip(particles.stack[held].tolist(), particles.image_index[held].tolist(), strict=True))
        for held in (particles.half_set == 1, particles.half_set == 2)
    )
    return len(first & second)


def with_half_sets(particles: Particles, seed: int | None) -> tuple[Particles, bool]:
    """The particles with half-sets, drawn with `seed` where they have none; and whether they were.

    InputError if they have none and there is no seed, or they have and there is one.
    """
    if seed is None:
        check_half_sets_known(particles)
        return particles, False
    if seed < 0:
        raise InputError(f"--split {seed}", mend="give a whole number from 0 on")
    if particles.half_set.any():
        raise InputError(
            "the particles have half-sets, which --split would undo",
            where=particles.source or "",
            mend="leave --split away: halves of the refinement alone are independent",
        )
    return split_half_sets(particles, rng=np.random.default_rng(seed)), True


def _numbered(*columns: np.ndarray) -> np.ndarray:
    """(n,) a number from 0 for each row, the same for equal rows of `columns`."""
    number = np.zeros(len(columns[0]), dtype=int)
    for column in columns:
        values, index = np.unique(column.astype(str), return_inverse=True)
        number = np.unique(number * len(values) + index, return_inverse=True)[1]
    return number


def check_half_sets_known(particles: Particles) -> None:
    """InputError if a particle has no half-set, or one of the two is empty."""
    unknown = int((particles.half_set == 0).sum())
    if unknown:
        named = "rlnRandomSubset 1 or 2, alignments3D/split"
        what = f"{unknown} of {len(particles)} particles have no half-set ({named})"
        mend = SPLIT if unknown == len(particles) else "leave these particles out"
        raise InputError(what, where=particles.source or "", mend=mend)
    present = np.unique(particles.half_set)
    if len(present) < 2:
        what = f"all {len(particles)} particles are in half-set {present[0]}"
        mend = "give the particles of both half-sets"
        raise InputError(what, where=particles.source or "", mend=mend)
