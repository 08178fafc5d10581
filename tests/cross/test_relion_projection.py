"""Our projection times CTF against relion_project's, on the same map and STAR file."""

from dataclasses import replace

import mrcfile
import numpy as np
import pytest

from parfocal.conventions import rotation_matrix
from parfocal.io import read_map, read_particles
from parfocal.optics import ctf, defocus_along, defocus_phase, fixed_phase
from parfocal.projection import fourier_volume, project

pytestmark = pytest.mark.relion
BANDS = 9  # of 0.05 / px each


@pytest.fixture(scope="module")
def projections(relion, dataset):
    """(particles, volume, RELION's projections (n, box, box))."""
    folder, _ = dataset
    star, density = folder / "particles.star", folder / "map.mrc"
    relion("relion_project", "--i", density, "--ang", star, "--ctf", "--o", "proj", cwd=folder)
    volume = fourier_volume(*read_map(density))
    with mrcfile.open(folder / "proj.mrcs") as file:
        return read_particles(star), volume, file.data.copy()


def band_correlations(particles, volume, images):
    """(n, BANDS) correlation of our projection and RELION's in bands of 0.05 / px."""
    optics = particles.optics[0]
    box, px = optics.image_size, optics.pixel_size
    ky, kx = np.fft.fftfreq(box, px)[:, None], np.fft.rfftfreq(box, px)[None]
    s, azimuth = kx**2 + ky**2, np.arctan2(ky, kx)
    band = (np.sqrt(s) * px / 0.05).astype(int)
    out = np.empty((len(particles), BANDS))
    for i, image in enumerate(images):
        pose = rotation_matrix(particles.rot[i], particles.tilt[i], particles.psi[i])
        defocus = defocus_along(
            azimuth,
            defocus_u=particles.defocus_u[i],
            defocus_v=particles.defocus_v[i],
            defocus_angle=particles.defocus_angle[i],
        )
        centre_x = box // 2 * px - particles.origin_x[i]
        centre_y = box // 2 * px - particles.origin_y[i]
        ours = project(volume, pose, size=box, pixel_size=px)
        ours = ours * ctf(defocus_phase(s, defocus, optics) + fixed_phase(s, optics))
        ours = ours * np.exp(-2j * np.pi * (kx * centre_x + ky * centre_y))
        theirs = np.fft.rfft2(image)
        for b in range(BANDS):
            x, y = ours[band == b], theirs[band == b]
            out[i, b] = np.vdot(x, y).real / np.sqrt(np.vdot(x, x).real * np.vdot(y, y).real)
    return out


def test_projection_times_ctf_equals_relions_in_every_band(projections):
    assert band_correlations(*projections).min() > 0.999


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: replace(p, defocus_u=p.defocus_v, defocus_v=p.defocus_u),
        lambda p: replace(p, defocus_angle=-p.defocus_angle),
        lambda p: replace(p, origin_x=-p.origin_x),
        lambda p: replace(p, rot=p.psi, psi=p.rot),
    ],
    ids=["U and V swapped", "angle turned", "shift turned", "rot and psi swapped"],
)
def test_a_wrong_convention_is_noticed(projections, spoil):
    particles, volume, images = projections
    assert band_correlations(spoil(particles), volume, images).min() < 0.9
