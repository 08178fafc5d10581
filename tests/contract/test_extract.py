"""What a user sees of `parfocal extract`: results, and one line for what is wrong."""

import json
import shutil

import numpy as np
import pytest

from parfocal.io import read_star, write_star
from parfocal.simulate import Scene, simulate, write_dataset

from .conftest import parfocal, with_columns

SCENE = Scene(
    particles=8,
    micrographs=2,
    box=32,
    pixel_size=4.0,
    residues=60,
    whole_micrographs=True,
    micrograph_size=(128, 128),
    micrograph_pixel_size=4.0,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("micrographs")
    write_dataset(simulate(SCENE, np.random.default_rng(1)), folder)
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def extract(*more, source="particles.star", box=32):
    return parfocal("extract", source, "--box", box, "--out", "out", *more)


def test_it_says_how_many_and_where(project):
    said = extract("--invert", "--normalise", "--rescale", 16, "-j", 2)
    assert said.code == 0, said.err
    assert "8 of 8 particles written" in said.out
    assert "out/particles.star" in said.out
    assert len(read_star(project / "out" / "particles.star")["particles"]) == 8


def test_machines_get_json(project):
    with_columns(project / "particles.star", rlnCoordinateX=["0", "-99", *["64"] * 6])
    said = extract("--json", "--skip-edges")
    info = json.loads(said.out)
    assert info["counts"] == {"particles": 8, "written": 6, "over_the_edge": 1, "outside": 1}
    assert "left out" in said.err
    assert json.loads((project / "out" / "extract.json").read_text()) == info


def test_simulated_micrographs_are_extracted_to_their_own_stacks(tmp_path):
    size = ("--micrograph-size", 128, 128, "--box", 32, "--pixel-size", 4.0)
    made = parfocal(
        *("simulate", "--out", tmp_path / "sim", "--particles", 6, "--micrographs", 2, *size),
        *("--whole-micrographs", "--amorphous", 0.5, "--wrong", 0.2, "--structure", dot(tmp_path)),
    )
    assert made.code == 0, made.err
    said = parfocal(
        "extract", tmp_path / "sim" / "particles.star", *size[3:5], "-o", tmp_path / "ex"
    )
    assert said.code == 0, said.err
    for number in (1, 2):
        stacks = (tmp_path / f / "particles" / f"mic_000{number}.mrcs" for f in ("sim", "ex"))
        one, other = (path.read_bytes()[1024:] for path in stacks)
        assert one == other


def dot(folder):
    """A structure small enough for any box."""
    path = folder / "carbon.pdb"
    path.write_text(
        "ATOM      1  C   GLY A   1       1.000   2.000   3.000  1.00 10.00           C\n"
    )
    return path


def no_optics(project):
    table = read_star(project / "particles.star")["particles"]
    write_star(project / "particles.star", {"": {name: table.text(name) for name in table.columns}})


def one_micrograph_gone(project):
    (project / "micrographs" / "mic_0002.mrc").unlink()


def one_truncated(project):
    path = project / "micrographs" / "mic_0002.mrc"
    path.write_bytes(path.read_bytes()[:5000])


def group_unknown(project):
    with_columns(project / "particles.star", rlnOpticsGroup="7")


FAULTS = {  # name -> (what is done to the set, options, what the message says)
    "no file": (None, {"source": "none.star"}, "none.star"),
    "no optics": (no_optics, {}, "relion_convert_star"),
    "no coordinates": (
        lambda p: with_columns(p / "particles.star", rlnCoordinateX=None),
        {},
        "no column _rlnCoordinateX",
    ),
    "no micrograph names": (
        lambda p: with_columns(p / "particles.star", rlnMicrographName=None),
        {},
        "no column _rlnMicrographName",
    ),
    "no pixel size": (
        lambda p: with_columns(p / "particles.star", "optics", rlnMicrographOriginalPixelSize=None),
        {},
        "_rlnMicrographPixelSize",
    ),
    "coordinate is no number": (
        lambda p: with_columns(p / "particles.star", rlnCoordinateY="x"),
        {},
        "'x' is not a number",
    ),
    "micrograph missing": (one_micrograph_gone, {}, "1 of 2 micrographs are missing"),
    "micrograph truncated": (one_truncated, {}, "truncated"),
    "group unknown": (group_unknown, {}, "optics group 7"),
    "all outside": (
        lambda p: with_columns(p / "particles.star", rlnCoordinateX="9999"),
        {},
        "no particle lies inside",
    ),
    "odd box": (None, {"box": 31}, "even"),
    "enlarging": (None, {"more": ("--rescale", 64)}, "only get smaller"),
    "wide background": (
        None,
        {"more": ("--normalise", "--background-radius", 100)},
        "background radius",
    ),
    "no jobs": (None, {"more": ("--jobs", 0)}, "0 jobs"),
    "no origins": (
        lambda p: with_columns(p / "particles.star", rlnOriginXAngst=None),
        {"more": ("--recentre",)},
        "nothing to recentre by",
    ),
    "coordinates of nothing": (
        lambda p: (p / "empty").mkdir(),
        {"more": ("--coordinates", "empty")},
        "no coordinates of any micrograph",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_is_told_in_one_line(project, fault):
    spoil, options, message = FAULTS[fault]
    if spoil is not None:
        spoil(project)
    said = extract(*options.get("more", ()), **{k: v for k, v in options.items() if k != "more"})
    assert said.code == 2
    assert message in said.err
    assert " - " in said.err
    last = said.err.strip().splitlines()[-1]
    assert last.startswith("parfocal:")
    assert not (project / "out" / "particles.star").exists()


def test_a_folder_in_use_is_not_written_to(project):
    (project / "out").mkdir()
    (project / "out" / "precious").write_text("x")
    said = extract()
    assert said.code == 2
    assert "not empty" in said.err
