"""What an FSC says, in sentences."""

import math

from parfocal import __version__
from parfocal.fsc_curves import FscCurves
from parfocal.fsc_measure import LEVELS, FscMeasurement

UNEVEN = 1.4  # times the spread that noise makes, which even maps reach one time in a hundred


def resolution_sentence(one: FscMeasurement) -> str:
    """The resolution with its interval, at 0.143 and at 0.5, without a full stop."""
    return ", ".join(f"{resolution(one, level)} at FSC {level:g}" for level in LEVELS)


def resolution(one: FscMeasurement, level: float) -> str:
    """3.02 Å (68 %: 2.98 to 3.07)."""
    value = one.curves.resolution(level)
    if not math.isfinite(value):
        return "no resolution"
    if one.curves.reaches_nyquist(level):
        return f"{value:.2f} Å or better (Nyquist)"
    fine, coarse = one.intervals[level]
    return f"{value:.2f} Å (68 %: {fine:.2f} to {coarse:.2f})"


def has_resolution(one: FscMeasurement) -> bool:
    """Whether the half-maps have anything in common."""
    return math.isfinite(one.curves.resolution(LEVELS[0]))


def interval(one: FscMeasurement) -> str:
    """The interval at 0.143 in short, or why there is none."""
    if not has_resolution(one):
        return "the FSC is below 0.143"
    if one.curves.reaches_nyquist(LEVELS[0]):
        return "FSC 0.143; Nyquist, or better"
    fine, coarse = one.intervals[LEVELS[0]]
    return f"FSC 0.143; 68 %: {fine:.2f} to {coarse:.2f}"


def is_uneven(one: FscMeasurement) -> bool:
    """Whether directions differ by more than noise makes them."""
    return one.directional.spread() > UNEVEN * one.noise_in_cones


def directions_sentence(one: FscMeasurement) -> str:
    """Whether the map is equally good in all directions."""
    cones, noise = one.directional, one.noise_in_cones
    if not has_resolution(one):
        return "Of directions nothing can be said."
    if math.isclose(cones.worst(), 1 / one.curves.k[-1], rel_tol=1e-6):
        return "Directions cannot be compared: the FSC is above 0.143 up to Nyquist in nearly all."
    middle = f"from {cones.best():.2f} to {cones.worst():.2f} Å in the middle 80 % of directions"
    told = f"spread {100 * cones.spread():.1f} % where noise alone makes {100 * noise:.1f} %"
    if is_uneven(one):
        return f"Directions differ: {middle}, {told}."
    return f"No direction is shown to be worse than the others: {middle}, {told}."


def b_factor_words(one: FscMeasurement) -> str:
    """B = 103 ± 6 Å², or why there is none."""
    line = one.guinier
    if not math.isfinite(line.b_factor):
        return "no B-factor: fewer than four shells between 10 Å and the resolution"
    return f"B = {line.b_factor:.0f} ± {line.b_factor_error:.0f} Å²"


def methods_text(one: FscMeasurement, mask: str) -> str:
    """A paragraph for the methods part of a paper."""
    curves: FscCurves = one.curves
    under = {
        "auto": "under a soft mask made from the low-passed map",
        "none": "under a soft sphere that fills the box",
    }.get(mask, "under a soft mask")
    start = curves.randomised_from
    random = f" beyond {1 / curves.k[start]:.1f} Å" if start < len(curves.k) else ""
    return (
        f"The resolution of the half-maps was measured with parfocal {__version__} by Fourier shell "
        f"correlation {under}, corrected for the mask with phases made random{random} "
        f"(Chen et al., 2013): {resolution_sentence(one)}. Intervals are those of noise, "
        "by a bootstrap over blocks of directions in Fourier space."
    )
