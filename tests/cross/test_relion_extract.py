"""Extraction against relion_preprocess's: the same pixels from the same micrographs."""

from dataclasses import replace

import mrcfile
import numpy as np
import pytest
import tifffile

from parfocal.extract import ExtractSettings, extract_particles
from parfocal.io import read_particles, read_star, write_star
from parfocal.simulate import simulate, write_dataset

from ..unit.test_extract import SCENE as UNIT_SCENE

pytestmark = pytest.mark.relion
SCENE = replace(UNIT_SCENE, particles=16)
CASES = {  # name -> (our settings, RELION's arguments, largest difference over the images' sd)
    "plain": ({}, (), 0.0),
    "larger box": ({"box": 96}, ("--extract_size", 96), 0.0),  # beyond the micrograph's edge
    "smaller": ({"rescale": 32}, ("--scale", 32), 1e-5),
    "inverted": ({"invert": True}, ("--invert_contrast",), 0.0),
    "normalised": (
        {"normalise": True, "background_radius": 54.0},
        ("--norm", "--bg_radius", 18),
        1e-4,
    ),
    "recentred": ({"recentre": True}, ("--recenter",), 0.0),
}


@pytest.fixture(scope="module", params=["mrc", "tiff"])
def project(request, tmp_path_factory):
    """A set with fractional coordinates, and its micrographs' STAR file."""
    folder = tmp_path_factory.mktemp("extract")
    write_dataset(simulate(SCENE, np.random.default_rng(3)), folder)
    blocks = {
        name: {column: table.text(column) for column in table.columns}
        for name, table in read_star(folder / "particles.star").items()
    }
    fraction = np.random.default_rng(1).uniform(0, 0.99, 16)
    x = np.array(blocks["particles"]["rlnCoordinateX"], dtype=float) + fraction
    blocks["particles"]["rlnCoordinateX"] = [f"{value:.6f}" for value in x]
    names = sorted(set(blocks["particles"]["rlnMicrographName"]))
    if request.param == "tiff":
        for name in names:
            image = mrcfile.read(folder / name)
            tifffile.imwrite((folder / name).with_suffix(".tif"), image[::-1])
            (folder / name).unlink()
        column = blocks["particles"]["rlnMicrographName"]
        blocks["particles"]["rlnMicrographName"] = [n.replace(".mrc", ".tif") for n in column]
        names = [n.replace(".mrc", ".tif") for n in names]
    write_star(folder / "particles.star", blocks)
    optics = {n: v for n, v in blocks["optics"].items() if not n.startswith("rlnImage")}
    optics["rlnMicrographPixelSize"] = ["3.0"]
    micrographs = {"rlnMicrographName": names, "rlnOpticsGroup": ["1", "1"]}
    write_star(folder / "micrographs.star", {"optics": optics, "micrographs": micrographs})
    return folder


def images(path):
    particles = read_particles(path)
    stacks = {name: mrcfile.read(name) for name in set(particles.stack)}
    rows = zip(particles.stack, particles.image_index, strict=True)
    return particles, np.array([stacks[stack][index] for stack, index in rows])


@pytest.mark.parametrize("case", CASES)
def test_pixels_are_relions(relion, project, case, monkeypatch):
    monkeypatch.chdir(project)
    settings, arguments, tolerance = CASES[case]
    name = case.replace(" ", "_")
    relion(
        "relion_preprocess",
        *("--i", "micrographs.star", "--reextract_data_star", "particles.star"),
        *("--part_star", f"{name}/theirs.star", "--part_dir", f"{name}/", "--extract"),
        *(() if "box" in settings else ("--extract_size", 48)),
        *arguments,
        cwd=project,
    )
    extract_particles(
        project / "particles.star",
        project / f"ours_{name}",
        ExtractSettings(**{"box": 48} | settings),
    )
    ours, found = images(project / f"ours_{name}" / "particles.star")
    theirs, expected = images(project / name / "theirs.star")
    assert found.shape == expected.shape == (16, *found.shape[1:])
    assert np.abs(found - expected).max() <= tolerance * expected.std()
    assert ours.optics[0].pixel_size == pytest.approx(theirs.optics[0].pixel_size)
    for column in ("defocus_u", "defocus_v", "defocus_angle", "rot", "origin_x", "origin_y"):
        np.testing.assert_allclose(getattr(ours, column), getattr(theirs, column), atol=1e-4)
    for column in ("coordinate_x", "coordinate_y"):
        np.testing.assert_allclose(getattr(ours, column), getattr(theirs, column), atol=1e-4)
    assert np.abs(found - np.roll(expected, 1, axis=1)).max() > 0.5 * expected.std()
