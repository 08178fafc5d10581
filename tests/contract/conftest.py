"""A small set on disk, as a user has it after a refinement, and the command line to run on it."""

import io
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from parfocal.cli import main
from parfocal.io import read_star, write_star
from parfocal.simulate import Scene, Simulation, simulate, write_dataset

SCENE = Scene(
    particles=72,
    micrographs=3,
    box=48,
    pixel_size=2.2,
    residues=250,
    snr=0.5,
    defocus=(8_000.0, 12_000.0),
)


class Outcome(NamedTuple):
    """What a user sees of a command."""

    code: int
    out: str
    err: str


def parfocal(*arguments: object) -> Outcome:
    """Run the command line in this process."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["parfocal", *map(str, arguments)]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        return Outcome(int(end.code or 0), out.getvalue(), err.getvalue())
    finally:
        sys.argv = before
    return Outcome(0, out.getvalue(), err.getvalue())


def with_columns(path: Path, block: str = "particles", **columns) -> None:
    """Rewrite a STAR file with other columns in one block; None takes a column away."""
    blocks = {
        name: {column: table.text(column) for column in table.columns}
        for name, table in read_star(path).items()
    }
    for name, values in columns.items():
        blocks[block].pop(name, None)
        if values is not None:
            n = len(next(iter(blocks[block].values())))
            blocks[block][name] = [values] * n if isinstance(values, str) else list(values)
    write_star(path, blocks)


def with_two_groups(path: Path, **second: str) -> None:
    """Split the particles over two optics groups, the second of other settings."""
    blocks = read_star(path)
    optics = {name: blocks["optics"].text(name) * 2 for name in blocks["optics"].columns}
    for name, value in {"rlnOpticsGroup": "2", "rlnOpticsGroupName": "other", **second}.items():
        optics[name] = [optics[name][0], value]
    particles = {name: blocks["particles"].text(name) for name in blocks["particles"].columns}
    particles["rlnOpticsGroup"] = [str(1 + row % 2) for row in range(len(blocks["particles"]))]
    write_star(path, {"optics": optics, "particles": particles})


@pytest.fixture(scope="session")
def simulation() -> Simulation:
    return simulate(SCENE, np.random.default_rng(11))


@pytest.fixture(scope="session")
def pristine(simulation, tmp_path_factory) -> Path:
    """Folder of the set, not to be touched."""
    folder = tmp_path_factory.mktemp("set")
    write_dataset(simulation, folder)
    return folder


@pytest.fixture
def project(pristine, tmp_path, monkeypatch) -> Path:
    """A copy of the set to work in and to spoil; it is the current folder."""
    folder = tmp_path / "project"
    shutil.copytree(pristine, folder)
    monkeypatch.chdir(folder)
    return folder


HALVES = ("--half-maps", "half1.mrc", "half2.mrc", "--mask", "mask.mrc")


@pytest.fixture(scope="session")
def finished(pristine) -> tuple[Path, Outcome]:
    """Run folder of the set as it is, and what the command said."""
    out = pristine.parent / "finished"
    maps = [pristine / word if word.endswith(".mrc") else word for word in HALVES]
    said = parfocal("estimate", pristine / "particles.star", *maps, "--out", out)
    assert said.code == 0, said.err
    return out, said


METHODS = "bayes,profile,relion,cryosparc"


@pytest.fixture(scope="session")
def several(pristine) -> Path:
    """The folder of a run of several methods, not to be touched."""
    out = pristine.parent / "several"
    maps = [pristine / word if word.endswith(".mrc") else word for word in HALVES]
    said = parfocal(
        "estimate", pristine / "particles.star", *maps, "--method", METHODS, "--out", out
    )
    assert said.code == 0, said.err
    return out
