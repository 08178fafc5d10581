"""Shells of a transform, and the correlation of two transforms over them."""

import numpy as np


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
