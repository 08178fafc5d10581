"""`parfocal localres` on files: what is written, what it says, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from parfocal.io import read_map, write_map
from parfocal.io.chimerax import write_coloured_map

from .browser import opened_pages, started_browser  # noqa: F401 - fixtures
from .conftest import parfocal
from .test_bad_input import assert_one_plain_line

FAST = ("--max", "12", "--step", "0.5")


@pytest.fixture(scope="module")
def maps(simulation, tmp_path_factory) -> Path:
    """Folder with two pairs of half-maps, the second with less noise, and a mask."""
    folder = tmp_path_factory.mktemp("maps")
    rng, density = np.random.default_rng(3), simulation.map
    size = simulation.scene.pixel_size
    for name, noise in (("a", 1.0), ("b", 0.5)):
        for half in (1, 2):
            drawn = rng.normal(0, noise * density.std(), density.shape)
            write_map(folder / f"{name}{half}.mrc", density + drawn, size)
    write_map(folder / "mask.mrc", simulation.mask, size)
    return folder


@pytest.fixture
def here(maps, tmp_path, monkeypatch) -> Path:
    """An empty current folder with links to the maps."""
    for file in maps.iterdir():
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def one(maps):
    """The folder of a run on one pair, and what was said."""
    out = maps.parent / "one"
    said = parfocal(
        "localres", maps / "a1.mrc", maps / "a2.mrc", "--mask", maps / "mask.mrc", *FAST,
        "--out", out,
    )  # fmt: skip
    assert said.code == 0, said.err
    return out, said


@pytest.fixture(scope="module")
def two(maps):
    """The folder of a run on two pairs, and what was said."""
    out = maps.parent / "two"
    pairs = [
        f"{name}={maps}/{n}1.mrc,{maps}/{n}2.mrc" for name, n in (("before", "a"), ("after", "b"))
    ]
    said = parfocal("localres", *pairs, "--mask", maps / "mask.mrc", *FAST, "--out", out)
    assert said.code == 0, said.err
    return out, said


def test_one_pair_is_written_with_its_scripts(one):
    out, said = one
    assert {p.name for p in out.iterdir()} == {
        "report.html",
        "run.json",
        "map.mrc",
        "mask.mrc",
        *(f"local_resolution_{m}.{end}" for m in ("monores", "fsc") for end in ("mrc", "cxc")),
    }
    assert "monores: median" in said.out
    assert "report.html" in said.out


def test_run_json_says_what_the_maps_hold(one):
    out, _ = one
    info = json.loads((out / "run.json").read_text())
    mask, _ = read_map(out / "mask.mrc")
    for method, found in info["results"]["a"].items():
        resolution, size = read_map(out / f"local_resolution_{method}.mrc")
        assert size == pytest.approx(info["pixel_size"], rel=1e-4)
        values = resolution[mask > 0.5]
        assert info["voxels"] == len(values)
        assert found["median"] == pytest.approx(np.median(values), abs=1e-3)
        assert found["quartiles"] == pytest.approx(np.quantile(values, [0.25, 0.75]), abs=1e-3)
        assert found["limits"][0] <= values.min() * 1.001
        assert found["limits"][1] >= values.max() * 0.999
    assert info["differences"] == []


def test_the_scripts_open_what_lies_beside_them(one):
    out, _ = one
    lines = (out / "local_resolution_fsc.cxc").read_text().splitlines()
    opened = [line.split('"')[1] for line in lines if line.startswith("open")]
    assert opened == ["map.mrc", "local_resolution_fsc.mrc"]
    assert all((out / name).exists() for name in opened)
    level = float(next(line for line in lines if line.startswith("volume")).split()[-1])
    density, _ = read_map(out / "map.mrc")
    assert density.min() < level < density.max()


def test_colours_of_a_script_lie_between_its_limits(tmp_path):
    path = tmp_path / "map.cxc"
    write_coloured_map(path, density="d.mrc", values="r.mrc", level=0.5, limits=(2.0, 6.0))
    palette = next(x for x in path.read_text().splitlines() if x.startswith("color")).split()[-1]
    stops = [float(part.split(",")[0]) for part in palette.split(":")]
    assert stops == [2.0, 3.0, 4.0, 5.0, 6.0]


def test_two_pairs_are_compared(two):
    out, said = two
    assert {p.name for p in out.iterdir()} == {
        "report.html", "run.json", "mask.mrc", "before", "after",
    }  # fmt: skip
    info = json.loads((out / "run.json").read_text())
    first, second = info["differences"]
    assert (first["method"], second["method"]) == ("monores", "fsc")
    for found in (first, second):
        assert found["name"] == "after"
        assert found["from"] == "before"
        maps = [
            read_map(out / n / f"local_resolution_{found['method']}.mrc")[0]
            for n in ("before", "after")
        ]
        inside = read_map(out / "mask.mrc")[0] > 0.5
        assert found["mean"] == pytest.approx(np.mean((maps[0] - maps[1])[inside]), abs=1e-3)
        assert found["mean"] > 0  # less noise is finer
    assert "after against before (monores): finer by" in said.out


def test_the_order_of_the_pairs_turns_the_sign(two, maps):
    out = maps.parent / "turned"
    pairs = [
        f"{name}={maps}/{n}1.mrc,{maps}/{n}2.mrc" for name, n in (("after", "b"), ("before", "a"))
    ]
    words = ("--mask", maps / "mask.mrc", "--method", "fsc", "--out", out, "--json")
    said = parfocal("localres", *pairs, *words)
    assert said.code == 0, said.err
    assert json.loads(said.out) == json.loads((out / "run.json").read_text())
    (turned,) = json.loads(said.out)["differences"]
    straight = json.loads((two[0] / "run.json").read_text())["differences"][1]
    assert turned["mean"] == pytest.approx(-straight["mean"], abs=1e-4)


def test_an_automatic_mask_is_made_and_written(here):
    said = parfocal("localres", "b1.mrc", "b2.mrc", "--method", "fsc", "--out", "out")
    assert said.code == 0, said.err
    mask, _ = read_map("out/mask.mrc")
    assert 0.005 < np.mean(mask > 0.5) < 0.5


def test_the_page_draws_without_a_fault(two, opened):
    page = opened(two[0] / "report.html")
    page.draw_all()
    assert set(page.plots()) == {"distribution", "slices", "methods"}
    assert len(page.cells("medians", 0)) == 4


BAD = {
    "one file": (("a1.mrc",), "is no pair of half-maps"),
    "no such file": (("a1.mrc", "gone.mrc"), "No such file"),
    "one map twice": (("a1.mrc", "a1.mrc"), "same map"),
    "one map at two scales": (("a1.mrc", "louder.mrc"), "same map"),
    "a name twice": (("x=a1.mrc,a2.mrc", "x=b1.mrc,b2.mrc"), "two pairs are called"),
    "a name that is no folder": (("../x=a1.mrc,a2.mrc",), "a pair called"),
    "a name of a file": (("mask.mrc=a1.mrc,a2.mrc", "x=b1.mrc,b2.mrc"), "a pair called"),
    "another grid of a later pair": (("x=a1.mrc,a2.mrc", "y=small.mrc,small.mrc"), "box 16"),
    "no pixel size": (("a1.mrc", "unknown.mrc"), "unknown.mrc: its header has no pixel size"),
    "a mask of a voxel": (("a1.mrc", "a2.mrc", "--mask", "voxel.mrc"), "in 1 voxels"),
    "nothing in common": (("noise1.mrc", "noise2.mrc"), "nothing in common"),
    "no mask": (("a1.mrc", "a2.mrc", "--mask", "none"), "--mask"),
    "no number": (("a1.mrc", "a2.mrc", "--min", "nan"), "--min of nan"),
    "no end": (("a1.mrc", "a2.mrc", "--max", "inf"), "--max of inf"),
    "no window": (("a1.mrc", "a2.mrc", "--window", "0"), "--window"),
    "another grid": (("a1.mrc", "small.mrc"), "box 16"),
    "another pixel size": (("a1.mrc", "wide.mrc"), "Å/px"),
    "no cube": (("flat.mrc", "flat.mrc"), "not a cube"),
    "NaN": (("a1.mrc", "nan.mrc"), "NaN"),
    "a mask of another grid": (("a1.mrc", "a2.mrc", "--mask", "small.mrc"), "box 16"),
    "a map as mask": (("a1.mrc", "a2.mrc", "--mask", "b1.mrc"), "expected [0, 1]"),
    "an empty mask": (("a1.mrc", "a2.mrc", "--mask", "empty.mrc"), "nowhere above"),
    "no such method": (("a1.mrc", "a2.mrc", "--method", "resmap"), "monores or fsc"),
    "no step": (("a1.mrc", "a2.mrc", "--step", "0"), "--step"),
    "an empty range": (("a1.mrc", "a2.mrc", "--min", "9", "--max", "8"), "--max above --min"),
    "a window too large": (("a1.mrc", "a2.mrc", "--window", "900"), "--window"),
    "no jobs": (("a1.mrc", "a2.mrc", "--jobs", "0"), "--jobs"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_and_nothing_written(here, simulation, case):
    words, part = BAD[case]
    size, n = simulation.scene.pixel_size, len(simulation.map)
    for name, volume, pixel in (
        ("small", np.linspace(0, 1, 16**3).reshape(16, 16, 16), size),
        ("wide", simulation.map, 1.5 * size),
        ("flat", np.ones((8, 16, 16)), size),
        ("nan", simulation.map, size),
        ("empty", np.full((n, n, n), 0.3), size),
        ("voxel", np.arange(n**3).reshape(n, n, n) == n**3 // 2, size),
        ("louder", 2 * read_map("a1.mrc")[0], size),
        ("unknown", simulation.map, 0.0),
        *(
            (f"noise{seed}", np.random.default_rng(seed).normal(size=(n, n, n)), size)
            for seed in (1, 2)
        ),
    ):
        write_map(f"{name}.mrc", volume, pixel)
    with Path("nan.mrc").open("r+b") as file:
        file.seek(1024)  # the first voxel
        file.write(np.float32(np.nan).tobytes())
    mask = () if "--mask" in words else ("--mask", "mask.mrc")
    said = parfocal("localres", *words, *mask, "--out", "out")
    assert said.code == 2
    assert_one_plain_line(said)
    assert part in said.err
    assert not Path("out").exists()


def test_a_folder_that_is_not_empty_is_refused(here):
    Path("out").mkdir()
    Path("out/kept").write_text("mine")
    said = parfocal("localres", "a1.mrc", "a2.mrc", "--mask", "mask.mrc", "--out", "out")
    assert said.code == 2
    assert_one_plain_line(said)
    assert [p.name for p in Path("out").iterdir()] == ["kept"]
