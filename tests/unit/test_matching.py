"""Which particle is which: cases in which the right answer is known, and what must not be guessed."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from parfocal import matching
from parfocal.matching import BY_ID, BY_IMAGE, BY_MIRROR, BY_PLACE, UNKNOWN, match

from .test_defocus_set import made_set

HEIGHT = 4000.0  # Å, of a micrograph


def apart(n, rng):
    """(n, 2) places, none within 80 Å of another: as far as particles keep from each other."""
    places = np.full((n, 2), np.inf)
    for row in range(n):
        while not np.isfinite(places[row]).all():
            place = rng.uniform(0, HEIGHT, 2)
            if not (np.hypot(*(places[:row] - place).T) < 80).any():
                places[row] = place
    return places


def picked(n=300, micrographs=3, seed=0, **columns):
    """A set as RELION has it: named images, and coordinates."""
    rng = np.random.default_rng(seed)
    micrograph = np.sort(rng.integers(micrographs, size=n))
    x, y = np.concatenate([apart(np.sum(micrograph == m), rng) for m in range(micrographs)]).T
    index = [row - np.flatnonzero(micrograph == m)[0] for row, m in enumerate(micrograph)]
    stacks = [f"Extract/job018/Movies/m{m:03d}.mrcs" for m in micrograph]
    usual = {
        "coordinate_x": x,
        "coordinate_y": y,
        "micrograph": np.array([f"MotionCorr/job2/m{m:03d}.mrc" for m in micrograph], dtype=object),
    }
    ids = [f"{i + 1:06d}@{stack}" for i, stack in zip(index, stacks, strict=True)]
    return made_set(ids, **(usual | columns))


def taken(one, rows, **changes):
    """Some rows of a set, in that order, with other columns."""
    columns = {k: v[rows] for k, v in vars(one).items() if isinstance(v, np.ndarray)}
    return replace(one, **(columns | changes))


def as_cryosparc(one, *, stack="J7/extract/batch_{}.mrc", shift=0.0, seed=1):
    """The same particles as another program names them: uids, and its own stacks."""
    rng = np.random.default_rng(seed)
    n = len(one)
    names = [PREFIX + name.split("/")[-1][:-4] + "_patch_aligned.mrc" for name in one.micrograph]
    return replace(
        one,
        particle_id=np.array([str(2**63 + row) for row in range(n)], dtype=object),
        micrograph=np.array(names, dtype=object),
        stack=np.array([stack.format(row // 100) for row in range(n)], dtype=object),
        image_index=np.arange(n) % 100,
        coordinate_x=one.coordinate_x + rng.uniform(-3, 3, n) + shift,
        coordinate_y=one.coordinate_y + rng.uniform(-3, 3, n),
    )


PREFIX = "J2/motioncorrected/011740578382051368150_"


def test_the_same_ids_in_the_same_order_are_the_rows_themselves():
    found = match(picked(), picked())
    assert (found.by, found.alike) == (BY_ID, 0)
    assert_array_equal(found.row, np.arange(300))


def test_equal_ids_are_found_in_any_order_and_never_by_row():
    base = picked()
    order = np.random.default_rng(2).permutation(300)
    found = match(base, taken(base, order))
    assert found.by == BY_ID
    assert_array_equal(order[found.row], np.arange(300))
    assert not (found.row == np.arange(300)).all()


def test_what_either_lacks_is_not_found():
    base = picked()
    found = match(taken(base, np.arange(10, 300)), taken(base, np.arange(200)[::-1]))
    assert_array_equal(found.row[:190], np.arange(189, -1, -1))
    assert (found.row[190:] == UNKNOWN).all()


@pytest.mark.parametrize("swapped", [False, True])
def test_images_of_other_folders_are_the_same_images(swapped):
    base = picked()
    names = [name.replace("Extract/job018/Movies", "imported") for name in base.particle_id]
    other = replace(base, particle_id=np.array(names, dtype=object))
    other = taken(other, np.arange(299, -1, -1))
    found = match(other, base) if swapped else match(base, other)
    assert found.by == BY_IMAGE
    assert_array_equal(found.row, np.arange(299, -1, -1))


def test_uids_meet_names_by_their_stack():
    base = picked(coordinate_x=np.full(300, np.nan))
    other = as_cryosparc(base)
    index, stacks = zip(*(name.split("@") for name in base.particle_id), strict=True)
    names = np.array([f"J7/{stack[:-1]}" for stack in stacks], dtype=object)  # .mrc
    other = replace(other, stack=names, image_index=np.array(index, dtype=int) - 1)
    found = match(base, taken(other, np.arange(299, 99, -1)))
    assert found.by == BY_IMAGE
    assert_array_equal(found.row, np.where(np.arange(300) < 100, UNKNOWN, 299 - np.arange(300)))


def test_images_of_another_extraction_have_the_names_and_are_others():
    """As relion3_class2d_particles.star and relion31_bgal_refined.star: jobs 5 and 18 of one set."""
    base, other = picked(), picked(seed=5)
    names = [name.replace("job018", "job005") for name in other.particle_id]
    other = replace(other, particle_id=np.array(names, dtype=object))
    assert match(base, other).found < 5  # by chance
    blind = replace(other, coordinate_x=np.full(300, np.nan))
    assert match(base, blind).by == BY_IMAGE  # where nothing says that they are others


def test_uids_meet_names_by_their_place():
    base = picked()
    order = np.random.default_rng(3).permutation(300)
    found = match(base, taken(as_cryosparc(base), order[:250]))
    assert found.by == BY_PLACE
    expected = np.full(300, UNKNOWN)
    expected[order[:250]] = np.arange(250)
    assert_array_equal(found.row, expected)


def test_places_on_another_micrograph_are_other_places():
    base = picked()
    other = as_cryosparc(base)
    moved = np.roll(np.unique(other.micrograph), 1)
    names = dict(zip(np.unique(other.micrograph), moved, strict=True))
    other = replace(other, micrograph=np.array([names[m] for m in other.micrograph], dtype=object))
    assert match(base, other).found < 5


@pytest.mark.parametrize(
    ("shift", "tolerance", "found"), [(8, 12, 300), (30, 10, 0), (30, 50, 300)]
)
def test_the_tolerance_is_how_far_a_place_may_differ(shift, tolerance, found):
    base = picked()
    assert match(base, as_cryosparc(base, shift=shift), tolerance).found == found


def test_the_nearest_both_ways_are_the_same_and_nobody_is_found_twice():
    base = made_set(["1@a.mrcs", "2@a.mrcs"], coordinate_x=[0.0, 6.0], coordinate_y=[0.0, 0.0])
    other = made_set(["7", "8"], coordinate_x=[5.0, 500.0], coordinate_y=[0.0, 0.0])
    found = match(base, other)
    assert found.by == BY_PLACE
    assert_array_equal(found.row, [UNKNOWN, 0])


def test_what_meets_by_chance_is_not_believed(monkeypatch):
    """Unrelated picks, so crowded that many have another within the tolerance."""
    base, other = picked(2000, 2), as_cryosparc(picked(2000, 2, seed=9))
    assert match(base, other, 25.0).found == 0
    monkeypatch.setattr(matching, "ABOVE_CHANCE", 0.0)
    assert match(base, other, 25.0).found > 100


def test_y_counted_the_other_way_is_found_and_named():
    base = picked()
    other = as_cryosparc(base)
    other = taken(replace(other, coordinate_y=HEIGHT - other.coordinate_y), np.arange(299, -1, -1))
    found = match(base, other)
    assert found.by == BY_MIRROR
    assert_array_equal(found.row, np.arange(299, -1, -1))
    # of unrelated picks a mirror finds none
    stranger = as_cryosparc(picked(seed=4))
    assert match(base, replace(stranger, coordinate_y=HEIGHT - stranger.coordinate_y)).found < 5


def test_without_coordinates_or_common_names_nothing_is_found():
    base = picked(coordinate_x=np.full(300, np.nan), coordinate_y=np.full(300, np.nan))
    assert match(base, as_cryosparc(base)).found == 0
    assert match(as_cryosparc(base), base).found == 0


@pytest.mark.parametrize("known", [True, False])
def test_one_particle_meets_one_particle(known):
    place = {"coordinate_x": [50.0], "coordinate_y": [70.0]} if known else {}
    base = made_set(["1@a/one.mrcs"], **place)
    assert match(base, made_set(["1@a/one.mrcs"], **place)).by == BY_ID
    assert match(base, made_set(["1@b/one.mrcs"], **place)).by == BY_IMAGE
    assert match(base, made_set(["77"], **place)).found == known
    assert match(base, made_set(["2@a/one.mrcs"])).found == 0


def test_particles_of_one_image_are_told_apart_by_order_and_that_is_said():
    ids = ["1@a.mrcs", "1@a.mrcs~2", "1@a.mrcs~3", "2@a.mrcs"]
    base = made_set(ids)
    assert match(base, made_set(ids)).alike == 3
    other = made_set(["2@a.mrcs", *ids[:3]])
    found = match(base, other)
    assert_array_equal(found.row, [1, 2, 3, 0])
    assert (found.by, found.alike) == (BY_ID, 3)
    elsewhere = made_set([f"{n.split('@')[0]}@job9/{n.split('@')[1]}" for n in other.particle_id])
    found = match(base, elsewhere)
    assert_array_equal(found.row, [1, 2, 3, 0])
    assert (found.by, found.alike) == (BY_IMAGE, 3)


def test_of_an_image_with_fewer_particles_nobody_knows_which_are_left():
    """The second of three is left out and the third becomes the second: names must not decide."""
    base = made_set(["1@a.mrcs", "1@a.mrcs~2", "1@a.mrcs~3", "2@a.mrcs"])
    found = match(base, made_set(["1@a.mrcs", "1@a.mrcs~2", "2@a.mrcs"]))
    assert_array_equal(found.row, [UNKNOWN, UNKNOWN, UNKNOWN, 2])
    assert (found.unlike, match(base, made_set(["2@a.mrcs"])).unlike) == (3, 0)


def test_where_their_places_differ_these_do():
    x, y = np.array([0.0, 300.0, 600.0, 900.0]), np.zeros(4)
    ids = ["1@a.mrcs", "1@a.mrcs~2", "1@a.mrcs~3", "2@a.mrcs"]
    base = made_set(ids, coordinate_x=x, coordinate_y=y)
    rows = [0, 2, 3]
    fewer = made_set(
        ["1@a.mrcs", "1@a.mrcs~2", "2@a.mrcs"], coordinate_x=x[rows], coordinate_y=y[rows]
    )
    found = match(base, fewer)
    assert found.by == BY_PLACE
    assert_array_equal(found.row, [0, UNKNOWN, 1, 2])


def test_ids_of_either_type_of_text_are_equal():
    base = picked()
    fixed = replace(base, particle_id=base.particle_id.astype(str))
    assert_array_equal(match(base, fixed).row, np.arange(300))
    assert_array_equal(match(fixed, taken(base, [5, 3])).row[[5, 3]], [0, 1])


def test_of_two_in_one_place_nobody_knows_which_is_meant():
    x, y = [0.0, 0.0, 300.0], [5.0, 5.0, 5.0]
    base = made_set(["1@a.mrcs", "1@a.mrcs~2", "2@a.mrcs"], coordinate_x=x, coordinate_y=y)
    found = match(base, made_set(["7", "8", "9"], coordinate_x=x, coordinate_y=y))
    assert_array_equal(found.row, [UNKNOWN, UNKNOWN, 2])
