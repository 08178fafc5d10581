"""The reference that particles make of themselves."""

from pathlib import Path

import numpy as np
import pytest

from parfocal.errors import InputError
from parfocal.own_reference import automatic_mask, own_reference, whole_box
from parfocal.reconstruct import reconstruct
from parfocal.reference_files import Own, ReferenceFiles, own_of

from .conftest import SMALL


@pytest.fixture(scope="module")
def made(small):
    return own_reference(small.particles, small.simulation.images, mask=small.simulation.mask)


def test_the_half_maps_are_those_of_reconstruct(made, small):
    expected = reconstruct(small.particles, small.simulation.images)
    for half, density in enumerate(made.half_maps, 1):
        np.testing.assert_array_equal(density, expected.half_map(half))


def test_a_particle_meets_its_own_half_under_the_mask(made, small):
    reference = made.reference
    assert reference.holds_particles
    assert set(reference.volumes) == {1, 2}
    assert not np.array_equal(reference.volume(1).data, reference.volume(2).data)
    np.testing.assert_array_equal(reference.weight, made.curves.corrected)
    np.testing.assert_array_equal(made.mask, small.simulation.mask)
    assert made.curves.pixel_size == SMALL.pixel_size
    assert made.resolution == made.curves.resolution()


def test_a_mask_is_made_of_the_maps_where_none_is_given(small):
    made = own_reference(small.particles, small.simulation.images)
    inside, other = made.mask > 0.5, small.simulation.mask > 0.5
    assert (inside & other).sum() > 0.9 * other.sum()
    assert 0 < inside.mean() < 0.5


def test_noise_gives_no_mask_and_the_message_says_what_to_do():
    noise = np.random.default_rng(0).standard_normal((48, 48, 48)).astype(np.float32)
    with pytest.raises(InputError, match="no mask can be made") as told:
        automatic_mask(noise, 2.0)
    assert "--mask" in told.value.mend


def test_the_whole_box_is_on_the_grid_of_the_maps(small):
    mask = whole_box(small.particles)
    assert mask.shape == (SMALL.box,) * 3
    assert mask[SMALL.box // 2].max() == 1


def test_masks_are_automatic_for_maps_of_our_own_only(tmp_path):
    halves = tmp_path / "1.mrc", tmp_path / "2.mrc"
    assert ReferenceFiles(own=Own()).masked == "auto"
    assert ReferenceFiles(half_maps=halves).masked == "none"
    assert ReferenceFiles(half_maps=halves, mask="AUTO").masked == "auto"
    files = ReferenceFiles(own=Own(), mask=tmp_path / "mask.mrc")
    assert files.paths() == {"mask": tmp_path / "mask.mrc"}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: own_of(False, "O", None), "--sym is for maps made of the particles"),
        (lambda: own_of(False, None, 1), "--split is for maps made of the particles"),
        (lambda: Own(symmetry="Q"), "symmetry"),
        (lambda: Own(split=-1), "--split -1"),
        (lambda: ReferenceFiles(own=Own(), map=Path("m.mrc")), "two are too many"),
        (lambda: ReferenceFiles(own=Own(), fsc=Path("f.star")), "FSC belongs to half-maps"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        wrong()
    assert own_of(False, None, None) is None
    assert own_of(True, None, 3) == Own(symmetry="C1", split=3)
