"""The pass: every particle once, in order, resumable, its failures told, its optics group its own."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal import chunks as chunks_module
from parfocal import evidence as module
from parfocal.chunks import CHUNK, MemoryStore, plan, stored
from parfocal.estimates import Status
from parfocal.evidence import gather, lay_grids
from parfocal.execution import threads
from parfocal.particles import ImageError, Particles
from parfocal.reference import half_map_reference, map_reference

from .conftest import SMALL, make_case, make_optics, make_particles, sums_of


class Counted:
    """Other images, and the rows of them that were read. Some fail."""

    def __init__(self, images, fails=()):
        self.images, self.fails, self.rows = images, dict(fails), []

    def read_into(self, row, out):
        self.rows.append(row)
        if isinstance(self.fails.get(row), str):
            raise ImageError(self.fails[row])
        self.images.read_into(row, out)
        if row in self.fails:
            out[2, 3] = self.fails[row]


class Reordered:
    """Images of another order of their particles."""

    def __init__(self, images, rows):
        self.images, self.rows = images, rows

    def read_into(self, row, out):
        self.images.read_into(int(self.rows[row]), out)


def many_stacks(n=700):
    """Particles of two optics groups, in five stacks, in no order."""
    rng = np.random.default_rng(3)
    order = rng.permutation(n)
    particles = make_particles(
        make_optics(),
        n,
        stack=np.array([f"stack_{i % 5}" for i in order]),
        image_index=order // 5,
    )
    two = make_optics(), make_optics(pixel_size=2.0)
    return replace(particles, optics=two, optics_group=rng.integers(2, size=n))


def test_chunks_hold_every_particle_once_along_its_stack():
    particles = many_stacks()
    chunks = plan(particles)
    np.testing.assert_array_equal(np.sort(np.concatenate([c.rows for c in chunks])), np.arange(700))
    for chunk in chunks:
        assert (particles.optics_group[chunk.rows] == chunk.group).all()
        assert 0 < len(chunk.rows) <= CHUNK
        place = list(
            zip(particles.stack[chunk.rows], particles.image_index[chunk.rows], strict=True)
        )
        assert place == sorted(place)


def test_no_particles_are_no_chunks():
    assert plan(make_particles(make_optics(), 0)) == ()


def test_grids_hold_delocalisation_or_what_was_asked_for(small):
    particles, reference = small.particles, small.reference
    auto = lay_grids(particles, reference, change_max=500.0)[0]
    assert SMALL.box < auto.padded_size <= 2 * SMALL.box
    farther = replace(particles, defocus_u=particles.defocus_u + 9_000)
    assert lay_grids(farther, reference, change_max=500.0)[0].padded_size > auto.padded_size
    wider = lay_grids(particles, reference, change_max=3000.0)[0]
    assert wider.padded_size > auto.padded_size
    assert wider.change_max == 3000
    assert lay_grids(particles, reference, change_max=500.0, padding=1.5)[0].padded_size == 96


def test_groups_without_particles_have_no_grid_and_frequencies_end_with_the_reference(small):
    coarse = map_reference(small.simulation.map, pixel_size=2.0, resolution=8.0)
    unused, used = make_optics(), small.particles.optics[0]
    particles = replace(
        small.particles, optics=(unused, used), optics_group=small.particles.optics_group + 1
    )
    grids = lay_grids(particles, coarse, change_max=500.0)
    assert set(grids) == {1}
    assert coarse.k_max - 1 / 128 < grids[1].k.max() < coarse.k_max


def test_another_order_of_the_particles_is_the_same_evidence(small):
    rows = np.random.default_rng(1).permutation(len(small.particles))
    images = Reordered(small.simulation.images, rows)
    mixed = gather(small.particles.take(rows), images, small.reference)
    np.testing.assert_array_equal(sums_of(mixed), small.sums[rows])
    np.testing.assert_allclose(mixed.models[0].noise, small.evidence.models[0].noise, rtol=1e-5)


def test_threads_give_the_same_evidence(small, monkeypatch):
    monkeypatch.setattr(chunks_module, "CHUNK", 40)
    images = Counted(small.simulation.images)
    threaded = gather(small.particles, images, small.reference, run=threads(3))
    assert len(threaded.chunks) > 3
    assert sorted(images.rows) == list(range(len(small.particles)))
    np.testing.assert_array_equal(sums_of(threaded), small.sums)


def test_a_chunk_that_is_stored_is_not_computed_again(small, monkeypatch):
    monkeypatch.setattr(chunks_module, "CHUNK", 100)
    store, chunks = MemoryStore(), plan(small.particles)
    whole = gather(small.particles, small.simulation.images, small.reference)
    spectra = stored(whole.store, 1)
    store.put(1, replace(spectra, sums=2 * spectra.sums))
    images = Counted(small.simulation.images)
    resumed = gather(small.particles, images, small.reference, store=store)
    missing = np.concatenate([chunks[0].rows, chunks[2].rows])
    assert sorted(images.rows) == sorted(missing.tolist())
    np.testing.assert_array_equal(sums_of(resumed)[missing], small.sums[missing])
    np.testing.assert_array_equal(sums_of(resumed)[chunks[1].rows], 2 * small.sums[chunks[1].rows])
    images.rows.clear()
    gather(small.particles, images, small.reference, store=store)
    assert not images.rows


def test_a_missing_chunk_is_not_taken_for_an_empty_one(small):
    with pytest.raises(LookupError, match="chunk 7"):
        stored(small.evidence.store, 7)


def test_failures_are_told_and_harm_no_one_else(small):
    """Unreadable, NaN and infinite images, and a particle without a pose."""
    fails = {3: "the stack ends here", 11: np.nan, 250: np.inf}
    rot = small.particles.rot.copy()
    rot[20] = np.nan
    particles = replace(small.particles, rot=rot)
    images = Counted(small.simulation.images, fails)
    evidence = gather(particles, images, small.reference)
    status, reason = evidence.failures(len(particles))
    assert dict(zip(np.flatnonzero(status), status[status != Status.OK], strict=True)) == {
        3: Status.NOT_READ,
        11: Status.NON_FINITE,
        20: Status.NON_FINITE,
        250: Status.NON_FINITE,
    }
    assert reason[3] == "the stack ends here"
    assert "NaN" in reason[11]
    assert "pose" in reason[20]
    assert (reason[status == Status.OK] == "").all()
    good = status == Status.OK
    np.testing.assert_array_equal(sums_of(evidence)[good], small.sums[good])
    assert (sums_of(evidence)[~good] == 0).all()
    assert np.isfinite(evidence.models[0].noise).all()
    assert evidence.models[0].noise == pytest.approx(small.evidence.models[0].noise, rel=0.05)


def test_constant_images_are_told_and_without_any_other_there_is_no_model(small):
    class Constant:
        def read_into(self, row, out):
            out[...] = 0.1

    evidence = gather(small.particles, Constant(), small.reference)
    status, reason = evidence.failures(len(small.particles))
    assert (status == Status.NON_FINITE).all()
    assert set(reason) == {"constant image"}
    assert evidence.models == {}
    assert list(evidence.batches()) == []


@pytest.fixture(scope="module")
def two_groups(small):
    """The small set and one with another box and pixel, shuffled into each other."""
    other = make_case(seed=1, box=48, pixel_size=2.4, particles=120, micrographs=2)
    n, m = len(small.particles), len(other.particles)
    columns = {
        name: np.concatenate([column, getattr(other.particles, name)])
        for name, column in small.particles.columns().items()
    }
    columns["optics_group"] = np.repeat([0, 1], [n, m])
    columns["particle_id"] = np.array([f"{i:06d}@both" for i in range(n + m)])
    optics = small.particles.optics + other.particles.optics
    rows = np.random.default_rng(2).permutation(n + m)
    particles = Particles(optics=optics, **columns).take(rows)

    class Both:
        def read_into(self, row, out):
            here = rows[row]
            images = small.simulation.images if here < n else other.simulation.images
            images.read_into(int(here % n if here < n else here - n), out)

    return other, rows, gather(particles, Both(), small.reference)


def test_two_optics_groups_in_one_set_are_as_each_alone(small, two_groups):
    """The same map serves both: the second group's particles are of another protein, no matter."""
    other, rows, both = two_groups
    alone = gather(other.particles, other.simulation.images, small.reference)
    for group, single, offset in ((0, small.evidence, 0), (1, alone, len(small.particles))):
        model, expected = both.models[group], single.models[0]
        assert model.grid.optics.image_size == expected.grid.optics.image_size
        np.testing.assert_allclose(model.amplitude, expected.amplitude, rtol=1e-3)
        np.testing.assert_allclose(model.noise, expected.noise, rtol=1e-4)
        sums = sums_of(single)
        for here, spectra, noise_model in both.batches():
            if noise_model is model:
                np.testing.assert_array_equal(spectra.sums, sums[rows[here] - offset])


def test_the_grid_of_changes_is_the_finest_of_all_groups(small):
    model = small.evidence.models[0]
    finer = replace(model, grid=replace(model.grid, s=6 * model.grid.s))
    one, two = (
        replace(small.evidence, models=models).change()
        for models in ({0: finer}, {0: model, 1: finer})
    )
    np.testing.assert_array_equal(one, two)
    assert len(one) > len(small.evidence.change())
    assert [one[0], one[-1]] == [-1000, 1000]


def test_every_particle_meets_its_own_half(small):
    halves, mask = small.simulation.half_maps, small.simulation.mask
    fsc = np.ones(SMALL.box // 2 + 1)
    reference = half_map_reference(*halves, pixel_size=2.0, mask=mask, fsc=fsc)
    some = small.particles.take(slice(0, 40))
    sums = sums_of(gather(some, small.simulation.images, reference))
    for half_set in (1, 2):
        own = map_reference(halves[half_set - 1] * mask, pixel_size=2.0)
        alone = gather(some, small.simulation.images, replace(reference, volumes=own.volumes))
        same = some.half_set == half_set
        assert same.any()
        np.testing.assert_allclose(sums_of(alone)[same], sums[same], rtol=0.02, atol=30)
        assert not np.allclose(sums_of(alone)[~same], sums[~same], rtol=0.02, atol=30)


def test_a_large_group_is_calibrated_on_some_of_its_particles(small, monkeypatch):
    taken = []
    calibrate = module.calibrate

    def noted(sums, prior, *args, **kwargs):
        taken.append(prior)
        return calibrate(sums, prior, *args, **kwargs)

    monkeypatch.setattr(module, "calibrate", noted)
    monkeypatch.setattr(module, "CALIBRATION", 100)
    some = gather(
        small.particles, small.simulation.images, small.reference, store=small.evidence.store
    )
    assert len(taken[0]) == 100
    assert set(taken[0]) == set(small.particles.defocus)  # of every micrograph
    model, whole = some.models[0], small.evidence.models[0]
    np.testing.assert_allclose(model.amplitude, whole.amplitude, rtol=0.05)
