"""Thon rings: background, equal phase, likelihood, neighbourhoods, and the method's own rules."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.errors import InputError
from parfocal.estimates import Status
from parfocal.estimators.gctf import Gctf
from parfocal.estimators.height_spread import HeightSpread
from parfocal.estimators.neighbourhood import Neighbourhood
from parfocal.estimators.ring_sources import tile_spectra
from parfocal.estimators.thon import RingCurves, background_power, band_of, noise_excess, rings
from parfocal.evidence import gather
from parfocal.grid import spectra_grid
from parfocal.io.micrographs import read_micrograph, write_micrograph
from parfocal.optics import Optics, ctf, defocus_along, defocus_phase, fixed_phase
from parfocal.reference import map_reference
from parfocal.simulate import Scene, simulate

OPTICS = Optics(
    name="o",
    voltage=300.0,
    spherical_aberration=2.7,
    amplitude_contrast=0.1,
    pixel_size=1.5,
    image_size=256,
)
CHANGE = np.linspace(-1000, 1000, 201)
VECTOR = np.array([15_000.0, 250.0, 150.0])  # mean, A cos 2φ, A sin 2φ


def make_band(optics=OPTICS, **limits):
    grid = spectra_grid(optics, padded=optics.image_size, change_max=1000.0)
    return band_of(grid, **{"low": 15.0, "high": 5.0, **limits})


@pytest.fixture(scope="module")
def band():
    return make_band()


def smooth(k):
    return 50 * np.exp(-20 * k) + 3


def spectra(band, vectors, contrast, rng=None):
    """X and Q (m, 3, bins) around VECTOR, of pixels with rings at `vectors`, expected or drawn."""
    k = np.hypot(band.kx, band.ky) / (band.grid.padded_size * band.grid.optics.pixel_size)
    base = band.phase(VECTOR, 0.0)
    power, along = [], []
    for vector in vectors:
        pixels = smooth(k) * (1 - contrast * band.phase(vector, 0.0).real)
        pixels = pixels * (1 if rng is None else rng.exponential(size=len(k)))
        power.append(band.sums(pixels))
        along.append(band.complex_sums(pixels * base))
    return np.array(power), np.array(along), band.complex_sums(base)


def curves_of(found, band):
    share = np.ones((len(found.whole), band.used.sum()))
    mixed = np.concatenate([found.whole[:, None], found.deviation], axis=1)
    return [
        RingCurves(
            deviation=mixed[:, part],
            information=share @ found.count[part] / 4,
            turn=band.turn,
        )
        for part in range(3)
    ]


def test_the_phase_of_a_pixel_is_that_of_the_ctf(band):
    step = 1 / (256 * 1.5)
    x, y = band.kx * step, band.ky * step
    half, angle = np.hypot(*VECTOR[1:]), np.arctan2(VECTOR[2], VECTOR[1]) / 2
    z = defocus_along(
        np.arctan2(y, x),
        defocus_u=VECTOR[0] + half,
        defocus_v=VECTOR[0] - half,
        defocus_angle=angle,
    )
    s = x**2 + y**2
    chi = defocus_phase(s, z, OPTICS) + fixed_phase(s, OPTICS) + 0.4
    np.testing.assert_allclose((1 - band.phase(VECTOR, 0.4).real) / 2, ctf(chi) ** 2, atol=1e-4)


def test_sums_count_the_values_of_the_grid(band):
    fitted = np.broadcast_to(band.fitted, (3, len(band.fitted)))
    expected = np.where(fitted, band.grid.n, 0)
    np.testing.assert_allclose(band.sums(np.ones(len(band.kx))), expected)
    assert (band.used & ~band.fitted).sum() == 0
    assert 1 / 15 <= band.grid.k[band.used].min() < band.grid.k[band.used].max() <= 1 / 5


def test_the_background_does_not_see_the_rings(band):
    for contrast in (0.0, 0.5):
        power, _, _ = spectra(band, [VECTOR], contrast)
        found = background_power(power.sum(axis=1), band)[0]
        ratio = found[band.used] / smooth(band.grid.k[band.used])
        assert np.abs(ratio - 1).mean() < (0.003 if contrast == 0 else 0.03)
        assert np.abs(ratio - 1).max() < (0.01 if contrast == 0 else 0.15)
    assert np.isinf(found[~band.fitted]).all()


def test_rings_are_found_where_they_are_astigmatism_included(band):
    for change in (-400.0, 0.0, 333.0):
        there = VECTOR + np.array([change, 0, 0])
        power, along, phase = spectra(band, [there], 0.3)
        peak = curves_of(rings(power, along, phase, band), band)[0].peaks(CHANGE)
        assert peak.change[0] == pytest.approx(change, abs=2)
        # with another astigmatism the same rings fit worse
        power, along, phase = spectra(band, [there * [1, -1, -1]], 0.3)
        other = curves_of(rings(power, along, phase, band), band)[0].peaks(CHANGE)
        assert other.value[0] < 0.8 * peak.value[0]


def test_without_rings_there_is_no_deviation(band):
    power, along, phase = spectra(band, [VECTOR], 0.0)
    found = rings(power, along, phase, band)
    assert np.abs(found.whole).max() < 0.01 * found.count[0].max()
    power, along, phase = spectra(band, [VECTOR], 0.3)
    assert np.abs(rings(power, along, phase, band).whole).max() > 0.1 * found.count[0].max()


@pytest.mark.parametrize("contrast", [0.04, 0.1, 0.3])
def test_errors_are_those_of_speckled_power(band, contrast):
    """Where rings are hardly there, the doubt about them makes the errors too wide, not too narrow."""
    rng = np.random.default_rng(3)
    true = rng.uniform(-300, 300, 200)
    found = rings(*spectra(band, VECTOR + true[:, None] * [1, 0, 0], contrast, rng), band)
    peaks = curves_of(found, band)[0].peaks(CHANGE)
    pull = (peaks.change - true) / peaks.error
    assert abs(pull.mean()) < 4 / np.sqrt(200)
    assert pull.std() < 1 + 4 / np.sqrt(2 * 200)
    assert pull.std() > 1 - 4 / np.sqrt(2 * 200) or contrast < 0.1
    mixed = found.deviation
    ones = np.ones((200, band.used.sum()))
    assert noise_excess(mixed, ones, found.count) == pytest.approx(1, abs=0.05)
    assert noise_excess(2 * mixed, ones, found.count) == pytest.approx(4, abs=0.2)


def test_noise_alone_leaves_the_curve_wide(band):
    rng = np.random.default_rng(4)
    found = rings(*spectra(band, [VECTOR] * 200, 0.0, rng), band)
    peaks = curves_of(found, band)[0].peaks(CHANGE)
    assert np.median(peaks.error) > 450  # 577 where nothing is known
    assert np.mean((peaks.change / peaks.error) ** 2) < 1.5


def test_turning_counts_from_another_defocus(band):
    there = VECTOR + np.array([200.0, 0, 0])
    power, along, phase = spectra(band, [there], 0.3)
    turned = rings(power, along, phase, band).turned(band, np.array([150.0]))
    peak = curves_of(turned, band)[0].peaks(CHANGE)
    assert peak.change[0] == pytest.approx(50, abs=3)


def test_a_source_that_says_nothing_gives_a_flat_curve(band):
    n = int(band.used.sum())
    curve = RingCurves(deviation=np.zeros((1, n), complex), information=np.zeros(1), turn=band.turn)
    assert np.ptp(curve.on_grid(CHANGE)) == 0
    one = np.zeros((1, 2, n), complex)
    assert noise_excess(one, np.zeros((1, n)), np.full((3, n), 50.0)) == 1


@pytest.mark.parametrize("weighting", ["distance+frequency", "distance", "equal"])
def test_weights_fall_with_distance_and_frequency(weighting):
    near = Neighbourhood(weighting=weighting, radius=1000.0)
    distance = np.array([[0.0, 400.0, 900.0, 1100.0]])
    low, high = (near.weights(distance, k)[0] for k in (0.07, 0.2))
    assert low[0] == high[0] == 1
    assert low[3] == high[3] == 0
    if weighting == "equal":
        assert (low[:3] == 1).all()
    else:
        assert 1 > low[1] > low[2] > 0
        assert (high[1] < low[1]) == (weighting == "distance+frequency")


def test_a_lone_particle_takes_the_nearest_and_one_without_a_place_takes_all():
    near = Neighbourhood(weighting="equal", radius=100.0)
    assert near.weights(np.array([[500.0, 700.0]]), 0.1).tolist() == [[1, 0]]
    assert near.weights(np.array([[np.nan, np.nan]]), 0.1).tolist() == [[1, 1]]


def test_tiles_cover_the_micrograph_and_leave_out_what_is_empty():
    small = make_band(replace(OPTICS, image_size=64))
    image = np.random.default_rng(1).normal(size=(160, 256)).astype(np.float32)
    phase = small.phase(VECTOR, 0.0)
    centre, power, along = tile_spectra(image, phase, small, overlap=0.5)
    assert sorted(set(centre[:, 0])) == [32, 64, 96, 128, 160, 192, 224]
    assert sorted(set(centre[:, 1])) == [32, 64, 96, 128]
    assert power.shape == along.shape == (28, 3, small.grid.bins)
    image[:, 128:] = 7.0
    image[5, 5] = np.nan
    centre, power, _ = tile_spectra(image, phase, small, overlap=0.5)
    assert len(centre) == 4 * 4 - 1
    assert np.isfinite(power).all()
    assert len(tile_spectra(image[:40], phase, small, overlap=0.5)[0]) == 0


def test_height_spread_is_learned_but_never_less_than_expected():
    rng = np.random.default_rng(5)
    for true, low, high in ((300.0, 230, 370), (20.0, 100, 100)):
        centre, error = rng.normal(scale=200, size=300), np.full(300, 40.0)
        height = rng.normal(scale=true, size=300) + rng.normal(scale=error)
        seen = centre + height + rng.normal(scale=120.0, size=300)
        curves = -((CHANGE - seen[:, None]) ** 2) / (2 * 120.0**2)
        spread = HeightSpread(100.0)
        spread.see(curves, CHANGE, centre, error)
        assert low <= spread.value() <= high
    assert HeightSpread(0.0).value() == 0
    assert 100 <= HeightSpread(100.0).value() < 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weighting": "some"}, "weighting"),
        ({"low": 4.0}, "low = 4"),
        ({"box": 33}, "box = 33"),
        ({"overlap": 1.0}, "overlap"),
        ({"radius": 0.0}, "radius"),
        ({"height_spread": -1.0}, "height_spread"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Gctf(**settings)


SCENE = Scene(
    particles=30,
    micrographs=2,
    box=48,
    pixel_size=2.0,
    residues=150,
    snr=0.05,
    whole_micrographs=True,
    micrograph_size=(640, 640),
    micrograph_pixel_size=2.0,
    amorphous=1.0,
    ice_tilt=0.0,
    defocus_error=200.0,
    height_scatter=50.0,
)
TILES = Gctf(box=256, radius=512.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(particles, evidence, truth, folder with the micrographs)."""
    folder = tmp_path_factory.mktemp("gctf")
    simulation = simulate(SCENE, np.random.default_rng(8))
    for number in range(2):
        path = folder / "micrographs" / f"mic_{number + 1:04d}.mrc"
        write_micrograph(path, simulation.micrographs.draw(number), 2.0)
    reference = map_reference(simulation.map, pixel_size=2.0)
    evidence = gather(simulation.particles, simulation.images, reference)
    return simulation.particles, evidence, simulation.truth, folder


def tiles_in(folder, **settings):
    return replace(TILES, micrographs=str(folder), **settings)


def test_tiles_show_the_defocus_of_the_ice(made):
    particles, evidence, truth, folder = made
    found = tiles_in(folder).estimate(particles, evidence)
    assert found.ok().all()
    ice = truth.defocus - truth.height
    assert np.abs(found.defocus - ice).max() < 60 < 0.3 * np.abs(particles.defocus - ice).max()
    assert np.mean(found.held_out_gain) > 0
    assert (found.defocus_error >= 100).all()


def test_unit_order_and_folder_of_micrographs_do_not_matter(made, tmp_path):
    particles, evidence, _, folder = made
    expected = tiles_in(folder).estimate(particles, evidence)
    for number in (1, 2):
        image, _ = read_micrograph(folder / "micrographs" / f"mic_000{number}.mrc")
        write_micrograph(tmp_path / f"mic_000{number}.mrc", 1e3 * image + 5e4, 99.0)
    other = tiles_in(tmp_path, micrograph_pixel_size=2.0).estimate(particles, evidence)
    np.testing.assert_allclose(other.defocus, expected.defocus, atol=1)
    rows = np.random.default_rng(1).permutation(30)
    mixed = replace(
        evidence, chunks=tuple(replace(c, rows=np.argsort(rows)[c.rows]) for c in evidence.chunks)
    )
    turned = tiles_in(folder).estimate(particles.take(rows), mixed)
    np.testing.assert_allclose(turned.defocus, expected.defocus[rows], atol=1e-3)


def test_a_micrograph_that_is_missing_costs_its_particles_only(made, tmp_path, caplog):
    particles, evidence, _, folder = made
    image, pixel = read_micrograph(folder / "micrographs" / "mic_0001.mrc")
    write_micrograph(tmp_path / "mic_0001.mrc", image, pixel)
    found = tiles_in(tmp_path).estimate(particles, evidence)
    here = particles.micrograph == particles.micrograph[0]
    assert found.ok()[here].all()
    assert (found.status[~here] == Status.NOT_READ).all()
    assert (found.defocus_change[~here] == 0).all()
    assert "1 of 2 micrographs cannot be used" in caplog.text


def test_what_cannot_be_done_is_said(made, tmp_path):
    particles, evidence, _, folder = made
    for method, message in (
        (tiles_in(tmp_path), "none of 2 micrographs"),
        (tiles_in(folder, box=1024), "gctf.box"),
        (tiles_in(folder, micrograph_pixel_size=0.2), "lie outside of it"),
        (Gctf(low=4.5, high=4.2), "gctf.low and gctf.high"),
    ):
        with pytest.raises(InputError, match=message):
            method.estimate(particles, evidence)
