"""DefocusEstimates: what every method returns. A value, its error, a status and where they came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np


class Status(IntEnum):
    """Why an estimate can, or cannot, be trusted."""

    OK = 0
    AT_BOUND = 1  # best value on the edge of the search range
    FLAT = 2  # the curve carries no information
    MULTIMODAL = 3  # a second optimum is within the tolerance
    NON_FINITE = 4  # NaN, inf or constant image
    NOT_READ = 5  # the image could not be read

    @property
    def label(self) -> str:
        return self.name.lower()


LIKELY_CAUSES = {
    Status.OK: "",
    Status.AT_BOUND: "search range too small (--range); map and particles differ in pixel size; "
    "map of the other hand",
    Status.FLAT: "too little signal in one particle: low dose, low resolution, wrong pose or junk",
    Status.MULTIMODAL: "two defoci fit almost equally well: signal in a narrow band only, or low",
    Status.NON_FINITE: "broken image: NaN, infinite or constant pixels; extract the particle again",
    Status.NOT_READ: "stack missing, truncated or shorter than the particle's index",
}


def _none() -> np.ndarray:
    return np.zeros(0)


@dataclass(frozen=True, kw_only=True)
class DefocusEstimates:
    """Defocus of each particle by one method, row-aligned with the Particles it was made from.

    A particle whose status is not OK keeps its prior value: its changes are 0, and its error says
    how far the truth may lie from there (nan where no image was seen).
    """

    method: str
    particle_id: np.ndarray  # (n,) str
    micrograph: np.ndarray  # (n,) str
    coordinate_x: np.ndarray  # (n,) Å
    coordinate_y: np.ndarray
    defocus_prior: np.ndarray  # (n,) Å, mean defocus of the input
    defocus_change: np.ndarray  # (n,) Å, estimate minus prior
    defocus_error: np.ndarray  # (n,) Å, one standard deviation
    ice_height: np.ndarray  # (n,) Å above the fitted plane of the micrograph, nan without one
    held_out_gain: np.ndarray  # (n,) nats against the prior, scored on the fold not fitted
    status: np.ndarray  # (n,) int, Status
    change_low: np.ndarray = field(default_factory=_none)  # (n,) Å, 68 % interval of the change
    change_high: np.ndarray = field(default_factory=_none)  # default: change ± error
    sheet_probability: np.ndarray = field(default_factory=_none)  # (n,) of the sheet of higher
    # defocus, where the ice has two; default: nan
    gain_of_shift: np.ndarray = field(default_factory=_none)  # (n,) nats, as held_out_gain, of the
    gain_of_plane: np.ndarray = field(default_factory=_none)  # simpler models; default: nan
    astigmatism_change_x: np.ndarray = field(default_factory=_none)  # (n,) Å, of (U-V)/2
    astigmatism_change_y: np.ndarray = field(
        default_factory=_none
    )  # times cos and sin of 2 angle; default: 0
    change_of_fold_1: np.ndarray = field(
        default_factory=_none
    )  # (n,) Å, from the first fold of the
    change_of_fold_2: np.ndarray = field(default_factory=_none)  # pixels alone, and the second; nan
    settings: Mapping[str, object] = field(default_factory=dict)
    version: str = ""

    def __post_init__(self) -> None:
        n = len(self.particle_id)
        defaults = {
            "change_low": self.defocus_change - self.defocus_error,
            "change_high": self.defocus_change + self.defocus_error,
            "sheet_probability": np.full(n, np.nan),
            "gain_of_shift": np.full(n, np.nan),
            "gain_of_plane": np.full(n, np.nan),
            "change_of_fold_1": np.full(n, np.nan),
            "change_of_fold_2": np.full(n, np.nan),
            "astigmatism_change_x": np.zeros(n),
            "astigmatism_change_y": np.zeros(n),
        }
        for name, column in defaults.items():
            if not getattr(self, name).size:
                object.__setattr__(self, name, column)
        for name, column in self.columns().items():
            if np.shape(column) != (n,):
                raise ValueError(f"column {name} has shape {np.shape(column)}, expected ({n},)")
            column.setflags(write=False)
        ok = self.ok()
        for name in ("defocus_change", "astigmatism_change_x", "astigmatism_change_y"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} must be finite: a failed particle keeps its prior")
        if not (np.isfinite(self.defocus_error[ok]) & (self.defocus_error[ok] > 0)).all():
            raise ValueError("every particle with status ok needs a positive defocus_error")

    def __len__(self) -> int:
        return len(self.particle_id)

    def columns(self) -> dict[str, np.ndarray]:
        """Name -> column, for all that has one value a particle."""
        return {k: v for k, v in vars(self).items() if isinstance(v, np.ndarray)}

    def take(self, rows) -> "DefocusEstimates":
        """The estimates of `rows` (indices or a mask), in that order."""
        return replace(self, **{name: column[rows] for name, column in self.columns().items()})

    @property
    def defocus(self) -> np.ndarray:
        """Mean defocus [Å] to be used: prior plus change."""
        return self.defocus_prior + self.defocus_change

    @property
    def defocus_low(self) -> np.ndarray:
        """Where the 68 % interval of the mean defocus [Å] begins."""
        return self.defocus_prior + self.change_low

    @property
    def defocus_high(self) -> np.ndarray:
        """Where it ends."""
        return self.defocus_prior + self.change_high

    @property
    def defocus_of_fold_1(self) -> np.ndarray:
        """Mean defocus [Å] from the first fold of the Fourier pixels alone, a third; nan without."""
        return self.defocus_prior + self.change_of_fold_1

    @property
    def defocus_of_fold_2(self) -> np.ndarray:
        """The same from the second."""
        return self.defocus_prior + self.change_of_fold_2

    def ok(self) -> np.ndarray:
        """Mask of particles to be trusted; every other reader must ask for the rest."""
        return self.status == Status.OK

    def counts(self) -> dict[str, int]:
        """Status label -> number of particles, every status present."""
        return {s.label: int((self.status == s).sum()) for s in Status}
