"""Real β-galactosidase (EMPIAR-10204): weak particles, good micrographs, honest error bars."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from parfocal.estimators import Profile
from parfocal.estimators.micrograph import micrograph_changes
from parfocal.evidence import gather
from parfocal.inputs import ReferenceFiles, read_inputs

ALLOWED = 150.0  # Å between CTFFIND's defocus and the best common change of a micrograph


@pytest.fixture(scope="module")
def inputs(data):
    folder = data / "empiar10204"
    files = ReferenceFiles(map=folder / "reference_5a1a.mrc")
    return read_inputs(folder / "particles.star", files)


@pytest.fixture(scope="module")
def evidence(inputs):
    return gather(inputs.particles, inputs.images, inputs.reference)


@pytest.fixture(scope="module")
def micrographs(inputs, evidence):
    changes = micrograph_changes(inputs.particles, evidence, rng=np.random.default_rng(0))
    return list(changes.values())


def test_every_micrograph_agrees_with_ctffind(micrographs):
    changes = [m.change for m in micrographs]
    print("best common changes [Å]:", np.round(changes).astype(int))
    assert len(changes) == 10
    assert np.abs(changes).max() < ALLOWED


def test_random_halves_of_a_micrographs_particles_agree(micrographs):
    pulls = np.array(
        [(m.half_change[0] - m.half_change[1]) / np.hypot(*m.half_error) for m in micrographs]
    )
    print("pulls of the halves:", np.round(pulls, 2))
    low, high = chi2.ppf([0.001, 0.999], len(pulls))
    assert low < np.sum(pulls**2) < high


def test_a_single_particle_is_reported_as_weak(inputs, evidence):
    estimates = Profile().estimate(inputs.particles, evidence)
    median = np.median(estimates.defocus_error)
    print(f"median error {median:.0f} Å; {estimates.counts()}")
    assert 200 < median < 600
    assert np.isfinite(estimates.defocus_error).all()
    # the spread of the estimates is what such errors make, and no more
    ok = estimates.ok()
    pull = estimates.defocus_change[ok] / estimates.defocus_error[ok]
    assert 0.8 < pull.std() < 1.3


def test_wrong_poses_leave_no_information(inputs, evidence, micrographs):
    order = np.random.default_rng(1).permutation(len(inputs.particles))
    wrong = replace(
        inputs.particles, **{k: getattr(inputs.particles, k)[order] for k in ("rot", "tilt", "psi")}
    )
    lost = gather(wrong, inputs.images, inputs.reference)
    scale = [next(iter(e.models.values())).amplitude.max() for e in (evidence, lost)]
    print(f"fitted amplitude {scale[0]:.4f}, with shuffled poses {scale[1]:.4f}")
    assert scale[1] < 0.3 * scale[0]
