"""Particle files with half-sets: a copy of a file, with the column or field that tells them."""

from pathlib import Path

import numpy as np

from parfocal.errors import InputError
from parfocal.io.cryosparc import cryosparc_ids, read_records
from parfocal.io.files import replacing
from parfocal.io.formats import CRYOSPARC, RELION, format_of
from parfocal.io.relion import NAME, relion_ids
from parfocal.io.star import read_star, write_star
from parfocal.particles import Particles

RELION_COLUMN, CRYOSPARC_FIELD = "rlnRandomSubset", "alignments3D/split"


def has_place(path: Path) -> bool:
    """Whether a particle file's format has a place for half-sets: RELION's and cryoSPARC's."""
    return format_of(path) in (RELION, CRYOSPARC)


def write_half_sets(particles: Particles, destination: Path) -> None:
    """Copy the file that `particles` came from, with their half-sets in it.

    Of a STAR file comments go, of both kinds nothing else. InputError if the format has no place for
    half-sets, or the file no longer holds these particles.
    """
    source = particles.source
    if source is None or not has_place(source):
        what = "this format has no place for half-sets"
        raise InputError(what, where=source or "", mend="give a RELION .star or a cryoSPARC .cs")
    is_relion = format_of(source) is RELION
    names = (relion_ids if is_relion else cryosparc_ids)(source)
    if names != particles.particle_id.tolist():
        what = "it no longer holds the particles that were read from it"
        raise InputError(what, where=source, mend="run again")
    (_relion if is_relion else _cryosparc)(source, destination, particles.half_set)


def _relion(source: Path, destination: Path, half_set: np.ndarray) -> None:
    blocks = {}
    for block, table in read_star(source).items():
        columns = {name: table.text(name) for name in table.columns}
        if NAME in table:
            columns[RELION_COLUMN] = list(map(str, half_set.tolist()))
        blocks[block] = columns
    write_star(destination, blocks)


def _cryosparc(source: Path, destination: Path, half_set: np.ndarray) -> None:
    records = read_records(source)
    fields = [(name, records.dtype[name]) for name in records.dtype.names or ()]
    if CRYOSPARC_FIELD not in dict(fields):
        fields.append((CRYOSPARC_FIELD, np.dtype("<u4")))
    out = np.zeros(len(records), dtype=fields)
    for name in records.dtype.names or ():
        out[name] = records[name]
    out[CRYOSPARC_FIELD] = half_set - 1
    with replacing(destination) as file:
        np.save(file, out, allow_pickle=False)
