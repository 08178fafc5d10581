"""Joining on real files: two programs' files of one set, two extractions, and one virus in pieces."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from parfocal.errors import InputError
from parfocal.io.defocus_sets import read_defocus_set
from parfocal.join import join
from parfocal.matching import BY_ID, BY_IMAGE, BY_PLACE, match


@pytest.fixture(scope="module")
def formats(data):
    """Name -> the set of that file, under that name."""
    return lambda name: read_defocus_set(data / "formats" / name, name)


def rows_of(one, rows):
    """Some rows of a set, in that order."""
    columns = {k: v[rows] for k, v in vars(one).items() if isinstance(v, np.ndarray)}
    return replace(one, **columns)


def test_cryosparcs_and_relions_file_of_one_set_tell_the_same(formats):
    star, cs = formats("empiar_10076_7.star"), formats("empiar_10076_7.cs")
    joined = join([star, rows_of(cs, [4, 2, 6, 0, 1, 5, 3])])
    assert joined.joints[1].by == BY_IMAGE
    assert (joined.joints[1].joined, joined.joints[1].in_order) == (7, False)
    assert np.ptp(joined.defocus[:, 0]) > 200  # by row they would differ
    assert_allclose(joined.defocus[:, 1], joined.defocus[:, 0], atol=1e-3)  # float32 of 15 000 Å
    assert_allclose(joined.astigmatism[:, 1], joined.astigmatism[:, 0], atol=1e-2)


def test_uids_and_images_lead_to_the_same_particles(formats):
    cs = formats("t20s_particles.cs")
    assert len(cs) == 11764
    order = np.random.default_rng(0).permutation(len(cs))
    other = rows_of(cs, order[:9000])
    places = zip((other.image_index + 1).tolist(), other.stack.tolist(), strict=True)
    exported = [f"{index:06d}@csparc/{stack}s" for index, stack in places]  # as STAR names them
    named = replace(other, particle_id=np.array(exported, dtype=object))
    by_uid, by_image = match(cs, other), match(cs, named)
    assert (by_uid.by, by_image.by) == (BY_ID, BY_IMAGE)
    assert_array_equal(by_uid.row, by_image.row)
    assert_array_equal(np.flatnonzero(by_uid.row >= 0), np.sort(order[:9000]))
    assert_array_equal(cs.defocus[by_uid.row >= 0], other.defocus[by_uid.row[by_uid.row >= 0]])


def test_refined_defoci_spread_within_their_micrographs(formats):
    """As the data's README has it: 196 micrographs, standard deviation 115 Å within them."""
    cs = formats("t20s_particles.cs")
    names, number = np.unique(cs.micrograph_keys(), return_inverse=True)
    assert len(names) == 196
    spread = [cs.defocus[number == m].std() for m in range(196)]
    assert np.median(spread) == pytest.approx(115, abs=10)


def test_two_extractions_of_the_same_micrographs_share_names_and_not_particles(formats):
    """Jobs 5 and 18 call their stacks alike: 4351 images of one have the name of another's."""
    refined, early = (
        formats("relion31_bgal_refined.star"),
        formats("relion3_class2d_particles.star"),
    )
    shared = set(refined.image_keys()) & set(early.image_keys())
    assert len(shared) > 4000
    found = match(refined, early)
    assert found.by == BY_PLACE
    assert 700 < found.found < 900
    met = found.row >= 0
    here = np.stack([refined.coordinate_x, refined.coordinate_y])[:, met]
    there = np.stack([early.coordinate_x, early.coordinate_y])[:, found.row[met]]
    assert np.hypot(*(here - there)).max() <= 10
    # CTFFIND's defocus of their micrograph, run twice
    assert_allclose(refined.defocus[met], early.defocus[found.row[met]], atol=30)
    # without coordinates nothing can tell, and the names are believed
    unknown = np.full(len(early), np.nan)
    assert match(refined, replace(early, coordinate_x=unknown)).by == BY_IMAGE


def test_subparticles_of_one_image_are_told_apart_by_their_order_alone(formats):
    virus = formats("virus_subparticles.star")
    found = match(virus, virus)
    assert (found.by, found.found, found.alike) == (BY_ID, 60, 60)
    # without one of them nobody can say which are left: all lie in one place of one image
    with pytest.raises(InputError, match="60 in images of which the sets hold different"):
        join([virus, replace(rows_of(virus, np.arange(59)), name="less")])
