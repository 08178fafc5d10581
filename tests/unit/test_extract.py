"""Extraction: pixels, names and numbers, nothing lost in silence."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from parfocal.boxes import background_pixels, cut_box, normalised, rescale
from parfocal.errors import InputError
from parfocal.extract import ExtractSettings, extract_particles
from parfocal.io import read_particles, read_star, write_star
from parfocal.io.images import StackImages
from parfocal.io.micrographs import read_micrograph, write_micrograph
from parfocal.simulate import Scene, simulate, write_dataset

SCENE = Scene(
    particles=12,
    micrographs=2,
    box=48,
    pixel_size=3.0,
    residues=100,
    snr=1.0,
    shift=8.0,
    whole_micrographs=True,
    micrograph_size=(256, 200),
    micrograph_pixel_size=3.0,
)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    write_dataset(simulate(SCENE, np.random.default_rng(3)), folder)
    return folder


def images_of(path):
    particles = read_particles(path)
    out = np.empty((len(particles), *[particles.optics[0].image_size] * 2), dtype=np.float32)
    stacks = StackImages(particles)
    for row, image in enumerate(out):
        stacks.read_into(row, image)
    return particles, out


def columns_of(path, block="particles"):
    table = read_star(path)[block]
    return {name: table.text(name) for name in table.columns}


def rewritten(project, target, **columns):
    """The particle file with other columns, beside the first."""
    blocks = {n: columns_of(project / "particles.star", n) for n in ("optics", "particles")}
    blocks["particles"] |= columns
    write_star(project / target, blocks)
    return project / target


def test_extracted_particles_are_those_of_the_simulated_stack(project, tmp_path):
    extract_particles(project / "particles.star", tmp_path, ExtractSettings(box=48), jobs=3)
    ours, found = images_of(tmp_path / "particles.star")
    _, expected = images_of(project / "particles.star")
    np.testing.assert_array_equal(found, expected)
    before, after = (columns_of(folder / "particles.star") for folder in (project, tmp_path))
    names = before.pop("rlnImageName"), after.pop("rlnImageName")
    assert before == after  # poses, origins and each particle's own defocus, to the last digit
    assert [n.split("@")[0] for n in names[0]] == [n.split("@")[0] for n in names[1]]
    assert ours.optics[0].pixel_size == 3.0


def test_a_pixel_beside_is_noticed(project, tmp_path):
    x = np.array(columns_of(project / "particles.star")["rlnCoordinateX"], dtype=float)
    spoiled = rewritten(project, "beside.star", rlnCoordinateX=[f"{v + 1:g}" for v in x])
    extract_particles(spoiled, tmp_path, ExtractSettings(box=48))
    _, found = images_of(tmp_path / "particles.star")
    _, expected = images_of(project / "particles.star")
    assert (np.abs(found - expected).max(axis=(1, 2)) > expected.std()).all()
    inside = np.abs(found[:, :, :-1] - expected[:, :, 1:]).max(axis=(1, 2))
    assert np.median(inside) == 0  # the same pixels, one column over


def test_each_particles_own_defocus_is_kept(project, tmp_path):
    own = [f"{10_000 + 17.25 * row}" for row in range(12)]
    source = rewritten(project, "local.star", rlnDefocusU=own)
    extract_particles(source, tmp_path, ExtractSettings(box=32))
    assert columns_of(tmp_path / "particles.star")["rlnDefocusU"] == own


def test_recentring_brings_the_particle_to_the_middle(project, tmp_path):
    extract_particles(project / "particles.star", tmp_path, ExtractSettings(box=48, recentre=True))
    before, _ = images_of(project / "particles.star")
    after, _ = images_of(tmp_path / "particles.star")
    for axis in "xy":
        place, origin = (
            [getattr(p, f"{n}_{axis}") for p in (before, after)] for n in ("coordinate", "origin")
        )
        np.testing.assert_allclose(place[0] - origin[0], place[1] - origin[1], atol=1e-5)
        assert np.abs(origin[1]).max() <= 1.5 < np.abs(origin[0]).max()


def test_boxes_over_the_edge_are_filled_or_left_out_and_told(project, tmp_path, caplog):
    y = columns_of(project / "particles.star")["rlnCoordinateY"]
    y = ["5", "-30", *y[2:]]  # half over the edge; all outside
    source = rewritten(project, "edges.star", rlnCoordinateY=y)
    filled = extract_particles(source, tmp_path / "filled", ExtractSettings(box=48)).info
    skipped = extract_particles(
        source, tmp_path / "skipped", ExtractSettings(box=48, skip_edges=True)
    ).info
    expected = {"particles": 12, "written": 11, "over_the_edge": 1, "outside": 1}
    assert filled["counts"] == expected
    assert skipped["counts"] == expected | {"written": 10}
    assert [p["row"] for p in filled["left_out"]] == [2]
    assert [(p["row"], p["why"]) for p in skipped["left_out"]] == [
        (1, "over_the_edge"),
        (2, "outside"),
    ]
    assert json.loads((tmp_path / "skipped" / "extract.json").read_text()) == skipped
    assert "1 boxes reach over the edge" in caplog.text
    assert "1 boxes lie outside" in caplog.text
    particles, images = images_of(tmp_path / "filled" / "particles.star")
    assert len(particles) == 11
    assert (images[0, :19] == images[0, 19]).all()
    assert len(read_particles(tmp_path / "skipped" / "particles.star")) == 10


def test_picks_of_a_micrographs_file_get_its_ctf(project, tmp_path):
    blocks = {n: columns_of(project / "particles.star", n) for n in ("optics", "particles")}
    table = blocks["particles"]
    names = sorted(set(table["rlnMicrographName"]))
    rows = {
        name: [r for r, m in enumerate(table["rlnMicrographName"]) if m == name] for name in names
    }
    micrographs = {"rlnMicrographName": names, "rlnCtfImage": ["a", "b"]}
    for column in ("rlnOpticsGroup", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"):
        micrographs[column] = [table[column][rows[name][0]] for name in names]
    write_star(project / "mics.star", {"optics": blocks["optics"], "micrographs": micrographs})
    listed = []
    for name in names:
        place = {c: [table[c][r] for r in rows[name]] for c in ("rlnCoordinateX", "rlnCoordinateY")}
        path = project / "picks" / f"{name.split('/')[-1][:-4]}_autopick.star"
        write_star(path, {"": place})
        listed.append(str(path))
    write_star(
        project / "listed.star",
        {"coordinate_files": {"rlnMicrographName": names, "rlnMicrographCoordinates": listed}},
    )
    _, expected = images_of(project / "particles.star")
    for number, coordinates in enumerate((project / "picks", project / "listed.star")):
        out = tmp_path / str(number)
        extract_particles(
            project / "mics.star", out, ExtractSettings(box=48), coordinates=coordinates
        )
        particles, found = images_of(out / "particles.star")
        np.testing.assert_array_equal(found, expected)
        assert columns_of(out / "particles.star")["rlnDefocusU"] == table["rlnDefocusU"]
        assert "rlnCtfImage" not in columns_of(out / "particles.star")
        assert np.isnan(particles.rot).all()


def test_micrographs_of_one_name_in_two_folders_keep_stacks_of_their_own(project, tmp_path):
    names = columns_of(project / "particles.star")["rlnMicrographName"]
    for folder in ("one", "two"):
        (project / folder).mkdir()
        target = project / folder / "mic.mrc"
        target.write_bytes((project / names[0 if folder == "one" else -1]).read_bytes())
    twins = ["one/mic.mrc" if n == names[0] else "two/mic.mrc" for n in names]
    source = rewritten(project, "twins.star", rlnMicrographName=twins)
    extract_particles(source, tmp_path, ExtractSettings(box=48))
    _, found = images_of(tmp_path / "particles.star")
    np.testing.assert_array_equal(found, images_of(project / "particles.star")[1])


def test_a_header_that_disagrees_with_the_star_file_is_told(project, tmp_path, caplog):
    folder = tmp_path / "micrographs"
    folder.mkdir()
    for path in (project / "micrographs").iterdir():
        write_micrograph(folder / path.name, read_micrograph(path)[0], 1.0)
    extract_particles(
        project / "particles.star", tmp_path / "out", ExtractSettings(box=48), micrographs=folder
    )
    assert "1 Å where the STAR file has 3" in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"box": 33}, "33 px"),
        ({"box": 32, "rescale": 64}, "only get smaller"),
        ({"box": 32, "rescale": 7}, "even"),
        ({"box": 32, "background_radius": 0.0}, "radius"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        ExtractSettings(**settings)


def test_a_box_has_its_centre_in_the_middle_and_knows_what_is_outside():
    image = np.arange(100, dtype=np.float32).reshape(10, 10)
    box, share = cut_box(image, (3, 6), 4)
    assert box[2, 2] == image[3, 6]
    assert share == 1
    corner, share = cut_box(image, (0, 9), 4)
    assert share == 2 / 4 * 3 / 4
    assert (corner[:2] == corner[2]).all()
    assert (corner[:, 3] == corner[:, 2]).all()
    assert cut_box(image, (-2, 5), 4)[1] == 0


def test_rescaling_keeps_waves_and_their_place():
    place = np.arange(64) - 32
    wave = np.cos(2 * np.pi * (5 * place[:, None] + 3 * place) / 64).astype(np.float32)
    small = np.arange(32) - 16
    expected = np.cos(2 * np.pi * (5 * small[:, None] + 3 * small) / 32)
    np.testing.assert_allclose(rescale(wave, 32), expected, atol=1e-6)
    beyond = np.cos(2 * np.pi * 20 * place / 64) * np.ones((64, 1))
    assert np.abs(rescale(beyond.astype(np.float32), 32)).max() < 1e-6
    assert rescale(wave, 64) is wave


def test_normalising_takes_ramp_level_and_scale_of_the_background():
    rng = np.random.default_rng(2)
    outside = background_pixels(32, 12.0)
    noise = rng.normal(size=(32, 32))
    ramp = np.arange(32) * 0.3 + np.arange(32)[:, None] * -0.7 + 40
    bare, tilted = (normalised(i.astype(np.float32), outside) for i in (noise, 5 * noise + ramp))
    np.testing.assert_allclose(bare, tilted, atol=1e-4)
    assert tilted[outside].std() == pytest.approx(1, rel=1e-5)
    assert abs(tilted[outside].mean()) < 1e-5
    constant = normalised(np.full((32, 32), 3.0, np.float32), outside)
    np.testing.assert_allclose(constant, 0, atol=1e-5)


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int16])
def test_micrographs_read_back_from_mrc_and_tiff(kind, tmp_path):
    image = (np.random.default_rng(1).normal(size=(20, 30)) * 100).astype(kind)
    write_micrograph(tmp_path / "a.mrc", image, 1.25)
    tifffile.imwrite(tmp_path / "a.tif", image[::-1].astype(np.float32), compression="zlib")
    for name, pixel in (("a.mrc", 1.25), ("a.tif", np.nan)):
        found, pixel_size = read_micrograph(tmp_path / name)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, image)
        np.testing.assert_allclose(pixel_size, pixel)


def test_what_is_no_micrograph_is_refused(tmp_path):
    movie = np.zeros((3, 8, 8), dtype=np.float32)
    tifffile.imwrite(tmp_path / "movie.tif", movie, photometric="minisblack")
    tifffile.imwrite(tmp_path / "colour.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    write_micrograph(tmp_path / "cut.mrc", movie[0], 1.0)
    whole = (tmp_path / "cut.mrc").read_bytes()
    (tmp_path / "cut.mrc").write_bytes(whole[:-20])
    (tmp_path / "text.mrc").write_text("nothing of the kind")
    tifffile.imwrite(tmp_path / "bad.tif", movie[0])
    whole = (tmp_path / "bad.tif").read_bytes()
    (tmp_path / "bad.tif").write_bytes(whole[:-20])
    for name, message in (
        ("movie.tif", "3 images, not one"),
        ("colour.tif", "colour"),
        ("cut.mrc", "truncated"),
        ("text.mrc", "not an MRC file"),
        ("bad.tif", "not a TIFF that can be read"),
        ("none.mrc", "No such file"),
    ):
        with pytest.raises(InputError, match=message):
            read_micrograph(tmp_path / name)


def test_tiff_without_its_library_says_what_to_install(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.float32))
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with pytest.raises(InputError, match=r"parfocal\[tiff\]"):
        read_micrograph(tmp_path / "a.tif")


def test_two_groups_of_pixel_sizes_each_get_their_own(project, tmp_path):
    blocks = {n: columns_of(project / "particles.star", n) for n in ("optics", "particles")}
    blocks["optics"] = {n: v * 2 for n, v in blocks["optics"].items()}
    blocks["optics"] |= {
        "rlnOpticsGroup": ["1", "2"],
        "rlnMicrographOriginalPixelSize": ["3.0", "1.5"],
    }
    blocks["particles"]["rlnOpticsGroup"] = ["1"] * 6 + ["2"] * 6
    write_star(project / "groups.star", blocks)
    extract_particles(
        project / "groups.star", tmp_path, replace(ExtractSettings(box=48), rescale=24)
    )
    particles = read_particles(tmp_path / "particles.star")
    assert [o.pixel_size for o in particles.optics] == [6.0, 3.0]
