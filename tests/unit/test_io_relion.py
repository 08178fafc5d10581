"""RELION files: units, optics groups, what is refused, what a copy keeps."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from parfocal.conventions import DEGREE
from parfocal.errors import InputError
from parfocal.io.mrc import write_stack
from parfocal.io.relion import read_relion, relion_ids, write_relion
from parfocal.io.star import read_star
from parfocal.io.star_edit import edit_columns

OPTICS = {
    "rlnOpticsGroup": "1",
    "rlnVoltage": "300",
    "rlnSphericalAberration": "2.7",
    "rlnAmplitudeContrast": "0.1",
    "rlnImagePixelSize": "1.5",
    "rlnImageSize": "64",
}
PARTICLE = {
    "rlnImageName": "000003@a.mrcs",
    "rlnOpticsGroup": "1",
    "rlnDefocusU": "12000",
    "rlnDefocusV": "11000",
}
OLD = {
    "rlnImageName": "000003@a.mrcs",
    "rlnVoltage": "300",
    "rlnSphericalAberration": "2.7",
    "rlnAmplitudeContrast": "0.1",
    "rlnMagnification": "10000",
    "rlnDetectorPixelSize": "1.5",
    "rlnImageSize": "64",
    "rlnDefocusU": "12000",
    "rlnDefocusV": "11000",
}


def star(path: Path, **blocks: list[dict[str, str]]) -> Path:
    """A STAR file with a loop per block; a value of None leaves the column out."""
    text = ""
    for name, rows in blocks.items():
        columns = [c for c in rows[0] if rows[0][c] is not None]
        text += f"\ndata_{name}\n\nloop_\n" + "".join(f"_{c}\n" for c in columns)
        text += "".join(" ".join(row[c] for c in columns) + "\n" for row in rows)
    path.write_text(text)
    return path


def new(tmp_path: Path, optics=None, **particle) -> Path:
    rows = [PARTICLE | particle]
    return star(tmp_path / "p.star", optics=[OPTICS | (optics or {})], particles=rows)


def old(tmp_path: Path, **particle) -> Path:
    return star(tmp_path / "p.star", images=[OLD | particle])


def test_units_of_a_new_file(tmp_path):
    particles = read_relion(
        new(
            tmp_path,
            optics={"rlnMicrographOriginalPixelSize": "0.5"},
            rlnCoordinateX="100",
            rlnCoordinateY="200",
            rlnDefocusAngle="45",
            rlnPhaseShift="90",
            rlnAngleRot="10",
            rlnAngleTilt="20",
            rlnAnglePsi="-30",
            rlnOriginXAngst="1.25",
            rlnOriginYAngst="-2.5",
            rlnRandomSubset="2",
            rlnMicrographName="m.mrc",
        )
    )
    row = {name: column[0] for name, column in particles.columns().items()}
    assert row["particle_id"] == "000003@a.mrcs"
    assert (row["stack"], row["image_index"], row["micrograph"]) == ("a.mrcs", 2, "m.mrc")
    assert (row["coordinate_x"], row["coordinate_y"]) == (50, 100)
    assert (row["defocus_u"], row["defocus_v"]) == (12000, 11000)
    degrees = ("defocus_angle", "phase_shift", "rot", "tilt", "psi")
    assert_allclose([row[name] / DEGREE for name in degrees], [45, 90, 10, 20, -30])
    assert (row["origin_x"], row["origin_y"]) == (1.25, -2.5)
    assert (row["half_set"], row["optics_group"]) == (2, 0)
    assert particles.source == tmp_path / "p.star"


def test_the_summed_micrographs_pixel_size_wins_over_the_movies(tmp_path):
    sizes = {"rlnMicrographOriginalPixelSize": "0.5", "rlnMicrographPixelSize": "1.0"}
    particles = read_relion(new(tmp_path, sizes, rlnCoordinateX="100", rlnCoordinateY="200"))
    assert particles.coordinate_x == [100]


def test_units_of_an_old_file(tmp_path):
    particles = read_relion(
        old(
            tmp_path,
            rlnMagnification="50000",
            rlnDetectorPixelSize="5",
            rlnCoordinateX="100",
            rlnAngleRot="1",
            rlnOriginX="2",
            rlnOriginY="-4",
        )
    )
    assert particles.optics[0].pixel_size == 1.0
    assert (particles.origin_x, particles.origin_y) == (2, -4)
    particles = read_relion(old(tmp_path, rlnCoordinateX="100", rlnOriginX="2", rlnOriginY="-4"))
    assert particles.optics[0].pixel_size == 1.5
    assert (particles.origin_x, particles.origin_y, particles.coordinate_x) == (3, -6, 150)


def test_what_a_file_does_not_say(tmp_path):
    particles = read_relion(new(tmp_path))
    assert (particles.defocus_angle, particles.phase_shift, particles.half_set) == (0, 0, 0)
    for name in ("coordinate_x", "coordinate_y", "rot", "tilt", "psi", "origin_x", "origin_y"):
        assert np.isnan(getattr(particles, name)), name
    assert particles.micrograph == ["a.mrcs"]
    assert particles.optics[0].name == "opticsGroup1"


def test_a_pose_without_origins_has_origins_zero(tmp_path):
    particles = read_relion(new(tmp_path, rlnAngleRot="1", rlnAngleTilt="2", rlnAnglePsi="3"))
    assert (particles.origin_x, particles.origin_y) == (0, 0)


def test_optics_groups_are_told_apart_by_their_number_not_their_place(tmp_path):
    path = star(
        tmp_path / "p.star",
        optics=[
            OPTICS | {"rlnOpticsGroup": "7", "rlnImagePixelSize": "2.0", "rlnImageSize": "32"},
            OPTICS | {"rlnOpticsGroup": "5", "rlnImagePixelSize": "9.0"},  # no particle has it
            OPTICS | {"rlnOpticsGroup": "3", "rlnImagePixelSize": "1.0", "rlnImageSize": "64"},
        ],
        particles=[
            PARTICLE
            | {
                "rlnImageName": f"{number}@a.mrcs",
                "rlnOpticsGroup": group,
                "rlnCoordinateX": "10",
            }
            for number, group in ((1, "3"), (2, "7"), (3, "3"))
        ],
    )
    particles = read_relion(path)
    of_particle = [particles.optics[group] for group in particles.optics_group]
    assert [group.pixel_size for group in of_particle] == [1.0, 2.0, 1.0]
    assert [group.image_size for group in of_particle] == [64, 32, 64]
    assert_array_equal(particles.coordinate_x, [10, 20, 10])
    assert len(particles.optics) == 2


def test_old_rows_with_the_same_settings_form_a_group(tmp_path):
    rows = [
        OLD | {"rlnImageName": "1@a.mrcs", "rlnVoltage": "300"},
        OLD | {"rlnImageName": "2@a.mrcs", "rlnVoltage": "200"},
        OLD | {"rlnImageName": "3@a.mrcs", "rlnVoltage": "300"},
        OLD | {"rlnImageName": "4@a.mrcs", "rlnVoltage": "300", "rlnMagnification": "5000"},
    ]
    particles = read_relion(star(tmp_path / "p.star", images=rows))
    assert_array_equal(particles.optics_group, [0, 1, 0, 2])
    assert [group.voltage for group in particles.optics] == [300, 200, 300]
    assert [group.pixel_size for group in particles.optics] == [1.5, 1.5, 3.0]


def test_higher_aberrations_and_magnification(tmp_path):
    optics = {
        "rlnOpticsGroupName": "arctica",
        "rlnBeamTiltX": "0.25",
        "rlnBeamTiltY": "-0.5",
        "rlnOddZernike": "[0.5,-1,0,2e-3]",
        "rlnEvenZernike": "[]",
        "rlnMagMat00": "1.01",
        "rlnMagMat01": "0.02",
        "rlnMagMat10": "-0.03",
        "rlnMagMat11": "0.99",
    }
    (group,) = read_relion(new(tmp_path, optics)).optics
    assert group.name == "arctica"
    assert group.beam_tilt == (0.25, -0.5)
    assert group.odd_zernike == (0.5, -1, 0, 0.002)
    assert group.even_zernike == ()
    assert group.magnification == (1.01, 0.02, -0.03, 0.99)


def test_the_box_comes_from_the_stack_if_the_file_has_none(tmp_path):
    write_stack(tmp_path / "a.mrcs", np.zeros((3, 48, 48), np.float32), 1.5)
    particles = read_relion(new(tmp_path, {"rlnImageSize": None}))
    assert particles.optics[0].image_size == 48
    assert particles.stack == [str(tmp_path / "a.mrcs")]


def test_a_name_without_index_is_the_first_image(tmp_path):
    particles = read_relion(new(tmp_path, rlnImageName="single.mrc"))
    assert (particles.stack, particles.image_index) == ("single.mrc", 0)


def test_a_hash_in_a_name_is_part_of_it(tmp_path):
    particles = read_relion(new(tmp_path, rlnImageName="000001@job#3/a#b.mrcs"))
    assert particles.stack == ["job#3/a#b.mrcs"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rlnDefocusU": "nan"}, "data_particles, _rlnDefocusU, row 1: nan"),
        ({"rlnDefocusV": "inf"}, "data_particles, _rlnDefocusV, row 1: inf"),
        ({"rlnDefocusU": "12k"}, "data_particles, _rlnDefocusU, row 1: '12k' is not a number"),
        ({"rlnDefocusU": None}, "data_particles: no column _rlnDefocusU"),
        ({"rlnImageName": None}, "no particles: no block has the column _rlnImageName"),
        ({"rlnImageName": "0@a.mrcs"}, "_rlnImageName, row 1: '0@a.mrcs' is not of the form"),
        ({"rlnImageName": "x@a.mrcs"}, "_rlnImageName, row 1: 'x@a.mrcs' is not of the form"),
        ({"rlnOpticsGroup": "2"}, "_rlnOpticsGroup, row 1: optics group 2 is not in data_optics"),
        ({"rlnRandomSubset": "3"}, "_rlnRandomSubset, row 1: 3 is not a half-set"),
    ],
)
def test_a_bad_particle_is_refused(tmp_path, change, says):
    with pytest.raises(InputError, match=says) as error:
        read_relion(new(tmp_path, **change))
    assert "p.star" in str(error.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rlnAmplitudeContrast": None}, "data_optics: no column _rlnAmplitudeContrast"),
        ({"rlnVoltage": None}, "data_optics: no column _rlnVoltage"),
        ({"rlnImagePixelSize": None}, "data_optics: no column _rlnImagePixelSize"),
        ({"rlnImageSize": None}, "data_optics: no column _rlnImageSize, and no stack"),
        ({"rlnAmplitudeContrast": "7"}, "data_optics: amplitude_contrast = 7.0 is not possible"),
        ({"rlnImageSize": "65"}, "data_optics: image_size .* = 65 is not possible"),
        ({"rlnOddZernike": "[1,x]"}, "data_optics, _rlnOddZernike: not a list of numbers"),
        ({"rlnImageDimensionality": "3"}, "data_optics, _rlnImageDimensionality: .* not 2D"),
        ({"rlnCtfDataAreCtfPremultiplied": "1"}, "_rlnCtfDataAreCtfPremultiplied is set"),
        ({"rlnCtfDataArePhaseFlipped": "1"}, "_rlnCtfDataArePhaseFlipped is set"),
    ],
)
def test_bad_optics_are_refused(tmp_path, change, says):
    with pytest.raises(InputError, match=says) as error:
        read_relion(new(tmp_path, change))
    assert "p.star" in str(error.value)


def test_flags_that_are_not_set_do_no_harm(tmp_path):
    flags = {"rlnCtfDataAreCtfPremultiplied": "0", "rlnImageDimensionality": "2"}
    assert len(read_relion(new(tmp_path, flags))) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rlnDetectorPixelSize": None}, "data_images: no column _rlnDetectorPixelSize"),
        ({"rlnMagnification": None}, "data_images: no column _rlnImagePixelSize"),
        ({"rlnSphericalAberration": None}, "data_images: no column _rlnSphericalAberration"),
        ({"rlnCtfDataArePhaseFlipped": "1"}, "_rlnCtfDataArePhaseFlipped is set"),
    ],
)
def test_a_bad_old_file_is_refused(tmp_path, change, says):
    with pytest.raises(InputError, match=says):
        read_relion(old(tmp_path, **change))


def test_one_flipped_particle_among_others_is_refused(tmp_path):
    flags = [
        {"rlnImageName": f"{n}@a", "rlnCtfDataArePhaseFlipped": str(n // 3)} for n in (1, 2, 3)
    ]
    with pytest.raises(InputError, match="PhaseFlipped"):
        read_relion(star(tmp_path / "p.star", images=[OLD | flag for flag in flags]))


def test_particles_of_one_image_get_ids_of_their_own(tmp_path):
    names = ("1@a", "2@a", "3@a", "2@a", "2@a")
    rows = [PARTICLE | {"rlnImageName": name} for name in names]
    path = star(tmp_path / "p.star", optics=[OPTICS], particles=rows)
    particles = read_relion(path)
    assert particles.particle_id.tolist() == ["1@a", "2@a", "3@a", "2@a~2", "2@a~3"]
    assert particles.particle_id.tolist() == relion_ids(path)
    assert particles.image_index.tolist() == [0, 1, 2, 1, 1]
    assert len(set(particles.stack.tolist())) == 1


def test_an_id_that_is_taken_already_is_named(tmp_path):
    rows = [PARTICLE | {"rlnImageName": name} for name in ("2@a", "2@a", "2@a~2")]
    with pytest.raises(InputError, match="particle 2@a~2 is in row 2 and again in row 3"):
        read_relion(star(tmp_path / "p.star", optics=[OPTICS], particles=rows))


def test_a_doubled_optics_group_is_refused(tmp_path):
    path = star(tmp_path / "p.star", optics=[OPTICS, OPTICS], particles=[PARTICLE])
    with pytest.raises(InputError, match="data_optics: _rlnOpticsGroup names one group twice"):
        read_relion(path)


@pytest.mark.parametrize("make", [new, old])
def test_no_particles_is_refused(tmp_path, make):
    path = make(tmp_path)
    path.write_text(path.read_text().rpartition("_rlnDefocusV\n")[0] + "_rlnDefocusV\n")
    with pytest.raises(InputError, match="no particles"):
        read_relion(path)


def test_a_copy_differs_in_two_columns_only(tmp_path, data):
    source = data / "formats" / "relion31_bgal_refined.star"
    particles = read_relion(source)
    write_relion(source, tmp_path / "copy.star", particles.defocus_u + 1, particles.defocus_v - 1)
    copy = read_relion(tmp_path / "copy.star")
    assert_allclose(copy.defocus_u, particles.defocus_u + 1, atol=5e-7)
    assert_allclose(copy.defocus_v, particles.defocus_v - 1, atol=5e-7)
    both = ("rlnDefocusU", "rlnDefocusV")
    blank = {name: ["x"] * len(particles) for name in both}
    before, after = (
        edit_columns(path.read_bytes(), "particles", blank)
        for path in (source, tmp_path / "copy.star")
    )
    assert after == before


def test_a_copy_has_six_decimals_and_the_rows_asked_for(tmp_path):
    rows = [PARTICLE | {"rlnImageName": name} for name in ("1@a", "2@a", "3@a")]
    source = star(tmp_path / "p.star", optics=[OPTICS], particles=rows)
    keep = np.array([True, False, True])
    u = np.array([1.0, 2.0, 1 / 3])
    write_relion(source, tmp_path / "copy.star", u, u + 10, keep=keep)
    table = read_star(tmp_path / "copy.star")["particles"]
    assert table.text("rlnImageName") == ["1@a", "3@a"]
    assert table.text("rlnDefocusU") == ["1.000000", "0.333333"]
    assert table.text("rlnDefocusV") == ["11.000000", "10.333333"]


def test_real_files_of_both_ages(data):
    sample = read_relion(data / "formats" / "sample_particles_relion30.star")
    assert len(sample) == 17
    pixel_size = 1.338
    assert sample.optics[0].pixel_size == pytest.approx(pixel_size, rel=1e-6)
    assert sample.optics[0].image_size == 200
    table = read_star(sample.source)["model_class_1"]
    assert_allclose(sample.origin_x, table.numbers("rlnOriginX") * pixel_size, rtol=1e-6)
    galactosidase = read_relion(data / "empiar10204" / "particles.star")
    assert len(galactosidase) == 1341
    assert len(set(galactosidase.micrograph)) == 10
    assert np.isfinite(galactosidase.rot).all()
    assert (galactosidase.half_set == 0).all()
    assert all(Path(stack).is_file() for stack in set(galactosidase.stack))


def test_subparticles_of_one_virus_lie_at_their_depth(data):
    path = data / "formats" / "virus_subparticles.star"
    particles = read_relion(path)
    assert len(set(particles.stack.tolist())) == len(set(particles.image_index.tolist())) == 1
    assert particles.particle_id[59] == f"{particles.particle_id[0]}~60"
    xyz = [
        [float(c) for c in token.split(",")]
        for token in read_star(path)["particles"].text("rlnCustomOriginXYZAngstWrtParticleCenter")
    ]
    slope, _ = np.polyfit(np.array(xyz)[:, 2], particles.defocus, 1)
    assert slope == pytest.approx(1.0, abs=1e-3)
    (group,) = particles.optics
    assert len(group.odd_zernike) == 6
    assert len(group.even_zernike) == 9
    assert group.odd_zernike[2] == 34.3861477546
    assert group.magnification[0] == 1.007178
