"""Atoms from files, their scattering factors, and the protein that is made up."""

import itertools

import gemmi
import numpy as np
import pytest

from parfocal.errors import InputError
from parfocal.fsc import shell_correlation
from parfocal.optics import Optics
from parfocal.simulate.project import density
from parfocal.simulate.protein import HELIX, STRAND, _backbone, protein_like
from parfocal.simulate.structure import Atoms, form_factor, read_structure

PDB = """\
CRYST1   10.000   10.000   10.000  90.00  90.00  90.00 P 1
ATOM      1  C   GLY A   1       1.000   2.000   3.000  1.00 10.00           C
ATOM      2  H   GLY A   1       9.000   9.000   9.000  1.00 10.00           H
ATOM      3  CA AGLY A   1       3.000   2.000   3.000  0.50 10.00           C
ATOM      4  CA BGLY A   1       8.000   8.000   8.000  0.50 10.00           C
HETATM    5  O   HOH A   2       7.000   7.000   7.000  1.00 10.00           O
END
"""


def dihedral(a, b, c, d):
    axis = (c - b) / np.linalg.norm(c - b)
    v, w = (u - (u @ axis) * axis for u in (a - b, d - c))
    return np.degrees(np.arctan2(np.cross(axis, v) @ w, v @ w))


def test_file_gives_heavy_atoms_of_the_first_conformation_about_their_centre(tmp_path):
    path = tmp_path / "two.pdb"
    path.write_text(PDB)
    atoms = read_structure(path)
    np.testing.assert_allclose(atoms.position, [[-1, 0, 0], [1, 0, 0]], atol=1e-6)
    assert atoms.atomic_number.tolist() == [6, 6]
    assert atoms.radius == pytest.approx(1.0)


def test_mmcif_gives_the_same_atoms_as_pdb(tmp_path):
    pdb, cif = tmp_path / "two.pdb", tmp_path / "two.cif"
    pdb.write_text(PDB)
    gemmi.read_structure(str(pdb)).make_mmcif_document().write_file(str(cif))
    np.testing.assert_allclose(read_structure(cif).position, read_structure(pdb).position)


@pytest.mark.parametrize("text", ["", PDB.splitlines()[0] + "\nEND\n"])
def test_a_file_without_atoms_is_refused(tmp_path, text):
    path = tmp_path / "empty.pdb"
    path.write_text(text)
    with pytest.raises(InputError, match="no atoms"):
        read_structure(path)


def test_a_missing_or_foreign_file_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    for name in ("nowhere.pdb", "notes.txt"):
        with pytest.raises(InputError, match=name):
            read_structure(tmp_path / name)


def test_form_factor_is_that_of_the_tables():
    # International Tables C, table 4.3.1.1: carbon 2.509 Å at s = 0, 1.46 at sin θ / λ = 0.2.
    assert form_factor(6, 0.0) == pytest.approx(2.509, abs=1e-3)
    assert form_factor(6, 4 * 0.2**2) == pytest.approx(1.46, abs=0.01)
    s = np.linspace(0, 1, 7)
    expected = [gemmi.Element("S").c4322.calculate_sf(x / 4) for x in s]
    np.testing.assert_allclose(form_factor(16, s), expected, rtol=1e-5)


@pytest.mark.parametrize("atomic_number", [0, 99])
def test_an_element_without_scattering_factor_is_refused(atomic_number):
    with pytest.raises(InputError, match="scattering factor"):
        form_factor(atomic_number, 0.0)


def test_atoms_are_frozen_and_checked():
    with pytest.raises(ValueError, match="finite positions"):
        Atoms(position=np.full((1, 3), np.nan), atomic_number=np.array([6]))
    atoms = protein_like(np.random.default_rng(0), residues=20)
    with pytest.raises(ValueError, match="read-only"):
        atoms.position[0] = 0


@pytest.mark.parametrize(("fold", "rise"), [(HELIX, 1.5), (STRAND, 3.3)])
def test_backbone_has_the_geometry_of_its_fold(fold, rise):
    n, ca, c, _, cb = np.moveaxis(_backbone(fold, 12), 1, 0)
    assert np.mean(np.diff(ca[:, 2])) == pytest.approx(rise, abs=0.1)
    assert dihedral(c[3], n[4], ca[4], c[4]) == pytest.approx(np.degrees(fold.phi), abs=1e-6)
    assert dihedral(n[3], ca[3], c[3], n[4]) == pytest.approx(np.degrees(fold.psi), abs=1e-6)
    # L: seen from the hydrogen, CO, R and N go clockwise (the rule "CORN").
    hydrogen = -sum((atom[3] - ca[3]) for atom in (n, c, cb))
    turn = np.cross(c[3] - ca[3], cb[3] - ca[3]) @ hydrogen
    assert turn < 0


def test_helices_are_right_handed():
    ca = _backbone(HELIX, 12)[:, 1]
    assert dihedral(*ca[4:8]) == pytest.approx(50, abs=5)
    assert dihedral(*(ca[4:8] * [-1, 1, 1])) == pytest.approx(-50, abs=5)


@pytest.mark.parametrize("seed", [1, 2])
def test_made_up_protein_is_like_one(seed):
    atoms = protein_like(np.random.default_rng(seed), residues=1000)
    assert len(atoms) == pytest.approx(7.8 * 1000, rel=0.03)
    core = np.linalg.norm(atoms.position, axis=1) < 18
    assert core.sum() / (4 / 3 * np.pi * 18**3) == pytest.approx(0.045, rel=0.15)  # per Å³
    carbon = (atoms.atomic_number == 6).mean()
    assert carbon == pytest.approx(0.63, abs=0.03)
    assert atoms.radius < 2 * np.cbrt(0.75 / np.pi * 150 * 1000)


TURNS_AND_MIRRORS = [m for m in itertools.product((1, -1), repeat=3) if m != (1, 1, 1)]


@pytest.mark.parametrize("signs", TURNS_AND_MIRRORS)
def test_made_up_protein_has_no_symmetry_and_another_mirror_image(signs):
    optics = Optics(
        name="",
        voltage=300,
        spherical_aberration=2.7,
        amplitude_contrast=0.1,
        pixel_size=3,
        image_size=40,
    )
    atoms = protein_like(np.random.default_rng(7), residues=500)
    turned = Atoms(position=atoms.position * signs, atomic_number=atoms.atomic_number)
    maps = [density(a, optics=optics, b_factor=0) for a in (atoms, turned)]
    fsc = shell_correlation(*map(np.fft.rfftn, maps))
    assert fsc[0] == pytest.approx(1)
    assert np.abs(fsc[8:20]).max() < 0.4, "15 to 6 Å"


def test_made_up_protein_follows_its_seed():
    first, again, other = (protein_like(np.random.default_rng(s), residues=50) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.position, again.position)
    assert first.position.shape != other.position.shape or (first.position != other.position).any()
