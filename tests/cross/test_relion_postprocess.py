"""Our curves beside relion_postprocess's, of the same half-maps under the same mask."""

import numpy as np
import pytest

from parfocal.fsc_curves import fsc_curves
from parfocal.fsc_star import COLUMNS, write_fsc_star
from parfocal.guinier import guinier
from parfocal.io import read_map, read_star, write_map, write_star
from parfocal.simulate import Scene, simulate, write_dataset
from parfocal.simulate.maps import half_maps, soft_mask

from .conftest import write_flat_fsc

pytestmark = pytest.mark.relion
BOX, PIXEL = 80, 1.5
SEEDS = 8  # of RELION's random phases
AS_CLOSE = 0.005  # what the programs may differ by in any shell


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """(folder, half-map 1, half-map 2, mask) on disk: blobs in a sphere, to 4 Å."""
    folder = tmp_path_factory.mktemp("postprocess")
    rng = np.random.default_rng(4)
    x = np.arange(BOX) - BOX // 2
    r = np.sqrt(x[:, None, None] ** 2 + x[:, None] ** 2 + x**2)
    density = np.where(r < 20, 1 + rng.standard_normal(r.shape), 0).astype(np.float32)
    mask = soft_mask(density, pixel_size=PIXEL)
    halves = half_maps(density, mask, pixel_size=PIXEL, resolution=4.0, rng=rng)
    for name, volume in zip(("half1", "half2", "mask"), (*halves, mask), strict=True):
        write_map(folder / f"{name}.mrc", volume, PIXEL)
    return folder, *(read_map(folder / f"{name}.mrc")[0] for name in ("half1", "half2", "mask"))


@pytest.fixture(scope="module")
def theirs(relion, maps):
    """The tables of RELION's postprocess.star, one for each seed of its random phases."""
    folder, found = maps[0], []
    (folder / "pp").mkdir()
    for seed in range(1, SEEDS + 1):
        arguments = ("--i", "half1.mrc", "--i2", "half2.mrc", "--mask", "mask.mrc")
        more = ("--angpix", PIXEL, "--auto_bfac", "--random_seed", seed, "--o", f"pp/{seed}")
        relion("relion_postprocess", *arguments, *more, cwd=folder)
        found.append(read_star(folder / "pp" / f"{seed}.star"))
    return found


@pytest.fixture(scope="module")
def ours(maps):
    _, half1, half2, mask = maps
    return fsc_curves(half1, half2, mask, pixel_size=PIXEL, rng=np.random.default_rng(0))


def curve(tables, name):
    """One of RELION's curves, from shell 1 on: its shell 0 is 1 whatever the maps."""
    column = {mine: relions for relions, mine in COLUMNS.items()}[name]
    return tables["fsc"].numbers(column)[1:]


@pytest.mark.parametrize("name", ["unmasked", "masked"])
def test_the_measured_curves_are_relions(ours, theirs, name):
    assert np.abs(getattr(ours, name)[1:] - curve(theirs[0], name)).max() < AS_CLOSE


def test_phases_are_random_from_relions_shell_on(ours, theirs):
    resolution = float(theirs[0]["general"].text("rlnRandomiseFrom")[0])
    assert 1 / ours.k[ours.randomised_from] == pytest.approx(resolution, abs=1e-4)


def test_the_randomised_curve_is_the_mean_of_relions(ours, theirs):
    """RELION's is of one draw; ours is their mean, so the seeds of RELION scatter about it."""
    drawn = np.array([curve(tables, "randomised") for tables in theirs])
    start = ours.randomised_from - 1
    error = drawn.std(axis=0, ddof=1)[start:] / np.sqrt(SEEDS)
    pull = (ours.randomised[1:] - drawn.mean(axis=0))[start:] / error
    assert np.sqrt(np.mean(pull**2)) < 2  # t of 7 freedoms has 1.18, and neighbours go together
    assert np.abs(pull).max() < 6


def test_the_corrected_curve_is_relions_given_the_same_random_phases(ours, theirs):
    """With RELION's own randomised curve in the place of ours."""
    for tables in theirs:
        share = curve(tables, "randomised")
        share[: ours.randomised_from + 1] = 0
        corrected = (ours.masked[1:] - share) / (1 - share)
        assert np.abs(corrected - curve(tables, "corrected")).max() < AS_CLOSE


def test_the_corrected_curve_is_the_mean_of_relions(ours, theirs):
    drawn = np.array([curve(tables, "corrected") for tables in theirs])
    error = drawn.std(axis=0, ddof=1) / np.sqrt(SEEDS)
    wrong = np.abs(ours.corrected[1:] - drawn.mean(axis=0))
    assert (wrong < AS_CLOSE + 4 * error).all()


def test_the_resolution_is_relions_to_a_shell(ours, theirs):
    """RELION's is that of the last shell above 0.143, ours lies between that and the next."""
    for tables in theirs:
        shell = BOX * PIXEL / float(tables["general"].text("rlnFinalResolution")[0])
        assert -0.5 < BOX * PIXEL / ours.resolution() - shell < 1.5


@pytest.mark.parametrize("spoil", ["another mask", "masked twice", "another pair"])
def test_what_differs_is_noticed(maps, theirs, spoil):
    _, half1, half2, mask = maps
    if spoil == "another mask":
        mask = np.roll(mask, 4, axis=0)
    elif spoil == "masked twice":
        half1, half2 = half1 * mask, half2 * mask
    else:
        half2 = np.roll(half2, 1, axis=0)
    found = fsc_curves(half1, half2, mask, pixel_size=PIXEL, rng=np.random.default_rng(0))
    assert np.abs(found.masked[1:] - curve(theirs[0], "masked")).max() > AS_CLOSE


def test_the_guinier_plot_is_relions_of_the_same_map(maps, theirs):
    """RELION's is of the map without the mask, fitted from 10 Å to Nyquist."""
    _, half1, half2, _ = maps
    fsc = np.append(1.0, curve(theirs[0], "corrected"))
    found = guinier((half1 + half2) / 2, fsc, pixel_size=PIXEL, resolution=2 * PIXEL)
    table = theirs[0]["guinier"]
    np.testing.assert_allclose(found.original, table.numbers("rlnLogAmplitudesOriginal"), atol=1e-4)
    weighted = table.numbers("rlnLogAmplitudesWeighted")
    held = np.isfinite(found.weighted)
    np.testing.assert_allclose(found.weighted[held], weighted[held], atol=1e-3)


@pytest.mark.slow
def test_relion_ctf_refine_takes_our_file(relion, tmp_path):
    """With ours, and with the same numbers in the least file that it takes, it does the same."""
    scene = Scene(particles=8, micrographs=1, box=64, pixel_size=2.0, residues=250, snr=0.3)
    write_dataset(simulate(scene, np.random.default_rng(5)), tmp_path)
    halves = [read_map(tmp_path / f"{name}.mrc")[0] for name in ("half1", "half2", "mask")]
    curves = fsc_curves(*halves, pixel_size=2.0, rng=np.random.default_rng(0))
    write_fsc_star(tmp_path / "ours.star", curves)
    columns = ("rlnSpectralIndex", "rlnFourierShellCorrelationCorrected")
    table = read_star(tmp_path / "ours.star")["fsc"]
    write_star(tmp_path / "least.star", {"fsc": {c: table.text(c) for c in columns}})
    write_flat_fsc(tmp_path, scene.box)

    def refined(fsc):
        maps = ("--m1", "half1.mrc", "--m2", "half2.mrc", "--mask", "mask.mrc", "--f", fsc)
        more = ("--fit_defocus", "--fit_mode", "fpfff", "--kmin_defocus", 30, "--o", f"{fsc}_out/")
        relion("relion_ctf_refine", "--i", "particles.star", *maps, *more, cwd=tmp_path)
        table = read_star(tmp_path / f"{fsc}_out" / "particles_ctf_refine.star")["particles"]
        return table.numbers("rlnDefocusU")

    found = refined("ours.star")
    np.testing.assert_array_equal(found, refined("least.star"))
    assert not np.array_equal(found, refined("fsc.star"))
