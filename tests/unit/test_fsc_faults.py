"""What makes an FSC not to be believed is seen, and good half-maps raise no alarm."""

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage

from parfocal.errors import InputError
from parfocal.fsc import squared_radius
from parfocal.fsc_curves import fsc_curves
from parfocal.fsc_faults import (
    check_independent,
    faults_of_curves,
    faults_of_maps,
    faults_of_mask,
    faults_of_symmetry,
)
from parfocal.symmetry import rotations

from .test_fsc import N, noise, sphere
from .test_fsc_curves import curves_of


def signal_and_noise():
    """Two maps of a blob that is strong at low resolution, each with its own white noise."""
    band = scipy.fft.rfftn(noise(5)) * np.exp(-squared_radius(N) / 50)
    common = scipy.fft.irfftn(band, s=(N, N, N)) * sphere(10)
    return [(30 * common + noise(seed)).astype(np.float32) for seed in (1, 2)]


def filtered(half, shell):
    """Low-passed by a Gaussian edge, as FSC weighting does."""
    radius = np.sqrt(squared_radius(N))
    fall = np.exp(-(np.clip(radius - shell, 0, None) ** 2) / 4)
    return scipy.fft.irfftn(scipy.fft.rfftn(half) * fall, s=(N, N, N))


def test_half_maps_as_they_came_are_fine():
    halves = signal_and_noise()
    assert list(faults_of_maps(*halves)) == []
    check_independent(*halves)
    curves = fsc_curves(*halves, sphere(14), pixel_size=1.0, rng=np.random.default_rng(0))
    assert list(faults_of_curves(curves)) == []
    assert list(faults_of_mask(sphere(14))) == []


@pytest.mark.parametrize("radius", [8, 15])
def test_masked_half_maps_are_seen(radius):
    said = list(faults_of_maps(*(half * sphere(radius) for half in signal_and_noise())))
    assert len(said) == 1
    assert "masked already" in said[0]


def test_a_sphere_that_fills_the_box_is_no_mask():
    """As reconstruction programs cut off the corners."""
    assert list(faults_of_maps(*(half * sphere(N // 2) for half in signal_and_noise()))) == []


def test_filtered_half_maps_are_seen():
    said = list(faults_of_maps(*(filtered(half, 12) for half in signal_and_noise())))
    assert len(said) == 1
    assert "filtered already: from shell 1" in said[0]


def about_z(density, group):
    """The sum of a map turned about its centre by rotations about z."""
    centre = np.full(3, len(density) // 2)
    matrices = [rotation[::-1, ::-1] for rotation in group]  # of (z, y, x)
    return sum(
        scipy.ndimage.affine_transform(density, m, centre - m @ centre, order=1) for m in matrices
    )


@pytest.mark.parametrize("fold", [1, 2, 3, 6])
def test_symmetric_noise_is_seen_unless_the_symmetry_is_given(fold):
    halves = [about_z(noise(seed), rotations(f"C{fold}")) for seed in (1, 2)]
    said = list(faults_of_symmetry(*halves, rotations("C1")))
    assert len(said) == (fold > 1)
    assert all("(--sym)" in sentence for sentence in said)
    assert list(faults_of_symmetry(*halves, rotations(f"C{fold}"))) == []


@pytest.mark.parametrize("factor", [1.0, 3.7, 1e-4])
def test_one_map_twice_is_refused(factor):
    half = noise(1)
    with pytest.raises(InputError, match="same map"):
        check_independent(half, factor * half)
    check_independent(half, -half)


def test_a_curve_above_the_level_at_nyquist_is_told():
    assert "still above 0.143 at Nyquist" in next(faults_of_curves(curves_of(np.ones(9))))


def test_nothing_in_common_is_told():
    said = list(faults_of_curves(curves_of([1, 0.1, 0, 0.05, 0, 0, 0, 0, 0])))
    assert len(said) == 1
    assert "nothing in common" in said[0]


def test_a_tight_mask_is_told():
    """Sharp and small, it spreads the strong low shells over all."""
    sharp = (sphere(4.0) > 0.5).astype(np.float32)
    curves = fsc_curves(*signal_and_noise(), sharp, pixel_size=1.0, rng=np.random.default_rng(0))
    assert any("too tight" in said for said in faults_of_curves(curves))


def test_a_mask_over_the_edge_of_the_box_is_told():
    assert "faces of the box" in next(faults_of_mask(np.ones((N, N, N), np.float32)))
