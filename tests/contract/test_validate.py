"""`parfocal validate` and `parfocal study` on files: what is written, checked and refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from parfocal.block_jackknife import ITERATIONS
from parfocal.cli import study as study_command
from parfocal.io import StackImages, read_map, read_particles, read_star, write_map
from parfocal.reconstruct import reconstruct
from parfocal.study import METHODS, STEPS

from .conftest import HALVES, parfocal, with_columns
from .test_bad_input import assert_one_plain_line

BASE = ("--particles", "particles.star", "--mask", "mask.mrc")
QUICK = ("--no-local-resolution",)


@pytest.fixture
def run(project, several) -> Path:
    """A copy of a run of several methods beside the set, which is the current folder."""
    return Path(shutil.copytree(several, project / "run", ignore=shutil.ignore_patterns("spectra")))


def info(folder: str) -> dict:
    return json.loads(Path(folder, "run.json").read_text())


def test_validate_writes_maps_of_every_set_and_a_verdict(run):
    options = (*BASE, "--blocks", 6, "--out", "judged")
    said = parfocal("validate", "run/bayes", "run/relion", *options)
    assert said.code == 0, said.err
    names = {"input", "bayes", "relion", "bayes-shuffled", "bayes-twice", "bayes-reversed"}
    names |= {"bayes-held-out", "relion-held-out"}
    folders = {path.name for path in Path("judged").iterdir() if path.is_dir()}
    assert folders == names
    for name in names:
        files = {path.name for path in Path("judged", name).iterdir()}
        control = name not in ("input", "bayes", "relion")
        local = set() if control else {"local_resolution.mrc"}
        assert files == {"half1.mrc", "half2.mrc", "map.mrc", "fsc.star"} | local
    found = info("judged")
    rows = {row["name"]: row for row in found["rows"]}
    assert rows.keys() == names
    for name in ("bayes", "relion"):
        assert rows[name]["chance"] == {"by": "folds", "of": ""}
        ends = (rows[f"{name}-held-out"]["worth"]["value"], rows[name]["worth_as_seen"]["value"])
        between = rows[name]["worth"]["value"]
        assert min(ends) - 0.02 <= between <= max(ends) + 0.02  # shell by shell exactly
    worth = [row["worth"]["value"] for row in found["rows"]]
    assert worth == sorted(worth, reverse=True)
    for sentence in found["verdict"]:
        assert sentence in said.out
    page = Path("judged/report.html").read_text()
    assert found["verdict"][0].split(":")[0] in page
    assert "when not to believe" in page
    # its maps are those of `reconstruct`, of one round of the gridding weights
    particles = read_particles("particles.star")
    other = reconstruct(particles, StackImages(particles)).half_map(1, iterations=ITERATIONS)
    ours, size = read_map("judged/input/half1.mrc")
    assert size == pytest.approx(particles.optics[0].pixel_size)
    np.testing.assert_allclose(ours, other, atol=1e-5 * np.abs(other).max())


def test_controls_can_be_chosen_or_left_away(run):
    options = (*BASE, *QUICK, "--blocks", 4)
    sets = "run/bayes", "run/relion"
    few = "--controls", "none", "--no-held-out", "--independent", "bayes"
    assert parfocal("validate", *sets, *options, *few, "--out", "none").code == 0
    rows = {row["name"]: row for row in info("none")["rows"]}
    assert {name: row["chance"]["by"] for name, row in rows.items()} == {
        "input": "none",
        "bayes": "none",
        "relion": "unknown",
    }
    assert any("fitted to these images" in doubt for doubt in rows["relion"]["doubts"])
    for row in rows.values():  # nothing is known, so nothing is taken out
        assert row["worth"] == row["worth_as_seen"]
    said = parfocal("validate", *sets, *options, "--controls", "relion", "--out", "a", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out) == info("a")
    assert "relion-twice" in {row["name"] for row in info("a")["rows"]}


def swap_halves(path: str) -> None:
    halves = read_particles(path).half_set
    with_columns(Path(path), rlnRandomSubset=[str(3 - half) for half in halves])


def cut(path: str) -> None:
    blocks = read_star(path)
    kept = {n: blocks["particles"].text(n)[:-5] for n in blocks["particles"].columns}
    with_columns(Path(path), **kept)


def other_particles(path: str) -> None:
    table = read_star(path)["particles"]
    for column in ("rlnImageName", "rlnMicrographName"):
        with_columns(
            Path(path), **{column: [name.replace("mic_", "else_") for name in table.text(column)]}
        )


@pytest.mark.parametrize(
    ("spoil", "where", "words"),
    [
        (swap_halves, "relion (spoiled.star)", "in the other half-set"),
        (cut, "relion (spoiled.star)", "5 of 72 particles have no defocus in it"),
        (other_particles, "spoiled.star", "no particle of relion is one of"),
    ],
)
def test_a_set_of_other_particles_or_halves_is_refused_by_name(run, spoil, where, words):
    shutil.copy("run/relion/particles.star", "spoiled.star")
    spoil("spoiled.star")
    said = parfocal("validate", "run/bayes", "relion=spoiled.star", *BASE, "--out", "judged")
    assert_one_plain_line(said, where, words)
    assert not Path("judged").exists()


def test_common_particles_alone_can_be_judged(run):
    shutil.copy("run/relion/particles.star", "cut.star")
    cut("cut.star")
    options = (*BASE, *QUICK, "--controls", "none", "--common", "--out", "judged")
    said = parfocal("validate", "relion=cut.star", *options)
    assert said.code == 0, said.err
    assert info("judged")["particles"] == 67
    assert "5 of 72 particles are left out of all sets" in said.out


@pytest.mark.parametrize(
    ("arguments", "where", "words"),
    [
        (("nope.star", *BASE), "nope.star", "No such file"),
        (
            ("run/bayes", "--particles", "particles.star", "--mask", "small.mrc"),
            "small.mrc",
            "box 20",
        ),
        (("run/bayes", *BASE, "--controls", "gctf"), "", "which is no set"),
        (("run/bayes", *BASE, "--independent", "gctf"), "", "and is no set"),
        (("run/bayes", *BASE, "--blocks", 2), "", "2 blocks"),
        (("run/bayes", *BASE, "--sym", "Q7"), "", "'Q7' is not known"),
        (("input=run/bayes/estimates.star", *BASE), "", "cannot be called 'input'"),
        (("a-twice=run/bayes/estimates.star", *BASE), "", "as a negative control is"),
    ],
)
def test_bad_input_is_told_in_one_line(run, arguments, where, words):
    write_map("small.mrc", np.ones((20, 20, 20)), 2.2)
    said = parfocal("validate", *arguments, "--out", "judged")
    assert_one_plain_line(said, where, words)
    assert not Path("judged").exists()


@pytest.mark.parametrize("reference", ["full", "opposite"])
def test_a_run_that_met_the_other_half_is_marked(run, reference):
    told = info("run")
    Path("run/run.json").write_text(json.dumps({**told, "reference": reference}))
    options = (*BASE, *QUICK, "--controls", "none", "--blocks", 4, "--out", "judged")
    assert parfocal("validate", "run/bayes", *options).code == 0
    rows = {row["name"]: row["doubts"] for row in info("judged")["rows"]}
    assert any("other half" in doubt for doubt in rows["bayes"])


def test_a_study_does_it_all(project):
    shutil.copy("particles.star", "other.star")
    said = parfocal(
        "study", "particles.star", "relion5=other.star", *HALVES, "--method", "bayes,relion",
        "--out", "study",
    )  # fmt: skip
    assert said.code == 0, said.err
    found = info("study")
    assert [step["name"] for step in found["steps"]] == list(STEPS)
    for step in STEPS:
        assert Path("study", step, "report.html").exists()
        assert Path("study", step, "run.json").exists()
    names = {row["name"] for row in found["validation"]}
    assert {"input", "bayes", "relion", "relion5", "consensus", "bayes-shuffled"} <= names
    for sentence in found["verdict"]:
        assert sentence in said.out
    page = Path("study/report.html").read_text()
    for anchor in ("compare-table-1", "compare-planes", "consensus-mad", "validate-fsc", "steps"):
        assert f'id="{anchor}"' in page
    assert Path(found["best"]).exists()
    again = parfocal("study", "particles.star", *HALVES, "--out", "study", "--resume")
    assert_one_plain_line(again, "study", "finished study")


def test_an_interrupted_study_goes_on_and_ends_the_same(project, monkeypatch):
    from parfocal import study

    arguments = ("study", "particles.star", *HALVES, "--method", "bayes", "--out", "study")

    def interrupted(*arguments, **options):
        Path("study/validate").mkdir()
        Path("study/validate/half.mrc").write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(study, "run_validation", interrupted)
        said = parfocal(*arguments)
    assert said.code == 130
    assert "--resume" in said.err
    refused = parfocal(*arguments)
    assert_one_plain_line(refused, "study", "already and not empty")
    assert "--resume" in refused.err
    said = parfocal(*arguments, "--resume")
    assert said.code == 0, said.err
    assert not Path("study/validate/half.mrc").exists()
    assert info("study")["particles"] == 72


def test_without_half_maps_and_half_sets_a_study_makes_them_and_says_so(project):
    with_columns(Path("particles.star"), rlnRandomSubset=None)
    said = parfocal("study", "particles.star", "--method", "bayes", "--out", "study")
    assert said.code == 0, said.err
    assert "drawn at random" in said.out
    assert info("study")["inputs"]["particles"] == "particles.star"


@pytest.mark.parametrize("name", ["bayes", "consensus", "input"])
def test_sets_that_a_study_makes_itself_cannot_be_given(project, name):
    said = parfocal("study", "particles.star", f"{name}=particles.star", *HALVES, "--out", "study")
    assert_one_plain_line(said, "", f"a set is called '{name}'")
    assert not Path("study").exists()


def test_the_command_has_the_methods_of_the_library():
    assert tuple(study_command.METHODS.split(",")) == METHODS
