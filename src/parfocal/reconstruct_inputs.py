"""Reading what a reconstruction takes: particles with half-sets, sets of defoci for them, a mask."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from parfocal.defocus_set import set_of_particles
from parfocal.errors import InputError
from parfocal.half_sets import with_half_sets
from parfocal.held_out import HeldOut
from parfocal.io import check_stacks, read_particles
from parfocal.io.defocus_sets import read_defocus_set
from parfocal.io.formats import CRYOSPARC, format_of
from parfocal.io.mask import read_mask
from parfocal.join import TOLERANCE, join
from parfocal.losses import losses_of
from parfocal.particles import Particles
from parfocal.set_particles import SetParticles, check_half_sets, sets_of_particles

INPUT = "input"  # name of the set of the particle file's own defoci
OWN = (
    *("half1.mrc", "half2.mrc", "map.mrc", "fsc.star", "run.json"),
    *("particles.star", "particles.cs", INPUT),
)  # no names for sets


@dataclass(frozen=True, kw_only=True)
class ReconstructFiles:
    """What the user gives."""

    particles: Path
    sets: Mapping[str, Path]  # further defoci of the same particles, by name
    mask: Path | None = None
    passthrough: tuple[Path, ...] = ()  # of cryoSPARC
    ignore: tuple[str, ...] = ()  # aberrations of cryoSPARC to be left out
    split: int | None = None  # seed of half-sets, where the file has none
    common: bool = False  # leave out of all sets what one of them lacks
    tolerance: float = TOLERANCE  # Å between coordinates of one particle in two files

    def __post_init__(self) -> None:
        for name in self.sets:
            parts = Path(name).parts
            if not parts or parts[0] in OWN or ".." in parts or Path(name).is_absolute():
                what = f"a set cannot be called {name!r}: that is no name for its folder"
                raise InputError(what, mend="give another, as in NAME=FILE")


@dataclass(frozen=True, kw_only=True)
class ReconstructInputs:
    """The same particles once for each set of defoci, INPUT first, and the mask."""

    particles: Particles  # of the file, all of them, with half-sets
    sets: Mapping[str, Particles]  # those that are used, row by row the same
    mask: np.ndarray | None
    was_split: bool
    told: tuple[str, ...]  # how the sets met the input, and what is left out
    held_out: Mapping[str, HeldOut] = field(default_factory=dict)  # as `SetParticles` has them
    chance_share: Mapping[str, float] = field(default_factory=dict)


def read_reconstruct_inputs(files: ReconstructFiles) -> ReconstructInputs:
    """Read and check it all. InputError if something is missing, or does not belong together."""
    is_theirs = format_of(files.particles) is CRYOSPARC or not files.sets  # or they are a set's
    passthrough = files.passthrough if is_theirs else ()
    particles = read_particles(files.particles, passthrough, files.ignore)
    if not len(particles):
        raise InputError("no particles", where=files.particles, mend="give a set that is not empty")
    _check_posed(particles)
    _check_images(particles)
    particles, was_split = with_half_sets(particles, files.split)
    found, told = _sets(particles, files)
    optics = particles.optics[0]  # on whose grid the maps will be
    grid = {"box": optics.image_size, "pixel_size": optics.pixel_size}
    mask = None if files.mask is None else read_mask(files.mask, **grid)
    return ReconstructInputs(
        particles=particles,
        sets={INPUT: particles.take(found.held), **found.common()},
        mask=mask,
        was_split=was_split,
        told=told,
        held_out={name: one.take(found.held) for name, one in found.held_out.items()},
        chance_share=found.chance_share,
    )


def _check_posed(particles: Particles) -> None:
    posed = np.isfinite(particles.rot)
    flat = not (particles.rot[posed].any() or particles.tilt[posed].any())
    if not posed.any() or (flat and posed.sum() > 1):
        raise InputError(
            "no particle has a pose" + (": rot and tilt are 0 in all" if posed.any() else ""),
            where=particles.source or "",
            mend="give the particles of a finished 3D refinement; of cryoSPARC it may take "
            "--passthrough too",
        )


def _check_images(particles: Particles) -> None:
    """InputError if no image can be had at all; of single ones the pass over the images tells."""
    unread = check_stacks(particles)
    if (unread != "").all():
        losses = losses_of(particles, unread)
        raise InputError(
            f"none of {len(particles)} particles can be used: {losses[0]}",
            where=particles.source or "",
            mend="run in the project's folder, or put the stacks where the particle file says",
        )


def _sets(particles: Particles, files: ReconstructFiles) -> tuple[SetParticles, tuple[str, ...]]:
    """The sets of the files, and what there is to tell of how they were joined."""
    if not files.sets:
        everyone = np.ones(len(particles), dtype=bool)
        return SetParticles(particles={}, held=everyone, held_out={}, chance_share={}), ()
    base = set_of_particles(particles, INPUT)
    read = (read_defocus_set(path, name, files.passthrough) for name, path in files.sets.items())
    joined = join(read, base, tolerance=files.tolerance)
    check_half_sets(files.sets, joined, particles, files.passthrough)
    found = sets_of_particles(joined, particles)
    told = tuple(map(str, joined.joints))
    lacking = int((~found.held).sum())
    if lacking and not files.common:
        held = {name: np.isfinite(one.defocus) for name, one in found.particles.items()}
        name = next(name for name, there in held.items() if not there.all())
        row = np.flatnonzero(~held[name])
        raise InputError(
            f"{len(row)} of {len(particles)} particles have no defocus in it, such as "
            f"{particles.particle_id[row[0]]}",
            where=f"{name} ({files.sets[name]})",
            mend="add --common to leave out of all sets what one of them lacks",
        )
    if lacking:
        told += (f"{lacking} of {len(particles)} particles are left out of all sets, as asked",)
    return found, told
