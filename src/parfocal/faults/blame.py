"""Whose fault it is: what shows between sets in pairs, turned into which of them to name."""

import numpy as np

MAJORITY = 0.5  # of those that a set meets; it is named if the fault shows with more


def blame(strength: np.ndarray, sets: int) -> list[tuple[int, ...]]:
    """Columns to name, the clearest first; two together where nothing tells which of them it is.

    `strength` (C, C): how clearly the fault shows in the first when held against the second; 0 where
    it does not, nan where the two cannot be compared. Only the first `sets` columns may be named:
    the others, such as the prior, are trusted. Who is named is no witness against the rest.
    """
    active, found = list(range(len(strength))), []
    while True:
        votes = {k: _votes(strength, k, active) for k in active if k < sets}
        guilty = {k: vote for k, vote in votes.items() if vote[0] > MAJORITY}
        if not guilty:
            break
        worst = max(guilty, key=lambda k: guilty[k])
        witnesses = _witnesses(strength, worst, active)
        if len(witnesses) == 1 and strength[witnesses[0], worst] > 0 and _alone(votes, witnesses):
            named = tuple(sorted((worst, *witnesses)))
        else:
            named = (worst,)
        found.append(named)
        active = [k for k in active if k not in named]
    left = [k for k in active if k < sets]
    if len(left) == 2 and strength[left[0], left[1]] > 0 and strength[left[1], left[0]] > 0:
        found.append((left[0], left[1]))  # the trusted sides with neither, or with both
    return found


def _witnesses(strength, k: int, active) -> list[int]:
    return [j for j in active if j != k and np.isfinite(strength[k, j])]


def _votes(strength, k: int, active) -> tuple[float, float, int]:
    """(share of the witnesses with whom it shows, how clearly together, how many they are)."""
    witnesses = _witnesses(strength, k, active)
    if not witnesses:
        return 0.0, 0.0, 0
    against = strength[k, witnesses]
    return float(np.mean(against > 0)), float(against.sum()), len(witnesses)


def _alone(votes, witnesses) -> bool:
    """Whether the one witness may be to blame as well, having none but the accused."""
    return witnesses[0] in votes and votes[witnesses[0]][2] == 1
