"""The part of an FSC that chance has: what fits of noise lift it by, and the FSC without that.

The expected logarithm of the evidence is a parabola of the change c of defocus about the truth δ. A fit
to an image with noise n in the score makes h = FSC / (1 - FSC) larger by a (2 c (δ + n) - c²), a map of
other images with the same c by a (2 c δ - c²): what is between them, 2 a c n, is chance. For an
efficient estimate it is 2 a v, v the variance of its error. A map `HeldOut`, whose fits have the larger
variance w and no chance, shows a (δ² - w), where the map of the whole fit shows a (δ² + v). Chance is
therefore the share 2 v / (v + w) of what the held-out map has less; and w = v + D, D the mean square
of what the whole fit and that of a fold differ by, for a better estimate's error is at right angles
to what the worse one adds. All this holds for posterior means too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

HELD_OUT = "held-out"  # what the set NAME is called as a `HeldOut`: NAME-held-out
KNOWN = (-0.5, 0.999)  # FSC that h is taken of


@dataclass(frozen=True, kw_only=True)
class Chance:
    """How the part of chance in a set's FSC is known.

    "none": it has none, as it was not fitted to these images, or is no fit. "folds": told by its own
    folds. "another": taken to be that of the set `of`, fitted to the same images. "unknown".
    """

    by: Literal["none", "folds", "another", "unknown"]
    of: str = ""


def held_out_name(name: str) -> str:
    """What set `name` is called where every pixel has a defocus from other pixels."""
    return f"{name}-{HELD_OUT}"


def chance_share(change, error, folds) -> float:
    """Share of what a held-out map lacks that is chance: 2 v / (2 v + D), 1 where errors are unknown.

    `change` (n,) and `error` (n,) of the whole fit, and `folds` (n, 2), changes by either fold. [Å]
    """
    apart = np.square(np.asarray(folds) - np.asarray(change)[:, None])
    error = np.asarray(error)
    both = np.isfinite(apart).all(axis=1) & np.isfinite(error)
    if not both.any():
        return 1.0
    own = 2 * np.mean(error[both] ** 2)
    total = own + np.mean(apart[both])
    return float(own / total) if total > 0 else 1.0


def without_chance(
    fsc: Mapping[str, np.ndarray],
    shares: Mapping[str, float],
    fitted: Mapping[str, float],
    weights: np.ndarray,
) -> tuple[dict[str, np.ndarray], dict[str, Chance]]:
    """FSC (m, shells) of every set without what chance lifted it by, and how that is known.

    The set's own curve comes first of the m; the others are replicates of it. Those in `shares` have a
    held-out map among the sets. What is `fitted`, by its root mean square change [Å], and has none is
    taken to be as lucky as the luckiest of these, by `weights` (shells,); if it changes less, then by so
    much less as its mean square is less. All others stay as they are.
    """
    lifts = {
        name: share * (_snr(fsc[name]) - _snr(fsc[held_out_name(name)]))
        for name, share in shares.items()
    }
    luckiest = max(lifts, key=lambda name: float(lifts[name][0] @ weights), default="")
    freed, known = dict(fsc), {name: Chance(by="none") for name in fsc}
    for name, change in fitted.items():
        if name in lifts:
            known[name], lift = Chance(by="folds"), lifts[name]
        elif luckiest:
            known[name] = Chance(by="another", of=luckiest)
            most = fitted[luckiest]
            lift = lifts[luckiest] * (min(change / most, 1.0) ** 2 if most > 0 else 1.0)
        else:
            known[name] = Chance(by="unknown")
            continue
        h = _snr(fsc[name])
        freed[name] = fsc[name] + _fsc(h - lift) - _fsc(h)
    return freed, known


def _snr(fsc):
    held = np.clip(fsc, *KNOWN)
    return held / (1 - held)


def _fsc(snr):
    held = np.maximum(snr, KNOWN[0] / (1 - KNOWN[0]))
    return held / (1 + held)
