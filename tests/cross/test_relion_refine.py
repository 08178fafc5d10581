"""Estimates against relion_ctf_refine's on the same files, and RELION reading what we write."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.inputs import ReferenceFiles
from parfocal.io import read_particles
from parfocal.pipeline import EstimateSettings, estimate

pytestmark = [pytest.mark.relion, pytest.mark.slow]


@pytest.fixture(scope="module")
def run(dataset):
    folder, _ = dataset
    files = ReferenceFiles(map=folder / "map.mrc")
    out = folder / "ours"
    return estimate(
        folder / "particles.star", files, out, EstimateSettings(methods=("profile",), jobs=2)
    )


def refine(relion, folder, star, out, *options):
    """Mean defocus [Å] by relion_ctf_refine with the exact map for both halves, by particle id."""
    reference = ("--m1", "map.mrc", "--m2", "map.mrc", "--mask", "mask.mrc", "--f", "fsc.star")
    common = ("--i", star, "--o", f"{out}/", "--j", 2, *reference)
    relion("relion_ctf_refine", *common, *options, cwd=folder)
    refined = read_particles(folder / out / "particles_ctf_refine.star")
    return dict(zip(refined.particle_id, refined.defocus, strict=True))


def test_we_agree_with_relion_and_are_nearer_the_truth(relion, dataset, run):
    folder, simulation = dataset
    theirs = refine(
        relion, folder, "particles.star", "theirs", "--fit_defocus", "--fit_mode", "fpmff"
    )
    ours = run.results["profile"].estimates
    ok = ours.ok()
    assert ok.mean() > 0.95
    relion_defocus = np.array([theirs[name] for name in ours.particle_id])
    prior, truth = ours.defocus_prior, simulation.truth.defocus
    agreement = np.corrcoef(ours.defocus[ok] - prior[ok], relion_defocus[ok] - prior[ok])[0, 1]
    print(f"correlation of the changes with RELION's {agreement:.4f}")
    assert agreement > 0.95
    wrong = [np.sqrt(np.mean((d - truth)[ok] ** 2)) for d in (ours.defocus, relion_defocus)]
    print(f"root mean square error {wrong[0]:.1f} Å, RELION {wrong[1]:.1f} Å")
    assert wrong[0] < wrong[1]


def test_relion_reads_and_keeps_what_we_write(relion, dataset, run):
    folder, _ = dataset
    ours = run.out / "profile" / "particles.star"
    written = read_particles(ours)
    middle = float(np.median(written.defocus_u)) + 1e-3
    select = ("--select", "rlnDefocusU", "--minval", middle)
    relion("relion_star_handler", "--i", ours, "--o", "upper.star", *select, cwd=folder)
    upper = read_particles(folder / "upper.star")
    expected = written.take(written.defocus_u >= middle)
    assert sorted(upper.particle_id) == sorted(expected.particle_id)
    np.testing.assert_allclose(np.sort(upper.defocus_u), np.sort(expected.defocus_u), atol=1e-5)
    # one more refinement from our file must run, and find less to change than from the input
    again = refine(relion, folder, ours, "again", "--fit_defocus", "--fit_mode", "fpfff")
    change = np.array([again[name] for name in written.particle_id]) - written.defocus
    before = read_particles(folder / "particles.star").defocus
    assert np.median(np.abs(change)) < 0.5 * np.median(np.abs(written.defocus - before))


def test_the_file_we_write_differs_from_the_input_in_its_defocus_alone(dataset, run):
    folder, _ = dataset
    before = read_particles(folder / "particles.star")
    after = read_particles(run.out / "profile" / "particles.star")
    change = run.results["profile"].estimates.defocus_change
    np.testing.assert_allclose(after.defocus_u - before.defocus_u, change, atol=2e-6)
    same = replace(after, defocus_u=before.defocus_u, defocus_v=before.defocus_v)
    for name, column in before.columns().items():
        assert (getattr(same, name) == column).all(), name
