"""Reading what a refinement left, and checking that its parts belong together before any work."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parfocal.chunks import one_by_one
from parfocal.errors import InputError
from parfocal.half_sets import DRAWN, with_half_sets
from parfocal.io import StackImages, check_stacks, read_map, read_particles
from parfocal.io.mask import read_mask
from parfocal.io.star import read_star
from parfocal.losses import Loss, losses_of
from parfocal.own_reference import OwnReference, automatic_mask, own_reference, whole_box
from parfocal.particles import Images, Particles
from parfocal.reference import Reference, half_map_reference, map_reference
from parfocal.reference_files import AUTO, ReferenceFiles

NAMES = {"half_map_1": "half-map 1", "half_map_2": "half-map 2", "map": "map", "mask": "mask"}
PIXEL_TOLERANCE = 0.01  # relative difference of pixel sizes that still counts as the same


@dataclass(frozen=True, kw_only=True)
class ParticleInputs:
    """A particle set and its images."""

    particles: Particles
    images: Images
    warnings: tuple[str, ...]
    losses: tuple[Loss, ...]  # particles that cannot be used, as far as this can be seen by now


@dataclass(frozen=True, kw_only=True)
class Inputs(ParticleInputs):
    """A particle set, its images and the reference, checked against each other."""

    reference: Reference


def read_inputs(
    particles_file: str | Path,
    reference_files: ReferenceFiles,
    *,
    passthrough: Iterable[str | Path] = (),
    ignore: Collection[str] = (),
    run: Callable = one_by_one,
) -> Inputs:
    """Read and check everything that `parfocal estimate` needs. Raises InputError.

    `passthrough` and `ignore` are for cryoSPARC, see `read_particles`. A reference of the particles'
    own is reconstructed, with `run` as `reconstruct` has it.
    """
    found = read_particle_inputs(
        particles_file, reference_files, passthrough=passthrough, ignore=ignore
    )
    if reference_files.own is None:
        reference = read_reference(reference_files, found.particles)
    else:
        mask = mask_for(reference_files, found.particles)
        reference = remade(found, reference_files, mask, run=run).reference
    return Inputs(**vars(found), reference=reference)


def remade(
    found: ParticleInputs, files: ReferenceFiles, mask: np.ndarray | None, *, run: Callable
) -> OwnReference:
    """The reference that the particles make of themselves, as `files` ask for."""
    assert files.own is not None, "half-maps are given, not made"
    return own_reference(
        found.particles,
        found.images,
        symmetry=files.own.symmetry,
        mask=mask,
        meets=files.meets,
        run=run,
    )


def read_particle_inputs(
    particles_file: str | Path,
    files: ReferenceFiles,
    *,
    passthrough: Iterable[str | Path] = (),
    ignore: Collection[str] = (),
) -> ParticleInputs:
    """The particles, with what `files` ask of them: half-sets, but for an outside map. InputError."""
    particles = read_particles(particles_file, passthrough, ignore)
    _check_particles(particles, half_maps=files.half_maps is not None)
    warnings = _warnings(particles, ignore)
    if files.own is not None:
        particles, drawn = with_half_sets(particles, files.own.split)
        warnings += (DRAWN.format(seed=files.own.split),) if drawn else ()
    unread = check_stacks(particles)
    reason = np.where(unread == "", particles.faults(), unread)
    losses = losses_of(particles, reason)
    if (reason != "").all():
        raise InputError(
            f"none of {len(particles)} particles can be used: {losses[0]}",
            where=particles.source or "",
            mend="run in the project's folder, or put the stacks where the particle file says"
            if (unread != "").all()
            else "check the job that wrote this file",
        )
    return ParticleInputs(
        particles=particles, images=StackImages(particles), warnings=warnings, losses=losses
    )


def _warnings(particles: Particles, ignore: Collection[str]) -> tuple[str, ...]:
    lines = [f"{name} is left out, as asked" for name in ignore]
    images = set(zip(particles.stack.tolist(), particles.image_index.tolist(), strict=True))
    if repeats := len(particles) - len(images):
        lines.append(
            f"{repeats} of {len(particles)} particles share the image of another one: errors of "
            "means and verdicts count them as independent, and are too small"
        )
    if overfocus := int((particles.defocus < 0).sum()):
        lines.append(f"defocus is negative in {overfocus} particles: underfocus is positive here")
    return tuple(lines)


def read_reference(files: ReferenceFiles, particles: Particles) -> Reference:
    """The reference of `files`, on the same grid as one of the optics groups of `particles`."""
    roles = files.paths()
    arrays, sizes = _read_maps(
        {role: path for role, path in roles.items() if role != "fsc"}, particles
    )
    mask = arrays.pop("mask", None)
    if files.masked == AUTO:
        mask = automatic_mask(sum(arrays.values()), next(iter(sizes.values())))
    fsc = read_fsc(files.fsc, len(arrays["half_map_1"])) if files.fsc else None
    try:
        if files.map is not None:
            return map_reference(
                arrays["map"], pixel_size=sizes["map"], resolution=files.resolution, mask=mask
            )
        halves = arrays["half_map_1"], arrays["half_map_2"]
        return half_map_reference(
            *halves, pixel_size=sizes["half_map_1"], mask=mask, fsc=fsc, meets=files.meets
        )
    except InputError as error:
        paths = {name: roles[role] for role, name in NAMES.items() if role in roles}
        where = paths.get(error.where, ", ".join(map(str, roles.values())))
        raise InputError(error.what, where=where, mend=error.mend) from None


def mask_for(files: ReferenceFiles, particles: Particles) -> np.ndarray | None:
    """The mask for maps of the particles' own; None where it is to be made of them."""
    if files.masked == AUTO:
        return None
    if "mask" not in files.paths():
        return whole_box(particles)
    first = particles.optics[0]  # on whose grid the maps will be
    return read_mask(files.paths()["mask"], box=first.image_size, pixel_size=first.pixel_size)


def _read_maps(roles, particles):
    """(maps, pixel sizes [Å]) by role, all on one grid, that of an optics group."""
    maps = {role: read_map(path) for role, path in roles.items()}
    sizes = {role: _pixel_size(size, particles) for role, (_, size) in maps.items()}
    arrays = {role: density for role, (density, _) in maps.items()}
    for role, density in arrays.items():
        _check_grid(roles[role], density, sizes[role], particles)
    _check_same(roles, arrays, sizes)
    return arrays, sizes


def read_fsc(path: str | Path, box: int) -> np.ndarray:
    """(box//2+1,) corrected FSC from a STAR file as relion_postprocess writes it."""
    mend = "give the postprocess.star of these half-maps, or leave --fsc away to have it measured"
    for table in read_star(path).values():
        for column in ("rlnFourierShellCorrelationCorrected", "rlnFourierShellCorrelation"):
            if column in table:
                fsc = table.finite(column)
                if len(fsc) != box // 2 + 1:
                    what = f"an FSC of {len(fsc)} shells, where half-maps of box {box} have"
                    raise InputError(f"{what} {box // 2 + 1}", where=path, mend=mend)
                if not (fsc[1:] > 0).any():
                    raise InputError("the FSC is nowhere above zero", where=path, mend=mend)
                return fsc
    raise InputError("no column _rlnFourierShellCorrelationCorrected", where=path, mend=mend)


def _check_particles(particles, *, half_maps):
    source, posed = particles.source, np.isfinite(particles.rot)
    turned = (particles.rot[posed] != 0) | (particles.tilt[posed] != 0)
    if not posed.any() or (len(turned) > 1 and not turned.any()):
        raise InputError(
            "no particle has a pose"
            + (": rot and tilt are 0 in all, as after a 2D classification" if posed.any() else ""),
            where=source,
            mend="give the particles of a finished 3D refinement; of cryoSPARC it may take "
            "--passthrough too",
        )
    if not particles.defocus_u.any() and not particles.defocus_v.any():
        mend = "estimate the CTF of the micrographs first (CTFFIND, Gctf, Patch CTF)"
        raise InputError("defocus is 0 in all particles", where=source, mend=mend)
    unknown = int((particles.half_set == 0).sum())
    if half_maps and unknown:
        raise InputError(
            f"{unknown} of {len(particles)} particles have no half-set (rlnRandomSubset 1 or 2, "
            "alignments3D/split)",
            where=source,
            mend="give the particles of the refinement that made the half-maps, or use --map",
        )


def _pixel_size(size, particles):
    """The map's pixel size [Å]; the particles' where its header holds none."""
    return size if np.isfinite(size) and size > 0 else particles.optics[0].pixel_size


def _check_grid(path, density, pixel_size, particles):
    """That a map is a cube, on the grid of an optics group."""
    box, *others = density.shape
    if any(side != box for side in others):
        what = f"{' × '.join(map(str, density.shape[::-1]))} voxels are not a cube"
        raise InputError(what, where=path, mend="give a cubic map, as the refinement wrote it")
    groups = [particles.optics[g] for g in np.unique(particles.optics_group)]
    if any(o.image_size == box and _alike(pixel_size, o.pixel_size) for o in groups):
        return
    kinds = sorted({f"box {o.image_size} at {o.pixel_size:.4g} Å/px" for o in groups})
    raise InputError(
        f"box {box} at {pixel_size:.4g} Å/px, but the particles have {' or '.join(kinds)}",
        where=path,
        mend="give the map or mask of this refinement, or correct or resample it "
        "(relion_image_handler --angpix --rescale_angpix --new_box)",
    )


def _check_same(roles, arrays, sizes):
    """That all maps lie on one grid."""
    first = next(iter(arrays))
    for role, density in arrays.items():
        if len(density) != len(arrays[first]) or not _alike(sizes[role], sizes[first]):
            raise InputError(
                f"box {len(density)} at {sizes[role]:.4g} Å/px, but {roles[first].name} has box "
                f"{len(arrays[first])} at {sizes[first]:.4g} Å/px",
                where=roles[role],
                mend="give half-maps and mask of one refinement",
            )


def _alike(size, other):
    return abs(size / other - 1) < PIXEL_TOLERANCE
