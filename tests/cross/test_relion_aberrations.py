"""RELION measures the aberrations that we put into images: signs, order and units must agree."""

import numpy as np
import pytest

from parfocal.io import read_star, write_star
from parfocal.simulate import Scene, simulate, write_dataset

from .conftest import write_flat_fsc

pytestmark = [pytest.mark.relion, pytest.mark.slow]
HIDDEN = ("rlnBeamTilt", "rlnOddZernike", "rlnEvenZernike", "rlnMagMat")


def measured(relion, folder, options, **aberration):
    """RELION's optics table after it fitted images with `aberration`, of which it was not told."""
    scene = Scene(
        particles=200,
        micrographs=4,
        box=128,
        pixel_size=1.0,
        snr=1.0,
        b_factor=30.0,
        defocus_error=0.0,
        height_scatter=0.0,
        ice_tilt=0.0,
        **aberration,
    )
    write_dataset(simulate(scene, np.random.default_rng(3)), folder)
    write_flat_fsc(folder, scene.box)
    tables = read_star(folder / "particles.star")
    plain = {
        name: {c: table.text(c) for c in table.columns if not c.startswith(HIDDEN)}
        for name, table in tables.items()
    }
    write_star(folder / "plain.star", plain)
    reference = ("--m1", "map.mrc", "--m2", "map.mrc", "--mask", "mask.mrc", "--f", "fsc.star")
    common = ("--i", "plain.star", "--o", "out/", "--j", 2, *reference)
    relion("relion_ctf_refine", *common, *options, cwd=folder)
    return read_star(folder / "out" / "particles_ctf_refine.star")["optics"]


def coefficients(optics, name):
    return np.array([float(v) for v in optics.text(name)[0].strip("[]").split(",")])


def test_beam_tilt(relion, tmp_path):
    optics = measured(relion, tmp_path, ["--fit_beamtilt"], beam_tilt=(0.8, -0.5))
    found = [optics.numbers("rlnBeamTiltX")[0], optics.numbers("rlnBeamTiltY")[0]]
    np.testing.assert_allclose(found, [0.8, -0.5], atol=0.08)


def test_odd_zernike(relion, tmp_path):
    options = ["--fit_beamtilt", "--odd_aberr_max_n", 3]
    optics = measured(relion, tmp_path, options, odd_zernike=(0, 0, 40.0, 0, 0, -40.0))
    found = coefficients(optics, "rlnOddZernike")
    np.testing.assert_allclose(found[[2, 5]], [40.0, -40.0], atol=4)


def test_even_zernike(relion, tmp_path):
    optics = measured(
        relion, tmp_path, ["--fit_aberr"], even_zernike=(0,) * 4 + (30.0, 0, 0, 0, -40.0)
    )
    found = coefficients(optics, "rlnEvenZernike")
    np.testing.assert_allclose(found[[4, 8]], [30.0, -40.0], atol=8)


def test_sense_of_anisotropic_magnification(relion, tmp_path):
    """RELION's one-step fit finds a part of it only; its pattern tells M from M⁻¹ and Mᵀ from M."""
    true = np.array([1.02, 0.008, 0.008, 0.99])
    optics = measured(relion, tmp_path, ["--fit_aniso"], magnification=tuple(true))
    found = np.array([optics.numbers(f"rlnMagMat{ij}")[0] for ij in ("00", "01", "10", "11")])
    identity = np.array([1.0, 0.0, 0.0, 1.0])
    x, y = true - identity, found - identity
    assert x @ y / np.linalg.norm(x) / np.linalg.norm(y) > 0.9
