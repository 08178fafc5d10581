"""Maps from simulated particles against the map that they were drawn from, on its own scale."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import scipy.fft

from parfocal.conventions import rotation_matrix
from parfocal.errors import InputError
from parfocal.execution import threads
from parfocal.fsc import shell_correlation, shell_index
from parfocal.grid import Fold, spectra_grid
from parfocal.held_out import HeldOut, grid_of_fold
from parfocal.optics import ctf, defocus_along, defocus_phase, fixed_phase
from parfocal.particles import ImageError, Images, Particles
from parfocal.projection import FourierVolume, fourier_volume, project
from parfocal.reconstruct import reconstruct, reconstruct_sets
from parfocal.simulate import Scene, simulate
from parfocal.simulate.simulation import SimulatedImages
from parfocal.symmetry import rotations

from .conftest import make_particles

BOX = 48
SCENE = Scene(
    particles=300,
    micrographs=2,
    box=BOX,
    pixel_size=2.5,
    residues=200,
    snr=1.0,
    defocus=(6_000.0, 9_000.0),
    astigmatism=1500.0,
    defocus_error=0.0,
    height_scatter=0.0,
    ice_tilt=0.0,
)
TRUSTED = np.arange(1, int(0.4 * BOX))  # shells up to 0.8 of Nyquist


class Clean(NamedTuple):
    """The images of a simulation without their noise."""

    images: SimulatedImages

    def read_into(self, row: int, out: np.ndarray) -> None:
        out[...] = self.images.clean(row)


class Broken(NamedTuple):
    """Other images, of which some cannot be read, and some hold what is no number."""

    images: Images
    missing: tuple[int, ...]
    not_finite: tuple[int, ...] = ()

    def read_into(self, row: int, out: np.ndarray) -> None:
        if row in self.missing:
            raise ImageError("no such stack")
        self.images.read_into(row, out)
        if row in self.not_finite:
            out[3, 4] = np.nan


def draw(seed=2, **changes):
    simulation = simulate(replace(SCENE, **changes), np.random.default_rng(seed))
    return simulation, Clean(simulation.images)


@pytest.fixture(scope="module")
def small():
    return draw()


def fsc(first, second):
    return shell_correlation(scipy.fft.rfftn(first), scipy.fft.rfftn(second))


def scale_of(density, truth):
    """Least-squares factor of `density` against `truth`, where that one is known."""
    shells = shell_index(BOX)
    inside = (shells > 0) & (shells < TRUSTED[-1])
    found, true = (scipy.fft.rfftn(x)[inside] for x in (density, truth))
    return np.vdot(true, found).real / np.vdot(true, true).real


def test_the_map_that_clean_images_were_drawn_from_comes_back(small):
    """In shape, and on its scale to 1 %. The mean too: images and their CTF have a zero frequency."""
    simulation, images = small
    found = reconstruct(simulation.particles, images)
    for density in (found.full(), found.half_map(1), found.half_map(2)):
        assert fsc(density, simulation.map)[TRUSTED].min() > 0.99
        assert scale_of(density, simulation.map) == pytest.approx(1, abs=0.01)
    assert found.full().mean() == pytest.approx(simulation.map.mean(), rel=0.02)
    assert fsc(found.half_map(1), found.half_map(2))[TRUSTED].min() < 0.99999  # not one another
    assert found.losses == ()
    assert (found.reason == "").all()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: replace(p, psi=-p.psi),
        lambda p: replace(p, tilt=np.pi - p.tilt),
        lambda p: replace(p, origin_x=-p.origin_x),
        lambda p: replace(p, defocus_u=p.defocus_v, defocus_v=p.defocus_u),
        lambda p: replace(p, defocus_u=p.defocus_u + 2000, defocus_v=p.defocus_v + 2000),
    ],
    ids=["psi turned", "other hand", "shift turned", "U and V swapped", "wrong defocus"],
)
def test_a_wrong_convention_is_noticed(small, spoil):
    simulation, images = small
    density = reconstruct(spoil(simulation.particles), images).full()
    assert fsc(density, simulation.map)[TRUSTED].min() < 0.9


@pytest.mark.parametrize(
    "change",
    [
        {"beam_tilt": (6.0, -4.0)},
        {"odd_zernike": (0.0, 0.0, 300.0, 0.0, 0.0, -200.0)},
        {"even_zernike": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 80.0)},
        {"magnification": (1.06, 0.0, 0.02, 0.94)},
        {"phase_shift": 70.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_aberrations_and_magnification_are_honoured(change):
    simulation, images = draw(**change)
    particles = simulation.particles
    density = reconstruct(particles, images).full()
    assert fsc(density, simulation.map)[TRUSTED].min() > 0.985
    assert scale_of(density, simulation.map) == pytest.approx(1, abs=0.015)
    plain = replace(SCENE, **change)
    if "phase_shift" in change:
        spoiled = replace(particles, phase_shift=0 * particles.phase_shift)
    else:
        spoiled = replace(particles, optics=(SCENE.optics(),))
    assert plain.optics() == particles.optics[0]
    assert fsc(reconstruct(spoiled, images).full(), simulation.map)[TRUSTED].min() < 0.97


def test_every_optics_group_has_its_own_aberrations_and_magnification():
    """Two groups, each with aberrations that the other has not; swapped they spoil the map."""
    changes = (
        {"beam_tilt": (6.0, -4.0), "magnification": (1.05, 0.0, 0.02, 0.96)},
        {"odd_zernike": (0.0, 0.0, 300.0), "even_zernike": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 80.0)},
    )
    (one, first), (two, second) = (draw(particles=150, **change) for change in changes)
    scale = np.linalg.norm(one.map) / np.linalg.norm(two.map)  # each has its SNR's own
    np.testing.assert_allclose(one.map, scale * two.map, atol=1e-4 * np.abs(one.map).max())

    class Both(NamedTuple):
        def read_into(self, row: int, out: np.ndarray) -> None:
            (first if row < 150 else second).read_into(row % 150, out)
            out *= 1 if row < 150 else scale

    columns = {
        name: np.concatenate([column, two.particles.columns()[name]])
        for name, column in one.particles.columns().items()
    }
    columns["optics_group"] = np.repeat([0, 1], 150)
    columns["particle_id"] = np.arange(300).astype(str)
    optics = (one.particles.optics[0], two.particles.optics[0])
    found = reconstruct(Particles(optics=optics, **columns), Both()).full()
    assert fsc(found, one.map)[TRUSTED].min() > 0.98
    swapped = reconstruct(Particles(optics=optics[::-1], **columns), Both()).full()
    assert fsc(swapped, one.map)[TRUSTED].min() < 0.9


def symmetric_map(name, seed=6, size=BOX, pixel_size=SCENE.pixel_size):
    """Gaussians of 5 Å at random places, and where the group takes them: float32 (size, size, size)."""
    places = np.random.default_rng(seed).normal(0, 15, (8, 3))
    x = (np.arange(size) - size // 2) * pixel_size
    density = np.zeros((size, size, size))
    for place in (rotations(name) @ places.T).transpose(0, 2, 1).reshape(-1, 3):
        along = np.exp(-((x[:, None] - place) ** 2) / (2 * 5.0**2))
        density += np.einsum("x,y,z->zyx", *along.T)
    return density.astype(np.float32)


class Projected(NamedTuple):
    """Images that `particles` give of a map: CTF times slice, shifted."""

    volume: FourierVolume
    particles: Particles

    def read_into(self, row: int, out: np.ndarray) -> None:
        p = self.particles
        optics = p.optics[p.optics_group[row]]
        n, px = optics.image_size, optics.pixel_size
        kx, ky = np.meshgrid(np.fft.rfftfreq(n, px), np.fft.fftfreq(n, px))
        along = defocus_along(
            np.arctan2(ky, kx),
            defocus_u=p.defocus_u[row],
            defocus_v=p.defocus_v[row],
            defocus_angle=p.defocus_angle[row],
        )
        s = kx**2 + ky**2
        pose = rotation_matrix(p.rot[row], p.tilt[row], p.psi[row])
        image = project(self.volume, pose, size=n, pixel_size=px)
        image = image * ctf(defocus_phase(s, along, optics) + fixed_phase(s, optics))
        x, y = (n // 2 * px - origin[row] for origin in (p.origin_x, p.origin_y))
        out[...] = scipy.fft.irfft2(image * np.exp(-2j * np.pi * (kx * x + ky * y)), s=out.shape)


@pytest.mark.parametrize("name", ["C3", "C4", "D2", "D3", "T", "O", "I1", "I2"])
def test_few_views_of_a_symmetric_particle_suffice(name):
    """Some 600 views, symmetry counted in; another group, or another setting of it, is noticed."""
    optics = SCENE.optics()
    particles = make_particles(optics, 4 + 600 // len(rotations(name)), seed=7)
    truth = symmetric_map(name)
    images = Projected(fourier_volume(truth, optics.pixel_size), particles)
    trusted = TRUSTED[TRUSTED < 0.25 * BOX]  # where Gaussians of 5 Å have power
    found = reconstruct(particles, images, symmetry=name).full()
    assert fsc(found, truth)[trusted].min() > 0.98
    # a hollow particle's power oscillates from shell to shell, and gridding smooths it a little
    assert scale_of(found, truth) == pytest.approx(1, abs=0.06)
    other = {"I1": "I2", "I2": "I1"}.get(name, "C5")
    wrong = reconstruct(particles, images, symmetry=other).full()
    assert fsc(wrong, truth)[trusted].min() < 0.9


def test_optics_groups_of_other_pixel_sizes_and_boxes_give_one_map():
    """In the box of the first group; with a pixel's value a line integral through the map."""
    one, two = SCENE.optics(), replace(SCENE.optics(), name="fine", pixel_size=2.0, image_size=60)
    first, second = make_particles(one, 150, seed=1), make_particles(two, 150, seed=2)
    columns = {
        name: np.concatenate([column, second.columns()[name]])
        for name, column in first.columns().items()
    }
    columns["optics_group"] = np.repeat([0, 1], 150)
    columns["particle_id"] = np.arange(300).astype(str)
    particles = Particles(optics=(one, two), **columns)
    truth = symmetric_map("C1")
    images = Projected(fourier_volume(truth, one.pixel_size), particles)

    class Scaled(NamedTuple):
        factor: float

        def read_into(self, row: int, out: np.ndarray) -> None:
            images.read_into(row, out)
            if row >= 150:  # a pixel's share of the whole sum falls with its area
                out *= self.factor

    fine = Scaled((one.pixel_size / two.pixel_size) ** 2)
    for chosen in (particles, particles.take(np.arange(150))):
        found = reconstruct(chosen, fine).full()
        assert fsc(found, truth)[TRUSTED[:11]].min() > 0.98
        assert scale_of(found, truth) == pytest.approx(1, abs=0.02)
    spoiled = reconstruct(particles, Scaled(1.0)).full()
    assert abs(scale_of(spoiled, truth) - 1) > 0.1


def test_sets_are_made_in_one_pass_as_they_are_alone(small):
    """Each image is read once, on threads or not, and the maps are the same to the last bit."""
    simulation, images = small
    particles = simulation.particles
    other = replace(particles, defocus_u=particles.defocus_u + 300.0)
    read = []

    class Counting(NamedTuple):
        def read_into(self, row: int, out: np.ndarray) -> None:
            read.append(row)
            images.read_into(row, out)

    both = reconstruct_sets({"a": particles, "b": other}, Counting(), run=threads(2))
    assert sorted(read) == list(range(len(particles)))
    for name, one in (("a", particles), ("b", other)):
        alone = reconstruct(one, images)
        for half in (1, 2):
            np.testing.assert_array_equal(both[name].sums[half].data, alone.sums[half].data)
    assert fsc(both["a"].full(), both["b"].full()).min() < 0.999


def test_the_full_map_holds_both_halves(small):
    simulation, images = small
    found = reconstruct(simulation.particles, images)
    together = replace(
        simulation.particles, half_set=np.zeros(len(simulation.particles), dtype=int)
    )
    one = reconstruct(together, images)
    assert list(one.sums) == [0]
    difference = one.full() - found.full()
    assert np.abs(difference).max() < 1e-3 * np.abs(found.full()).max()
    with pytest.raises(InputError, match="no particle is in half-set 1"):
        one.half_map(1)


def test_images_that_fail_are_told_and_left_out_of_every_set(small):
    simulation, images = small
    particles = simulation.particles
    wrong = particles.defocus_u.copy()
    wrong[5] = np.nan
    sets = {"a": particles, "b": replace(particles, defocus_u=wrong)}
    found = reconstruct_sets(sets, Broken(images, missing=(7, 8), not_finite=(11,)))
    kept = np.setdiff1d(np.arange(len(particles)), [5, 7, 8, 11])
    lost = {7: "no such stack", 8: "no such stack", 11: "NaN or infinite pixels"}
    lost[5] = "pose, shift or CTF is not a number"
    for reconstruction in found.values():
        assert {i: r for i, r in enumerate(reconstruction.reason) if r} == lost
        most = reconstruction.losses[0]
        assert (most.reason, most.particles) == ("no such stack", 2)

    class Kept(NamedTuple):
        def read_into(self, row: int, out: np.ndarray) -> None:
            images.read_into(int(kept[row]), out)

    rest = reconstruct(particles.take(kept), Kept())
    for half in (1, 2):
        a, b = found["a"].sums[half].data, rest.sums[half].data
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())


def test_input_that_gives_no_map_is_refused(small):
    simulation, images = small
    particles = simulation.particles
    everything = tuple(range(len(particles)))
    with pytest.raises(InputError, match="none of the 300 particles can be used: 300 particles"):
        reconstruct(particles, Broken(images, missing=everything))
    with pytest.raises(InputError, match="no particles"):
        reconstruct(particles.take(np.array([], dtype=int)), images)
    with pytest.raises(InputError, match="b: its particle_id is not that of the first set"):
        reconstruct_sets({"a": particles, "b": particles.take(list(everything[::-1]))}, images)
    with pytest.raises(InputError, match="symmetry 'I9' is not known"):
        reconstruct(particles, images, symmetry="I9")


def test_an_fsc_damps_each_shell_by_it(small):
    """N / (W + W (1 - F) / F) = F N / W; of the full map, whose W is twice that, 2F / (1 + F)."""
    simulation, images = small
    found = reconstruct(simulation.particles, images)
    shells = np.arange(BOX // 2 + 1)
    curve = np.clip(1.1 - shells / 20, 0.05, 1)
    at = shell_index(BOX)
    for regular, plain, gain in (
        (found.half_map(1, fsc=curve), found.half_map(1), curve),
        (found.full(fsc=curve), found.full(), 2 * curve / (1 + curve)),
    ):
        one, other = scipy.fft.rfftn(regular), scipy.fft.rfftn(plain)
        for shell in (4, 8, 12, 16):
            inside = at == shell
            ratio = (
                np.vdot(other[inside], one[inside]).real
                / np.vdot(other[inside], other[inside]).real
            )
            assert ratio == pytest.approx(gain[shell], abs=0.05)


def test_one_iteration_makes_the_better_map_of_few_noisy_views():
    """Many of them flatten the density of views by giving weight to what is noise."""
    simulation, _ = draw(snr=0.1, particles=60)
    found = reconstruct(simulation.particles, simulation.images)
    curves = [fsc(found.half_map(1, iterations=n), simulation.map)[TRUSTED] for n in (1, 10)]
    assert curves[0].mean() > curves[1].mean() + 0.05


def test_less_padding_and_a_band_take_less_memory(small):
    simulation, images = small
    k_max = 0.3 / SCENE.pixel_size
    narrow = reconstruct(simulation.particles, images, padding=1.5, k_max=k_max)
    wide = reconstruct(simulation.particles, images)
    assert narrow.sums[1].data.nbytes < 0.15 * wide.sums[1].data.nbytes
    curve = fsc(narrow.full(), simulation.map)
    assert curve[1 : int(0.28 * BOX)].min() > 0.97
    beyond = shell_index(BOX) > 0.36 * BOX
    power, usual = (np.linalg.norm(scipy.fft.rfftn(r.full())[beyond]) for r in (narrow, wide))
    assert power < 0.15 * usual


def test_the_two_folds_hold_every_pixel_once(small):
    simulation, _ = small
    optics = simulation.particles.optics[0]
    whole = spectra_grid(optics, padded=BOX, change_max=1000.0)
    row = np.repeat(np.arange(len(whole.ky)), np.diff(whole.first))

    def pixels(grid):
        row = np.repeat(np.arange(len(grid.ky)), np.diff(grid.first))
        kx = np.arange(len(row)) - grid.first[row] + grid.start[row]
        return dict(
            zip(zip(kx.tolist(), grid.ky[row].tolist(), strict=True), grid.phase, strict=True)
        )

    first, second = (pixels(grid_of_fold(whole, fold)) for fold in (Fold.FIRST, Fold.SECOND))
    assert first.keys().isdisjoint(second)
    assert first | second == pixels(whole)  # with the phase that is theirs
    assert 0.4 < len(first) / len(row) < 0.6
    bare = whole.slot // whole.bins == Fold.SECOND  # seen by the second fold: none of the first's
    assert not first.keys() & {place for place, b in zip(pixels(whole), bare, strict=True) if b}


def test_held_out_maps_are_the_plain_ones_where_both_folds_tell_the_same(small):
    simulation, images = small
    particles = simulation.particles
    moved = replace(particles, defocus_u=particles.defocus_u + 900.0)
    sets = {
        "plain": particles,
        "same": HeldOut(first=particles, second=particles),
        "one moved": HeldOut(first=particles, second=moved),
        "moved": moved,
    }
    made = reconstruct_sets(sets, images, padding=1.0)
    data = {name: one.sums[1].data for name, one in made.items()}
    tight = 1e-5 * np.abs(data["plain"]).max()  # float32 sums of some hundred terms
    assert np.abs(data["same"] - data["plain"]).max() < tight
    apart = [np.square(data["one moved"] - data[name]).sum() for name in ("plain", "moved")]
    whole = np.square(data["moved"] - data["plain"]).sum()
    assert 0.35 < apart[0] / whole < 0.65  # half of the pixels have the other defocus
    assert 0.35 < apart[1] / whole < 0.65
