"""Sets in one table: each value where its particle is, and whatever did not join counted and named."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from parfocal.conventions import astigmatism_vector
from parfocal.defocus_set import set_of_estimates, set_of_particles
from parfocal.errors import InputError
from parfocal.join import join
from parfocal.matching import BY_ID, BY_IMAGE, BY_PLACE

from .conftest import make_optics, make_particles
from .test_defocus_set import made_set
from .test_ice import made_up

IDS = ["1@a.mrcs", "2@a.mrcs", "3@a.mrcs"]


def estimates(defocus, change, **columns):
    n = len(defocus)
    made = made_up(["a"] * n, np.arange(n) * 100, np.zeros(n), defocus)
    return replace(made, defocus_change=np.array(change, float), **columns)


def test_rows_follow_the_base_whatever_order_a_set_has():
    first = made_set(IDS, [9000.0, 9100.0, 9200.0], name="first")
    second = made_set(
        ["3@a.mrcs", "1@a.mrcs", "9@a.mrcs"],
        [9230.0, 9010.0, 5000.0],
        name="second",
        error=[3.0, 1.0, 9.0],
        fold_1=[31.0, 11.0, 91.0],
        fold_2=[32.0, 12.0, 92.0],
        ok=[False, True, True],
        coordinate_x=[300.0, 100.0, 900.0],
        coordinate_y=[30.0, 10.0, 90.0],
    )
    joined = join(iter([first, second]))
    nan = np.nan
    assert joined.names == ("first", "second")
    assert joined.base is first
    assert_array_equal(joined.row, [[0, 1], [1, -1], [2, 0]])
    assert_array_equal(joined.defocus[:, 1], [9010.0, nan, 9230.0])
    assert_array_equal(joined.error[:, 1], [1.0, nan, 3.0])
    assert_array_equal(joined.folds[:, 1], [[11.0, 12.0], [nan, nan], [31.0, 32.0]])
    assert_array_equal(joined.coordinate[:, 1], [[100.0, 10.0], [nan, nan], [300.0, 30.0]])
    assert_array_equal(joined.ok, [[True, True], [True, False], [True, False]])
    assert joined.folds.shape == joined.astigmatism.shape == joined.coordinate.shape == (3, 2, 2)
    assert len(joined) == 3


def test_what_does_not_join_is_counted_and_named():
    first = made_set(IDS, name="first")
    second = made_set(["3@a.mrcs", "1@a.mrcs", "9@a.mrcs"], name="second")
    one, two = join([first, second]).joints
    assert str(one) == "first: 3 of 3 particles joined by particle id"
    assert (two.by, two.particles, two.joined, two.missing, two.beyond) == (BY_ID, 3, 2, 1, 1)
    assert (two.examples_missing, two.examples_beyond) == (("2@a.mrcs",), ("9@a.mrcs",))
    assert not two.in_order
    assert str(two) == (
        "second: 2 of 3 particles joined by particle id; 1 of the base are not in it, such as "
        "2@a.mrcs; 1 are not in the base, such as 9@a.mrcs; its rows are in another order"
    )


def test_particles_known_by_their_order_alone_are_told_of():
    ids = ["1@a.mrcs", "1@a.mrcs~2", "2@a.mrcs"]
    joint = join([made_set(ids, name="first"), made_set(ids, name="second")]).joints[1]
    assert joint.alike == 2
    assert str(joint).endswith("; 2 share their image, and only their order tells them apart")


def test_images_with_another_number_of_particles_are_told_of():
    base = made_set(["1@a.mrcs", "1@a.mrcs~2", "2@a.mrcs"], name="all")
    fewer = made_set(["1@a.mrcs", "2@a.mrcs"], name="fewer")
    (joint,) = join([fewer], base).joints
    assert (joint.joined, joint.missing, joint.unlike) == (1, 2, 2)
    assert "2 in images of which the sets hold different numbers" in str(joint)
    with pytest.raises(InputError, match="2 in images of which"):
        join([made_set(["1@a.mrcs"], name="one")], base)


def test_each_set_may_be_known_by_something_else():
    x, y = np.array([0.0, 100.0, 200.0]), np.zeros(3)
    base = made_set(IDS, coordinate_x=x, coordinate_y=y, name="base")
    images = made_set([f"{i}@else/a.mrc" for i in (1, 2, 3)], name="images")
    places = made_set(["7", "8", "9"], coordinate_x=x + 2, coordinate_y=y, name="places")
    assert [j.by for j in join([base, images, places]).joints] == [BY_ID, BY_IMAGE, BY_PLACE]


def test_the_prior_is_what_the_first_who_knows_tells():
    file = made_set(IDS, [9050.0, 9150.0, 9250.0], name="file")
    some = set_of_estimates(estimates([9000.0, 9100.0], [5.0, 6.0]), "some")
    more = set_of_estimates(estimates([8000.0, 8100.0, 8200.0], [5.0, 6.0, 7.0]), "more")
    joined = join([file, some, more])
    assert_array_equal(joined.prior, [9000.0, 9100.0, 8200.0])
    assert_array_equal(joined.change(), [[50, 5, -995], [50, 6, -994], [1050, np.nan, 7]])
    assert np.isnan(join([file]).prior).all()
    assert np.isnan(join([file]).change()).all()


def test_a_base_that_is_given_is_no_set_and_its_defocus_is_the_prior():
    base = made_set(IDS, [9000.0, 9100.0, 9200.0], name="input")
    joined = join([set_of_estimates(estimates([8000.0] * 3, [1.0, 2.0, 3.0]), "one")], base)
    assert joined.names == ("one",)
    assert joined.base is base
    assert_array_equal(joined.prior, base.defocus)
    assert_array_equal(joined.change()[:, 0], [-999.0, -1098.0, -1197.0])


def test_a_base_whose_defocus_is_no_number_leaves_the_prior_to_the_sets():
    base = made_set(IDS, [9000.0, np.nan, 9200.0], ok=[True, False, True])
    joined = join([set_of_estimates(estimates([8000.0] * 3, [0.0] * 3), "one")], base)
    assert_array_equal(joined.prior, [9000.0, 8000.0, 9200.0])


def test_a_failed_particle_has_no_change():
    made = estimates([9000.0] * 3, [5.0, 0.0, 7.0], status=np.array([0, 2, 0]))
    joined = join([set_of_estimates(made)])
    assert_array_equal(joined.ok[:, 0], [True, False, True])
    assert_array_equal(joined.change()[:, 0], [5.0, np.nan, 7.0])
    assert_array_equal(joined.defocus[:, 0], [9005.0, 9000.0, 9007.0])


def test_astigmatism_is_the_files_or_the_inputs_with_the_change():
    optics = make_optics()
    u, v, angle = np.array([9300.0, 9400.0]), np.array([9000.0, 9000.0]), np.array([0.2, 1.3])
    particles = make_particles(optics, 2, defocus_u=u, defocus_v=v, defocus_angle=angle)
    ids = particles.particle_id
    base = set_of_particles(particles, "input")
    made = estimates([9150.0, 9200.0], [0.0, 0.0], particle_id=ids)
    made = replace(made, astigmatism_change_x=np.array([10.0, -20.0]))
    turned = replace(particles, defocus_u=v, defocus_v=u)  # the same ellipses, turned by 90°
    sets = [set_of_estimates(made, "ours"), set_of_particles(turned, "theirs")]
    joined = join(sets, base)
    vector = np.stack(astigmatism_vector(u, v, angle)[1:], axis=1)
    assert_allclose(joined.astigmatism[:, 0], vector + np.array([[10, 0], [-20, 0]]))
    assert_allclose(joined.astigmatism[:, 1], -vector)
    # where nobody knows the input's, a change alone says nothing
    assert np.isnan(join([sets[0]]).astigmatism).all()


def test_sets_that_are_means_over_a_prior_are_marked():
    made = estimates([9000.0] * 3, [0.0] * 3)
    drawn = replace(made, settings={"posterior": True})
    joined = join([set_of_estimates(made, "a"), set_of_estimates(drawn, "b")])
    assert joined.posterior.tolist() == [False, True]


def test_sets_are_read_one_by_one():
    order = []

    def sets():
        for name in "abc":
            order.append(name)
            yield made_set(IDS, name=name)

    read = sets()
    first = next(read)
    assert join(read, first).names == ("b", "c")
    assert order == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        ([], "no sets to join"),
        ([made_set(IDS, name="a"), made_set(IDS, name="a")], "two sets are called 'a'"),
        (
            [made_set(IDS, name="a"), made_set(["1@b.mrcs"], name="b")],
            r"b: no particle of b is one of a's 3, such as 1@a.mrcs; its own are such as 1@b.mrcs",
        ),
    ],
)
def test_sets_that_cannot_be_joined_are_refused(sets, says):
    with pytest.raises(InputError, match=says):
        join(sets)
    with pytest.raises(InputError, match="no sets"):
        join([], made_set(IDS))


@pytest.mark.parametrize("tolerance", [0.0, -1.0, np.nan, np.inf])
def test_a_tolerance_that_cannot_be_is_refused(tolerance):
    with pytest.raises(InputError, match="tolerance"):
        join([made_set(IDS)], tolerance=tolerance)
