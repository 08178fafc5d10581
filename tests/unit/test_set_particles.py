"""Sets of defoci put into their particles: by id, with astigmatism, and what is missing is missing."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.conventions import astigmatism_vector
from parfocal.defocus_set import set_of_particles
from parfocal.errors import InputError
from parfocal.io import write_star
from parfocal.join import join
from parfocal.set_particles import check_half_sets, sets_of_particles

from .conftest import make_optics, make_particles

N = 12


@pytest.fixture
def base():
    return make_particles(make_optics(), N, seed=3)


def joined_to(base, **sets):
    """The particle sets `sets` joined to `base`."""
    ours = set_of_particles(base, "input")
    return join((set_of_particles(one, name) for name, one in sets.items()), ours)


def test_rows_follow_the_template_whatever_their_order_in_the_set(base):
    other = replace(
        base,
        defocus_u=base.defocus_u + np.arange(N) * 10.0,
        defocus_v=base.defocus_v + np.arange(N) * 10.0,
    )
    order = np.random.default_rng(0).permutation(N)
    found = sets_of_particles(joined_to(base, other=other.take(order)), base)
    got = found.particles["other"]
    np.testing.assert_array_equal(got.particle_id, base.particle_id)
    np.testing.assert_allclose(got.defocus_u, other.defocus_u, rtol=1e-12)
    np.testing.assert_allclose(got.defocus_v, other.defocus_v, rtol=1e-12)
    np.testing.assert_array_equal(got.defocus_angle, base.defocus_angle)
    assert found.held.all()
    by_row = other.take(order)  # what joining by row would have made
    assert np.abs(by_row.defocus - got.defocus).max() > 10


def test_another_astigmatism_is_taken_over_as_a_vector(base):
    """U and V turned about, or another angle: the same ellipse comes out."""
    other = replace(
        base, defocus_u=base.defocus_v + 70, defocus_v=base.defocus_u, defocus_angle=base.rot
    )
    got = sets_of_particles(joined_to(base, other=other), base).particles["other"]
    theirs, ours = (
        astigmatism_vector(p.defocus_u, p.defocus_v, p.defocus_angle) for p in (other, got)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_all_but_the_defocus_is_the_templates(base):
    other = replace(base, rot=base.rot + 1, half_set=base.half_set, origin_x=0 * base.origin_x)
    got = sets_of_particles(joined_to(base, other=other), base).particles["other"]
    for name, column in base.columns().items():
        np.testing.assert_array_equal(getattr(got, name), column, err_msg=name)


def test_particles_that_a_set_lacks_are_held_by_none(base):
    sets = joined_to(base, a=base.take(np.arange(1, N)), b=base.take(np.arange(N - 2)))
    found = sets_of_particles(sets, base)
    assert np.flatnonzero(~found.held).tolist() == [0, N - 2, N - 1]
    assert np.isnan(found.particles["a"].defocus_u[0])
    assert "not a number" in found.particles["a"].faults()[0]
    common = found.common()
    assert [len(one) for one in common.values()] == [N - 3, N - 3]
    assert np.isfinite(common["a"].defocus).all()


def test_an_absurd_defocus_is_as_none(base):
    wild = base.defocus_u.copy()
    wild[4] = 1e7
    found = sets_of_particles(joined_to(base, a=replace(base, defocus_u=wild)), base)
    assert np.flatnonzero(~found.held).tolist() == [4]


def test_another_base_is_an_error(base):
    with pytest.raises(ValueError, match="another base"):
        sets_of_particles(joined_to(base, a=base), base.take(np.arange(N)[::-1]))


def written(path, particles, half_set):
    write_star(
        path,
        {
            "optics": {
                name: [value]
                for name, value in {
                    "rlnOpticsGroup": "1",
                    "rlnVoltage": "300",
                    "rlnSphericalAberration": "2.7",
                    "rlnAmplitudeContrast": "0.1",
                    "rlnImagePixelSize": "1.5",
                    "rlnImageSize": "48",
                }.items()
            },
            "particles": {
                "rlnImageName": particles.particle_id.tolist(),
                "rlnOpticsGroup": ["1"] * len(particles),
                "rlnDefocusU": list(map(str, particles.defocus_u.tolist())),
                "rlnDefocusV": list(map(str, particles.defocus_v.tolist())),
                "rlnRandomSubset": list(map(str, half_set.tolist())),
            },
        },
    )
    return path


def test_a_set_with_other_half_sets_is_refused_by_name(base, tmp_path):
    """Whatever the order of its rows; one that tells none is let pass."""
    order = np.arange(N)[::-1]
    shuffled = base.take(order)
    sets = joined_to(base, other=shuffled)
    same = {"other": written(tmp_path / "same.star", shuffled, shuffled.half_set)}
    none = {"other": written(tmp_path / "none.star", shuffled, 0 * shuffled.half_set)}
    check_half_sets(same, sets, base)
    check_half_sets(none, sets, base)
    wrong = shuffled.half_set.copy()
    wrong[0] = 3 - wrong[0]
    file = written(tmp_path / "wrong.star", shuffled, wrong)
    with pytest.raises(InputError, match=rf"other \(.*wrong.star\): 1 of {N} particles") as told:
        check_half_sets({"other": file}, sets, base)
    assert base.particle_id[-1] in str(told.value)
