"""The B-factor that the growth of resolution with the number of particles tells."""

import numpy as np

from parfocal.guinier import FEWEST


def rosenthal_henderson(particles, resolution) -> tuple[float, float]:
    """(B [Å²], standard error) of maps of `particles` (m,) that reach `resolution` (m,) [Å].

    ln N = B / (2 d²) + constant, by least squares (Rosenthal and Henderson, J. Mol. Biol. 333, 2003,
    Eq. 22). The error is from the scatter about the line. nan of fewer than 4 maps that reach any, or
    where the resolution does not grow; too large where the pixel size stops it.
    """
    number, d = np.asarray(particles, dtype=float), np.asarray(resolution, dtype=float)
    held = np.isfinite(d) & (number > 0)
    x, y = 1 / d[held] ** 2, np.log(number[held])
    if len(x) < FEWEST or not np.ptp(y) > 0:
        return np.nan, np.nan
    # numbers are known and resolutions err: the line is fitted the other way round, then turned
    about = y - y.mean()
    slope = float(about @ x / (about @ about))
    left = x - x.mean() - slope * about
    error = np.sqrt(left @ left / (len(x) - 2) / (about @ about))
    if not slope > 0:
        return np.nan, np.nan
    return 2 / slope, float(2 * error / slope**2)
