"""The command line: what it prints and writes, how it starts, and that it can be interrupted."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import parfocal as package
from parfocal.estimators import ESTIMATORS, Profile
from parfocal.io import edit_columns, read_estimates, read_particles, read_star

from .conftest import HALVES, SCENE, parfocal

RUN = ("estimate", "particles.star", *HALVES, "--out", "run")
HEAVY = {"numba", "llvmlite", "scipy", "numpy", "rich", "plotly", "jinja2", "gemmi", "mrcfile"}


def python(code: str, *arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def assert_same_results(one: Path, other: Path) -> None:
    """Two runs agree to float32: where a buffer lies in memory decides the last bits of its sums."""
    first, second = (read_estimates(run / "bayes" / "estimates.star") for run in (one, other))
    assert first.particle_id.tolist() == second.particle_id.tolist()
    assert first.status.tolist() == second.status.tolist()
    for name in ("defocus", "defocus_error", "held_out_gain"):
        np.testing.assert_allclose(
            getattr(first, name), getattr(second, name), rtol=1e-6, atol=2e-3, err_msg=name
        )
    files = (read_particles(run / "bayes" / "particles.star") for run in (one, other))
    np.testing.assert_allclose(*(f.defocus_u for f in files), atol=2e-3)


@pytest.mark.parametrize(
    "code",
    [
        "import parfocal",
        "from parfocal.cli import main; main()",
        "import parfocal.__main__",
    ],
)
@pytest.mark.parametrize(
    "words", [("--help",), ("--version",), ("estimate", "--help"), ("compare", "--help")]
)
def test_a_quick_answer_loads_nothing_heavy(code, words):
    code = f"import atexit, sys; atexit.register(lambda: print('loaded:', *sys.modules)); {code}"
    ended = python(code, *words)
    loaded = set(ended.stdout.rpartition("loaded: ")[2].split())
    assert ended.returncode == 0, ended.stderr
    assert "parfocal" in loaded
    assert not loaded & HEAVY


def test_the_package_offers_what_it_promises():
    assert set(package.__all__) <= set(dir(package)) | set(package._HOME)
    for name in package.__all__:
        assert name == "ESTIMATORS" or callable(getattr(package, name))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = package.nonsense


def test_version_is_the_packages():
    assert parfocal("--version").out == f"parfocal {package.__version__}\n"


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_the_commands_and_where_to_start(flag):
    said = parfocal(flag)
    assert said.code == 0
    for word in ("estimate", "simulate", "demo", "parfocal demo --out demo"):
        assert word in said.out


@pytest.mark.parametrize("command", ["estimate", "simulate", "demo"])
def test_help_teaches_by_examples_whose_options_exist(command):
    said = parfocal(command, "--help")
    assert said.code == 0
    examples = re.findall(rf"^ +parfocal {command} (?:.*\\\n)*.*$", said.out, re.MULTILINE)
    assert examples
    for word in re.findall(r"(?<=\s)--?[a-z][a-z-]*", " ".join(examples)):
        assert re.search(rf"^  (-\w, )?{word}\b|^  {word}, ", said.out, re.MULTILINE), word


@pytest.mark.parametrize("command", ["estimate", "simulate", "demo"])
def test_every_option_is_explained(command):
    text = parfocal(command, "--help").out
    options = re.split(r"^  (?=-)", text.partition("Options:")[2], flags=re.MULTILINE)[1:]
    assert len(options) > 3
    for option in options:
        assert re.search(r" {2,}\S", option), f"no help: {option}"


def test_no_command_prints_the_help():
    said = parfocal()
    assert "Usage: parfocal" in said.out + said.err


def test_a_run_writes_what_it_promises(finished):
    out, said = finished
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert files == [
        "bayes/estimates.star",
        "bayes/particles.star",
        "micrographs.star",
        "report.html",
        "run.json",
        "spectra/chunk_000000.npz",
        "spectra/chunk_000001.npz",
        "spectra/plan.json",
    ]
    assert str(out / "report.html") in said.out
    assert str(out / "bayes" / "particles.star") in said.out


def test_run_json_says_how_the_run_was_made_and_what_it_found(finished, pristine):
    info = json.loads((finished[0] / "run.json").read_text())
    assert info["parfocal"] == package.__version__
    assert info["command"].startswith("parfocal estimate ")
    assert info["settings"]["methods"] == ["bayes"]
    assert info["inputs"]["half_map_2"] == str(pristine / "half2.mrc")
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in info["input_sha256"].values())
    assert info["input_sha256"].keys() == info["inputs"].keys()
    assert info["particles"] == SCENE.particles
    assert sum(info["methods"]["bayes"]["counts"].values()) == SCENE.particles
    assert info["timings"]["cpu_s"] > 0
    assert info["verdict"]["bayes"]["text"] in finished[1].out
    assert info["warnings"] == []
    assert info["not_used"] == []


def test_progress_goes_to_stderr(finished):
    said = finished[1]
    assert re.fullmatch(r"72 of 72 particles, \d+/s\n", said.err)
    assert "particles," not in said.out


def test_json_is_run_json_and_nothing_else(project):
    said = parfocal(*RUN, "--json")
    assert said.code == 0
    assert said.err == ""
    assert json.loads(said.out) == json.loads(Path("run/run.json").read_text())


def test_python_m_parfocal_is_the_same_command(project):
    command = [sys.executable, "-m", "parfocal", *RUN, "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["particles"] == SCENE.particles
    assert ended.stderr == ""


def in_a_terminal(*words: str) -> tuple[int, str]:
    """Exit code of a command, and what it writes to a terminal as its stderr."""
    ours, its = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    command = [sys.executable, "-m", "parfocal", *words]
    with subprocess.Popen(command, stderr=its, stdout=subprocess.DEVNULL, env=environment) as run:
        os.close(its)
        shown = b""
        with suppress(OSError):  # so the end is told
            while piece := os.read(ours, 4096):
                shown += piece
    os.close(ours)
    return run.returncode, shown.decode()


def test_a_terminal_shows_bars(project):
    code, shown = in_a_terminal(*RUN)
    assert code == 0
    assert "72/72" in shown


def test_an_error_is_one_line_in_a_terminal_too(project):
    code, shown = in_a_terminal("estimate", "particles", *HALVES, "--out", "run")
    assert code == 2
    last = shown.rpartition("parfocal: ")[2]
    assert last == "particles: Is a directory - give a file, not a folder\r\n"
    assert "Traceback" not in shown


def test_a_reader_that_goes_away_is_no_error_of_ours(project):
    code = "from parfocal.cli import main; main()"
    ended = subprocess.run(
        f"{sys.executable} -c '{code}' {' '.join(RUN)} --json | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "{"
    assert "Traceback" not in ended.stderr


def test_particles_star_differs_in_the_tokens_of_defocus_only(finished, pristine):
    before, after = (folder / "particles.star" for folder in (pristine, finished[0] / "bayes"))
    blank = {name: ["x"] * SCENE.particles for name in ("rlnDefocusU", "rlnDefocusV")}
    assert before.read_bytes() != after.read_bytes()
    same = [edit_columns(path.read_bytes(), "particles", blank) for path in (before, after)]
    assert same[0] == same[1]


def test_estimates_star_has_a_row_per_particle_in_input_order(finished, pristine):
    particles = read_particles(pristine / "particles.star")
    estimates = read_estimates(finished[0] / "bayes" / "estimates.star")
    assert estimates.particle_id.tolist() == particles.particle_id.tolist()
    moved = read_particles(finished[0] / "bayes" / "particles.star")
    np.testing.assert_allclose(moved.defocus, estimates.defocus, atol=1e-3)
    np.testing.assert_allclose(particles.defocus, estimates.defocus_prior, atol=1e-3)
    assert estimates.ok().sum() > 50
    assert np.abs(estimates.defocus_change[estimates.ok()]).max() > 10


def test_the_run_finds_the_truth(finished, simulation):
    estimates = read_estimates(finished[0] / "bayes" / "estimates.star")
    ok, truth = estimates.ok(), simulation.truth.defocus
    before, after = (
        np.sqrt(np.mean((column - truth)[ok] ** 2))
        for column in (estimates.defocus_prior, estimates.defocus)
    )
    assert after < 0.7 * before


def test_any_number_of_jobs_gives_the_same_files(project, finished):
    assert parfocal(*RUN, "--jobs", "3").code == 0
    assert_same_results(Path("run"), finished[0])


def test_methods_have_a_folder_and_a_page_each(project, monkeypatch):
    monkeypatch.setitem(ESTIMATORS, "twin", Profile(name="twin"))
    said = parfocal(*RUN, "--method", "profile,twin,profile")
    assert said.code == 0, said.err
    assert re.findall(r"^(\w+): 72 ok", said.out, re.MULTILINE) == ["profile", "twin"]
    tables = [read_star(f"run/{name}/estimates.star")["estimates"] for name in ("profile", "twin")]
    assert tables[0].text("parfocalDefocus") == tables[1].text("parfocalDefocus")
    assert list(read_star("run/micrographs.star")) == ["micrographs_profile", "micrographs_twin"]
    first, second = Path("run/report.html").read_text(), Path("run/twin/report.html").read_text()
    assert 'href="twin/report.html"' in first
    assert 'href="../report.html"' in second
    assert "method <code>profile</code>" in first
    assert "method <code>twin</code>" in second
    assert not Path("run/profile/report.html").exists()


# Small chunks, and slow images, so that there is a middle of the run to be interrupted in.
SLOW = """
import time
import parfocal.evidence, parfocal.io.images
parfocal.chunks.CHUNK = 9
read = parfocal.io.images.StackImages.read_into
def slowly(self, row, out):
    time.sleep(0.02)
    read(self, row, out)
parfocal.io.images.StackImages.read_into = slowly
from parfocal.cli import main
main()
"""


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on_where_it_was(project, finished, monkeypatch, kind):
    monkeypatch.setattr("parfocal.chunks.CHUNK", 9)
    whole = [word if word != "run" else "whole" for word in RUN]
    assert parfocal(*whole).code == 0
    running = subprocess.Popen(
        [sys.executable, "-c", SLOW, *RUN],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not any(Path("run").glob("spectra/chunk_*.npz")):
        assert time.monotonic() < deadline
        assert running.poll() is None, running.communicate()
        time.sleep(0.01)
    running.send_signal(kind)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert out == ""
    assert err == "parfocal: interrupted: the same command with --resume goes on\n"
    chunks = {path: path.stat().st_mtime_ns for path in Path("run/spectra").glob("chunk_*.npz")}
    assert 0 < len(chunks) < 16  # 8, and as many against the other half's map
    assert not list(Path("run").glob("*.*"))
    assert not list(Path("run").rglob(".*"))  # nothing half-written

    said = parfocal(*RUN, "--resume")
    assert said.code == 0, said.err
    assert {path: path.stat().st_mtime_ns for path in chunks} == chunks
    assert len(list(Path("run/spectra").glob("chunk_*.npz"))) == 16
    assert_same_results(Path("run"), Path("whole"))


def test_resuming_a_finished_run_reads_no_image_again(project, finished, monkeypatch):
    assert parfocal(*RUN).code == 0
    Path("run/bayes").rename("before")

    def refuse(*arguments):
        raise AssertionError("an image was read")

    monkeypatch.setattr("parfocal.io.images.StackImages.read_into", refuse)
    assert parfocal(*RUN, "--resume").code == 0
    Path("whole").mkdir()
    Path("before").rename("whole/bayes")
    assert_same_results(Path("run"), Path("whole"))


def test_resume_of_a_run_that_never_began_begins_it(project):
    assert parfocal(*RUN, "--resume").code == 0
    assert Path("run/run.json").exists()


def test_the_inputs_are_never_touched(project):
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    assert parfocal(*RUN).code == 0
    assert {path: path.read_bytes() for path in before} == before


def test_simulate_makes_what_estimate_reads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "--particles 40 --box 48 --pixel-size 4 --snr 0.5 --half-map-resolution 9"
    said = parfocal("simulate", "--out", "sim", *words.split())
    assert said.code == 0, said.err
    command = re.search(r"next job   parfocal (.*)", said.out)
    assert command
    assert parfocal(*command[1].split()).code == 0


def test_demo_compares_with_the_truth(tmp_path):
    said = parfocal("demo", "--out", tmp_path / "demo", "--particles", 30)
    assert said.code == 0, said.err
    for words in ("Cramér-Rao bound", "pulls (estimate - truth) / error", "30 of 30 particles"):
        assert words in said.out + said.err
    assert (tmp_path / "demo" / "data" / "truth.star").exists()
    assert (tmp_path / "demo" / "study" / "report.html").exists()


def test_a_method_that_would_look_farther_is_told_of(project):
    said = parfocal(*RUN, "--method", "cryosparc,relion-grid,bayes")
    assert said.code == 0, said.err
    told = [line for line in said.err.splitlines() if line.startswith("warning: ")]
    assert told == [
        f"warning: {name} scans ±2000 Å, this run ±1000: --range 2000 gives it all"
        for name in ("cryosparc", "relion-grid")
    ]
    assert json.loads(Path("run/run.json").read_text())["warnings"] == [
        line.removeprefix("warning: ") for line in told
    ]
