"""Which particles of a consensus to keep: what a user may ask of each, and why one is left out."""

import math
from dataclasses import dataclass, fields

import numpy as np

from parfocal.consensus import Consensus
from parfocal.errors import InputError

OK, OUTLIER, UNKNOWN = "ok", "outlier", "unknown"
STATUSES = {
    OK: "the sets know it, and it lies where heights and noise can take it",
    OUTLIER: "the sets put it farther from its micrograph's plane than that",
    UNKNOWN: "no set knows it, or trusts what it says",
}


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Limits that a particle must hold to be kept; None asks nothing. Raises InputError."""

    max_mad: float | None = None  # Å, of the sets about their median
    max_error: float | None = None  # Å, of the combined defocus
    max_from_prior: float | None = (
        None  # Å, half the thickness of the ice: beyond it lies no particle
    )
    status: tuple[str, ...] = ()  # of STATUSES, to be kept; () keeps all

    def __post_init__(self) -> None:
        for name in ("max_mad", "max_error", "max_from_prior"):
            limit = getattr(self, name)
            if limit is not None and not (math.isfinite(limit) and limit > 0):
                what = f"--{name.replace('_', '-')} {limit:g}"
                raise InputError(what, mend="give a number of Å above 0")
        if strange := [name for name in self.status if name not in STATUSES]:
            what = f"no status {', '.join(strange)}"
            raise InputError(what, mend=f"choose from {', '.join(STATUSES)}")

    def asked(self) -> bool:
        """Whether anything is asked."""
        return any(getattr(self, f.name) not in (None, ()) for f in fields(self))


def statuses(found: Consensus) -> np.ndarray:
    """(n,) str, one of STATUSES."""
    return np.select([~found.known, found.outlier], [UNKNOWN, OUTLIER], OK)


def left_out_by(found: Consensus, asked: Filter, defocus, error) -> np.ndarray:
    """(n,) str: the first limit that a particle does not hold, by its option's name; "" if kept.

    `defocus` and `error` (n,) [Å] are those that are written. A particle without a value, such as a
    MAD that no set can give, does not hold a limit on it.
    """
    away = np.abs(defocus - found.joined.prior)
    cases = {
        "status": ~np.isin(statuses(found), asked.status or tuple(STATUSES)),
        "max-mad": _beyond(found.mad, asked.max_mad),
        "max-error": _beyond(error, asked.max_error),
        "max-from-prior": _beyond(away, asked.max_from_prior),
    }
    return np.select(list(cases.values()), list(cases), "")


def _beyond(values, limit: float | None):
    if limit is None:
        return np.zeros(len(values), dtype=bool)
    return ~(values <= limit)
