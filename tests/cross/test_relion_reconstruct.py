"""Our maps and relion_reconstruct's, from the same particles; and the point groups of both."""

import re
from dataclasses import replace

import numpy as np
import pytest
import scipy.fft

from parfocal.conventions import DEGREE
from parfocal.ewald import Ewald
from parfocal.fsc import shell_correlation
from parfocal.io import StackImages, read_map, read_particles, write_stack, write_star
from parfocal.reconstruct import reconstruct
from parfocal.simulate import Scene, simulate, write_dataset
from parfocal.symmetry import rotations

from ..unit import test_ewald as thick

pytestmark = pytest.mark.relion
BOX = 80
TRUSTED = slice(
    2, int(0.45 * BOX) + 1
)  # shells to 0.9 of Nyquist; RELION refills what it masks away


@pytest.fixture(scope="module")
def apoferritin(relion, data, tmp_path_factory):
    """(folder, particles of half-set 1): 400 noisy apoferritins with beam tilt, on disk."""
    folder = tmp_path_factory.mktemp("reconstruct")
    scene = Scene(
        structure=data / "structures" / "6z6u.pdb",
        particles=400,
        micrographs=2,
        box=BOX,
        pixel_size=2.2,
        snr=0.1,
        astigmatism=500.0,
        defocus=(6_000.0, 12_000.0),
        defocus_error=0.0,
        height_scatter=0.0,
        ice_tilt=0.0,
        beam_tilt=(2.0, -1.0),
    )
    write_dataset(simulate(scene, np.random.default_rng(12)), folder)
    particles = read_particles(folder / "particles.star")
    return folder, particles.take(particles.half_set == 1)


@pytest.fixture(scope="module")
def theirs(request, relion, apoferritin):
    """(symmetry, RELION's map of half-set 1)."""
    arguments = ("--i", "particles.star", "--o", f"{request.param}.mrc", "--ctf", "--pad", "2")
    folder, _ = apoferritin
    relion("relion_reconstruct", *arguments, "--sym", request.param, "--subset", "1", cwd=folder)
    return request.param, read_map(folder / f"{request.param}.mrc")[0]


def fsc(first, second):
    return shell_correlation(scipy.fft.rfftn(first), scipy.fft.rfftn(second))[TRUSTED]


@pytest.mark.parametrize("theirs", ["C1", "C3", "O"], indirect=True)
def test_our_map_is_relions_to_nine_tenths_of_nyquist(theirs, apoferritin):
    """Without any mask, and shell by shell, also where there is noise only."""
    symmetry, density = theirs
    _, particles = apoferritin
    ours = reconstruct(particles, StackImages(particles), symmetry=symmetry).half_map(1)
    assert fsc(ours, density).min() > 0.99


@pytest.mark.parametrize("theirs", ["C1"], indirect=True)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: replace(p, psi=-p.psi),
        lambda p: replace(p, tilt=np.pi - p.tilt),
        lambda p: replace(p, defocus_u=0 * p.defocus_u, defocus_v=0 * p.defocus_v),
        lambda p: replace(p, defocus_angle=-p.defocus_angle),
        lambda p: replace(p, optics=(replace(p.optics[0], beam_tilt=(0.0, 0.0)),)),
    ],
    ids=["psi turned", "other hand", "no defocus", "angle turned", "no beam tilt"],
)
def test_a_wrong_convention_is_noticed(theirs, apoferritin, spoil):
    _, density = theirs
    _, particles = apoferritin
    ours = reconstruct(spoil(particles), StackImages(particles)).half_map(1)
    assert fsc(ours, density).min() < 0.9


@pytest.fixture(scope="module")
def points(relion, tmp_path_factory):
    """(folder, particles) of a thick specimen whose heights have the defocus that RELION reverses."""
    folder = tmp_path_factory.mktemp("ewald")
    particles, images = thick.specimen(1)
    n, optics = len(particles), thick.OPTICS
    write_stack(folder / "points.mrcs", images.pixels, optics.pixel_size)
    settings = {
        "rlnOpticsGroup": 1,
        "rlnOpticsGroupName": "points",
        "rlnVoltage": optics.voltage,
        "rlnSphericalAberration": optics.spherical_aberration,
        "rlnAmplitudeContrast": optics.amplitude_contrast,
        "rlnImagePixelSize": optics.pixel_size,
        "rlnImageSize": optics.image_size,
        "rlnImageDimensionality": 2,
    }
    numbers = {
        "rlnDefocusU": particles.defocus_u,
        "rlnDefocusV": particles.defocus_v,
        "rlnDefocusAngle": particles.defocus_angle / DEGREE,
        "rlnAngleRot": particles.rot / DEGREE,
        "rlnAngleTilt": particles.tilt / DEGREE,
        "rlnAnglePsi": particles.psi / DEGREE,
        "rlnOriginXAngst": particles.origin_x,
        "rlnOriginYAngst": particles.origin_y,
    }
    columns = {name: [f"{x:.6f}" for x in column] for name, column in numbers.items()}
    columns["rlnImageName"] = [f"{row + 1:06d}@points.mrcs" for row in range(n)]
    columns["rlnMicrographName"] = columns["rlnOpticsGroup"] = ["1"] * n
    columns["rlnRandomSubset"] = [str(half) for half in particles.half_set]
    optics_block = {name: [str(value)] for name, value in settings.items()}
    write_star(folder / "points.star", {"optics": optics_block, "particles": columns})
    return folder, read_particles(folder / "points.star")


def test_the_ewald_sphere_is_bent_as_relions(relion, points):
    """By its default and by --reverse_curvature; and the map is as true as its own at the least."""
    folder, particles = points
    truth, maps = thick.density(thick.points()), {}
    for sign, words in ((-1, ()), (1, ("--reverse_curvature",))):
        name = f"bent{sign}.mrc"
        arguments = ("--i", "points.star", "--o", name, "--ctf", "--pad", "2", "--ewald", *words)
        relion("relion_reconstruct", *arguments, "--mask_diameter", "50", cwd=folder)
        ewald = Ewald(diameter=thick.DIAMETER, sign=sign)
        ours = reconstruct(particles, StackImages(particles), ewald=ewald).full()
        maps[sign] = ours, read_map(folder / name)[0]

    def fine(first, second):
        return shell_correlation(scipy.fft.rfftn(first), scipy.fft.rfftn(second))[thick.FINE]

    for sign, (ours, theirs) in maps.items():
        assert (fine(ours, theirs) > fine(ours, maps[-sign][1]) + 0.05).all()
    assert (fine(maps[1][0], truth) > fine(maps[1][1], truth) - 0.01).all()
    assert (fine(maps[1][1], truth) > fine(maps[-1][1], truth) + 0.05).all()


@pytest.mark.parametrize(
    "name", ["C1", "C2", "C5", "D2", "D3", "T", "O", "I", "I1", "I2", "I3", "I4"]
)
def test_a_point_group_is_relions(relion, name, tmp_path):
    told = relion("relion_refine", "--sym", name, "--print_symmetry_ops", cwd=tmp_path)
    blocks = re.findall(r"R\(\d+\)=\s+((?:[-+.e\d]+\s+){9})", told)
    theirs = np.array([block.split() for block in blocks], dtype=float).reshape(-1, 3, 3)
    ours = rotations(name)
    assert len(theirs) == len(ours)
    distance = np.abs(ours[:, None] - theirs).max(axis=(2, 3))
    assert distance.min(axis=0).max() < 1e-4
    assert distance.min(axis=1).max() < 1e-4
