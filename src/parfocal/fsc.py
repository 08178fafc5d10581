"""Fourier shell correlation of two half-maps, plain and corrected for the mask."""

import numpy as np
import scipy.fft

RANDOMISE_BELOW = 0.8  # phases are randomised beyond the shell where the masked FSC falls below


def shell_index(n: int):
    """Shell round(|k| n) of each voxel of an rfftn of an n³ map, (n, n, n//2+1) int."""
    return np.rint(np.sqrt(squared_radius(n))).astype(np.int32)


def squared_radius(n: int):
    """(|k| n)² of each voxel of an rfftn of an n³ map, (n, n, n//2+1)."""
    k = np.fft.fftfreq(n, 1 / n)
    return k[:, None, None] ** 2 + k[None, :, None] ** 2 + np.fft.rfftfreq(n, 1 / n) ** 2


def shell_sums(values, shells):
    """Sums of real `values`, on the grid of `shells` = shell_index(n), over each shell: (n//2+1,).

    On the plane x = 0 both Friedel mates are counted, elsewhere one of them.
    """
    n = len(shells)
    return np.bincount(shells.ravel(), weights=values.ravel(), minlength=n)[: n // 2 + 1]


def shell_correlation(first, second):
    """FSC of two transforms (rfftn of n³ maps): (n//2+1,) in shells of 1 / (n pixel_size).

    Real part only, Friedel mates on the plane x = 0 counted once or twice alike: they cancel in
    the ratio up to that plane's small share.
    """
    shells = shell_index(len(first))
    cross = shell_sums((first * second.conj()).real, shells)
    power = shell_sums(np.abs(first) ** 2, shells) * shell_sums(np.abs(second) ** 2, shells)
    return np.divide(cross, np.sqrt(power), out=np.zeros_like(cross), where=power > 0)


def masked_fsc(half1, half2, mask, *, rng):
    """FSC of two half-maps under `mask`, corrected for the correlation that the mask itself makes.

    Phases beyond the shell where the masked FSC falls below 0.8 are randomised, the FSC of those
    maps under the same mask is the mask's share: (masked - random) / (1 - random) there
    (Chen et al., Ultramicroscopy 135, 2013). Returns (n//2+1,); wrong for maps that are masked
    already, since the mask's share is then in the first FSC but not in the random one.
    """
    transforms = [scipy.fft.rfftn(half) for half in (half1, half2)]
    masked = shell_correlation(*(scipy.fft.rfftn(half * mask) for half in (half1, half2)))
    below = np.flatnonzero(masked[1:] < RANDOMISE_BELOW)
    start = int(below[0]) + 1 if len(below) else len(masked)
    beyond = shell_index(len(half1)) >= start
    scrambled = []
    for transform in transforms:
        phases = np.exp(2j * np.pi * rng.random(int(beyond.sum())))
        transform[beyond] = np.abs(transform[beyond]) * phases
        scrambled.append(scipy.fft.rfftn(scipy.fft.irfftn(transform, s=half1.shape) * mask))
    random = shell_correlation(*scrambled)
    corrected = masked.copy()
    settled = np.arange(len(masked)) >= start + 2  # the step at `start` leaks into two shells
    corrected[settled] = (masked - random)[settled] / np.maximum(1 - random, 1e-6)[settled]
    return np.clip(corrected, -1, 1)
