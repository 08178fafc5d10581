"""Neighbourhoods: the rings of many sources, weighted around each particle's place."""

from dataclasses import dataclass

import numpy as np

from parfocal.errors import InputError
from parfocal.estimators.thon import Band, RingCurves, Rings, noise_excess

WEIGHTINGS = ("distance+frequency", "distance", "equal")
MIDDLE = 0.1  # Å⁻¹, at which the frequency-dependent weight is as wide as the other


@dataclass(frozen=True, kw_only=True)
class Neighbourhood:
    """Which sources count for a particle, and how much."""

    weighting: str  # one of WEIGHTINGS
    radius: float  # Å; none farther counts, but for the nearest where all are farther

    def weights(self, distance, k: float) -> np.ndarray:
        """(m, t) weights at `distance` (m, t) [Å] for frequency `k` [Å⁻¹].

        Gaussian, of standard deviation radius / 2, which with "distance+frequency" falls as 1 / k:
        the phase that a tilt puts between two places grows with k². Without coordinates (nan) all
        sources count alike.
        """
        distance = np.nan_to_num(distance)
        inside = distance <= np.maximum(self.radius, distance.min(axis=1, keepdims=True))
        if self.weighting == "equal":
            return inside.astype(float)
        width = self.radius / 2 * (MIDDLE / k if self.weighting == WEIGHTINGS[0] else 1.0)
        return inside * np.exp(-(distance**2) / (2 * width**2))


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The rings of one micrograph's sources, all turned to its `middle` defocus."""

    band: Band
    rings: Rings
    place: np.ndarray  # (t, 2) Å, x and y of the sources
    middle: float  # Å, mean defocus that changes count from

    def check(self) -> None:
        """InputError if the spectra do not reach over the band, or there are none."""
        if not self.band.usable:
            mend = "set gctf.low and gctf.high, or leave the method away"
            raise InputError("the images do not resolve rings in the band", mend=mend)
        if not len(self.place):
            raise InputError("no tile fits in", mend="set a smaller gctf.box")

    def around(
        self, place, prior, neighbourhood: Neighbourhood, *, others: bool = False
    ) -> list[RingCurves]:
        """Curves of the neighbourhoods of `place` (m, 2) [Å]: whole, first and second fold.

        They count from `prior` (m,) [Å]. With `others`, source i is left out of neighbourhood i.
        """
        distance = np.hypot(*(place[:, None] - self.place).transpose(2, 0, 1))
        sources = self._sources()
        mixed = np.zeros((len(place), *sources.shape[1:]), dtype=complex)
        share = np.zeros((len(place), sources.shape[2]))
        for b, k in enumerate(self.band.grid.k[self.band.used]):
            weight = neighbourhood.weights(distance, k)
            if others:
                np.fill_diagonal(weight, 0.0)
            total, square = weight.sum(axis=1), (weight**2).sum(axis=1)
            scale = np.divide(total, square, out=np.zeros_like(total), where=square > 0)
            share[:, b] = total * scale
            mixed[..., b] = np.tensordot(weight, sources[..., b], axes=1) * scale[:, None]
        return self._curves(mixed, share, prior)

    def alone(self, prior) -> RingCurves:
        """The curve of each source by itself, counting from `prior` (t,) [Å]."""
        sources = self._sources()
        return self._curves(sources, np.ones(sources[:, 0].shape), prior)[0]

    def _sources(self) -> np.ndarray:
        """(t, 3, bins) complex deviations: whole, first and second fold."""
        return np.concatenate([self.rings.whole[:, None], self.rings.deviation], axis=1)

    def _curves(self, mixed, share, prior) -> list[RingCurves]:
        """Curves from mean deviations `mixed` (m, 3, bins) times the sources they are worth, `share`."""
        excess = noise_excess(mixed[:, 1:], share, self.rings.count)
        turn = self.band.turn
        mixed = mixed * np.exp(1j * (prior - self.middle)[:, None] * turn)[:, None] / excess
        return [
            RingCurves(
                deviation=mixed[:, part],
                information=share @ self.rings.count[part] / (4 * excess),
                turn=turn,
            )
            for part in range(3)
        ]
