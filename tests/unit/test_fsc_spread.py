"""The noise of an FSC: where its size is known without code, and what the mask makes common."""

import numpy as np
import pytest

from parfocal.fsc_curves import FscCurves, fsc_curves
from parfocal.fsc_directions import direction_sums
from parfocal.fsc_spread import fsc_noise, resolution_interval
from parfocal.symmetry import rotations

from .test_fsc import noise, sphere, standard_error
from .test_fsc_curves import curves_of

M = 40
SHELLS = slice(6, M // 2 + 1)


def measured(halves, mask, seed=0):
    rng = np.random.default_rng(seed)
    curves = fsc_curves(*halves, mask, pixel_size=1.0, rng=rng, randomise_from=M)
    return curves, fsc_noise(direction_sums(*halves, mask), curves, draws=400, rng=rng)


@pytest.mark.parametrize("signal", [0.0, 0.5, 2.0])
def test_without_a_mask_it_is_known(signal):
    """Var f = ((1 - f)² 2 s + 1 + f²) / 2 m (s + 1)² of m values, s signal over noise."""
    common = np.sqrt(signal) * noise(3, M)
    ones = np.ones((M, M, M), np.float32)
    found = [
        measured([common + noise(2 * i + 10, M), common + noise(2 * i + 11, M)], ones)[1].std(
            axis=0
        )
        for i in range(4)
    ]
    f = signal / (signal + 1)
    known = ((1 - f) ** 2 * 2 * signal + 1 + f**2) / (2 * (signal + 1) ** 2)
    ratio = np.mean(found, axis=0) / (standard_error(M) * np.sqrt(known))
    assert np.mean(ratio[SHELLS]) == pytest.approx(1, abs=0.06)  # 27 blocks, 4 pairs, 15 shells


def test_under_a_mask_it_is_what_noise_shows_and_not_that_of_as_many_voxels():
    """The FSC of noise is 0, so its scatter about 0 is its error."""
    mask = sphere(10, M).astype(np.float32)
    found = [measured((noise(2 * i, M), noise(2 * i + 1, M)), mask) for i in range(60)]
    scatter = np.sqrt(np.mean([curves.masked[SHELLS] ** 2 for curves, _ in found], axis=0))
    error = np.sqrt(np.mean([drawn[:, SHELLS].var(axis=0) for _, drawn in found], axis=0))
    assert np.mean(scatter / error) == pytest.approx(1, abs=0.1)  # 60 pairs, 5 shells' worth
    assert np.mean(scatter / standard_error(M)[SHELLS] * np.sqrt(2)) > 1.5


def four_copies(density):
    """The density, and the same turned by half a turn about x, y and z: exact on the grid."""
    pairs = ((0, 1), (0, 2), (1, 2))
    return density + sum(np.roll(np.flip(density, pair), 1, pair) for pair in pairs)


def test_copies_of_noise_by_a_symmetry_count_once():
    """With the group the noise is what the FSC shows; without it is too small."""
    mask = sphere(16, M).astype(np.float32)
    scatter, found = [], {"C1": [], "D2": []}
    for i in range(40):
        halves = [four_copies(noise(seed, M)) for seed in (2 * i, 2 * i + 1)]
        rng = np.random.default_rng(i)
        curves = fsc_curves(*halves, mask, pixel_size=1.0, rng=rng, randomise_from=M)
        sums = direction_sums(*halves, mask)
        scatter.append(curves.masked[SHELLS] ** 2)
        for name, variances in found.items():
            drawn = fsc_noise(sums, curves, draws=200, group=rotations(name), rng=rng)
            variances.append(drawn[:, SHELLS].var(axis=0))
    ratio = {
        name: np.mean(np.sqrt(np.mean(scatter, axis=0) / np.mean(variances, axis=0)))
        for name, variances in found.items()
    }
    assert ratio["D2"] == pytest.approx(1, abs=0.1)
    assert ratio["C1"] > 1.15


def test_neighbouring_shells_go_together_under_a_mask_only():
    def together(mask):
        drawn = measured((noise(1, M), noise(2, M)), mask.astype(np.float32))[1]
        correlation = np.corrcoef(drawn[:, SHELLS].T)
        return np.mean(np.diagonal(correlation, 1))

    assert together(sphere(6, M)) > 0.3
    assert abs(together(np.ones((M, M, M)))) < 0.2


def test_an_interval_is_where_the_curve_with_its_noise_falls():
    curves = curves_of(np.linspace(1, 0, 21), pixel_size=1.0, box=40)  # 0.05 a shell
    shift = np.random.default_rng(0).standard_normal((4000, 1))
    interval = resolution_interval(curves, 0.05 * shift * np.ones(21), 0.5)
    assert 40 / interval.fine == pytest.approx(11, abs=0.06)
    assert 40 / interval.coarse == pytest.approx(9, abs=0.06)


def test_equal_halves_have_no_noise():
    half = noise(1, M)
    flat = FscCurves(
        k=np.arange(M // 2 + 1) / M,
        unmasked=(ones := np.ones(M // 2 + 1)),
        masked=ones,
        randomised=np.zeros_like(ones),
        corrected=ones,
        randomised_from=M,
        pixel_size=1.0,
    )
    sums = direction_sums(half, half, np.ones((M, M, M), np.float32))
    drawn = fsc_noise(sums, flat, draws=5, rng=np.random.default_rng(0))
    np.testing.assert_allclose(drawn, 0, atol=1e-5)
