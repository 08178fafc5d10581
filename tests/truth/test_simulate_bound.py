"""The Cramér-Rao bound is what the best estimator reaches, in noise of either kind."""

import numpy as np
import pytest
import scipy.fft

from parfocal.simulate import Scene, simulate

DRAWS = 1500


@pytest.mark.parametrize("noise", ["white", "coloured"])
def test_a_whitened_matched_filter_reaches_the_bound(noise):
    """Linear estimate of a small change from noise alone: its sd is the bound, its mean 0."""
    scene = Scene(
        particles=2, micrographs=1, box=64, pixel_size=2.5, residues=300, noise=noise, snr=0.1
    )
    made = simulate(scene, np.random.default_rng(8))
    images = made.images
    _, derivative = images.camera.image_and_derivative(1)
    template = scipy.fft.rfft2(images.scale * derivative) / images.noise.power
    template[:, 1:-1] *= 2  # Friedel mates
    rng = np.random.default_rng(9)
    projections = np.array(
        [np.vdot(template, scipy.fft.rfft2(images.noise.draw(rng))).real for _ in range(DRAWS)]
    )
    change = projections * made.truth.cramer_rao[1] ** 2
    # In coloured noise frequencies are not quite independent of each other in a box.
    tolerance = {"white": 0.0, "coloured": 0.05}[noise] + 4 / np.sqrt(2 * DRAWS)
    assert change.std() / made.truth.cramer_rao[1] == pytest.approx(1.0, abs=tolerance)
    assert abs(change.mean()) < 4 * change.std() / np.sqrt(DRAWS)
