"""Methods `relion` and `cryosparc`: against RELION's own output, the truth, and their own errors."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from parfocal.estimators.cryosparc import Cryosparc
from parfocal.estimators.relion import Relion
from parfocal.evidence import gather
from parfocal.inputs import ReferenceFiles, read_inputs
from parfocal.io import read_particles

from .conftest import assert_calibrated

OUTPUTS = {  # RELION's own file -> our method
    "relion_default.star": Relion(fit_mode="fpmff"),
    "relion_bruteforce.star": Relion(brute_force=True),
}
METHODS = {  # none needs the azimuth
    "relion": Relion(fit_mode="fpffm"),
    "relion-grid": Relion(brute_force=True),
    "cryosparc": Cryosparc(),
    "cryosparc-v4": Cryosparc(fit_scale=False),
}


class Peers:
    """data/peer_runs, RELION's outputs and the truth."""

    def __init__(self, folder):
        files = ReferenceFiles(map=folder / "truth_map.mrc", mask=folder / "mask.mrc")
        inputs = read_inputs(folder / "particles.star", files)
        self.folder, self.particles = folder, inputs.particles
        self.evidence = {
            padding: gather(
                inputs.particles,
                inputs.images,
                inputs.reference,
                change_max=2000.0,
                padding=padding,
                astigmatism=True,
            )
            for padding in (1.0, None)
        }
        with (folder / "truth.csv").open() as file:
            truth = {row["image"]: float(row["dz"]) for row in csv.DictReader(file)}
        self.truth = np.array([truth[name] for name in inputs.particles.particle_id])

    def relion(self, output):
        """(n,) mean defocus [Å] of RELION's file."""
        theirs = read_particles(self.folder / output)
        by_id = dict(zip(theirs.particle_id, theirs.defocus, strict=True))
        return np.array([by_id[name] for name in self.particles.particle_id])


@pytest.fixture(scope="module")
def peers(data):
    return Peers(data / "peer_runs")


def agreement(estimates, theirs):
    """(correlation of the changes, median difference over our error bar)."""
    change = theirs - estimates.defocus_prior
    share = np.median(np.abs(estimates.defocus - theirs) / estimates.defocus_error)
    correlation = np.corrcoef(estimates.defocus_change, change)[0, 1]
    print(f"correlation {correlation:.5f}, median difference {share:.3f} of the error")
    return correlation, share


def root_mean_square(values):
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.mark.parametrize("output", OUTPUTS)
def test_changes_are_relions_own(peers, output):
    estimates = OUTPUTS[output].estimate(peers.particles, peers.evidence[1.0])
    theirs = peers.relion(output)
    assert estimates.ok().all()
    correlation, share = agreement(estimates, theirs)
    assert correlation > 0.999
    assert share < 0.15
    ours, other = (root_mean_square(d - peers.truth) for d in (estimates.defocus, theirs))
    assert ours == pytest.approx(other, rel=0.02)


@pytest.mark.parametrize("output", OUTPUTS)
def test_another_band_or_padded_images_are_not_relions(peers, output):
    theirs, method = peers.relion(output), OUTPUTS[output]
    spoilt = [
        (replace(method, k_min=6.0), peers.evidence[1.0]),
        (method, peers.evidence[None]),  # where CTFs do not wrap around
    ]
    for other, evidence in spoilt:
        correlation, share = agreement(other.estimate(peers.particles, evidence), theirs)
        assert correlation < 0.999 or share > 0.15


@pytest.mark.parametrize("output", OUTPUTS)
def test_without_wrap_around_it_is_nearer_the_truth(peers, output):
    estimates = OUTPUTS[output].estimate(peers.particles, peers.evidence[None])
    ours, theirs = (
        root_mean_square(d - peers.truth) for d in (estimates.defocus, peers.relion(output))
    )
    print(f"{output}: {theirs:.1f} Å, without wrap-around {ours:.1f} Å")
    assert ours < 0.75 * theirs


@pytest.mark.parametrize("name", METHODS)
def test_errors_are_honest_on_apoferritin(apoferritin, name):
    simulation = apoferritin.simulation
    estimates = METHODS[name].estimate(simulation.particles, apoferritin.evidence)
    ok = estimates.ok()
    assert ok.mean() > 0.99
    wrong = (estimates.defocus - simulation.truth.defocus)[ok]
    bound = root_mean_square(simulation.truth.cramer_rao[ok])
    print(f"{name}: {root_mean_square(wrong):.1f} Å, Cramér-Rao {bound:.1f} Å")
    assert_calibrated(wrong, estimates.defocus_error[ok])
    with pytest.raises(AssertionError):
        assert_calibrated(wrong, estimates.defocus_error[ok] / 1.2)
