"""`parfocal fsc` and `parfocal mask` on files: what is written, what is told, what is refused."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from parfocal.fsc_curves import fsc_curves
from parfocal.inputs import read_fsc
from parfocal.io import read_map, read_star, write_map

from .browser import opened_pages, started_browser  # noqa: F401 - fixtures
from .conftest import SCENE, parfocal
from .test_bad_input import assert_one_plain_line

PAIR = ("half1.mrc", "half2.mrc")
PIXEL = SCENE.pixel_size


@pytest.fixture(scope="module")
def measured(pristine):
    """The folder of `parfocal fsc` on the set's half-maps and mask, and what it said."""
    out = pristine.parent / "fsc"
    said = parfocal(
        "fsc", *(pristine / h for h in PAIR), "--mask", pristine / "mask.mrc", "--out", out
    )
    assert said.code == 0, said.err
    return out, said


def info(folder) -> dict:
    return json.loads(Path(folder, "run.json").read_text())


def test_what_is_written_is_what_the_library_finds(measured, pristine):
    out, said = measured
    assert {path.name for path in out.iterdir()} == {"report.html", "fsc.star", "run.json"}
    half1, half2, mask = (read_map(pristine / name)[0] for name in (*PAIR, "mask.mrc"))
    curves = fsc_curves(half1, half2, mask, pixel_size=PIXEL, rng=np.random.default_rng(0))
    np.testing.assert_allclose(read_fsc(out / "fsc.star", 48)[1:], curves.corrected[1:], atol=2e-5)
    final = float(read_star(out / "fsc.star")["general"].text("rlnFinalResolution")[0])
    assert final == pytest.approx(curves.resolution(), abs=1e-3)
    found = info(out)["pairs"]["half-maps"]["resolution"]["0.143"]
    assert found["corrected"] == pytest.approx(final, abs=1e-3)
    assert f"{final:.2f} Å" in said.out


def test_estimate_takes_the_fsc(measured, project):
    out, _ = measured
    halves = ("--half-maps", *PAIR, "--mask", "mask.mrc")
    said = parfocal(
        "estimate", "particles.star", *halves, "--fsc", out / "fsc.star", "--out", "run"
    )
    assert said.code == 0, said.err


def test_json_is_run_json(project):
    said = parfocal("fsc", *PAIR, "--mask", "none", "--out", "found", "--json")
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out) == info("found")


def test_the_same_command_finds_the_same(project):
    for name in ("one", "two"):
        assert parfocal("fsc", *PAIR, "--mask", "mask.mrc", "--out", name).code == 0
    assert info("one")["pairs"] == info("two")["pairs"]


def test_several_pairs_and_a_mask_that_is_made(project):
    said = parfocal("fsc", "one=half1.mrc,half2.mrc", "other=half2.mrc,half1.mrc", "--out", "found")
    assert said.code == 0, said.err
    assert {path.name for path in Path("found").iterdir()} == {
        "report.html",
        "mask.mrc",
        "run.json",
        "one",
        "other",
    }
    tables = [read_star(f"found/{name}/fsc.star")["fsc"] for name in ("one", "other")]
    one, other = (table.numbers("rlnFourierShellCorrelationMaskedMaps") for table in tables)
    np.testing.assert_allclose(one, other, atol=1e-5)
    mask, size = read_map("found/mask.mrc")
    assert size == pytest.approx(PIXEL, rel=1e-5)
    assert (mask.min(), mask.max()) == (0, 1)
    assert "one: " in said.out
    assert "other: " in said.out


def test_the_page(measured, opened):
    out, _ = measured
    page = opened(out / "report.html")
    page.draw_all()
    assert {"curves", "directions", "guinier"} == set(page.plots())
    lines = page.csv("curves")
    corrected = [float(line[3]) for line in lines[1:] if line[0] == "corrected"]
    np.testing.assert_allclose(corrected, read_fsc(out / "fsc.star", 48)[1:], atol=1e-5)


def rewritten(path, change, pixel_size=PIXEL):
    def rewrite():
        with warnings.catch_warnings(action="ignore"):  # mrcfile's, of nan
            write_map(path, change(read_map(path)[0]), pixel_size)

    return rewrite


FAULTS = {
    "missing": (lambda: Path("half2.mrc").unlink(), "half2.mrc", "No such file"),
    "another box": (rewritten("half2.mrc", lambda m: m[:40, :40, :40]), "half2.mrc", "box 40 at"),
    "another pixel": (rewritten("half2.mrc", np.copy, 3.0), "half2.mrc", "at 3 Å/px"),
    "nan": (rewritten("half1.mrc", lambda m: m * np.nan), "half1.mrc", "NaN"),
    "no cube": (rewritten("half1.mrc", lambda m: m[:40]), "half1.mrc", "not a cube"),
    "constant": (rewritten("half1.mrc", np.ones_like), "half1.mrc", "constant"),
    "mask of another grid": (
        rewritten("mask.mrc", lambda m: m[:40, :40, :40]),
        "mask.mrc",
        "box 40",
    ),
    "a map for a mask": (
        rewritten("mask.mrc", lambda m: 50 * m),
        "mask.mrc",
        "expected \\[0, 1\\]",
    ),
    "empty mask": (rewritten("mask.mrc", np.zeros_like), "mask.mrc", "zero everywhere"),
    "one map twice": (lambda: shutil.copy("half1.mrc", "half2.mrc"), "half1.mrc and", "same map"),
    "no pixel size": (rewritten("half1.mrc", np.copy, 0.0), "half1.mrc", "no pixel size"),
    "no pixel size of the second": (
        rewritten("half2.mrc", np.copy, 0.0),
        "half2.mrc",
        "no pixel size",
    ),
    "too large for float32": (
        rewritten("half1.mrc", lambda m: m * 1e30),
        "half1.mrc",
        "values up to",
    ),
    "too small a box": (rewritten("half1.mrc", lambda m: m[:8, :8, :8]), "half1.mrc", "too small"),
    "out is not empty": (
        lambda: Path("found").mkdir() or Path("found/a").touch(),
        "found",
        "not empty",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_is_told_in_one_line_and_nothing_is_written(project, fault):
    spoil, where, says = FAULTS[fault]
    spoil()
    before = sorted(project.rglob("*"))
    said = parfocal("fsc", *PAIR, "--mask", "mask.mrc", "--out", "found")
    assert_one_plain_line(said, where, says)
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize(
    "words",
    [
        ("half1.mrc",),
        ("half1.mrc", "half2.mrc", "mask.mrc"),
        ("a=half1.mrc",),
        ("a=half1.mrc,",),
        ("a=half1.mrc,half2.mrc", "a=half2.mrc,half1.mrc"),
        ("../a=half1.mrc,half2.mrc",),
        ("half1.mrc", "half2.mrc", "--pixel-size", "-1"),
        ("half1.mrc", "half2.mrc", "--seed", "-1"),
        ("run.json=half1.mrc,half2.mrc", "b=half1.mrc,half2.mrc"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told(project, words):
    assert_one_plain_line(parfocal("fsc", *words, "--mask", "mask.mrc", "--out", "found"))
    assert not Path("found").exists()


def test_a_pixel_size_that_is_given_counts(project):
    rewritten("half1.mrc", np.copy, 0.0)()
    said = parfocal("fsc", *PAIR, "--mask", "none", "--pixel-size", 1.1, "--out", "found", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["pixel_size"] == 1.1


def test_a_header_of_one_angstrom_is_asked_about(project):
    for half in PAIR:
        rewritten(half, np.copy, 1.0)()
    unknown = parfocal("fsc", *PAIR, "--mask", "none", "--out", "unknown")
    assert "headers say 1 Å/px" in unknown.out
    known = parfocal("fsc", *PAIR, "--mask", "none", "--pixel-size", 1, "--out", "known")
    assert "headers say" not in known.out


def test_masked_half_maps_are_warned_of_and_measured(project):
    mask = read_map("mask.mrc")[0]
    for half in PAIR:
        rewritten(half, lambda m: m * mask)()
    said = parfocal("fsc", *PAIR, "--mask", "mask.mrc", "--out", "found")
    assert said.code == 0, said.err
    assert "masked already" in said.out
    assert any("masked already" in warning for warning in info("found")["warnings"])
    assert "masked already" in Path("found/report.html").read_text()


def test_a_mask_is_made_of_a_map(project):
    said = parfocal("mask", "map.mrc", "--out", "made.mrc", "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    mask, size = read_map("made.mrc")
    assert size == pytest.approx(PIXEL, rel=1e-5)
    assert told["share_of_box"] == pytest.approx(mask.mean(), abs=1e-3)
    wider = parfocal("mask", "map.mrc", "--extend", 6, "--out", "wide.mrc")
    assert "of the box is inside" in wider.out
    assert (read_map("wide.mrc")[0] >= mask).all()
    same = parfocal("mask", "map.mrc", "--threshold", told["threshold"], "--out", "same.mrc")
    assert same.code == 0, same.err
    assert np.abs(read_map("same.mrc")[0] - mask).mean() < 1e-3


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("none.mrc", "--out", "made.mrc"), "none.mrc"),
        (("map.mrc", "--out", "map.mrc"), "map.mrc"),
        (("map.mrc", "--out", "made.mrc", "--threshold", 1e9), "map.mrc"),
        (("map.mrc", "--out", "."), ".: is a folder"),
        (("map.mrc", "--out", "made.mrc", "--edge", -1), "map.mrc"),
        (("particles.star", "--out", "made.mrc"), "particles.star"),
    ],
)
def test_what_gives_no_mask_is_told(project, words, where):
    before = Path("map.mrc").read_bytes()
    assert_one_plain_line(parfocal("mask", *words), where)
    assert not Path("made.mrc").exists()
    assert Path("map.mrc").read_bytes() == before
