"""What every method is, and the columns of its answer while they are being filled."""

from dataclasses import asdict
from typing import Any, ClassVar, Protocol

import numpy as np

import parfocal
from parfocal.estimates import DefocusEstimates, Status
from parfocal.evidence import Evidence
from parfocal.particles import Particles


class Method(Protocol):
    """A way to estimate defocus: a frozen dataclass, its fields what a user may set of it.

    From `evidence` it takes spectra where its cost is a radial weight, else images and reference.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str: ...

    def estimate(self, particles: Particles, evidence: Evidence) -> DefocusEstimates:
        """Estimates of all `particles`, in their order."""
        ...


class Draft:
    """Columns (n,) of a method's estimates, in the order of the particles. Fill, then `finish`.

    `status` begins with the images that failed. A particle whose status is not OK will keep its
    prior, with `error_at_prior` as its error, or else its error and its change together.
    """

    def __init__(self, method: Method, particles: Particles, evidence: Evidence) -> None:
        self.method, self.particles = method, particles
        n = len(particles)
        self.change = np.full(n, np.nan)
        self.error = np.full(n, np.nan)
        self.error_at_prior = np.full(n, np.nan)
        self.low, self.high = np.full(n, np.nan), np.full(n, np.nan)  # changes; nan: ± error
        self.astigmatism = np.zeros((n, 2))  # Å, change of the vector
        self.folds = np.full((n, 2), np.nan)  # Å, change from either fold alone
        self.sheet = np.full(n, np.nan)
        self.gain = np.full(n, np.nan)
        self.gain_of_shift, self.gain_of_plane = np.full(n, np.nan), np.full(n, np.nan)
        self.status, _ = evidence.failures(n)
        self.search_range = evidence.change_max

    def finish(self, **settings: object) -> DefocusEstimates:
        """The estimates, with the method's own fields and `settings` on record."""
        particles, ok = self.particles, self.status == Status.OK
        astigmatism = np.where(ok[:, None], self.astigmatism, 0.0)
        change = np.where(ok, self.change, 0.0)
        far = np.where(
            np.isfinite(self.error_at_prior), self.error_at_prior, np.hypot(self.error, self.change)
        )
        error = np.where(ok, self.error, far)
        given = ok & np.isfinite(self.low) & np.isfinite(self.high)
        return DefocusEstimates(
            method=self.method.name,
            particle_id=particles.particle_id,
            micrograph=particles.micrograph,
            coordinate_x=particles.coordinate_x,
            coordinate_y=particles.coordinate_y,
            defocus_prior=particles.defocus,
            defocus_change=change,
            defocus_error=error,
            change_low=np.where(given, self.low, change - error),
            change_high=np.where(given, self.high, change + error),
            astigmatism_change_x=astigmatism[:, 0],
            astigmatism_change_y=astigmatism[:, 1],
            change_of_fold_1=np.where(ok, self.folds[:, 0], np.nan),
            change_of_fold_2=np.where(ok, self.folds[:, 1], np.nan),
            sheet_probability=self.sheet,
            ice_height=np.full(len(particles), np.nan),
            gain_of_shift=self.gain_of_shift,
            gain_of_plane=self.gain_of_plane,
            held_out_gain=self.gain,
            status=self.status,
            settings={**asdict(self.method), "search_range": self.search_range, **settings},
            version=parfocal.__version__,
        )
