"""Powell's method as the Xmipp programs run it: along each variable in turn, by Brent, no gradient."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brent

LINE_TOLERANCE = 2e-4  # of the place along a line
SWEEPS = 200  # at the most
OUTSIDE = 1e38  # the cost of what is not allowed: walls that a line search runs into


@dataclass(frozen=True, kw_only=True)
class Minimum:
    """Where the search ended."""

    place: np.ndarray  # (variables,)
    cost: float
    sweeps: int  # over all free variables


def powell(
    cost: Callable[[np.ndarray], float], start, free: Sequence[int], tolerance: float = 0.01
) -> Minimum:
    """Minimise `cost` over the variables `free`, in that order, from `start`, in steps of 1.

    Ends after a sweep that changed the cost by at most the relative `tolerance`; a coarse one ends
    it where two variables that depend on each other have not yet settled. After every other sweep
    the direction of the sweep replaces that of the steepest line where Powell's rule says so
    (Powell, Comput. J. 7, 1964; lines by Brent, 1973).
    """
    place = np.array(start, dtype=float)
    directions = {i: np.eye(len(place))[i] for i in free}
    value, sweeps = cost(place), 0
    while sweeps < SWEEPS:
        before, origin = value, place
        steepest, drop = free[0], 0.0
        for i in free:
            last = value
            place, value = _along(cost, place, value, directions[i])
            if abs(last - value) > drop:
                steepest, drop = i, abs(last - value)
        sweeps += 1
        if 2 * abs(before - value) <= tolerance * (abs(before) + abs(value)):
            break
        beyond = cost(2 * place - origin)
        if beyond < before and (
            2 * (before - 2 * value + beyond) * (before - value - drop) ** 2
            < drop * (before - beyond) ** 2
        ):
            last = place
            place, value = _along(cost, place, value, place - origin)
            directions[steepest] = place - last
    return Minimum(place=place, cost=value, sweeps=sweeps)


def _along(cost, place, value, direction):
    """The minimum along a line: (place, value). Where the line shows none, stay."""
    if not direction.any():
        return place, value
    try:
        step, lowest, _, _ = brent(
            lambda t: cost(place + t * direction),
            brack=(0.0, 1.0),
            tol=LINE_TOLERANCE,
            full_output=True,
        )
    except RuntimeError:  # flat: no bracket
        return place, value
    return place + step * direction, float(lowest)


class Latest:
    """A function that remembers its latest value, for a line search changes one variable at a time."""

    def __init__(self, function: Callable[[list[float]], np.ndarray]) -> None:
        self._function = function
        self._argument: list[float] | None = None

    def __call__(self, argument: list[float]) -> np.ndarray:
        if argument != self._argument:
            self._argument, self._value = argument, self._function(argument)
        return self._value
