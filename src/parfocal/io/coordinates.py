"""Where particles are in their micrographs: RELION's particle STAR files, or its coordinates."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parfocal.errors import InputError
from parfocal.io.files import find_file
from parfocal.io.records import distinct
from parfocal.io.star import Table, read_star

X, Y, MICROGRAPH, GROUP = "rlnCoordinateX", "rlnCoordinateY", "rlnMicrographName", "rlnOpticsGroup"
LISTED = "rlnMicrographCoordinates"
PIXEL_SIZES = ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize")
OF_MICROGRAPHS = ("rlnCtfImage", "rlnMicrographMetadata", "rlnMicrographPreview")  # not particles'
Columns = Mapping[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class Picks:
    """Particles in their micrographs, and the tables that say everything else about them."""

    where: str
    micrograph: np.ndarray  # (n,) str, paths that exist
    x: np.ndarray  # (n,) px
    y: np.ndarray
    pixel_size: np.ndarray  # (n,) Å, of the micrograph
    particles: Columns  # tokens, a row per particle
    optics: Columns
    others: Mapping[str, Columns]

    def __len__(self) -> int:
        return len(self.x)

    def origins(self) -> tuple[np.ndarray, np.ndarray]:
        """Origins x, y [Å]: the particle sits at -origin from its coordinate. InputError if none."""
        names = ("rlnOriginXAngst", "rlnOriginYAngst")
        if missing := [name for name in names if name not in self.particles]:
            raise InputError(
                f"no column _{missing[0]}", where=self.where, mend="there is nothing to recentre by"
            )
        x, y = (np.array(self.particles[name], dtype=float) for name in names)
        if not (np.isfinite(x) & np.isfinite(y)).all():
            raise InputError("origins that are no numbers", where=self.where, mend="correct them")
        return x, y

    def blocks(self, rows, columns: Columns, *, box: int, size: int) -> dict[str, Columns]:
        """Blocks of a STAR file: `rows` of the particles, with other `columns`, and their optics.

        Images are `size` px, from `box` px of the micrograph.
        """
        groups = len(self.optics[GROUP])
        pixel = [float(_pixel_size(self.optics, g, self.where)) * box / size for g in range(groups)]
        optics = {
            **self.optics,
            "rlnImagePixelSize": [f"{p:.12g}" for p in pixel],
            "rlnImageSize": [str(size)] * groups,
            "rlnImageDimensionality": ["2"] * groups,
        }
        particles = {**self.particles, **columns}
        taken = {name: [tokens[row] for row in rows] for name, tokens in particles.items()}
        return {**self.others, "optics": optics, "particles": taken}


def read_picks(
    source: Path, *, coordinates: Path | None = None, micrographs: Path | None = None
) -> Picks:
    """Particles of a particle STAR, or of a micrographs STAR and its `coordinates`.

    `coordinates`: a folder that holds a STAR file for each micrograph, its name beginning with that of
    the micrograph, or a STAR file that lists them (RELION 4's). `micrographs`: folder in which to look
    for the micrographs first. InputError if anything that is needed is missing.
    """
    blocks = read_star(source)
    if "optics" not in blocks:
        raise InputError(
            "no data_optics: a file of RELION 3.0 or earlier, or of another program",
            where=source,
            mend="convert it with relion_convert_star, or give a micrographs STAR with optics",
        )
    optics = blocks["optics"]
    name = next((n for n, t in blocks.items() if n != "optics" and MICROGRAPH in t), None)
    if name is None:
        raise InputError(
            f"no column _{MICROGRAPH}",
            where=source,
            mend="it must say which micrograph each particle is of",
        )
    table = blocks[name]
    particles = {column: table.text(column) for column in table.columns}
    if coordinates is not None:
        particles = _placed(particles, coordinates, source)
    elif X not in table or Y not in table:
        raise InputError(
            f"no column _{X if X not in table else Y}",
            where=table.where,
            mend="give a particle STAR, or --coordinates with a micrographs STAR",
        )
    if not particles[MICROGRAPH]:
        raise InputError("no particles", where=source, mend="check the job that wrote this file")
    groups = {n: optics.text(n) for n in optics.columns}
    groups.setdefault(GROUP, ["1"] * len(optics))
    particles.setdefault(GROUP, groups[GROUP][:1] * len(particles[MICROGRAPH]))
    pixel = {g: _pixel_size(groups, i, optics.where) for i, g in enumerate(groups[GROUP])}
    if unknown := set(particles[GROUP]) - set(pixel):
        what = f"optics group {min(unknown)} is not in data_optics"
        raise InputError(what, where=source, mend="add its row there")
    return Picks(
        where=table.where,
        micrograph=_found(particles[MICROGRAPH], source, micrographs),
        x=_numbers(particles, X, table.where),
        y=_numbers(particles, Y, table.where),
        pixel_size=np.array([pixel[group] for group in particles[GROUP]]),
        particles=particles,
        optics=groups,
        others={
            n: {c: t.text(c) for c in t.columns}
            for n, t in blocks.items()
            if n not in ("optics", name)
        },
    )


def _pixel_size(optics: Columns, row: int, where: str) -> float:
    """Å of a pixel of the micrographs of one optics group."""
    for name in PIXEL_SIZES:
        if name in optics:
            value = float(_numbers(optics, name, where)[row])
            if value > 0:
                return value
    raise InputError(
        f"no column _{PIXEL_SIZES[0]}",
        where=where,
        mend="add it to data_optics: the pixel size of the micrographs in Å",
    )


def _numbers(columns: Columns, name: str, where: str) -> np.ndarray:
    values = np.empty(len(columns[name]))
    for row, token in enumerate(columns[name]):
        try:
            values[row] = float(token)
        except ValueError:
            values[row] = np.nan
        if not np.isfinite(values[row]):
            place = f"{where}, _{name}, row {row + 1}"
            raise InputError(f"{token!r} is not a number", where=place, mend="correct it")
    return values


def _found(names: list[str], source: Path, folder: Path | None) -> np.ndarray:
    """(n,) paths of the micrographs; InputError that counts those that are nowhere."""
    different, inverse = distinct(names)
    paths, missing = [], []
    for name in different:
        tries = [folder / name, folder / Path(name).name] if folder is not None else []
        path = next((str(p) for p in tries if p.is_file()), None) or find_file(name, source)
        paths.append(path)
        if not Path(path).is_file():
            missing.append(name)
    if missing:
        raise InputError(
            f"{len(missing)} of {len(different)} micrographs are missing, such as {missing[0]}",
            where=source,
            mend="run in the project's folder, or say with --micrographs where they are",
        )
    return np.array(paths, dtype=object)[inverse]


def _placed(micrographs: Columns, coordinates: Path, source: Path) -> dict[str, list[str]]:
    """Columns of particles: those of their micrograph, and those of its coordinate file."""
    rows: list[dict[str, str]] = []
    for row, path in _coordinate_files(micrographs[MICROGRAPH], coordinates, source):
        own = {n: t[row] for n, t in micrographs.items() if n not in OF_MICROGRAPHS}
        table = _coordinates(path)
        text = {name: table.text(name) for name in table.columns}
        rows += [
            own | {name: tokens[i] for name, tokens in text.items()} for i in range(len(table))
        ]
    if not rows:
        return {MICROGRAPH: []}
    shared = [name for name in rows[0] if all(name in row for row in rows)]
    return {name: [row[name] for row in rows] for name in shared}


def _coordinate_files(names: list[str], coordinates: Path, source: Path) -> Iterator:
    """(row of the micrograph, its coordinate file), for those micrographs that have one."""
    files: dict[str, Path] = {}
    if coordinates.is_dir():
        found = sorted(coordinates.rglob("*.star"))
        for name in names:
            stem = Path(name).stem
            mine = [p for p in found if p.stem == stem] or [
                p for p in found if p.stem.startswith(stem) and not p.stem[len(stem)].isalnum()
            ]
            if len(mine) > 1:
                what = f"{len(mine)} files could be the coordinates of {name}: {mine[0].name}, ..."
                raise InputError(what, where=coordinates, mend="keep one a micrograph")
            if mine:
                files[name] = mine[0]
    else:
        listed = next((t for t in read_star(coordinates).values() if LISTED in t), None)
        if listed is None:
            mend = "give a folder of STAR files, or the file that lists them"
            raise InputError(f"no column _{LISTED}", where=coordinates, mend=mend)
        pairs = zip(listed.text(MICROGRAPH), listed.text(LISTED), strict=True)
        files = {name: Path(find_file(path, coordinates)) for name, path in pairs}
    if not set(files) & set(names):
        what = f"no coordinates of any micrograph of {source}"
        raise InputError(what, where=coordinates, mend="their names begin with the micrograph's")
    yield from ((row, files[name]) for row, name in enumerate(names) if name in files)


def _coordinates(path: Path) -> Table:
    for table in read_star(path).values():
        if X in table and Y in table:
            return table
    raise InputError(f"no columns _{X} and _{Y}", where=path, mend="give picked coordinates")
