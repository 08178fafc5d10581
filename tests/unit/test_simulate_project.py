"""Projections and imaging: conventions as worked cases, and each with a twin that must differ."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.fft

from parfocal.conventions import DEGREE, rotation_matrix
from parfocal.optics import Optics, wavelength
from parfocal.simulate.project import (
    AtomProjector,
    Grid,
    ImageFormation,
    density,
    padded_size,
)
from parfocal.simulate.protein import protein_like
from parfocal.simulate.structure import Atoms

BOX, PIXEL = 64, 2.0
OPTICS = Optics(
    name="test",
    voltage=300,
    spherical_aberration=2.7,
    amplitude_contrast=0.1,
    pixel_size=PIXEL,
    image_size=BOX,
)
CENTRE = np.array([BOX // 2, BOX // 2])
NO_POSE, NO_SHIFT = (0.0, 0.0, 0.0), (0.0, 0.0)
QUARTER = np.pi / 2
PROTEIN = protein_like(np.random.default_rng(2), residues=150)


def atom_at(*position):
    return Atoms(position=np.array([position], dtype=float), atomic_number=np.array([6]))


def projected(atoms, pose=NO_POSE, origin=NO_SHIFT, *, optics=OPTICS, size=BOX):
    return AtomProjector(atoms, optics=optics, b_factor=40, size=size)(pose, origin)


def in_focus(projection, *, optics=OPTICS, size=BOX):
    """The image at a CTF of 1."""
    formation = ImageFormation(optics, size=size)
    return formation.image(projection, np.full(projection.shape, QUARTER))


def brightest(image):
    """(x, y) of the brightest pixel from the box centre, in Å."""
    row, column = np.unravel_index(image.argmax(), image.shape)
    return ((column, row) - CENTRE) * PIXEL


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


# By hand from Rz(t) = [[c, s, 0], [-s, c, 0], [0, 0, 1]], Ry(t) = [[c, 0, -s], [0, 1, 0], [s, 0, c]].
@pytest.mark.parametrize(
    ("pose", "seen"),
    [
        ((0, 0, 0), lambda x, y, z: (x, y)),
        ((QUARTER, 0, 0), lambda x, y, z: (y, -x)),
        ((0, QUARTER, 0), lambda x, y, z: (-z, y)),
        ((0, 0, QUARTER), lambda x, y, z: (y, -x)),
        ((QUARTER, QUARTER, 0), lambda x, y, z: (-z, -x)),
        ((0, QUARTER, QUARTER), lambda x, y, z: (y, z)),
    ],
)
@pytest.mark.parametrize("origin", [(0, 0), (6, -10)])
@pytest.mark.parametrize("size", [BOX, 2 * BOX])
def test_an_atom_is_seen_where_it_must_be(pose, seen, origin, size):
    position = (10.0, -16.0, 24.0)
    image = in_focus(projected(atom_at(*position), pose, origin, size=size), size=size)
    np.testing.assert_array_equal(brightest(image), np.subtract(seen(*position), origin))
    if np.any(pose):
        inverse = rotation_matrix(*pose).T[:2] @ position
        assert (brightest(image) != inverse - origin).any(), "the inverse pose does not show"


def test_the_map_holds_an_atom_at_its_voxel_indexed_z_y_x():
    volume = density(atom_at(10, -16, 24), optics=OPTICS, b_factor=40)
    assert np.unravel_index(volume.argmax(), volume.shape) == (32 + 12, 32 - 8, 32 + 5)


def test_a_projection_is_the_sum_of_voxels_along_z():
    volume = density(PROTEIN, optics=OPTICS, b_factor=40)
    assert relative(in_focus(projected(PROTEIN)), volume.sum(axis=0)) < 1e-5
    assert relative(in_focus(projected(PROTEIN)), volume.sum(axis=0).T) > 0.1


@pytest.mark.parametrize("turns", [(1, 0, 0), (0, 1, 0), (3, 1, 0), (1, 1, 2), (2, 3, 1)])
def test_a_projection_is_a_slice_of_the_maps_transform(turns):
    """Quarter turns put every frequency of the slice on one of the map's."""
    pose = np.array(turns) * QUARTER
    volume = density(PROTEIN, optics=OPTICS, b_factor=40)
    spectrum = np.fft.fftn(np.fft.ifftshift(volume))
    kx, ky = np.meshgrid(np.arange(BOX // 2), np.fft.fftfreq(BOX, 1 / BOX))
    seen = np.stack([kx, ky, np.zeros_like(kx)], axis=-1)
    to_centre = np.exp(2j * np.pi * (kx + ky) * (BOX // 2) / BOX)
    found = projected(PROTEIN, pose)[:, : BOX // 2] * to_centre

    def slice_at(frequencies):
        x, y, z = np.moveaxis(np.rint(frequencies).astype(int), -1, 0)
        return spectrum[z, y, x]

    assert relative(found, slice_at(seen @ rotation_matrix(*pose))) < 1e-5
    assert relative(found, slice_at(seen @ rotation_matrix(*pose).T)) > 0.1


def test_a_padded_box_samples_the_same_transform_more_finely():
    pose, origin = (0.3, 1.1, -0.7), (3.0, -5.0)
    coarse = projected(PROTEIN, pose, origin)
    fine = projected(PROTEIN, pose, origin, size=2 * BOX)[::2, ::2]
    kx, ky = np.meshgrid(np.arange(BOX // 2 + 1), np.fft.fftfreq(BOX, 1 / BOX))
    other_centre = np.exp(-2j * np.pi * (kx + ky) * (BOX - BOX // 2) / BOX)
    assert relative(fine, coarse * other_centre) < 1e-5


def test_nothing_lies_beyond_the_nyquist_circle():
    found = np.abs(projected(PROTEIN, (0.3, 1.1, -0.7)))
    radius = np.hypot(*np.meshgrid(np.arange(BOX // 2 + 1), np.fft.fftfreq(BOX, 1 / BOX)))
    assert (found[radius >= BOX / 2] == 0).all()
    assert (found[radius < BOX / 2] > 0).all()
    volume = np.fft.fftn(density(PROTEIN, optics=OPTICS, b_factor=40))
    k = np.fft.fftfreq(BOX, 1 / BOX) ** 2
    beyond = k[:, None, None] + k[:, None] + k >= (BOX / 2) ** 2
    assert np.abs(volume[beyond]).max() < 1e-5 * np.abs(volume).max()


def test_b_factor_damps_the_atoms():
    sharp, damped = (
        AtomProjector(PROTEIN, optics=OPTICS, b_factor=b, size=BOX)(NO_POSE, NO_SHIFT)
        for b in (0.0, 80.0)
    )
    k = 12 / (BOX * PIXEL)
    assert np.abs(damped[12, 0] / sharp[12, 0]) == pytest.approx(np.exp(-80 * k**2 / 4), rel=1e-3)


def test_protein_is_bright_and_the_mean_is_the_amplitude_contrast():
    projection = projected(PROTEIN)
    formation = ImageFormation(OPTICS, size=BOX)
    image = formation.image(projection, formation.phase(12e3, 12e3, 0.0))
    assert image.sum() / in_focus(projection).sum() == pytest.approx(0.1, rel=1e-4)
    first_ring = np.fft.rfft2(image)[0, 1] / projection[0, 1]
    k, mm = 1 / (BOX * PIXEL), 1e7
    chi = np.pi * wavelength(300) * 12e3 * k**2 - np.pi / 2 * 2.7 * mm * wavelength(300) ** 3 * k**4
    assert first_ring.real == pytest.approx(np.sin(chi + np.arcsin(0.1)), rel=1e-3)
    assert first_ring.imag == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("angle", "along_u", "along_v"),
    [(0, (0, 8), (8, 0)), (90, (8, 0), (0, 8)), (45, (8, 8), (-8, 8)), (-45, (-8, 8), (8, 8))],
)
def test_astigmatism_points_from_x_towards_y(angle, along_u, along_v):
    """`along`: index (y, x) of the transform; the image's rows run towards +y."""
    formation = ImageFormation(OPTICS, size=BOX)
    chi = formation.phase(15e3, 9e3, angle * DEGREE)
    for place, defocus in ((along_u, 15e3), (along_v, 9e3)):
        round_ctf = formation.phase(defocus, defocus, 0.0)
        assert chi[place] == pytest.approx(round_ctf[place], abs=1e-9)
    assert abs(chi[along_u] - formation.phase(9e3, 9e3, 0.0)[along_u]) > 0.1


def test_phase_shift_adds_to_chi():
    formation = ImageFormation(OPTICS, size=BOX)
    plain, shifted = (formation.phase(1e4, 9e3, 0.2, shift) for shift in (0.0, 0.7))
    np.testing.assert_allclose(shifted - plain, 0.7)


def test_derivative_is_that_of_the_image():
    size = 2 * BOX
    projection = projected(PROTEIN, (0.3, 1.1, -0.7), size=size)
    formation = ImageFormation(OPTICS, size=size)
    step = 5.0

    def image(change):
        return formation.image(projection, formation.phase(12e3 + change, 11e3 + change, 0.4))

    numeric = (image(step) - image(-step)) / (2 * step)
    exact = formation.derivative(projection, formation.phase(12e3, 11e3, 0.4))
    assert relative(exact, numeric) < 2e-4


def test_padding_keeps_waves_from_wrapping():
    """A box of the padded size differs from a huge one by ripples only; the bare box wraps."""
    defocus, pose = 25e3, (0.3, 1.1, -0.7)

    def image(size):
        formation = ImageFormation(OPTICS, size=size)
        chi = formation.phase(defocus, defocus, 0.0)
        return formation.image(projected(PROTEIN, pose, size=size), chi)

    size = padded_size(OPTICS, radius=PROTEIN.radius, defocus=defocus)
    huge = image(8 * BOX)
    assert 2 * BOX <= size < 4 * BOX
    assert relative(image(size), huge) < 0.015
    assert relative(image(BOX), huge) > 0.15


def test_padded_size_grows_with_what_must_fit():
    sizes = [padded_size(OPTICS, radius=60, defocus=z) for z in (1e3, 4e4, 8e4)]
    assert sizes[0] == 2 * BOX
    assert sizes[0] < sizes[1] < sizes[2]
    assert all(size % 2 == 0 for size in sizes)
    # 4 Å at 8 µm: 0.0197 Å x 80,000 Å / 4 Å, less what Cs takes back, on half a box and a radius.
    assert sizes[2] * PIXEL > BOX * PIXEL / 2 + 60 + 380


def test_magnification_enlarges_the_image_and_not_the_shift():
    optics = replace(OPTICS, magnification=(1.25, 0.0, 0.0, 1.0))
    projection = projected(atom_at(16, 8, 0), origin=(4, 4), optics=optics)
    image = in_focus(projection, optics=optics)
    np.testing.assert_array_equal(brightest(image), (1.25 * 16 - 4, 8 - 4))


def test_a_shear_moves_points_by_the_transpose():
    """A wave M k of the specimen is seen as k, so that M k · r = k · Mᵀ r."""
    optics = replace(OPTICS, magnification=(1.0, 0.25, 0.0, 1.0))
    image = in_focus(projected(atom_at(16, 8, 0), optics=optics), optics=optics)
    np.testing.assert_array_equal(brightest(image), (16, 8 + 0.25 * 16))
    assert Grid(optics, BOX).kx[4, 0] == pytest.approx(0.25 * 4 / (BOX * PIXEL))


def test_beam_tilt_turns_phases_and_leaves_amplitudes():
    projection = projected(PROTEIN)
    tilted = replace(OPTICS, beam_tilt=(0.6, -0.3))
    chi = ImageFormation(OPTICS, size=BOX).phase(12e3, 11e3, 0.3)
    plain, turned = (
        scipy.fft.rfft2(ImageFormation(o, size=BOX).image(projection, chi))
        for o in (OPTICS, tilted)
    )
    k = 20 / (BOX * PIXEL)
    angle = -2e-3 * np.pi * 2.7e7 * wavelength(300) ** 2 * k**3 * 0.6
    assert np.angle(turned[0, 20] / plain[0, 20]) == pytest.approx(angle, rel=1e-3)
    assert abs(turned[0, 20]) == pytest.approx(abs(plain[0, 20]), rel=1e-3)


def test_even_zernike_adds_to_chi_with_relions_sign():
    """RELION's first even coefficient is a constant, added to minus χ."""
    shifted = ImageFormation(replace(OPTICS, even_zernike=(0.3,)), size=BOX)
    plain = ImageFormation(OPTICS, size=BOX)
    np.testing.assert_allclose(shifted.phase(1e4, 1e4, 0) - plain.phase(1e4, 1e4, 0), -0.3)
