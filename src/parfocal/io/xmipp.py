"""Xmipp metadata (.xmd): particles with their CTF, and what its local defocus refinement wrote."""

import os
from pathlib import Path

import numpy as np

from parfocal.conventions import DEGREE
from parfocal.errors import InputError
from parfocal.io.files import find_file
from parfocal.io.mrc import read_header
from parfocal.io.records import checked_optics, checked_particles, distinct, unique_ids
from parfocal.io.star import Table, read_star
from parfocal.io.star_particles import image_places, with_angle, write_defocus
from parfocal.particles import Particles

MAGIC = b"# XMIPP_"
IMAGE, ORIGINAL = "image", "imageOriginal"
DEFOCUS: tuple[str, str] = ("ctfDefocusU", "ctfDefocusV")
ANGLE = "ctfDefocusAngle"
CTF = ("ctfVoltage", "ctfSphericalAberration", "ctfQ0")
SAMPLING = ("samplingRate", "ctfSamplingRate")  # Å per px, whichever is there
UNUSABLE = {  # column -> what a value other than 0 says, and what to do
    "flip": (
        "particles are mirrored",
        "export them without mirrors, turned by rot, tilt, psi alone",
    ),
    "continuousFlip": ("particles are mirrored", "refine again without mirrors"),
    "continuousScaleX": ("images are stretched", "refine again without --optimizeScale"),
    "continuousScaleY": ("images are stretched", "refine again without --optimizeScale"),
    "ctfVPPphaseshift": (
        "a phase plate, of a unit that we do not know",
        "give RELION's file of it",
    ),
}


def read_xmipp(path: str | os.PathLike) -> Particles:
    """Particles of an Xmipp metadata file, of those it calls disabled too.

    Where `xmipp_angular_continuous_assign2` wrote it, `_image` is a copy moved to its centre and
    the particle itself is `_imageOriginal`, with its shift in `_continuousX` and `_continuousY`. The
    id is that image's name, as in RELION's file of the same particles. Pixel size: `_samplingRate`,
    `_ctfSamplingRate`, or the stack's header; coordinates are taken in the same pixels. Half-sets
    are 0, for Xmipp keeps them in separate files. Its search may have turned the astigmatism's angle
    by many half turns, which are taken off. InputError as `read_relion`, and if images are
    mirrored or stretched, or taken with a phase plate.
    """
    path = Path(path)
    table = _particles(path)[1]
    _refuse_unusable(table)
    name = _name(table)
    index, stack_name = image_places(table, name)
    stacks, of_stack = distinct(stack_name)
    found = [find_file(name, path) for name in stacks]
    stack = [found[number] for number in of_stack.tolist()]
    box, pixel_size = _grid(table, found, of_stack)
    columns = [table.finite(column) for column in CTF]
    groups, of_particle = distinct(
        zip(*(values.tolist() for values in (*columns, pixel_size, box)), strict=True)
    )
    optics = tuple(
        checked_optics(
            where=table.where,
            name=f"opticsGroup{number + 1}",
            voltage=voltage,
            spherical_aberration=aberration,
            amplitude_contrast=contrast,
            pixel_size=size,
            image_size=image_size,
        )
        for number, (voltage, aberration, contrast, size, image_size) in enumerate(groups)
    )
    shift_x, shift_y = (
        ("continuousX", "continuousY") if "continuousX" in table else ("shiftX", "shiftY")
    )
    absent = 0.0 if "angleRot" in table else np.nan
    return checked_particles(
        where=table.where,
        optics=optics,
        optics_group=of_particle,
        particle_id=unique_ids(table.text(name)),
        stack=stack,
        image_index=index,
        micrograph=_micrograph(table, stack_name),
        coordinate_x=table.numbers("xcoor", np.nan) * pixel_size,
        coordinate_y=table.numbers("ycoor", np.nan) * pixel_size,
        defocus_u=table.finite(DEFOCUS[0]),
        defocus_v=table.finite(DEFOCUS[1]),
        defocus_angle=np.fmod(table.numbers(ANGLE, 0.0), 180) * DEGREE,
        phase_shift=np.zeros(len(table)),
        rot=table.numbers("angleRot", np.nan) * DEGREE,
        tilt=table.numbers("angleTilt", np.nan) * DEGREE,
        psi=table.numbers("anglePsi", np.nan) * DEGREE,
        origin_x=table.numbers(shift_x, absent) * pixel_size,
        origin_y=table.numbers(shift_y, absent) * pixel_size,
        half_set=np.zeros(len(table), dtype=np.int64),
        source=path,
    )


def xmipp_ids(path: str | os.PathLike) -> list[str]:
    """The particle ids of an Xmipp metadata file, in its order."""
    _, table = _particles(Path(path))
    return unique_ids(table.text(_name(table)))


def xmipp_has_angle(path: str | os.PathLike) -> bool:
    """Whether an Xmipp metadata file has the column of the astigmatism's angle."""
    return ANGLE in _particles(Path(path))[1]


def write_xmipp(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    defocus_u: np.ndarray,
    defocus_v: np.ndarray,
    *,
    angle: np.ndarray | None = None,
    keep: np.ndarray | None = None,
) -> None:
    """Copy the metadata file `source` with other defoci [Å], a value per row; see `write_relion`."""
    block, table = _particles(Path(source))
    columns = {DEFOCUS[0]: defocus_u, DEFOCUS[1]: defocus_v}
    columns = with_angle(columns, table, ANGLE, angle)
    write_defocus(source, destination, block, table, columns, keep)


def _particles(path: Path) -> tuple[str, Table]:
    """Name and table of the block that holds the particles."""
    for name, table in read_star(path).items():
        if IMAGE in table and DEFOCUS[0] in table:
            return name, table
    raise InputError(
        f"no particles: no block has the columns _{IMAGE} and _{DEFOCUS[0]}",
        where=path,
        mend="give the metadata of a refinement with its CTF in it, not in files of _ctfModel",
    )


def _name(table: Table) -> str:
    return ORIGINAL if ORIGINAL in table else IMAGE


def _refuse_unusable(table: Table) -> None:
    for column, (what, mend) in UNUSABLE.items():
        if (rows := np.flatnonzero(table.numbers(column, 0.0))).size:
            where = table.cell(column, int(rows[0]))
            raise InputError(f"{what} ({rows.size} such rows)", where=where, mend=mend)


def _grid(table: Table, stacks: list[str], of_stack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) box [px] and pixel size [Å]; of a stack that cannot be read, those of the first that can."""
    known, why = {}, ""
    for path in stacks:
        try:
            header = read_header(path)
            known[path] = header.shape[2], round(header.voxel_size[0], 5)
        except InputError as error:
            why = why or f"{path}: {error.what}"
    if not known:
        mend = "run in the project's folder; a stack of another format must be converted to MRC"
        raise InputError(f"no stack tells the box ({why})", where=table.where, mend=mend)
    first = next(iter(known.values()))
    box, pixel_size = np.array([known.get(path, first) for path in stacks])[of_stack].T
    for column in SAMPLING:
        if column in table:
            pixel_size = table.finite(column)
    if not np.isfinite(pixel_size).all():
        mend = f"add _{SAMPLING[0]} to this block"
        raise InputError(
            "neither file nor stacks tell the pixel size", where=table.where, mend=mend
        )
    return box.astype(np.int64), pixel_size


def _micrograph(table: Table, stack_name: list[str]) -> list[str]:
    """Name of each particle's micrograph, its number, or else that of the stack."""
    for column in ("micrograph", "micrographId"):
        if column in table:
            return table.text(column)
    return stack_name
