"""RELION particle STAR files: 3.1 and later (data_optics), 3.0 and earlier (all in one block)."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parfocal.conventions import DEGREE
from parfocal.errors import InputError
from parfocal.io.files import find_file
from parfocal.io.mrc import read_header
from parfocal.io.records import checked_optics, checked_particles, distinct, unique_ids
from parfocal.io.star import Table, read_star
from parfocal.io.star_particles import image_places, with_angle, write_defocus
from parfocal.optics import IDENTITY, Optics
from parfocal.particles import Particles

NAME = "rlnImageName"
ANGLE = "rlnDefocusAngle"
OLD_OPTICS = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
BEAM_TILT = ("rlnBeamTiltX", "rlnBeamTiltY")
MAGNIFICATION = ("rlnMagMat00", "rlnMagMat01", "rlnMagMat10", "rlnMagMat11")
UNUSABLE = {
    "rlnCtfDataAreCtfPremultiplied": "images are already multiplied by the CTF",
    "rlnCtfDataArePhaseFlipped": "phases are already flipped",
}


@dataclass(frozen=True, kw_only=True)
class _Groups:
    """Optics groups: where their settings stand, and which particle is of which."""

    table: Table
    rows: np.ndarray  # (groups,) row of `table` that holds each group's settings
    of_particle: np.ndarray  # (n,)


def read_relion(path: str | os.PathLike) -> Particles:
    """Particles of a RELION STAR file, of any version.

    Of what the file lacks, defocus angle, phase shift and half-set are 0, pose and coordinates
    nan, and the micrograph is the image stack; missing origins are 0 with a pose, nan without.
    The id is the image name, made unique where several rows share an image (`unique_ids`).
    InputError if it holds no particles, lacks a column without which there is no CTF, or has
    images whose defocus can no longer be found.
    """
    path = Path(path)
    blocks = read_star(path)
    table = blocks[_particle_block(blocks, path)]
    names = table.text(NAME)
    index, stack_name = image_places(table, NAME)
    stacks, of_stack = distinct(stack_name)
    found = [find_file(name, path) for name in stacks]
    groups = _new_groups(blocks["optics"], table) if "optics" in blocks else _old_groups(table)
    _refuse_unusable(groups)
    stack = [found[number] for number in of_stack.tolist()]
    optics = _optics(groups, stack)
    pixel_size = np.array([group.pixel_size for group in optics])[groups.of_particle]
    micrograph_pixel = _micrograph_pixel_size(groups, optics)[groups.of_particle]
    micrograph = "rlnMicrographName"
    return checked_particles(
        where=table.where,
        optics=optics,
        optics_group=groups.of_particle,
        particle_id=unique_ids(names),
        stack=stack,
        image_index=index,
        micrograph=table.text(micrograph) if micrograph in table else stack_name,
        coordinate_x=table.numbers("rlnCoordinateX", np.nan) * micrograph_pixel,
        coordinate_y=table.numbers("rlnCoordinateY", np.nan) * micrograph_pixel,
        defocus_u=table.finite("rlnDefocusU"),
        defocus_v=table.finite("rlnDefocusV"),
        defocus_angle=table.numbers(ANGLE, 0.0) * DEGREE,
        phase_shift=table.numbers("rlnPhaseShift", 0.0) * DEGREE,
        rot=table.numbers("rlnAngleRot", np.nan) * DEGREE,
        tilt=table.numbers("rlnAngleTilt", np.nan) * DEGREE,
        psi=table.numbers("rlnAnglePsi", np.nan) * DEGREE,
        origin_x=_origin(table, "X", pixel_size),
        origin_y=_origin(table, "Y", pixel_size),
        half_set=_half_set(table),
        source=path,
    )


def relion_ids(path: str | os.PathLike) -> list[str]:
    """The particle ids of a RELION STAR file, in its order."""
    blocks = read_star(path)
    return unique_ids(blocks[_particle_block(blocks, Path(path))].text(NAME))


def relion_has_angle(path: str | os.PathLike) -> bool:
    """Whether a RELION STAR file has the column of the astigmatism's angle."""
    blocks = read_star(path)
    return ANGLE in blocks[_particle_block(blocks, Path(path))]


def write_relion(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    defocus_u: np.ndarray,
    defocus_v: np.ndarray,
    *,
    angle: np.ndarray | None = None,
    keep: np.ndarray | None = None,
) -> None:
    """Copy the STAR file `source` with other defoci [Å], a value per row; see `write_defocus`.

    `angle` [rad] if that changes too. InputError if the file has no angle to change.
    """
    blocks = read_star(source)
    block = _particle_block(blocks, Path(source))
    defocus = {"rlnDefocusU": defocus_u, "rlnDefocusV": defocus_v}
    columns = with_angle(defocus, blocks[block], ANGLE, angle)
    write_defocus(source, destination, block, blocks[block], columns, keep)


def _particle_block(blocks: Mapping[str, Table], path: Path) -> str:
    for name, table in blocks.items():
        if NAME in table:
            return name
    raise InputError(
        f"no particles: no block has the column _{NAME}",
        where=path,
        mend="give the particle file of a refinement, such as run_data.star",
    )


def _new_groups(optics: Table, table: Table) -> _Groups:
    column = "rlnOpticsGroup"
    if column not in table and len(optics) == 1:
        nowhere = np.zeros(len(table), dtype=np.int64)
        return _Groups(table=optics, rows=np.array([0]), of_particle=nowhere)
    defined, wanted = optics.integers(column), table.integers(column)
    if len(set(defined.tolist())) < len(defined):
        what = f"_{column} names one group twice"
        raise InputError(what, where=optics.where, mend="give every group a number of its own")
    if unknown := set(wanted.tolist()) - set(defined.tolist()):
        row = int(np.flatnonzero(np.isin(wanted, list(unknown)))[0])
        raise InputError(
            f"optics group {wanted[row]} is not in data_optics",
            where=table.cell(column, row),
            mend="add its row there, or remove its particles",
        )
    rows = np.flatnonzero(np.isin(defined, wanted))
    order = np.argsort(defined[rows])
    of_particle = order[np.searchsorted(defined[rows], wanted, sorter=order)]
    return _Groups(table=optics, rows=rows, of_particle=of_particle)


def _old_groups(table: Table) -> _Groups:
    """Rows with the same microscope settings form an optics group."""
    columns = [table.finite(name) for name in OLD_OPTICS] + [_pixel_size(table)]
    columns += [table.numbers(name, 0.0) for name in (*BEAM_TILT, *UNUSABLE, "rlnImageSize")]
    _, of_particle = distinct(zip(*(column.tolist() for column in columns), strict=True))
    _, rows = np.unique(of_particle, return_index=True)
    return _Groups(table=table, rows=rows, of_particle=of_particle)


def _refuse_unusable(groups: _Groups) -> None:
    for column, what in UNUSABLE.items():
        if groups.table.numbers(column, 0.0)[groups.rows].any():
            raise InputError(
                f"_{column} is set: {what}, so that their defocus can no longer be found",
                where=groups.table.where,
                mend="extract the particles again without that",
            )
    if (groups.table.numbers("rlnImageDimensionality", 2.0)[groups.rows] != 2).any():
        raise InputError(
            "particles are not 2D images",
            where=f"{groups.table.where}, _rlnImageDimensionality",
            mend="subtomograms have no single defocus; give 2D particles",
        )


def _optics(groups: _Groups, stack: Sequence[str]) -> tuple[Optics, ...]:
    table, rows = groups.table, groups.rows
    if not len(stack):
        return ()
    voltage, aberration, contrast = (table.finite(name)[rows].tolist() for name in OLD_OPTICS)
    pixel_size = _pixel_size(table)[rows].tolist()
    size = _image_size(groups, stack)
    tilt = np.stack([table.numbers(name, 0.0)[rows] for name in BEAM_TILT], axis=1).tolist()
    columns = zip(MAGNIFICATION, IDENTITY, strict=True)
    magnification = np.stack([table.numbers(n, one)[rows] for n, one in columns], axis=1).tolist()
    names = table.text("rlnOpticsGroupName") if "rlnOpticsGroupName" in table else None
    odd, even = (_zernike(groups, f"rln{kind}Zernike") for kind in ("Odd", "Even"))
    return tuple(
        checked_optics(
            where=table.where,
            name=names[row] if names else f"opticsGroup{g + 1}",
            voltage=voltage[g],
            spherical_aberration=aberration[g],
            amplitude_contrast=contrast[g],
            pixel_size=pixel_size[g],
            image_size=size[g],
            beam_tilt=tuple(tilt[g]),
            odd_zernike=odd[g],
            even_zernike=even[g],
            magnification=tuple(magnification[g]),
        )
        for g, row in enumerate(rows)
    )


def _pixel_size(table: Table) -> np.ndarray:
    if "rlnImagePixelSize" in table or "rlnMagnification" not in table:
        return table.finite("rlnImagePixelSize")
    return table.finite("rlnDetectorPixelSize") * 1e4 / table.finite("rlnMagnification")


def _micrograph_pixel_size(groups: _Groups, optics: tuple[Optics, ...]) -> np.ndarray:
    """Å per px of the coordinates, which are those of the summed micrograph."""
    for name in ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize"):
        if name in groups.table:
            return groups.table.finite(name)[groups.rows]
    return np.array([group.pixel_size for group in optics])


def _image_size(groups: _Groups, stack: Sequence[str]) -> list[int]:
    if "rlnImageSize" in groups.table:
        return groups.table.integers("rlnImageSize")[groups.rows].tolist()
    stacks: dict[int, dict[str, None]] = {}
    for group, path in zip(groups.of_particle.tolist(), stack, strict=True):
        stacks.setdefault(group, {})[path] = None
    return [_box(stacks[group], groups.table.where) for group in range(len(groups.rows))]


def _box(stacks: Iterable[str], where: str) -> int:
    """The box [px] as the first of `stacks` has it that can be read."""
    why = ""
    for path in stacks:
        try:
            return read_header(path).shape[2]
        except InputError as error:
            why = why or f"{path}: {error.what}"
    raise InputError(
        f"no column _rlnImageSize, and no stack tells the box either ({why})",
        where=where,
        mend="run in the project's folder, or add _rlnImageSize",
    )


def _zernike(groups: _Groups, name: str) -> list[tuple[float, ...]]:
    if name not in groups.table:
        return [()] * len(groups.rows)
    tokens = groups.table.text(name)
    try:
        return [
            tuple(float(c) for c in tokens[row].strip("[]").split(",") if c) for row in groups.rows
        ]
    except ValueError:
        where = f"{groups.table.where}, _{name}"
        what, mend = "not a list of numbers", "write it as [0.1,0.2]"
        raise InputError(what, where=where, mend=mend) from None


def _origin(table: Table, axis: str, pixel_size: np.ndarray) -> np.ndarray:
    if f"rlnOrigin{axis}Angst" in table:
        return table.numbers(f"rlnOrigin{axis}Angst")
    return table.numbers(f"rlnOrigin{axis}", 0.0 if "rlnAngleRot" in table else np.nan) * pixel_size


def _half_set(table: Table) -> np.ndarray:
    name = "rlnRandomSubset"
    if name not in table:
        return np.zeros(len(table), dtype=np.int64)
    values = table.integers(name)
    if (strange := np.flatnonzero((values < 0) | (values > 2))).size:
        row = int(strange[0])
        where = table.cell(name, row)
        raise InputError(f"{values[row]} is not a half-set", where=where, mend="give 1 or 2")
    return values
