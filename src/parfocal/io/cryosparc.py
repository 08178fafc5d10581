"""cryoSPARC particle files (.cs): numpy records keyed by uid, and their passthrough files."""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parfocal.conventions import (
    coordinate_from_cryosparc,
    euler_angles,
    nearest_turn,
    pose_from_cryosparc,
)
from parfocal.errors import InputError
from parfocal.io.files import find_file, replacing
from parfocal.io.records import checked_optics, checked_particles, distinct
from parfocal.optics import Optics
from parfocal.particles import Particles

COMPRESSED = b"\x94CSDAT"
EXPORT = (
    "save it as numpy records: cryosparc.dataset.Dataset.load('old.cs').save('new.cs', format=1)"
)
DEFOCUS = ("ctf/df1_A", "ctf/df2_A")
ANGLE = "ctf/df_angle_rad"
SETTINGS = ("ctf/accel_kv", "ctf/cs_mm", "ctf/amp_contrast", "blob/psize_A")
# The scale and axes of these are known (Å; tilt = Cs sin(angle); matrix minus identity), their
# signs against RELION's are not published: refused rather than guessed.
UNSUPPORTED = ("ctf/tilt_A", "ctf/trefoil_A", "ctf/tetra_A", "ctf/anisomag", "ctf/shift_A")
RELION_SIGN, OPPOSITE_SIGN = -1.0, 1.0  # blob/sign: protein bright, protein dark


@dataclass(frozen=True, kw_only=True)
class _Fields:
    """The joined fields of a particle file and its passthrough files."""

    where: str
    columns: Mapping[str, np.ndarray]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __len__(self) -> int:
        return len(self["uid"])

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.columns:
            raise InputError(
                f"no field {name}",
                where=self.where,
                mend="give the job's passthrough file too, or the particles of a job that has it",
            )
        return self.columns[name]

    def numbers(self, name: str, default: float | None = None) -> np.ndarray:
        """The field as float64, or `default` in every row where there is no such field."""
        if name not in self and default is not None:
            return np.full(len(self), default)
        return self[name].astype(float)

    def text(self, name: str) -> tuple[list[str], np.ndarray]:
        """The field's different values, without the '>' of exported paths, and each row's."""
        values, inverse = distinct(self[name].tolist())
        return [value.decode().removeprefix(">") for value in values], inverse


def read_cryosparc(
    path: str | os.PathLike,
    passthrough: Iterable[str | os.PathLike] = (),
    ignore: Collection[str] = (),
) -> Particles:
    """Particles of a .cs file; fields that it lacks are taken from `passthrough` files by uid.

    `path` must hold the defocus, for it is the file that the writer copies. Without a pose, pose
    and origins are nan; without a location, coordinates are nan and the micrograph is the image
    stack; without alignments3D/split the half-set is 0. Aberrations beyond Cs and a magnification
    matrix are refused where not zero, unless `ignore` names their fields.

    Images whose protein is dark (blob/sign 1) are given a phase shift larger by π, which turns
    the CTF over: the same thing as turning the pixels over.
    """
    records = read_records(path)
    if absent := [name for name in DEFOCUS if name not in _names(records)]:
        raise InputError(
            f"no field {' and '.join(absent)}",
            where=path,
            mend="give the file that has the ctf fields first, the other one as passthrough",
        )
    fields = _join(records, Path(path), passthrough)
    _refuse_unsupported(fields, ignore)
    stacks, of_stack = fields.text("blob/path")
    optics, optics_group = _optics(fields)
    found = [find_file(name, Path(path)) for name in stacks]
    coordinate_x, coordinate_y = _coordinates(fields)
    rot, tilt, psi, origin_x, origin_y = _alignment(fields)
    defocus_u, defocus_v = (_finite(fields, name) for name in DEFOCUS)
    return checked_particles(
        where=fields.where,
        optics=optics,
        optics_group=optics_group,
        particle_id=list(map(str, fields["uid"].tolist())),
        stack=[found[number] for number in of_stack.tolist()],
        image_index=fields["blob/idx"].astype(np.int64),
        micrograph=_micrograph(fields),
        coordinate_x=coordinate_x,
        coordinate_y=coordinate_y,
        defocus_u=defocus_u,
        defocus_v=defocus_v,
        defocus_angle=fields.numbers(ANGLE, 0.0),
        phase_shift=fields.numbers("ctf/phase_shift_rad", 0.0) + _contrast_phase(fields),
        rot=rot,
        tilt=tilt,
        psi=psi,
        origin_x=origin_x,
        origin_y=origin_y,
        half_set=_half_set(fields),
        source=Path(path),
    )


def cryosparc_ids(path: str | os.PathLike) -> list[str]:
    """The particle ids of a .cs file, in its order."""
    return list(map(str, read_records(path)["uid"].tolist()))


def cryosparc_has_angle(path: str | os.PathLike) -> bool:
    """Whether a .cs file has the field of the astigmatism's angle."""
    return ANGLE in _names(read_records(path))


def write_cryosparc(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    defocus_u: np.ndarray,
    defocus_v: np.ndarray,
    *,
    angle: np.ndarray | None = None,
    keep: np.ndarray | None = None,
) -> None:
    """Copy the .cs file `source` with other defoci [Å], a value per row, all else unchanged.

    `angle` [rad] if that changes too. `keep`, a mask over the rows, leaves out the others.
    InputError if the file has no angle to change.
    """
    records = read_records(source).copy()
    for name, values in zip(DEFOCUS, (defocus_u, defocus_v), strict=True):
        records[name] = values
    if angle is not None:
        if ANGLE not in _names(records):
            mend = "give the file of the job that fitted the CTF, or refine without astigmatism"
            raise InputError(f"no field {ANGLE} for a changed angle", where=source, mend=mend)
        records[ANGLE] = nearest_turn(angle, records[ANGLE].astype(float))
    with replacing(destination) as file:
        np.save(file, records if keep is None else records[keep], allow_pickle=False)


def read_records(path: str | os.PathLike) -> np.ndarray:
    """The structured array of a .cs file. InputError if it is not one."""
    try:
        with open(path, "rb") as file:
            if file.read(len(COMPRESSED)) == COMPRESSED:
                what = "in the compressed format of cryoSPARC 5 (CSDAT)"
                raise InputError(what, where=path, mend=EXPORT)
            file.seek(0)
            records = np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise InputError.of_system(error, Path(path)) from None
    except (ValueError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        if any(words in str(error) for words in ("reading array header", "not fully written")):
            what = f"cut short, as of a copy that was interrupted ({error})"
            raise InputError(what, where=path, mend="copy it again") from None
        raise InputError(f"not a cryoSPARC file ({error})", where=path, mend=EXPORT) from None
    if "uid" not in _names(records):
        raise InputError("no field uid", where=path, mend="give a .cs file of particles")
    return records


def _names(records: np.ndarray) -> tuple[str, ...]:
    return records.dtype.names or ()


def _join(records: np.ndarray, path: Path, passthrough: Iterable[str | os.PathLike]) -> _Fields:
    columns = {name: records[name] for name in _names(records)}
    uids = columns["uid"]
    for other in passthrough:
        extra = read_records(other)
        if (lost := uids[~np.isin(uids, extra["uid"])]).size:
            raise InputError(
                f"{lost.size} of {uids.size} particles of {path.name} are not in it, such as uid "
                f"{lost[0]}",
                where=other,
                mend="give the passthrough file of the same job",
            )
        order = np.argsort(extra["uid"])
        rows = order[np.searchsorted(extra["uid"], uids, sorter=order)]
        columns |= {name: extra[name][rows] for name in _names(extra) if name not in columns}
    return _Fields(where=str(path), columns=columns)


def _refuse_unsupported(fields: _Fields, ignore: Collection[str]) -> None:
    if strange := [name for name in ignore if name not in UNSUPPORTED]:
        what = f"{' and '.join(strange)} cannot be ignored"
        raise InputError(what, where=fields.where, mend=f"only {', '.join(UNSUPPORTED)} can")
    asked = [name for name in UNSUPPORTED if name in fields and name not in ignore]
    if used := [name for name in asked if np.any(fields[name] != 0)]:
        raise InputError(
            f"{' and '.join(used)} not zero: the signs of these aberrations are not published",
            where=fields.where,
            mend="if you accept a loss of signal at high resolution add "
            + " ".join(f"--ignore {name}" for name in used),
        )


def _finite(fields: _Fields, name: str) -> np.ndarray:
    values = fields.numbers(name)
    if (lost := np.flatnonzero(~np.isfinite(values))).size:
        raise InputError(
            f"{values[lost[0]]} is not a value one can start from ({lost.size} such rows)",
            where=f"{fields.where}, {name}, row {lost[0] + 1}",
            mend="remove those particles or give them a value",
        )
    return values


def _optics(fields: _Fields) -> tuple[tuple[Optics, ...], np.ndarray]:
    """Particles of one exposure group with the same settings form an optics group."""
    exposure = fields.numbers("ctf/exp_group_id", 0).astype(int)
    columns = [exposure, *(fields[name] for name in SETTINGS), *fields["blob/shape"].T]
    keys, of_particle = distinct(zip(*(column.tolist() for column in columns), strict=True))
    groups = []
    for group, voltage, aberration, contrast, pixel_size, rows, width in keys:
        where = f"{fields.where}, exposure group {group}"
        if rows != width:
            what = f"images of {width} × {rows} px are not square"
            raise InputError(what, where=where, mend="extract the particles in square boxes")
        groups.append(
            checked_optics(
                where=where,
                name=f"exposure group {group}",
                voltage=voltage,
                spherical_aberration=aberration,
                amplitude_contrast=contrast,
                pixel_size=pixel_size,
                image_size=rows,
            )
        )
    return tuple(groups), of_particle


def _contrast_phase(fields: _Fields) -> np.ndarray:
    sign = fields.numbers("blob/sign", RELION_SIGN)
    if not np.isin(sign, (RELION_SIGN, OPPOSITE_SIGN)).all():
        what = "blob/sign is neither 1 nor -1"
        raise InputError(what, where=fields.where, mend="check the job that wrote this file")
    return np.where(sign == OPPOSITE_SIGN, np.pi, 0.0)


def _alignment(fields: _Fields) -> tuple[np.ndarray, ...]:
    """rot, tilt, psi [rad], origin x, y [Å]."""
    if "alignments3D/pose" not in fields:
        return tuple(np.full(len(fields), np.nan) for _ in range(5))
    angles = euler_angles(pose_from_cryosparc(fields["alignments3D/pose"]))
    shift = fields["alignments3D/shift"] * fields.numbers("alignments3D/psize_A")[:, None]
    return *angles, *shift.T


def _coordinates(fields: _Fields) -> tuple[np.ndarray, np.ndarray]:
    """x, y [Å], by the micrograph's pixel size where the file tells it, else the image's."""
    if "location/center_x_frac" not in fields:
        return np.full(len(fields), np.nan), np.full(len(fields), np.nan)
    names = ("location/micrograph_psize_A", "micrograph_blob/psize_A", "blob/psize_A")
    return coordinate_from_cryosparc(
        fields.numbers("location/center_x_frac"),
        fields.numbers("location/center_y_frac"),
        shape=fields["location/micrograph_shape"],
        pixel_size=fields.numbers(next(name for name in names if name in fields)),
    )


def _micrograph(fields: _Fields) -> list[str]:
    name = "location/micrograph_path"
    names, of_particle = fields.text(name if name in fields else "blob/path")
    return [names[number] for number in of_particle.tolist()]


def _half_set(fields: _Fields) -> np.ndarray:
    split = fields.numbers("alignments3D/split", -1).astype(int)
    if not np.isin(split, (-1, 0, 1)).all():
        what = "alignments3D/split is neither 0 nor 1"
        raise InputError(what, where=fields.where, mend="check the job that wrote this file")
    return split + 1
