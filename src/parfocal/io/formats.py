"""Which particle formats there are, how a file's format is known, and the two calls for all."""

import os
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parfocal.conventions import changed_astigmatism
from parfocal.errors import InputError
from parfocal.estimates import DefocusEstimates
from parfocal.io.cryosparc import (
    COMPRESSED,
    cryosparc_has_angle,
    cryosparc_ids,
    read_cryosparc,
    write_cryosparc,
)
from parfocal.io.files import PACKED
from parfocal.io.relion import read_relion, relion_has_angle, relion_ids, write_relion
from parfocal.io.xmipp import MAGIC, read_xmipp, write_xmipp, xmipp_has_angle, xmipp_ids
from parfocal.particles import Particles

NUMPY = b"\x93NUMPY"


@dataclass(frozen=True, kw_only=True)
class Format:
    """A particle format: how to know it, to read it, and to copy a file with other defoci."""

    name: str
    suffix: str
    magic: tuple[bytes, ...]  # a file may begin with any of these, whatever its name
    read: Callable[..., Particles]
    ids: Callable[[Path], list[str]]
    write: Callable[..., None]
    has_angle: Callable[[Path], bool]  # without one a change of astigmatism cannot be written


RELION = Format(
    name="RELION",
    suffix=".star",
    magic=(),
    read=read_relion,
    ids=relion_ids,
    write=write_relion,
    has_angle=relion_has_angle,
)
CRYOSPARC = Format(
    name="cryoSPARC",
    suffix=".cs",
    magic=(NUMPY, COMPRESSED),
    read=read_cryosparc,
    ids=cryosparc_ids,
    write=write_cryosparc,
    has_angle=cryosparc_has_angle,
)
XMIPP = Format(
    name="Xmipp",
    suffix=".xmd",
    magic=(MAGIC,),
    read=read_xmipp,
    ids=xmipp_ids,
    write=write_xmipp,
    has_angle=xmipp_has_angle,
)
FORMATS = (RELION, CRYOSPARC, XMIPP)


def read_particles(
    path: str | os.PathLike,
    passthrough: Iterable[str | os.PathLike] = (),
    ignore: Collection[str] = (),
) -> Particles:
    """Particles of a file of any known format.

    `passthrough` and `ignore` are for cryoSPARC: further files of the same job, and fields of the
    CTF to be left out (see `read_cryosparc`). InputError if the format is unknown, or as the
    format's own reader has it.
    """
    kind, path = format_of(path), Path(path)
    if kind is CRYOSPARC:
        return read_cryosparc(path, passthrough, ignore)
    if passthrough or ignore:
        what = f"a passthrough file, or fields to ignore, beside a {kind.name} file"
        raise InputError(what, where=path, mend="they belong to cryoSPARC's .cs: leave them out")
    return kind.read(path)


def write_particles(
    particles: Particles, estimates: DefocusEstimates, destination: str | os.PathLike
) -> None:
    """Copy the file that `particles` came from with U and V moved by the estimated changes [Å].

    With changes of astigmatism U, V and the angle become what `changed_astigmatism` makes of them;
    without any the angle is left alone. The copy is in the input's own format and holds exactly
    these particles, in the order of the input; nothing else differs. InputError if the particles
    have no source or it no longer holds them, or the estimates are of other particles.
    """
    if particles.source is None:
        what = "these particles were not read from a file, so there is none to copy"
        raise InputError(what, mend="read them with parfocal.read_particles")
    if Path(destination).resolve() == particles.source.resolve():
        what = "would replace the particles' own file"
        raise InputError(what, where=destination, mend="give another name")
    changes = {name: row for row, name in enumerate(estimates.particle_id.tolist())}
    row_of = {name: row for row, name in enumerate(particles.particle_id.tolist())}
    if changes.keys() != row_of.keys():
        without, beyond = row_of.keys() - changes.keys(), changes.keys() - row_of.keys()
        raise InputError(
            f"{len(without)} particles have no estimate, {len(beyond)} estimates no particle",
            where=particles.source,
            mend="give the estimates that were made from this file",
        )
    kind = format_of(particles.source)
    names = kind.ids(particles.source)
    keep = np.array([name in row_of for name in names])
    if keep.sum() != len(particles):
        raise InputError(
            f"{len(particles) - keep.sum()} particles are no longer in this file",
            where=particles.source,
            mend="it was changed since it was read: run again",
        )
    rows = np.array([row_of.get(name, 0) for name in names])
    estimate = np.array([changes.get(name, 0) for name in names])  # of rows not kept: any
    astigmatism = np.array([estimates.astigmatism_change_x, estimates.astigmatism_change_y])
    u, v, angle = changed_astigmatism(
        particles.defocus_u[rows],
        particles.defocus_v[rows],
        particles.defocus_angle[rows],
        astigmatism[:, estimate],
    )
    change = estimates.defocus_change[estimate]
    if not astigmatism.any():
        angle = None
    kind.write(particles.source, destination, u + change, v + change, angle=angle, keep=keep)


def has_angle(path: str | os.PathLike) -> bool:
    """Whether a particle file has a place for the angle, which a change of astigmatism needs."""
    return format_of(path).has_angle(Path(path))


def format_of(path: str | os.PathLike) -> Format:
    """Format of a particle file, by its first bytes or else by its name."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise InputError.of_system(error, path) from None
    if start.startswith(PACKED):
        raise InputError("a compressed file", where=path, mend="unpack it (gunzip, bunzip2)")
    for kind in FORMATS:
        if start.startswith(kind.magic) or path.suffix.lower() == kind.suffix:
            return kind
    if path.suffix.lower() == ".csg":
        files = sorted(set(re.findall(r"metafile:\s*'?>?([^'\s]+)", path.read_text())))
        what, mend = "a list of cryoSPARC files", f"give the .cs files it names: {', '.join(files)}"
        raise InputError(what, where=path, mend=mend)
    known = " or ".join(f"{kind.suffix} ({kind.name})" for kind in FORMATS)
    raise InputError("not a particle file that we know", where=path, mend=f"give {known}")
