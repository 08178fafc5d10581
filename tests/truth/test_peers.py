"""On a set that others simulated: against its truth, its bound, and what other programs gave on it."""

import csv

import numpy as np
import pytest

from parfocal.estimators import Profile
from parfocal.evidence import gather
from parfocal.inputs import ReferenceFiles, read_inputs
from parfocal.io import read_particles

from .conftest import assert_calibrated


@pytest.fixture(scope="module")
def peers(data):
    """(estimates, true defocus, Cramér-Rao bound, folder) of data/peer_runs."""
    folder = data / "peer_runs"
    inputs = read_inputs(folder / "particles.star", ReferenceFiles(map=folder / "truth_map.mrc"))
    evidence = gather(inputs.particles, inputs.images, inputs.reference)
    estimates = Profile().estimate(inputs.particles, evidence)
    with (folder / "truth.csv").open() as file:
        truth = {
            row["image"]: (float(row["dz"]), float(row["crlb"])) for row in csv.DictReader(file)
        }
    defocus, bound = np.array([truth[name] for name in estimates.particle_id]).T
    return estimates, defocus, bound, folder


def root_mean_square(values):
    return float(np.sqrt(np.mean(np.square(values))))


def test_the_bound_is_reached_on_foreign_data(peers):
    estimates, defocus, bound, _ = peers
    assert estimates.ok().all()
    ratio = root_mean_square((estimates.defocus - defocus) / bound)
    print(f"rmse / Cramér-Rao {ratio:.3f}, n {len(bound)}")
    # the bound is the least; by chance the ratio of 150 particles falls within 1 ± 3 / sqrt(2 n)
    assert ratio < 1 + 3 / np.sqrt(2 * len(bound))


def test_error_bars_on_foreign_data(peers):
    estimates, defocus, _, _ = peers
    pull = (estimates.defocus - defocus) / estimates.defocus_error
    assert abs(pull.std() - 1) < 3 / np.sqrt(2 * len(pull))
    with pytest.raises(AssertionError):
        assert_calibrated(1.5 * (estimates.defocus - defocus), estimates.defocus_error)


@pytest.mark.parametrize("output", ["relion_default.star", "relion_bruteforce.star"])
def test_nearer_the_truth_than_relion(peers, output):
    estimates, defocus, _, folder = peers
    theirs = read_particles(folder / output)
    by_id = dict(zip(theirs.particle_id, theirs.defocus, strict=True))
    relion = np.array([by_id[name] for name in estimates.particle_id])
    ours, other = (root_mean_square(d - defocus) for d in (estimates.defocus, relion))
    print(f"{output}: {other:.1f} Å, ours {ours:.1f} Å")
    assert ours < other
