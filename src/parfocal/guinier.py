"""Guinier plot: how amplitudes fall with frequency, and the B-factor that undoes it."""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from parfocal.fsc import shell_index, shell_sums

LOWEST = 10.0  # Å, where the fit begins: below, the molecule's shape and not its atoms scatter
FEWEST = 4  # shells to fit a line to
LEAST_FSC = 1e-4  # below it there is no signal to weigh


@dataclass(frozen=True, kw_only=True)
class Guinier:
    """Logarithm of mean amplitudes over k², and the line through the weighted ones."""

    k_squared: np.ndarray  # (n//2+1,) Å⁻²
    original: np.ndarray  # (n//2+1,) ln of the mean |F| / n³ of each shell of the full map
    weighted: np.ndarray  # (n//2+1,) the same times √(2 FSC / (1 + FSC)); nan where there is no FSC
    band: tuple[float, float]  # Å, from where to where the line was fitted
    slope: float  # Å²; nan where fewer than FEWEST shells are in the band
    slope_error: float
    intercept: float

    @property
    def b_factor(self) -> float:
        """B [Å²] of the fall exp(-B k² / 4); sharpening takes -B."""
        return -4 * self.slope

    @property
    def b_factor_error(self) -> float:
        return 4 * self.slope_error


def guinier(full_map, fsc, *, pixel_size: float, resolution: float) -> Guinier:
    """Guinier plot of a map (n, n, n), its amplitudes weighted by the half-maps' FSC (n//2+1,).

    ln(mean |F| √(2 FSC / (1 + FSC))) over k², with a straight line by least squares from 10 Å to
    `resolution` (Rosenthal and Henderson, J. Mol. Biol. 333, 2003). Its error is from the scatter about
    the line, which no molecule's own spectrum is, so it is a least one. Of a map under the mask that
    the FSC was measured with, the weighted amplitude is the signal's; without, the solvent's noise is
    in it too and B comes out too small. Wrong for maps worse than some 8 Å.
    """
    n = len(full_map)
    shells = shell_index(n)
    amplitude = np.abs(scipy.fft.rfftn(np.asarray(full_map, np.float32))) / n**3
    mean = shell_sums(amplitude, shells) / shell_sums(np.ones_like(amplitude), shells)
    share = np.where(fsc > LEAST_FSC, fsc, np.nan)
    with np.errstate(divide="ignore"):
        original = np.log(mean)
    weighted = original + np.log(2 * share / (1 + share)) / 2
    k_squared = (np.arange(n // 2 + 1) / (n * pixel_size)) ** 2
    held = (k_squared >= 1 / LOWEST**2) & (k_squared <= 1 / resolution**2) & np.isfinite(weighted)
    slope, slope_error, intercept = _line(k_squared[held], weighted[held])
    return Guinier(
        k_squared=k_squared,
        original=original,
        weighted=weighted,
        band=(LOWEST, resolution),
        slope=slope,
        slope_error=slope_error,
        intercept=intercept,
    )


def _line(x, y) -> tuple[float, float, float]:
    """Slope, its standard error and the intercept of a line by least squares; nan of too few."""
    if len(x) < FEWEST:
        return np.nan, np.nan, np.nan
    about = x - x.mean()
    slope = about @ y / (about @ about)
    left = y - y.mean() - slope * about
    error = np.sqrt(left @ left / (len(x) - 2) / (about @ about))
    return float(slope), float(error), float(y.mean() - slope * x.mean())
