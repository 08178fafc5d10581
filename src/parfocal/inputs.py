"""Reading what a refinement left, and checking that its parts belong together before any work."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parfocal.errors import InputError
from parfocal.io import StackImages, check_stacks, read_map, read_particles
from parfocal.io.star import read_star
from parfocal.particles import ImageError, Images, Particles
from parfocal.reference import Reference, half_map_reference, map_reference

PIXEL_TOLERANCE = 0.01  # relative difference of pixel sizes that still counts as the same


@dataclass(frozen=True, kw_only=True)
class ReferenceFiles:
    """Either two half-maps (with mask and FSC if at hand), or one outside map."""

    half_maps: tuple[Path, Path] | None = None
    map: Path | None = None
    mask: Path | None = None
    fsc: Path | None = None
    resolution: float | None = None  # Å, up to which `map` is trusted

    def __post_init__(self) -> None:
        if (self.half_maps is None) == (self.map is None):
            raise InputError(
                "one reference is needed, two are too many",
                mend="give --half-maps H1 H2 from the refinement, or --map for an outside map",
            )

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


def read_inputs(particles_file, reference_files: ReferenceFiles, *, passthrough=()) -> Inputs:
    """Read and check everything that `parfocal estimate` needs. Raises InputError."""
    particles = read_particles(particles_file, passthrough)
    _check_particles(particles, half_maps=reference_files.half_maps is not None)
    reference = read_reference(reference_files, particles)
    problems = tuple(check_stacks(particles))
    images = StackImages(particles)
    _check_any_image(particles, images, problems)
    unposed = int((~np.isfinite(particles.rot)).sum())
    if unposed:
        problems += (f"{unposed} particles have no pose and keep their prior defocus",)
    return Inputs(particles=particles, images=images, reference=reference, warnings=problems)


def read_reference(files: ReferenceFiles, particles: Particles) -> Reference:
    """The reference of `files`, on the same grid as one of the optics groups of `particles`."""
    roles = files.paths()
    maps = {role: read_map(path) for role, path in roles.items() if role != "fsc"}
    sizes = {role: _pixel_size(size, roles[role], particles) for role, (_, size) in maps.items()}
    for role, (density, _) in maps.items():
        _check_grid(roles[role], density, sizes[role], particles)
    arrays = {role: density for role, (density, _) in maps.items()}
    mask = arrays.get("mask")
    try:
        if files.map is not None:
            return map_reference(
                arrays["map"], pixel_size=sizes["map"], resolution=files.resolution, mask=mask
            )
        fsc = read_fsc(files.fsc) if files.fsc else None
        halves = arrays["half_map_1"], arrays["half_map_2"]
        return half_map_reference(*halves, pixel_size=sizes["half_map_1"], mask=mask, fsc=fsc)
    except InputError as error:
        names = ", ".join(str(path) for path in roles.values())
        raise InputError(error.what, where=error.where or names, mend=error.mend) from None


def read_fsc(path) -> np.ndarray:
    """(shells,) corrected FSC from a STAR file as relion_postprocess writes it."""
    for table in read_star(path).values():
        for column in ("rlnFourierShellCorrelationCorrected", "rlnFourierShellCorrelation"):
            if column in table:
                return table.numbers(column)
    raise InputError(
        "no column rlnFourierShellCorrelationCorrected",
        where=path,
        mend="give the postprocess.star of relion_postprocess, or leave --fsc away",
    )


def _check_particles(particles, *, half_maps):
    source = particles.source
    if not np.isfinite(particles.rot).any():
        raise InputError(
            "no particle has a pose",
            where=source,
            mend="give the particles of a finished 3D refinement (rlnAngleRot/Tilt/Psi)",
        )
    unknown = int((particles.half_set == 0).sum())
    if half_maps and unknown:
        raise InputError(
            f"{unknown} of {len(particles)} particles have no half-set (rlnRandomSubset)",
            where=source,
            mend="give the particles of the refinement that made the half-maps, or use --map",
        )


def _pixel_size(size, path, particles):
    """The map's pixel size [Å]; the particles' where its header holds none."""
    return size if np.isfinite(size) and size > 0 else particles.optics[0].pixel_size


def _check_grid(path, density, pixel_size, particles):
    groups = [particles.optics[g] for g in np.unique(particles.optics_group)]
    box = density.shape[0]
    if any(
        o.image_size == box and abs(pixel_size / o.pixel_size - 1) < PIXEL_TOLERANCE for o in groups
    ):
        return
    kinds = sorted({f"box {o.image_size} at {o.pixel_size:.4g} Å/px" for o in groups})
    raise InputError(
        f"box {box} at {pixel_size:.4g} Å/px, but the particles have {' or '.join(kinds)}",
        where=path,
        mend="give the map of this refinement, or resample it "
        "(relion_image_handler --angpix --rescale_angpix --new_box)",
    )


def _check_any_image(particles, images, problems):
    """Stop before the work when no stack gives even one image."""
    if not problems:
        return
    _, rows = np.unique(particles.stack, return_index=True)
    for row in rows:
        box = particles.optics[particles.optics_group[row]].image_size
        try:
            images.read_into(int(row), np.empty((box, box), dtype=np.float32))
        except ImageError:
            continue
        return
    raise InputError(
        f"no particle image can be read: {problems[0]}",
        where=particles.source,
        mend="run in the project's folder, or put the stacks where the particle file says",
    )
