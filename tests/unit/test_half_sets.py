"""Half-sets drawn at random: balanced in every micrograph, and particles of one image together."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.errors import InputError
from parfocal.half_sets import check_half_sets_known, split_half_sets

from .conftest import make_optics, make_particles


def without(n=101, micrographs=7, seed=0, **columns):
    """Particles without half-sets, unevenly over micrographs that are not in order."""
    rng = np.random.default_rng(seed)
    names = np.array([f"mic{i}" for i in rng.integers(0, micrographs, n)], dtype=object)
    none = np.zeros(n, dtype=int)
    return make_particles(make_optics(), n, half_set=none, micrograph=names, **columns)


def split(particles, seed=1):
    return split_half_sets(particles, rng=np.random.default_rng(seed)).half_set


def test_halves_differ_by_one_particle_at_most_in_every_micrograph_and_in_all():
    particles = without()
    half = split(particles)
    assert set(half.tolist()) == {1, 2}
    for name in np.unique(particles.micrograph.astype(str)):
        counts = np.bincount(half[particles.micrograph == name], minlength=3)
        assert abs(counts[1] - counts[2]) <= 1
    assert abs((half == 1).sum() - (half == 2).sum()) <= 1


def test_a_split_at_random_over_all_is_not_balanced_in_every_micrograph():
    particles = without()
    half = np.random.default_rng(1).permutation(np.arange(len(particles)) % 2 + 1)
    excess = [
        abs(np.bincount(half[particles.micrograph == name], minlength=3)[1:] @ (1, -1))
        for name in np.unique(particles.micrograph.astype(str))
    ]
    assert max(excess) > 1


def test_micrographs_of_one_particle_are_dealt_to_both_halves():
    n = 40
    names = np.array([f"mic{i}" for i in range(n)], dtype=object)
    particles = replace(without(n), micrograph=names)
    assert (split(particles) == 1).sum() == n // 2


def test_a_seed_gives_one_split_and_another_seed_another():
    particles = without()
    np.testing.assert_array_equal(split(particles), split(particles))
    assert 0.3 < (split(particles) == split(particles, seed=2)).mean() < 0.7


def test_which_half_a_particle_is_in_is_even_and_knows_nothing_of_its_neighbour():
    particles = without(40)
    halves = np.array([split(particles, seed) for seed in range(400)]) == 1
    assert np.abs(halves.mean(axis=0) - 0.5).max() < 4.5 * 0.5 / np.sqrt(400)
    rows = np.flatnonzero(particles.micrograph == particles.micrograph[0])[:2]
    together = (halves[:, rows[0]] == halves[:, rows[1]]).mean()
    pairs = (particles.micrograph == particles.micrograph[0]).sum()
    expected = (pairs / 2 - 1) / (pairs - 1)  # drawn without replacement, less often than half
    assert together == pytest.approx(expected, abs=4.5 * 0.5 / np.sqrt(400) + 1 / pairs**2)


def test_particles_of_one_image_stay_together():
    """Or both halves would hold the same noise."""
    n = 120
    particles = replace(without(n), image_index=np.arange(n) // 4)
    half = split(particles).reshape(-1, 4)
    assert (half == half[:, :1]).all()
    apart = split(without(n)).reshape(-1, 4)
    assert (apart != apart[:, :1]).any()


def test_images_of_one_index_in_two_stacks_are_two_images():
    n = 60
    stacks = np.array(["a", "b"] * (n // 2), dtype=object)
    particles = replace(without(n), stack=stacks, image_index=np.arange(n) // 2)
    half = split(particles).reshape(-1, 2)
    assert (half[:, 0] != half[:, 1]).any()


def test_half_sets_that_are_missing_are_told():
    particles = without(10)
    with pytest.raises(InputError, match="10 of 10 particles have no half-set"):
        check_half_sets_known(particles)
    some = replace(particles, half_set=np.array([0, 0] + [1, 2] * 4))
    with pytest.raises(InputError, match=r"2 of 10 .* leave these particles out"):
        check_half_sets_known(some)
    with pytest.raises(InputError, match="all 10 particles are in half-set 2"):
        check_half_sets_known(replace(particles, half_set=np.full(10, 2)))
    check_half_sets_known(replace(particles, half_set=split(particles)))


def test_no_particles_are_no_fault():
    particles = without(10).take(np.zeros(10, dtype=bool))
    assert len(split_half_sets(particles, rng=np.random.default_rng(0))) == 0
