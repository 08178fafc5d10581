"""Noise of an estimate from all Fourier pixels, and of those from either fold, as in a run."""

import numpy as np

from parfocal.defocus_set import FOLD_SHARE

SHARES = np.array([FOLD_SHARE, FOLD_SHARE, 1 - 2 * FOLD_SHARE])  # of the folds, and of the guards


def whole_and_folds(parts):
    """((n,) noise of the whole, (n, 2) of its folds), the whole's variance being that of `parts`.

    `parts` (n, 3) is what the pixels of either fold, and the guards between them, say.
    """
    return parts @ np.sqrt(SHARES), parts[:, :2] / np.sqrt(FOLD_SHARE)
