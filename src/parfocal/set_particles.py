"""Sets of defoci put into the particles that they are sets of: what a reconstruction takes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from parfocal.chance import chance_share
from parfocal.conventions import changed_astigmatism
from parfocal.errors import InputError
from parfocal.held_out import HeldOut
from parfocal.io.defocus_sets import read_any_particles
from parfocal.io.estimates import holds_estimates
from parfocal.join import Joined
from parfocal.matching import BY_ID, BY_IMAGE
from parfocal.particles import FARTHEST_DEFOCUS, Particles


@dataclass(frozen=True, kw_only=True)
class SetParticles:
    """One particle set a set of defoci, row by row the same particles; only their CTF differs."""

    particles: Mapping[str, Particles]  # by set; defocus is nan where the set lacks the particle
    held: np.ndarray  # (n,) bool: every set has a defocus for the particle
    held_out: Mapping[str, HeldOut]  # of those sets whose folds told defoci too
    chance_share: Mapping[str, float]  # of these, by `chance.chance_share`

    def common(self) -> dict[str, Particles]:
        """By set, the particles that every set has a defocus for."""
        return {name: one.take(self.held) for name, one in self.particles.items()}


def sets_of_particles(joined: Joined, template: Particles) -> SetParticles:
    """`template` with the defocus and astigmatism of each set of `joined`, whose base it is.

    A particle whose estimate failed has the prior that its set kept. Where a set tells no
    astigmatism, or the template's own, U - V and the angle stay as they are.
    """
    if not np.array_equal(joined.base.particle_id, template.particle_id):
        raise ValueError("the sets were joined to another base than `template`")
    usable = np.abs(joined.defocus) <= FARTHEST_DEFOCUS  # not of nan
    found = {
        name: _with_defocus(
            template,
            np.where(usable[:, k], joined.defocus[:, k], np.nan),
            joined.astigmatism[:, k] - joined.base.astigmatism,
        )
        for k, name in enumerate(joined.names)
    }
    spoke = [k for k in range(len(joined.names)) if _folds_count(joined, k)]
    return SetParticles(
        particles=found,
        held=np.asarray(usable.all(axis=1)),
        held_out={
            joined.names[k]: _held_out(joined, k, template, found[joined.names[k]]) for k in spoke
        },
        chance_share={joined.names[k]: _chance_share(joined, k) for k in spoke},
    )


def _chance_share(joined: Joined, k: int) -> float:
    trusted = joined.ok[:, k]
    return chance_share(
        joined.defocus[trusted, k], joined.error[trusted, k], joined.folds[trusted, k]
    )


def _folds_count(joined: Joined, k: int) -> bool:
    """Whether set `k` has defoci by folds, of the pixels of these very images."""
    if joined.joints[k].by not in (BY_ID, BY_IMAGE):
        return False
    return bool((np.isfinite(joined.folds[:, k]).all(axis=1) & joined.ok[:, k]).any())


def _held_out(joined: Joined, k: int, template: Particles, whole: Particles) -> HeldOut:
    """Set `k` with the defocus of either fold on the pixels of the other, which it has not seen.

    Where a fold tells nothing of a particle that the set trusts, it has the template's.
    """
    vector = joined.astigmatism[:, k] - joined.base.astigmatism
    without = np.where(joined.ok[:, k], template.defocus, whole.defocus)
    first, second = (
        _with_defocus(template, np.where(np.isfinite(told), told, without), vector)
        for told in joined.folds[:, k].T
    )
    return HeldOut(first=second, second=first)


def _with_defocus(template: Particles, defocus, change) -> Particles:
    """`template` at mean `defocus` (n,), its astigmatism vector changed by `change` (n, 2). Å."""
    u, v, angle = changed_astigmatism(
        template.defocus_u, template.defocus_v, template.defocus_angle, np.nan_to_num(change).T
    )
    shift = defocus - template.defocus
    return replace(template, defocus_u=u + shift, defocus_v=v + shift, defocus_angle=angle)


def check_half_sets(
    files: Mapping[str, Path], joined: Joined, template: Particles, passthrough: Iterable[Path] = ()
) -> None:
    """InputError if a particle file among `files` has a particle in the other half than `template`.

    Its defoci were then found with the other half's map, and half-maps made with them would not be
    independent. Files without half-sets, and our estimates.star, tell nothing.
    """
    for k, name in enumerate(joined.names):
        if holds_estimates(files[name]):
            continue
        row = joined.row[:, k]
        theirs = read_any_particles(files[name], passthrough).half_set[row]
        known = (row >= 0) & (theirs > 0) & (template.half_set > 0)
        wrong = np.flatnonzero(known & (theirs != template.half_set))
        if len(wrong):
            raise InputError(
                f"{len(wrong)} of {int(known.sum())} particles are in the other half-set than in "
                f"the base, such as {template.particle_id[wrong[0]]}",
                where=f"{name} ({files[name]})",
                mend="give sets that came from one refinement, with its half-sets",
            )
