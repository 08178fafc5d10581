"""Method `relion` against relion_ctf_refine itself, on the same half-maps, mask, FSC and images."""

import numpy as np
import pytest

from parfocal.conventions import astigmatism_vector
from parfocal.estimators import relion as relion_module
from parfocal.estimators.draft import Draft
from parfocal.estimators.relion import Relion, fit_relion
from parfocal.evidence import gather
from parfocal.fsc_curves import fsc_curves
from parfocal.inputs import ReferenceFiles, read_inputs
from parfocal.io import read_map, read_particles, read_star, write_star
from parfocal.simulate import Scene, simulate, write_dataset

pytestmark = [pytest.mark.relion, pytest.mark.slow]
AGREED = 0.996  # correlation of the changes; 0.9978 to 0.9997 when this was written
METHODS = {  # name -> method, options of relion_ctf_refine, largest median difference over the error
    "default": (Relion(), (), 0.1),
    "astigmatism": (Relion(fit_mode="fpmff"), ("--fit_mode", "fpmff"), 0.1),
    "defocus": (Relion(fit_mode="fpfff"), ("--fit_mode", "fpfff"), 0.1),
    "micrograph": (Relion(fit_mode="fmmff"), ("--fit_mode", "fmmff"), 0.1),
    "grid": (Relion(brute_force=True), ("--bf_only",), 0.15),  # of steps of 4 Å
}


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """(folder, inputs, evidence): 120 particles, box 96, noisy half-maps of 3.5 Å, their FSC."""
    folder = tmp_path_factory.mktemp("halves")
    scene = Scene(
        particles=120,
        micrographs=3,
        box=96,
        pixel_size=1.4,
        snr=0.06,
        astigmatism=300.0,
        height_scatter=120.0,
        half_map_resolution=3.5,
    )
    write_dataset(simulate(scene, np.random.default_rng(31)), folder)
    first, second, mask = (read_map(folder / f"{n}.mrc")[0] for n in ("half1", "half2", "mask"))
    rng = np.random.default_rng(0)
    fsc = fsc_curves(first, second, mask, pixel_size=1.4, rng=rng).corrected
    columns = {
        "rlnSpectralIndex": [str(shell) for shell in range(len(fsc))],
        "rlnFourierShellCorrelationCorrected": [f"{value:.6f}" for value in fsc],
    }
    write_star(folder / "fsc.star", {"fsc": columns})
    files = ReferenceFiles(
        half_maps=(folder / "half1.mrc", folder / "half2.mrc"),
        mask=folder / "mask.mrc",
        fsc=folder / "fsc.star",
    )
    inputs = read_inputs(folder / "particles.star", files)
    evidence = gather(
        inputs.particles,
        inputs.images,
        inputs.reference,
        change_max=2000.0,
        padding=1.0,  # RELION's CTFs wrap around
        astigmatism=True,
    )
    return folder, inputs, evidence


@pytest.fixture(scope="module")
def theirs(relion, halves):
    """name of METHODS -> (n,) change of mean defocus [Å] by RELION, each run once."""
    folder, inputs, _ = halves
    made = {}

    def change(name):
        if name not in made:
            reference = ("--m1", "half1.mrc", "--m2", "half2.mrc", "--mask", "mask.mrc")
            common = ("--i", "particles.star", "--o", f"{name}/", "--j", 2, "--fit_defocus")
            options = (*common, *reference, "--f", "fsc.star", *METHODS[name][1])
            relion("relion_ctf_refine", *options, cwd=folder)
            refined = read_particles(folder / name / "particles_ctf_refine.star")
            by_id = dict(zip(refined.particle_id, refined.defocus, strict=True))
            particles = inputs.particles
            made[name] = np.array([by_id[i] for i in particles.particle_id]) - particles.defocus
        return made[name]

    return change


def agreement(halves, theirs, name):
    """(correlation of the changes, median difference over our error bar)."""
    _, inputs, evidence = halves
    ours = METHODS[name][0].estimate(inputs.particles, evidence)
    ok, other = ours.ok(), theirs(name)
    assert ok.mean() > 0.95
    correlation = np.corrcoef(ours.defocus_change[ok], other[ok])[0, 1]
    difference = np.abs(ours.defocus_change - other)[ok]
    share = np.median(difference / ours.defocus_error[ok])
    print(
        f"{name}: correlation {correlation:.5f}, median {np.median(difference):.1f} Å, {share:.3f}"
    )
    return correlation, share


@pytest.mark.parametrize("name", METHODS)
def test_changes_are_relions(halves, theirs, name):
    correlation, share = agreement(halves, theirs, name)
    assert correlation > AGREED
    assert share < METHODS[name][2]


def test_astigmatism_b_factor_and_scale_of_each_micrograph_are_relions(halves, theirs):
    folder, inputs, evidence = halves
    theirs("default")
    path = folder / "default" / "particles_ctf_refine.star"
    refined, table = read_particles(path), read_star(path)["particles"]
    place = {name: i for i, name in enumerate(refined.particle_id)}
    rows = [place[name] for name in inputs.particles.particle_id]
    vectors = [
        np.array(astigmatism_vector(p.defocus_u, p.defocus_v, p.defocus_angle))[1:]
        for p in (refined.take(np.array(rows)), inputs.particles)
    ]
    method = Relion()
    draft = Draft(method, inputs.particles, evidence)
    ours = fit_relion(method, inputs.particles, evidence, draft)
    np.testing.assert_allclose(ours[:, 1:3].T, vectors[0] - vectors[1], atol=6)  # Å
    assert np.abs(vectors[0] - vectors[1]).max() > 12
    for column, name, share in ((3, "rlnCtfBfactor", 0.05), (4, "rlnCtfScalefactor", 0.03)):
        np.testing.assert_allclose(
            ours[:, column], table.numbers(name)[rows], rtol=share, atol=1e-9
        )


def squared(reference, grid, *, least, low):
    """The FSC squared, nearly as if the map's noise were weighed."""
    return shell_weight(reference, grid, least=least, low=low) ** 2


def all_alike(reference, grid, *, least, low):
    """No FSC: all frequencies up to the map's last alike."""
    return np.where(grid.k < 1 / low, 0.0, 1.0)


shell_weight = relion_module.shell_weight


@pytest.mark.parametrize("weight", [squared, all_alike])
@pytest.mark.parametrize("name", ["default", "grid"])
def test_other_weights_are_not_relions(halves, theirs, monkeypatch, name, weight):
    monkeypatch.setattr(relion_module, "shell_weight", weight)
    correlation, share = agreement(halves, theirs, name)
    assert correlation < AGREED or share > METHODS[name][2]


def test_the_other_half_is_not_relions(halves, theirs):
    folder, inputs, _ = halves
    swapped = ReferenceFiles(
        half_maps=(folder / "half2.mrc", folder / "half1.mrc"),
        mask=folder / "mask.mrc",
        fsc=folder / "fsc.star",
    )
    other = read_inputs(folder / "particles.star", swapped)
    spoilt = gather(
        inputs.particles, inputs.images, other.reference, change_max=2000.0, padding=1.0
    )
    correlation, share = agreement((folder, inputs, spoilt), theirs, "grid")
    assert correlation < AGREED or share > METHODS["grid"][2]
