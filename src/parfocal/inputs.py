"""Reading what a refinement left, and checking that its parts belong together before any work."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parfocal.errors import InputError
from parfocal.io import StackImages, check_stacks, read_map, read_particles
from parfocal.io.star import read_star
from parfocal.losses import Loss, losses_of
from parfocal.particles import Images, Particles
from parfocal.reference import Reference, half_map_reference, map_reference

NAMES = {"half_map_1": "half-map 1", "half_map_2": "half-map 2", "map": "map", "mask": "mask"}
MEETS = ("own", "opposite", "full")
PIXEL_TOLERANCE = 0.01  # relative difference of pixel sizes that still counts as the same


@dataclass(frozen=True, kw_only=True)
class ReferenceFiles:
    """Either two half-maps (with mask and FSC if at hand), or one outside map."""

    half_maps: tuple[Path, Path] | None = None
    map: Path | None = None
    mask: Path | None = None
    fsc: Path | None = None
    resolution: float | None = None  # Å, up to which `map` is trusted
    meets: str = "own"  # which of the half-maps a particle is compared with, see Reference

    def __post_init__(self) -> None:
        if (self.half_maps is None) == (self.map is None):
            raise InputError(
                "one reference is needed, two are too many" if self.map else "no reference",
                mend="give --half-maps H1 H2 from the refinement, or --map for an outside map",
            )
        if self.fsc is not None and self.map is not None:
            mend = "leave --fsc away, and say with --resolution how far --map can be trusted"
            raise InputError("an FSC belongs to half-maps, not to --map", mend=mend)
        if self.resolution is not None and self.map is None:
            mend = "leave --resolution away: the FSC of the half-maps says how far they go"
            raise InputError("--resolution belongs to --map", mend=mend)
        if self.resolution is not None and not 0 < self.resolution < 1000:
            what = f"a resolution of {self.resolution:g} Å"
            raise InputError(what, mend="give that of --map in Å, such as 3")

        if self.meets not in MEETS:
            raise InputError(f"no reference {self.meets!r}", mend=f"choose {', '.join(MEETS)}")

    def paths(self) -> dict[str, Path]:
        """Role -> path of every file named."""
        halves = self.half_maps or (None, None)
        named = zip(
            ("half_map_1", "half_map_2", "map", "mask", "fsc"),
            (*halves, self.map, self.mask, self.fsc),
            strict=True,
        )
        return {role: Path(path) for role, path in named if path is not None}


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A particle set, its images and the reference, checked against each other."""

    particles: Particles
    images: Images
    reference: Reference
    warnings: tuple[str, ...]
    losses: tuple[Loss, ...]  # particles that cannot be used, as far as this can be seen by now


def read_inputs(
    particles_file: str | Path,
    reference_files: ReferenceFiles,
    *,
    passthrough: Iterable[str | Path] = (),
    ignore: Collection[str] = (),
) -> Inputs:
    """Read and check everything that `parfocal estimate` needs. Raises InputError.

    `passthrough` and `ignore` are for cryoSPARC, see `read_particles`.
    """
    particles = read_particles(particles_file, passthrough, ignore)
    _check_particles(particles, half_maps=reference_files.half_maps is not None)
    reference = read_reference(reference_files, particles)
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
    return Inputs(
        particles=particles,
        images=StackImages(particles),
        reference=reference,
        warnings=_warnings(particles, ignore),
        losses=losses,
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
    maps = {role: read_map(path) for role, path in roles.items() if role != "fsc"}
    sizes = {role: _pixel_size(size, particles) for role, (_, size) in maps.items()}
    arrays = {role: density for role, (density, _) in maps.items()}
    for role, density in arrays.items():
        _check_grid(roles[role], density, sizes[role], particles)
    _check_same(roles, arrays, sizes)
    mask = arrays.get("mask")
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
