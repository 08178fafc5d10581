"""Our simulator against another's: apoferritin images made elsewhere, their map and their bounds.

The other simulator used the same structure with other scattering factors and B factor, so its
projections are ours once the spectra of the two maps are made equal, shell by shell.
"""

import csv
from types import SimpleNamespace

import numpy as np
import pytest

from parfocal.conventions import DEGREE
from parfocal.fsc import shell_correlation, shell_index
from parfocal.io.images import StackImages
from parfocal.io.mrc import read_map
from parfocal.io.relion import read_relion
from parfocal.simulate import read_structure
from parfocal.simulate.project import (
    AtomProjector,
    Grid,
    ImageFormation,
    density,
    padded_size,
)

DEFOCUS_MAX = 22e3  # Å
B_FACTOR = 30.0
FIELDS = ("rot", "tilt", "psi", "ox", "oy", "u", "v", "ang", "crlb")


@pytest.fixture(scope="module")
def theirs(data):
    """Images, map and truth of the other simulator; angles in rad."""
    folder = data / "peer_runs"
    particles = read_relion(folder / "particles.star")
    stacks = StackImages(particles)
    images = np.empty((len(particles), 112, 112), dtype=np.float32)
    for row, image in enumerate(images):
        stacks.read_into(row, image)
    with open(folder / "truth.csv") as file:
        rows = list(csv.DictReader(file))
    truth = {name: np.array([float(row[name]) for row in rows]) for name in FIELDS}
    for name in ("rot", "tilt", "psi", "ang"):
        truth[name] = truth[name] * DEGREE
    volume, _ = read_map(folder / "truth_map.mrc")
    return SimpleNamespace(optics=particles.optics[0], images=images, map=volume, **truth)


@pytest.fixture(scope="module")
def ours(data, theirs):
    """What makes our images of the same particles, at the radial amplitude of their map."""
    atoms = read_structure(data / "structures" / "6z6u.pdb")
    optics = theirs.optics
    size = padded_size(optics, radius=atoms.radius + 20, defocus=DEFOCUS_MAX)
    mine = np.fft.rfftn(density(atoms, optics=optics, b_factor=B_FACTOR))
    shells = shell_index(112).ravel()
    power = [
        np.bincount(shells, weights=np.abs(t).ravel() ** 2)[:57]
        for t in (np.fft.rfftn(theirs.map), mine)
    ]
    ratio = np.sqrt(power[0] / np.maximum(power[1], 1e-12))
    ratio[56] = ratio[55]  # at Nyquist we have nothing
    k = np.sqrt(Grid(optics, size).s) * 112 * optics.pixel_size
    return SimpleNamespace(
        transform=mine,
        projector=AtomProjector(atoms, optics=optics, b_factor=B_FACTOR, size=size),
        formation=ImageFormation(optics, size=size),
        radial=np.interp(k, np.arange(57), ratio).astype(np.float32),
    )


def slope(ours, theirs, **spoil):
    """Regression of their noisy images on ours without noise, and the variance that is left."""
    true = SimpleNamespace(**{**vars(theirs), **spoil})
    cross = norm = total = 0.0
    for row in range(0, 150, 3):
        pose = true.rot[row], true.tilt[row], true.psi[row]
        projection = ours.projector(pose, (true.ox[row], true.oy[row])) * ours.radial
        chi = ours.formation.phase(true.u[row], true.v[row], true.ang[row])
        image = ours.formation.image(projection, chi)
        cross += np.vdot(image, theirs.images[row])
        norm += np.vdot(image, image)
        total += np.vdot(theirs.images[row], theirs.images[row])
    return cross / norm, (total - cross**2 / norm) / (50 * 112**2)


def test_the_two_maps_agree(ours, theirs):
    fsc = shell_correlation(ours.transform, np.fft.rfftn(theirs.map))
    assert fsc[1:56].min() > 0.975
    mirrored = shell_correlation(ours.transform, np.fft.rfftn(theirs.map[::-1]))
    assert mirrored[1:56].min() < 0.5


def test_our_images_explain_theirs_to_the_noise(ours, theirs):
    found, left = slope(ours, theirs)
    assert found == pytest.approx(1.0, abs=0.015)
    assert left == pytest.approx(1.0, abs=5 * np.sqrt(2 / (50 * 112**2)))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: {"psi": -t.psi},
        lambda t: {"rot": t.psi, "psi": t.rot},
        lambda t: {"ox": -t.ox, "oy": -t.oy},
        lambda t: {"u": -t.u, "v": -t.v},
        lambda t: {"ang": -t.ang},
    ],
    ids=[
        "in-plane sense",
        "order of angles",
        "sign of origin",
        "sign of defocus",
        "sense of angle",
    ],
)
def test_a_wrong_convention_shows(ours, theirs, spoil):
    right, _ = slope(ours, theirs)
    wrong, _ = slope(ours, theirs, **spoil(theirs))
    assert wrong < right - 0.01


def test_bounds_are_theirs(ours, theirs):
    ratios = []
    for row in range(0, 150, 3):
        pose = theirs.rot[row], theirs.tilt[row], theirs.psi[row]
        projection = ours.projector(pose, (theirs.ox[row], theirs.oy[row])) * ours.radial
        chi = ours.formation.phase(theirs.u[row], theirs.v[row], theirs.ang[row])
        template = ours.formation.derivative(projection, chi)
        ratios.append(1 / np.sqrt((template.astype(float) ** 2).sum()) / theirs.crlb[row])
    np.testing.assert_allclose(ratios, 1.0, atol=0.06)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.03)
