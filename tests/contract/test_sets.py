"""`parfocal compare` and `parfocal consensus` on files: what is written, joined, refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from parfocal.cli import sets
from parfocal.io import read_estimates, read_particles, read_star
from parfocal.join import TOLERANCE

from .conftest import METHODS, parfocal, with_columns
from .test_bad_input import assert_one_plain_line

INPUT = ("--input", "particles.star")


@pytest.fixture
def run(project, several) -> Path:
    """A copy of it beside the set, which is the current folder."""
    return Path(shutil.copytree(several, project / "run", ignore=shutil.ignore_patterns("spectra")))


def info(folder: str) -> dict:
    return json.loads(Path(folder, "run.json").read_text())


def text_of(path, block="particles") -> dict[str, list[str]]:
    table = read_star(path)[block]
    return {name: table.text(name) for name in table.columns}


def test_compare_writes_what_it_found(run):
    said = parfocal("compare", "run", *INPUT, "--out", "compared")
    assert said.code == 0, said.err
    assert {p.name for p in Path("compared").iterdir()} == {
        "report.html",
        "compare.star",
        "micrographs.star",
        "run.json",
    }
    pairs = text_of("compared/compare.star", "pairs")
    assert len(pairs["parfocalSetA"]) == 6
    found = info("compared")["comparison"]
    assert found["particles"] == 72
    assert set(found["names"]) == set(METHODS.split(","))
    assert "profile and relion: correlation" in said.out


def test_compare_as_json_is_its_run_json(run):
    said = parfocal("compare", "run", *INPUT, "--out", "compared", "--json")
    assert said.code == 0, said.err
    assert said.err == ""
    assert json.loads(said.out) == info("compared")


def test_rows_in_another_order_are_joined_by_name(run):
    """The defining property: nothing that is found depends on the order of the rows."""
    order = np.random.default_rng(4).permutation(72)
    shutil.copy("run/relion/particles.star", "sorted.star")
    columns = text_of("sorted.star")
    turned = {name: [column[i] for i in order] for name, column in columns.items()}
    with_columns(Path("sorted.star"), **turned)
    for name, file in (("straight", "run/relion/particles.star"), ("turned", "sorted.star")):
        said = parfocal("compare", "run/profile", f"relion={file}", *INPUT, "--out", name)
        assert said.code == 0, said.err
    straight, turned = (text_of(f"{name}/compare.star", "pairs") for name in ("straight", "turned"))
    assert straight == turned
    assert any("another order" in line for line in info("turned")["joined"])
    assert float(straight["parfocalPearson"][0]) > 0.5
    # the spoiled twin: the column pasted by row agrees with nothing
    shuffled = [columns["rlnDefocusU"][i] for i in order]
    shutil.copy("run/relion/particles.star", "pasted.star")
    with_columns(Path("pasted.star"), rlnDefocusU=shuffled)
    parfocal("compare", "run/profile", "relion=pasted.star", *INPUT, "--out", "pasted")
    wrong = text_of("pasted/compare.star", "pairs")
    assert float(wrong["parfocalPearson"][0]) < 0.5


def test_consensus_changes_the_defocus_of_the_input_and_nothing_else(run):
    said = parfocal("consensus", "run", *INPUT, "--out", "agreed")
    assert said.code == 0, said.err
    before, after = text_of("particles.star"), text_of("agreed/particles.star")
    assert {name for name in before if before[name] != after[name]} == {
        "rlnDefocusU",
        "rlnDefocusV",
    }
    estimates = read_estimates("agreed/estimates.star")
    assert estimates.method == "consensus"
    assert estimates.settings["posterior"] is True
    particles = read_particles("agreed/particles.star")
    np.testing.assert_allclose(particles.defocus, estimates.defocus, atol=0.01)
    assert "next job   agreed/particles.star" in said.out
    assert not list(Path("agreed").glob("particles_*"))
    columns = text_of("agreed/consensus.star", "consensus")
    assert columns["parfocalParticleId"] == estimates.particle_id.tolist()
    assert set(columns["parfocalStatus"]) <= {"ok", "outlier", "unknown"}


def test_a_consensus_is_a_set_for_the_next_comparison(run):
    assert parfocal("consensus", "run", *INPUT, "--out", "agreed").code == 0
    said = parfocal("compare", "agreed", "run", *INPUT, "--out", "compared")
    assert said.code == 0, said.err
    assert "agreed" in info("compared")["comparison"]["names"]


def test_the_median_is_the_median(run):
    said = parfocal("consensus", "run", *INPUT, "--combine", "median", "--out", "agreed")
    assert said.code == 0, said.err
    found = read_estimates("agreed/estimates.star")
    of_methods = [read_estimates(f"run/{name}/estimates.star") for name in METHODS.split(",")]
    values = np.array([np.where(e.ok(), e.defocus, np.nan) for e in of_methods])
    known = np.isfinite(values).any(axis=0)
    middle = np.nanmedian(values[:, known], axis=0)
    np.testing.assert_allclose(found.defocus[known], middle, atol=2e-3)
    np.testing.assert_allclose(found.defocus[~known], found.defocus_prior[~known])
    mad = 1.4826 * np.nanmedian(np.abs(values[:, known] - middle), axis=0)
    np.testing.assert_allclose(found.defocus_error[known], np.maximum(mad, 1), atol=2e-3)


def test_limits_part_the_particles_into_two_files(run):
    said = parfocal("consensus", "run", *INPUT, "--max-from-prior", 60, "--out", "agreed")
    assert said.code == 0, said.err
    parts = [read_particles(f"agreed/particles_{name}.star") for name in ("kept", "left_out")]
    whole = read_particles("agreed/particles.star")
    prior = dict(zip(whole.particle_id, read_particles("particles.star").defocus, strict=True))
    assert sorted([*parts[0].particle_id, *parts[1].particle_id]) == sorted(whole.particle_id)
    for part, holds in zip(parts, (True, False), strict=True):
        away = np.abs(part.defocus - [prior[name] for name in part.particle_id])
        assert ((away <= 60.01) == holds).all()
    told = info("agreed")
    assert told["left_out"] == {"max-from-prior": len(parts[1])}
    assert told["kept"] == len(parts[0])
    assert f"{len(parts[0])} of 72 particles kept" in said.out
    assert "next job   agreed/particles_kept.star" in said.out
    reasons = text_of("agreed/consensus.star", "consensus")["parfocalLeftOutBy"]
    assert reasons.count("max-from-prior") == len(parts[1])


def test_limits_that_nothing_holds_keep_nothing_and_say_so(run):
    said = parfocal("consensus", "run", *INPUT, "--max-mad", 1e-6, "--out", "agreed")
    assert said.code == 0, said.err
    assert "none is kept" in said.out
    assert "next job" not in said.out
    assert not Path("agreed/particles_kept.star").exists()


def test_particles_that_a_set_lacks_are_counted_and_named(run):
    columns = text_of("run/relion/particles.star")
    shutil.copy("run/relion/particles.star", "fewer.star")
    with_columns(Path("fewer.star"), **{name: column[:50] for name, column in columns.items()})
    said = parfocal("compare", "run/profile", "relion=fewer.star", *INPUT, "--out", "compared")
    assert said.code == 0, said.err
    first = columns["rlnImageName"][50]
    assert f"22 of the base are not in it, such as {first}" in said.out
    said = parfocal("consensus", "run/profile", "relion=fewer.star", *INPUT, "--out", "agreed")
    assert said.code == 0, said.err
    assert len(read_particles("agreed/particles.star")) == 72


def test_files_without_folds_are_combined_with_a_warning(run):
    said = parfocal(
        "consensus",
        "a=run/relion/particles.star",
        "b=run/cryosparc/particles.star",
        *INPUT,
        "--out",
        "agreed",
    )
    assert said.code == 0, said.err
    assert "No set has folds" in said.out
    assert "two sets" in said.out


@pytest.fixture
def second(run) -> Path:
    """Stands for another run: the values of relion are those of cryosparc, and the other way."""
    for name, other in (("relion", "cryosparc"), ("cryosparc", "relion")):
        shutil.copytree(run / other, run.parent / "second" / name)
    return run.parent / "second"


def test_repeat_asks_how_stable_a_method_is(run, second):
    said = parfocal(
        "compare", "a=run/relion", "b=second/relion", "--repeat", *INPUT, "--out", "stable"
    )
    assert said.code == 0, said.err
    (found,) = info("stable")["repeats"]
    first, second = (
        read_estimates(f"run/{name}/estimates.star") for name in ("relion", "cryosparc")
    )
    assert f"one run strays by {found['implied_error']['value']:.0f}" in said.out
    both = first.ok() & second.ok()
    rough = np.std((second.defocus - first.defocus)[both]) / np.sqrt(2)
    assert 0.2 * rough < found["implied_error"]["value"] < 2 * rough


def test_the_folders_of_two_runs_are_paired_by_their_methods(run, second):
    for name in ("bayes", "profile"):
        shutil.rmtree(run / name)
    said = parfocal("compare", "a=run", "b=second", "--repeat", *INPUT, "--out", "stable")
    assert said.code == 0, said.err
    names = [found["agreement"]["names"] for found in info("stable")["repeats"]]
    assert names == [["a/cryosparc", "b/cryosparc"], ["a/relion", "b/relion"]]


def test_what_failed_is_counted(run):
    shutil.copy("run/relion/particles.star", "absurd.star")
    columns = text_of("absurd.star")
    absurd = ["1e30" if i < 5 else value for i, value in enumerate(columns["rlnDefocusU"])]
    with_columns(Path("absurd.star"), rlnDefocusU=absurd)
    said = parfocal("compare", "absurd.star", *INPUT, "--out", "absurd")
    assert "absurd: 72 of 72 particles joined by particle id; 5 not to be trusted" in said.out
    assert "5 not to be trusted" in Path("absurd/report.html").read_text()


def test_any_name_of_a_set_makes_files_that_can_be_read(run):
    sets = ("my set=run/relion", "my_set=run/profile", "µ<b>&=run/bayes")
    said = parfocal("compare", *sets, *INPUT, "--out", "compared")
    assert said.code == 0, said.err
    blocks = read_star("compared/micrographs.star")
    assert list(blocks) == ["micrographs_my_set", "micrographs_my_set~2", "micrographs__<b>&"]
    assert text_of("compared/compare.star", "pairs")["parfocalSetA"][0] == "my set"
    page = Path("compared/report.html").read_text()
    assert "µ<b>" not in page


def test_one_micrograph_has_no_error_and_none_is_told(run):
    columns = text_of("particles.star")
    rows = columns["rlnMicrographName"].count(columns["rlnMicrographName"][0])
    with_columns(Path("particles.star"), **{k: v[:rows] for k, v in columns.items()})
    said = parfocal("compare", "run/relion", "run/profile", *INPUT, "--out", "compared")
    assert said.code == 0, said.err
    assert "relion and profile: correlation +" in said.out
    assert "nan" not in said.out
    assert "± nan" not in Path("compared/report.html").read_text()


def test_a_particle_that_one_set_knows_has_no_mad_and_an_honest_error(run):
    shutil.copy("run/relion/particles.star", "fewer.star")
    columns = text_of("fewer.star")
    with_columns(Path("fewer.star"), **{name: column[:50] for name, column in columns.items()})
    words = ("consensus", "run/profile", "relion=fewer.star", *INPUT, "--combine", "median")
    assert parfocal(*words, "--max-mad", 1e4, "--out", "agreed").code == 0
    found = text_of("agreed/consensus.star", "consensus")
    assert found["parfocalMad"][50:] == ["nan"] * 22
    assert found["parfocalLeftOutBy"][50:] == ["max-mad"] * 22
    alone = [float(error) for error in found["parfocalDefocusError"][50:]]
    assert min(alone) > 5  # Å; it was the MAD of one value, 1 Å at least


BAD = {  # words -> what is said, and where
    ("compare", "nowhere.star"): ("No such file", "nowhere.star"),
    ("compare", "a=run/relion", "a=run/profile"): ("both called 'a'", ""),
    ("compare", "run/relion", "notes.txt"): ("", "notes.txt"),
    ("compare", "a=run/relion", "--repeat"): ("--repeat with 1 sets", ""),
    ("compare", "run", "--repeat"): ("two methods of one run", "run"),
    ("compare", "run", "--tolerance", "-1"): ("--tolerance -1", ""),
    ("compare", "run", "--tolerance", "inf"): ("--tolerance inf", ""),
    ("consensus", "plane=run/relion", "run/bayes"): ("a set called 'plane'", ""),
    ("consensus", "run/relion", "--max-mad", "50"): ("--max-mad with one set", ""),
    ("compare", "run", "--input", "run/relion/estimates.star"): ("not a particle file", "run/"),
    ("compare", "run/relion", "other.star"): ("no particle of other", "other.star"),
    ("compare", "a="): ("", ""),
    ("consensus", "empty"): ("no .*estimates.star", "empty"),
    ("consensus", "run", "--combine", "mean"): ("no way to combine called 'mean'", ""),
    (
        "consensus",
        "a=run/relion/particles.star",
        "b=run/profile/particles.star",
        "--max-from-prior",
        "200",
    ): ("without an input defocus", ""),
    ("consensus", "run", "--max-mad", "-5"): ("--max-mad -5", ""),
    ("consensus", "run", "--max-error", "nan"): ("--max-error nan", ""),
    ("consensus", "run", "--status", "good"): ("no status good", ""),
    ("consensus", "a=run/relion/particles.star"): ("one set without folds", ""),
}


@pytest.mark.parametrize("words", BAD, ids=" ".join)
def test_bad_input_is_told_in_one_line_and_nothing_is_written(run, words):
    Path("notes.txt").write_text("defocus: 12000\n")
    Path("empty").mkdir()
    columns = text_of("particles.star")
    shutil.copy("particles.star", "other.star")
    others = [name.replace("mic_", "other_") for name in columns["rlnImageName"]]
    with_columns(
        Path("other.star"),
        rlnImageName=others,
        rlnMicrographName=[f"other/{name}" for name in others],
    )
    before = sorted(Path().rglob("*"))
    says, where = BAD[words]
    assert_one_plain_line(parfocal(*words, "--out", "out"), where, says)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("command", ["compare", "consensus"])
def test_an_out_folder_with_something_in_it_is_left_alone(run, command):
    Path("out").mkdir()
    Path("out/precious").write_text("data")
    said = parfocal(command, "run", *INPUT, "--out", "out")
    assert_one_plain_line(said, "out", "not empty")
    assert [p.name for p in Path("out").iterdir()] == ["precious"]


def test_a_full_disk_leaves_no_run_json(run, monkeypatch):
    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("parfocal.consensus_run.write_estimates", refuse)
    said = parfocal("consensus", "run", *INPUT, "--out", "agreed")
    assert_one_plain_line(said, says="No space left")
    assert not Path("agreed/run.json").exists()


def test_the_help_states_the_tolerance_that_is_used():
    assert sets.TOLERANCE == TOLERANCE
