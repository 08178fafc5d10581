"""Bad input: one line on stderr that says what, where and how to mend it, exit code 2, nothing written.

What can be carried on is carried on and counted: see test_losses.py.
"""

import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import mrcfile
import pytest

from .conftest import HALVES, Outcome, parfocal
from .faults import FAULTS, MAP, MASK, PARTICLES, of_map, of_particles


def assert_one_plain_line(said: Outcome, where: str = "", says: str = "") -> None:
    """What this whole file is about."""
    assert said.code == 2, said
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith(f"parfocal: {where}"), said.err
    what, dash, mend = said.err.strip().partition(" - ")
    assert dash, said.err
    assert len(mend) > 5, said.err
    assert re.search(says, what), said.err
    assert "Errno" not in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("case", FAULTS.values(), ids=FAULTS)
def test_bad_input_is_told_in_one_line_and_nothing_is_written(project, case):
    case.spoil()
    before = sorted(project.rglob("*"))
    said = parfocal("estimate", case.particles, *case.arguments, "--out", "run")
    assert_one_plain_line(said, case.where, case.says)
    assert sorted(project.rglob("*")) == before


def test_the_set_that_these_cases_spoil_is_good(project):
    assert parfocal("estimate", PARTICLES, *HALVES, "--out", "run").code == 0


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("particles.star",),
        ("particles.star", "--out", "run", "--half-maps", "half1.mrc"),
        ("particles.star", "--out", "run", *HALVES, "--range", "wide"),
        ("particles.star", "--out", "run", *HALVES, "--nonsense"),
        ("particles.star", "more.star", "--out", "run", *HALVES),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(project, words):
    said = parfocal("estimate", *words)
    assert said.code == 2
    assert said.out == ""
    assert "Error: " in said.err
    assert not Path("run").exists()


def test_unknown_commands_are_wrong_usage():
    said = parfocal("estimat")
    assert said.code == 2
    assert "No such command 'estimat'" in said.err


@pytest.fixture
def occupied(project) -> Path:
    """A folder of something else."""
    (project / "run").mkdir()
    (project / "run" / "thesis.tex").write_text("42")
    return project / "run"


@pytest.mark.parametrize("more", [(), ("--resume",)])
def test_an_out_folder_of_something_else_is_left_alone(occupied, more):
    said = parfocal("estimate", PARTICLES, *HALVES, "--out", "run", *more)
    assert_one_plain_line(said, "run: ", "already and not empty")
    assert [path.name for path in occupied.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("out", "where", "says"),
    [
        ("map.mrc", "map.mrc: ", "is a file"),
        ("map.mrc/run", "map.mrc: ", "is a file"),
        ("/proc/run", "/proc/run: ", "No such file"),
    ],
)
def test_an_out_that_cannot_be_made_is_told(project, out, where, says):
    said = parfocal("estimate", PARTICLES, *HALVES, "--out", out)
    assert_one_plain_line(said, where, says)


def test_an_out_without_the_right_to_write_is_told(project, monkeypatch):
    def refuse(self, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)  # root, in CI, may write anywhere
    said = parfocal("estimate", PARTICLES, *HALVES, "--out", "run")
    assert_one_plain_line(said, "run", "Permission denied")
    assert not Path("run").exists()


@pytest.fixture
def done(project, finished) -> Path:
    """A run of the set in the project's folder."""
    shutil.copytree(finished[0], project / "run")
    said = parfocal("estimate", PARTICLES, *HALVES, "--out", "again")
    assert said.code == 0, said.err
    return project / "again"


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def touch(path: str) -> None:
    os.utime(path, ns=(0, 10**18))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: None, (*HALVES, "--range", "500")),
        (lambda: None, (*HALVES, "--padding", "2")),
        (lambda: None, HALVES[:3]),
        (lambda: None, MAP),
        (of_particles(rlnAnglePsi="0"), HALVES),
        (of_map(MASK, lambda m: m**2), HALVES),
        (lambda: touch("particles/mic_0002.mrcs"), HALVES),
        (Path("particles/mic_0003.mrcs").unlink, HALVES),
    ],
    ids=["range", "padding", "no mask", "map", "poses", "mask", "stack anew", "stack gone"],
)
def test_resuming_with_other_inputs_or_settings_is_refused(done, change, words):
    before = contents(done)
    change()
    said = parfocal("estimate", PARTICLES, *words, "--out", done, "--resume")
    lines = said.err.splitlines()
    assert all(line.startswith("warning: ") for line in lines[:-1])  # of the stack that is gone
    said = said._replace(err=f"{lines[-1]}\n")
    assert_one_plain_line(said, f"{done / 'spectra'}", "other inputs or settings")
    assert contents(done) == before


@pytest.mark.parametrize(
    "spoil", [lambda b: b[:3000], lambda b: b"", lambda b: b"PK\3\4" + bytes(99)]
)
def test_damaged_spectra_are_told(done, spoil):
    chunk = done / "spectra" / "chunk_000000.npz"
    chunk.write_bytes(spoil(chunk.read_bytes()))
    said = parfocal("estimate", PARTICLES, *HALVES, "--out", done, "--resume")
    assert_one_plain_line(said, str(chunk), "damaged spectra")
    chunk.unlink()  # as the line says
    said = parfocal("estimate", PARTICLES, *HALVES, "--out", done, "--resume")
    assert said.code == 0


@pytest.mark.parametrize("text", ["", "{}", "\0\0"])
def test_a_damaged_plan_is_told(done, text):
    (done / "spectra" / "plan.json").write_text(text)
    said = parfocal("estimate", PARTICLES, *HALVES, "--out", done, "--resume")
    assert_one_plain_line(said, f"{done / 'spectra'}", "other inputs or settings")


def test_a_full_disk_is_told_and_can_be_resumed(project, finished):
    """Files may not grow beyond 20 kB: the first chunk does not fit."""
    words = ["estimate", PARTICLES, *HALVES, "--out", "run"]
    ended = subprocess.run(
        [sys.executable, "-m", "parfocal", *words],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    said = Outcome(ended.returncode, ended.stdout, ended.stderr)
    assert_one_plain_line(said, "run/spectra/chunk_000000.npz", "File too large")
    assert sorted(path.name for path in Path("run").rglob("*")) == ["plan.json", "spectra"]
    assert parfocal(*words, "--resume").code == 0


def test_a_disk_that_is_full_when_results_are_written_leaves_no_run_json(project, monkeypatch):
    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("parfocal.pipeline.write_estimates", refuse)
    said = parfocal("estimate", PARTICLES, *HALVES, "--out", "run", "--json")
    assert_one_plain_line(said, "", "No space left")
    assert not Path("run/run.json").exists()
    monkeypatch.undo()
    os.chdir(project)
    assert parfocal("estimate", PARTICLES, *HALVES, "--out", "run", "--resume").code == 0


def test_too_little_memory_is_told(project, monkeypatch):
    def refuse(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("parfocal.pipeline.read_inputs", refuse)
    said = parfocal("estimate", PARTICLES, *HALVES, "--out", "run")
    assert_one_plain_line(said, "", "not enough memory")


def test_an_error_of_our_own_is_one_line_unless_asked_for(project, monkeypatch):
    def fail(*arguments, **options):
        raise ZeroDivisionError("of our own")

    monkeypatch.setattr("parfocal.pipeline.read_inputs", fail)
    said = parfocal("estimate", PARTICLES, *HALVES, "--out", "run")
    assert said.code == 1
    assert said.err.count("\n") == 1
    assert "internal error (ZeroDivisionError: of our own)" in said.err
    monkeypatch.setenv("PARFOCAL_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        parfocal("estimate", PARTICLES, *HALVES, "--out", "run")


@pytest.mark.parametrize(
    ("words", "where", "says"),
    [
        (("simulate", "--out", "particles"), "particles: ", "already and not empty"),
        (("simulate", "--out", "map.mrc"), "map.mrc: ", "is a file"),
        (("simulate", "--out", "s", "--snr", "0"), "scene", "snr = 0.0 is not possible"),
        (("simulate", "--out", "s", "--box", "65"), "scene", "image_size"),
        (("simulate", "--out", "s", "--noise", "pink"), "", "noise 'pink'"),
        (("simulate", "--out", "s", "--structure", "nope.pdb"), "nope.pdb", "No such file"),
        (("simulate", "--out", "s", "--structure", "map.mrc"), "map.mrc", "no atoms|Unknown"),
        (("demo", "--out", ".", "--jobs", "0"), "", "0 jobs"),
        (("demo", "--out", "map.mrc"), "map.mrc", "is a file"),
        (("demo", "--out", "d", "--particles", "2"), "scene", "micrographs = 12"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_the_other_commands_tell_in_one_line_too(project, words, where, says):
    before = sorted(project.rglob("*"))
    assert_one_plain_line(parfocal(*words), where, says)
    assert sorted(project.rglob("*")) == before


def test_a_map_without_a_pixel_size_in_its_header_has_the_particles(project):
    with mrcfile.open("map.mrc", "r+") as mrc:
        mrc.voxel_size = 0
    assert parfocal("estimate", PARTICLES, *MAP, "--out", "run").code == 0
