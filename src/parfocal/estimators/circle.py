"""How like an image and its template are, over the circle that fills the box: two costs."""

import numpy as np

from parfocal.jit import kernel


@kernel
def anticorrelation(template, image, across):
    """Minus Pearson's correlation of two float32 (n, n) images over a circle.

    `across` (n, 2) holds the first and last + 1 column of each row. 0 where either is constant.
    """
    one = x = y = xx = xy = yy = 0.0
    for row in range(across.shape[0]):
        t, i = template[row], image[row]
        rx = ry = rxx = rxy = ryy = np.float32(0)
        for c in range(across[row, 0], across[row, 1]):
            rx += t[c]
            ry += i[c]
            rxx += t[c] * t[c]
            rxy += t[c] * i[c]
            ryy += i[c] * i[c]
        one += across[row, 1] - across[row, 0]
        x, y, xx, xy, yy = x + rx, y + ry, xx + rxx, xy + rxy, yy + ryy
    spread = (xx - x * x / one) * (yy - y * y / one)
    return -(xy - x * y / one) / np.sqrt(spread) if spread > 0 else 0.0


@kernel
def mean_deviation(template, image, across, a, b):
    """Mean |a template + b - image| over the same circle."""
    one = total = 0.0
    a, b = np.float32(a), np.float32(b)
    for row in range(across.shape[0]):
        t, i = template[row], image[row]
        part = np.float32(0)
        for c in range(across[row, 0], across[row, 1]):
            part += np.abs(a * t[c] + b - i[c])
        one += across[row, 1] - across[row, 0]
        total += part
    return total / one
