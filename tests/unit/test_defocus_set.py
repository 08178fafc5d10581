"""The record of one set of defoci: where its columns come from, and what its particles are called."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from parfocal.defocus_set import DefocusSet, set_of_estimates, set_of_particles
from parfocal.estimates import Status

from .conftest import make_optics, make_particles
from .test_ice import made_up


def made_set(particle_id, defocus=None, *, name="made-up", **columns) -> DefocusSet:
    """A set that knows no more than the ids, but for `columns`."""
    n = len(particle_id)
    nan = np.full(n, np.nan)
    usual = {
        "source": None,
        "particle_id": np.array(particle_id, dtype=object),
        "micrograph": np.full(n, "mic.mrc", dtype=object),
        "coordinate_x": nan,
        "coordinate_y": nan,
        "defocus": np.arange(n) * 100 + 9000.0 if defocus is None else np.array(defocus, float),
        "half_difference": nan,
        "angle": nan,
        "astigmatism_change": np.full((n, 2), np.nan),
        "prior": nan,
        "error": nan,
        "fold_1": nan,
        "fold_2": nan,
        "ok": np.ones(n, dtype=bool),
        "stack": np.full(n, "", dtype=object),
        "image_index": np.zeros(n, dtype=int),
    }
    columns = {k: np.array(v) if isinstance(v, list) else v for k, v in columns.items()}
    return DefocusSet(name=name, **(usual | columns))


def test_estimates_become_a_set_of_their_defoci():
    made = made_up(["a", "a", "b"], [1, 2, 3], [4, 5, 6], [9000.0, 9100.0, 9200.0], [0, 1, 0])
    made = replace(
        made,
        defocus_change=np.array([50.0, 0.0, -30.0]),
        astigmatism_change_x=np.array([7.0, 0.0, 0.0]),
        change_of_fold_1=np.array([60.0, np.nan, -20.0]),
        change_of_fold_2=np.array([40.0, np.nan, -40.0]),
    )
    one = set_of_estimates(made, "mine")
    assert (one.name, len(one), one.posterior) == ("mine", 3, False)
    assert_array_equal(one.defocus, [9050.0, 9100.0, 9170.0])
    assert_array_equal(one.prior, [9000.0, 9100.0, 9200.0])
    assert_array_equal(one.fold_1, [9060.0, np.nan, 9180.0])
    assert_array_equal(one.fold_2, [9040.0, np.nan, 9160.0])
    assert_array_equal(one.ok, [True, False, True])
    assert_array_equal(one.error, [20.0, 20.0, 20.0])
    assert_array_equal(one.astigmatism_change, [[7, 0], [0, 0], [0, 0]])
    assert np.isnan(one.astigmatism).all()
    assert set_of_estimates(made).name == "made-up"


def test_a_method_says_whether_its_values_are_drawn_to_a_prior():
    made = made_up(["a"], [0], [0], [9000.0])
    assert set_of_estimates(replace(made, settings={"posterior": True})).posterior
    assert not set_of_estimates(replace(made, settings={"posterior": False})).posterior


def test_particles_become_a_set_of_what_their_file_says():
    u, v = np.array([9300.0, 9000.0, np.nan, 9e6]), np.array([9000.0, 9300.0, 9000.0, 9e6])
    angle = np.array([np.pi / 4, np.pi / 4, 0.0, 0.0])
    particles = make_particles(make_optics(), 4, defocus_u=u, defocus_v=v, defocus_angle=angle)
    one = set_of_particles(particles, "file")
    assert_array_equal(one.defocus[:2], [9150.0, 9150.0])
    # half of U - V along twice 45°; U < V is the same ellipse turned by a quarter
    assert_allclose(one.astigmatism[:2], [[0, 150], [0, -150]], atol=1e-9)
    assert_array_equal(one.ok, [True, True, False, False])  # no number, and no defocus: 900 µm
    for column in (one.prior, one.error, one.fold_1, one.fold_2):
        assert np.isnan(column).all()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ({"prior": [1.0]}, "column prior has 1 rows, expected 2"),
        ({"defocus": [9000.0, np.nan]}, "to be trusted needs a finite defocus"),
        ({"particle_id": ["1@a.mrc", "1@a.mrc"]}, "not unique"),
    ],
)
def test_a_set_that_cannot_be_is_refused(spoil, says):
    made = made_set(["1@a.mrc", "2@a.mrc"])
    with pytest.raises(ValueError, match=says):
        replace(made, **{name: np.array(column) for name, column in spoil.items()})


def test_a_set_without_particles_is_refused():
    with pytest.raises(ValueError, match="no particles"):
        made_set([])


def test_columns_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        made_set(["1@a.mrc"]).defocus[0] = 0.0


@pytest.mark.parametrize(
    ("particle_id", "stack", "index", "key"),
    [
        ("000012@Extract/job018/Movies/mic_1.mrcs", "", 0, "12@mic_1"),
        ("12@/else/where/mic_1.mrc", "", 0, "12@mic_1"),
        ("000012@Extract/job018/mic_1.mrcs~3", "", 0, "12@mic_1"),  # third of that image
        ("3806243878409217281", "J5/extract/mic_1.mrc", 11, "12@mic_1"),
        ("3806243878409217281", "", 0, ""),  # a uid alone names no image
        ("one/image.mrc", "", 0, "1@image"),
        ("000012@a/mic.0.5s_1", "", 0, "12@mic.0.5s_1"),  # no ending that is one
    ],
)
def test_an_image_is_called_the_same_by_every_program(particle_id, stack, index, key):
    one = made_set([particle_id], stack=np.array([stack], dtype=object), image_index=[index])
    assert one.image_keys() == [key]


def test_stacks_that_differ_in_their_folder_alone_keep_it():
    ids = ["1@grid1/mic.mrcs", "1@grid2/mic.mrcs", "1@grid2/other.mrcs"]
    assert made_set(ids).image_keys() == ["1@grid1/mic.mrcs", "1@grid2/mic.mrcs", "1@other"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("MotionCorr/job002/Movies/mic_1.mrc", "mic_1"),
        ("J2/motioncorrected/011740578382051368150_mic_1_patch_aligned_doseweighted.mrc", "mic_1"),
        (
            "J9/extract/011740578382051368150_mic_1_patch_aligned_doseweighted_particles.mrc",
            "mic_1",
        ),
        ("Micrographs/mic_1_DW.mrc", "mic_1"),
        ("Movies/mic_1.eer", "mic_1"),
        ("20170629_00021_frameImage.tiff", "20170629_00021_frameImage"),  # a date is no uid
        ("mic_1.0s", "mic_1.0s"),
        ("7", "7"),
        ("", ""),
    ],
)
def test_a_micrograph_is_called_the_same_by_every_program(name, key):
    assert made_set(["1@a"], micrograph=np.array([name], dtype=object)).micrograph_keys() == [key]


def test_micrographs_that_would_be_called_alike_keep_their_names():
    names = np.array(["g1/mic_1.mrc", "g2/mic_1.mrc", "g2/mic_2.mrc", "g1/mic_1.mrc"], dtype=object)
    one = made_set(["1@a", "2@a", "3@a", "4@a"], micrograph=names)
    assert one.micrograph_keys() == ["g1/mic_1.mrc", "g2/mic_1.mrc", "mic_2", "g1/mic_1.mrc"]


def test_ok_is_the_status():
    status = np.array([int(s) for s in Status])
    n = len(status)
    made = made_up(["a"] * n, range(n), range(n), [9000.0] * n, status)
    assert set_of_estimates(made).ok.tolist() == [s is Status.OK for s in Status]
