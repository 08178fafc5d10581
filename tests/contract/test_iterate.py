"""`parfocal iterate`, and `parfocal estimate --own-reference`: their files, and what they refuse."""

import json
import os
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from parfocal import iterate_run
from parfocal.io import read_estimates, read_map, read_particles, read_star

from .conftest import parfocal, with_columns
from .test_bad_input import assert_one_plain_line

OWN = ("--mask", "mask.mrc")
ITERATE = ("iterate", "particles.star", *OWN, "--rounds", "3")


@pytest.fixture(scope="session")
def rounds(pristine):
    """(folder, what was said) of rounds on the set as it is."""
    out = pristine.parent / "rounds"
    said = parfocal(
        "iterate", pristine / "particles.star", "--mask", pristine / "mask.mrc", "--out", out
    )
    assert said.code == 0, said.err
    return out, said


def test_the_folder_is_whole(rounds, simulation):
    out, said = rounds
    names = "particles.star estimates.star half1.mrc half2.mrc mask.mrc rounds.star report.html"
    assert {path.name for path in out.iterdir()} == {*names.split(), "run.json"}
    assert f"look at    {out / 'report.html'}" in said.out
    assert f"next job   {out / 'particles.star'}" in said.out
    for name in ("half1.mrc", "half2.mrc"):
        density, size = read_map(out / name)
        assert density.shape == (simulation.scene.box,) * 3
        assert size == pytest.approx(simulation.scene.pixel_size)


def test_only_the_defocus_differs_and_is_that_of_the_estimates(rounds, pristine):
    out, _ = rounds
    before, after = (read_particles(f / "particles.star") for f in (pristine, out))
    estimates = read_estimates(out / "estimates.star")
    np.testing.assert_allclose(after.defocus, estimates.defocus, atol=0.01)
    assert np.std(after.defocus - before.defocus) > 10
    for name in ("rot", "tilt", "psi", "origin_x", "half_set", "particle_id", "micrograph"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_run_json_and_the_table_say_the_same(rounds):
    out, _ = rounds
    info = json.loads((out / "run.json").read_text())
    table = read_star(out / "rounds.star")["rounds"]
    assert [line["name"].replace(" ", "_") for line in info["rounds"]] == table.text(
        "parfocalRound"
    )
    assert sum(line["kept"] for line in info["rounds"]) == 1
    assert info["rounds"][info["kept"]]["kept"]
    assert info["kept"] >= 1
    gains = [line["gain"] for line in info["rounds"]]
    assert gains[0] == 0
    assert gains[info["kept"]] > 0


def test_the_page_says_what_is_kept(rounds):
    out, _ = rounds
    page = (out / "report.html").read_text()
    kept = json.loads((out / "run.json").read_text())["kept"]
    assert f"The defoci of round {kept} are kept" in page
    assert "FSC of the half-maps" in page


def test_the_same_command_gives_the_same_numbers(rounds, pristine, tmp_path):
    again = tmp_path / "again"
    said = parfocal(
        "iterate",
        pristine / "particles.star",
        "--mask",
        pristine / "mask.mrc",
        "--rounds",
        "1",
        "--json",
        "--out",
        again,
    )
    assert said.code == 0, said.err
    first = json.loads((rounds[0] / "run.json").read_text())["rounds"]
    assert json.loads(said.out)["rounds"][1]["gain"] == first[1]["gain"]


def interrupted(monkeypatch, step: str, *words, after: int = 0):
    """What is said when Ctrl-C comes as `step` of the run begins, after `after` times."""
    true, taken = getattr(iterate_run, step), []

    def once_too_often(*arguments, **options):
        taken.append(arguments)
        if len(taken) > after:
            raise KeyboardInterrupt
        return true(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(iterate_run, step, once_too_often)
        said = parfocal(*words)
    assert said.code == 130
    return said


def assert_same_results(one: Path, other: Path) -> None:
    assert {path.name for path in one.iterdir()} == {path.name for path in other.iterdir()}
    for name in ("particles.star", "estimates.star", "rounds.star"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    for name in ("half1.mrc", "half2.mrc", "mask.mrc"):  # whose headers hold the time of day
        np.testing.assert_array_equal(read_map(one / name)[0], read_map(other / name)[0])
    first, second = (json.loads((folder / "run.json").read_text()) for folder in (one, other))
    for told in ("command", "inputs", "mask", "timings"):  # the file's path
        del first[told], second[told]
    assert first == second


def test_a_killed_run_goes_on_after_its_last_whole_round(rounds, project, monkeypatch):
    command = ("iterate", "particles.star", *OWN, "--out", "out")
    said = interrupted(monkeypatch, "remade", *command, after=1)  # in the second round
    assert said.err.endswith("parfocal: interrupted: the same command with --resume goes on\n")
    assert [path.name for path in Path("out").iterdir()] == ["rounds"]
    refused = parfocal(*command)
    assert_one_plain_line(refused, "out", "not empty")
    assert "--resume" in refused.err
    said = interrupted(monkeypatch, "write_map", *command, "--resume")  # when all rounds are done
    assert "round 1" not in said.err
    assert "round 2" in said.err
    said = parfocal(*command, "--resume")
    assert said.code == 0, said.err
    assert "round" not in said.err
    assert_same_results(Path("out"), rounds[0])


def test_rounds_of_other_inputs_or_settings_are_not_gone_on_with(project, monkeypatch):
    interrupted(monkeypatch, "remade", *ITERATE, "--out", "out", after=1)
    before = sorted(project.rglob("*"))
    for words, name in (
        (("--range", "500"), "--range"),
        (("--method", "profile"), "--method"),
        (("--sym", "C2"), "--sym"),
        (("--mask", "none"), "--mask"),
    ):
        said = parfocal(*ITERATE, "--out", "out", "--resume", *words)
        assert_one_plain_line(said, "out/rounds", f"made with other {name}")
    stack = next(Path("particles").glob("*.mrcs"))
    os.utime(stack, ns=(0, 0))
    said = parfocal(*ITERATE, "--out", "out", "--resume")
    assert_one_plain_line(said, "out/rounds", "made with other images")
    assert sorted(project.rglob("*")) == before


def test_particles_without_half_sets_are_split_when_asked(project):
    with_columns(Path("particles.star"), rlnRandomSubset=None)
    said = parfocal(*ITERATE, "--out", "out")
    assert_one_plain_line(said, "particles.star", "have no half-set")
    assert "--split" in said.err
    assert not Path("out").exists()
    said = parfocal(*ITERATE[:-1], "1", "--split", "1", "--out", "out")
    assert said.code == 0, said.err
    assert "half-sets were drawn at random" in said.out


def test_rounds_that_do_not_pay_keep_the_input(project, monkeypatch):
    monkeypatch.setattr("parfocal.iterate.ENOUGH", 1e6)
    said = parfocal(*ITERATE, "--out", "out")
    assert said.code == 0, said.err
    assert "next job   particles.star (the input: no round paid)" in said.out
    assert not Path("out/particles.star").exists()
    assert "Keep the input&#39;s defoci" in Path("out/report.html").read_text()


def test_images_of_noise_keep_the_input(project):
    rng = np.random.default_rng(0)
    for stack in Path("particles").glob("*.mrcs"):
        with mrcfile.open(stack, "r+") as file:
            file.data[...] = rng.standard_normal(file.data.shape)
    said = parfocal(*ITERATE, "--method", "profile", "--out", "out")
    assert said.code == 0, said.err
    assert json.loads(Path("out/run.json").read_text())["rounds"][1]["moved"] is None
    assert "the input: no round paid" in said.out


@pytest.mark.parametrize(
    ("words", "where", "says"),
    [
        (("--rounds", "0"), "", "0 rounds"),
        (("--method", "relion"), "", "no rounds with method"),
        (("--split", "1"), "particles.star", "would undo"),
        (("--sym", "X9"), "", "symmetry"),
        (("--mask", "gone.mrc"), "gone.mrc", "No such file"),
        (("--out", "."), ".", "not empty"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(project, words, where, says):
    before = sorted(project.rglob("*"))
    said = parfocal(*ITERATE, "--out", "out", *words)
    assert_one_plain_line(said, where, says)
    assert sorted(project.rglob("*")) == before


def test_estimate_can_make_its_own_reference(project):
    said = parfocal("estimate", "particles.star", "--own-reference", *OWN, "--out", "run")
    assert said.code == 0, said.err
    info = json.loads(Path("run/run.json").read_text())
    assert info["own_reference"] == {"symmetry": "C1", "split": None}
    assert info["reference"] == "own"
    assert info["input_sha256"].keys() == {"particles", "mask"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--own-reference", "--map", "map.mrc"), "two are too many"),
        (("--sym", "O", "--map", "map.mrc"), "--sym is for maps made of the particles"),
        (("--own-reference", "--sym", "Q"), "symmetry"),
        (("--own-reference", "--resolution", "4"), "--resolution belongs to --map"),
    ],
)
def test_estimate_refuses_what_does_not_go_together(project, words, says):
    said = parfocal("estimate", "particles.star", *words, "--out", "run")
    assert_one_plain_line(said, "", says)
    assert not Path("run").exists()


def test_a_mask_of_another_grid_is_refused_by_name(project):
    from parfocal.io import write_map

    write_map("other.mrc", np.ones((32, 32, 32), dtype=np.float32), 2.2)
    for command in (("estimate", "particles.star", "--own-reference"), ITERATE[:2]):
        said = parfocal(*command, "--mask", "other.mrc", "--out", "run")
        assert_one_plain_line(said, "other.mrc", "box 32 at 2.2 Å/px")
