"""Reading the defoci of any program: our estimates.star, or a particle file of another program."""

from collections.abc import Iterable
from pathlib import Path

from parfocal.defocus_set import DefocusSet, set_of_estimates, set_of_particles
from parfocal.errors import InputError
from parfocal.io.cryosparc import UNSUPPORTED
from parfocal.io.estimates import holds_estimates, read_estimates
from parfocal.io.formats import CRYOSPARC, format_of, read_particles
from parfocal.particles import Particles

ESTIMATES = "estimates.star"


def named_files(arguments: Iterable[str]) -> dict[str, Path]:
    """Name -> file of arguments NAME=FILE, FILE, or the folder of a run, which holds several.

    Without a name, an estimates.star goes by its folder's, any other file by its own. Those of a
    named run's folder go by NAME/METHOD. InputError if a name is given twice, or a folder holds no
    estimates.
    """
    named: dict[str, Path] = {}
    for argument in arguments:
        name, path = _name_and_path(argument)
        for found in _files(path):
            label = name or _name_of(found)
            if name and found.parent.parent == path:
                label = f"{name}/{_name_of(found)}"
            if label in named:
                what = f"{named[label]} and {found} are both called {label!r}"
                raise InputError(what, mend="give names, as in NAME=FILE")
            named[label] = found
    return named


def _name_and_path(argument: str) -> tuple[str, Path]:
    """Of NAME=FILE, or of a FILE that may have a = in its name."""
    name, equals, text = argument.partition("=")
    if not equals or Path(argument).exists():
        return "", Path(argument)
    if not text:
        raise InputError(f"{argument!r} names no file", mend="give NAME=FILE")
    return name, Path(text)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.glob(ESTIMATES)) or sorted(path.glob(f"*/{ESTIMATES}"))
    if not found:
        mend = "give the folder of a parfocal run, or a file"
        raise InputError(f"no {ESTIMATES} in this folder", where=path, mend=mend)
    return found


def _name_of(path: Path) -> str:
    return path.absolute().parent.name if path.name == ESTIMATES else path.stem


def read_defocus_set(path: Path, name: str, passthrough: Iterable[Path] = ()) -> DefocusSet:
    """The defoci in a file of any kind that we know. InputError as its own reader has it.

    `passthrough` are further files of a cryoSPARC job, where coordinates may be; other formats do
    without. Aberrations that a .cs holds do not matter here.
    """
    if holds_estimates(path):
        return set_of_estimates(read_estimates(path, brief=True), name, path)
    return set_of_particles(read_any_particles(path, passthrough), name)


def read_any_particles(path: Path, passthrough: Iterable[Path] = ()) -> Particles:
    """Particles of any format, for their defoci: aberrations are let pass, see `read_defocus_set`."""
    if format_of(path) is not CRYOSPARC:
        return read_particles(path)
    return read_particles(path, passthrough, UNSUPPORTED)
