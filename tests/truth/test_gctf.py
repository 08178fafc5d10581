"""What gctf sees of known ice: the plane around a particle, not the particle's own height."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.estimates import Status
from parfocal.estimators.gctf import Gctf
from parfocal.evidence import gather
from parfocal.inputs import ReferenceFiles, read_inputs
from parfocal.io.micrographs import write_micrograph
from parfocal.reference import map_reference
from parfocal.simulate import Scene, simulate

SCENE = Scene(
    particles=120,
    micrographs=2,
    box=64,
    pixel_size=2.0,
    residues=300,
    snr=0.05,
    ice_tilt=25.0,
    height_scatter=100.0,
    defocus=(12e3, 16e3),
    whole_micrographs=True,
    micrograph_size=(1536, 1536),
    micrograph_pixel_size=2.0,
    amorphous=1.0,
)
LOCAL = Gctf(box=256, radius=512.0)


class Case:
    """A scene on disk, and what gctf makes of it."""

    def __init__(self, scene, folder, seed=11):
        simulation = simulate(scene, np.random.default_rng(seed))
        for number in range(scene.micrographs):
            path = folder / "micrographs" / f"mic_{number + 1:04d}.mrc"
            drawn = simulation.micrographs.draw(number)
            write_micrograph(path, drawn, scene.pixel_size)
        self.particles, self.truth = simulation.particles, simulation.truth
        self.ice = self.truth.defocus - self.truth.height
        reference = map_reference(simulation.map, pixel_size=scene.pixel_size)
        self.evidence = gather(self.particles, simulation.images, reference)
        self.folder = folder

    def tiles(self, particles=None, **settings):
        method = replace(LOCAL, micrographs=str(self.folder), **settings)
        return method.estimate(self.particles if particles is None else particles, self.evidence)

    def slopes(self, estimates):
        """Of the estimate against the ice's plane, within each micrograph, where it is tilted."""
        out = []
        for number in np.unique(self.truth.micrograph):
            mine = (self.truth.micrograph == number) & estimates.ok()
            if self.truth.plane[mine].std() > 60:
                out.append(np.polyfit(self.truth.plane[mine], estimates.defocus[mine], 1)[0])
        assert out
        return np.array(out)


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


@pytest.fixture(scope="module", params=[0.0, 90.0], ids=["in focus", "phase plate"])
def tilted(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tilted")
    return Case(replace(SCENE, phase_shift=request.param), folder)


def test_tiles_follow_the_tilt_of_the_ice_and_not_the_particles(tilted):
    found = tilted.tiles()
    assert found.ok().all()
    slopes = tilted.slopes(found)
    assert (slopes > 0.8).all()  # one-sided neighbourhoods at the edges cost the rest
    assert (slopes < 1.05).all()
    apart = found.defocus - tilted.ice
    assert rms(apart) < 0.5 * rms(found.defocus - tilted.truth.defocus)
    seen = np.corrcoef(apart, tilted.truth.height)[0, 1]
    assert abs(seen) < 4 / np.sqrt(len(apart)), "it sees no heights"
    pull = (found.defocus - tilted.truth.defocus) / found.defocus_error
    assert np.mean(pull**2) == pytest.approx(1.05, abs=4 * np.sqrt(2 / len(pull)))
    assert np.mean(found.held_out_gain) > 0


def test_a_smaller_neighbourhood_sees_more_of_the_tilt(tilted):
    wide, narrow = (tilted.slopes(tilted.tiles(radius=radius)) for radius in (1024.0, 400.0))
    assert (wide < narrow).all()


def test_images_alone_follow_the_tilt_too(tilted):
    found = Gctf(radius=512.0).estimate(tilted.particles, tilted.evidence)
    assert found.ok().mean() > 0.9
    assert (tilted.slopes(found) > 0.5).all()
    assert rms(found.defocus - tilted.truth.defocus) < rms(
        tilted.particles.defocus - tilted.truth.defocus
    )


def test_particles_in_each_others_places_are_noticed(tilted):
    """The spoiled twin: the same rings, coordinates shuffled within the set."""
    rows = np.random.default_rng(3).permutation(len(tilted.particles))
    columns = {n: getattr(tilted.particles, n)[rows] for n in ("coordinate_x", "coordinate_y")}
    found = tilted.tiles(replace(tilted.particles, **columns))
    assert (np.abs(tilted.slopes(found)) < 0.4).all()
    assert np.mean(found.held_out_gain) < np.mean(tilted.tiles().held_out_gain)


def test_a_wrong_phase_shift_is_noticed(tilted):
    """The spoiled twin: rings that lie a quarter of a wave elsewhere."""
    wrong = replace(tilted.particles, phase_shift=tilted.particles.phase_shift + np.pi / 2)
    found = tilted.tiles(wrong)
    seen = found.ok()
    off = rms((found.defocus - tilted.ice)[seen]) if seen.any() else np.inf
    assert seen.mean() < 0.5 or off > 5 * rms(tilted.tiles().defocus - tilted.ice)


def test_without_rings_it_says_that_it_does_not_know(tmp_path):
    """Faint particles without ice behind them: wide errors, most particles keep their prior."""
    case = Case(replace(SCENE, amorphous=0.0, snr=0.005), tmp_path)
    for found in (case.tiles(), Gctf().estimate(case.particles, case.evidence)):
        assert (found.status == Status.FLAT).mean() > 0.5
        assert np.median(found.defocus_error) > 300
        pull = (found.defocus - case.truth.defocus) / found.defocus_error
        assert np.mean(pull**2) < 1.5


def test_rings_in_real_particle_images_are_where_ctffind_saw_them(data):
    """EMPIAR-10204, from the stacks alone; also when the file says 400 Å more."""
    folder = data / "empiar10204"
    files = ReferenceFiles(map=folder / "reference_5a1a.mrc")
    inputs = read_inputs(folder / "particles.star", files)
    for error in (0.0, 400.0):
        columns = {n: getattr(inputs.particles, n) + error for n in ("defocus_u", "defocus_v")}
        particles = replace(inputs.particles, **columns)
        found = Gctf().estimate(particles, gather(particles, inputs.images, inputs.reference))
        assert found.ok().mean() > 0.95
        change = found.defocus - inputs.particles.defocus
        names = np.unique(particles.micrograph)
        medians = np.array([np.median(change[particles.micrograph == name]) for name in names])
        print("median change of each micrograph [Å]:", medians.round())
        assert len(medians) == 10
        assert np.abs(medians).max() < 150
