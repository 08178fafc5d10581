"""The reference: half-maps and mask, or one outside map. A particle meets the map of its own half."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from parfocal.errors import InputError
from parfocal.fsc_curves import fsc_curves
from parfocal.masks import soft_sphere
from parfocal.projection import FourierVolume, fourier_volume

SUPPORT = 0.999  # share of the map's energy that its radius must hold
OVERSAMPLING = 2.5  # Fourier grid over the diameter of the density: edge aliases stay below 1/16
SHARE_STEP = 4.0  # Å, step of the table of retained energy


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Maps ready for slicing, and what is known of their quality.

    `volumes` holds the half-maps under 1 and 2; 0 is one map for all: an outside one, or both halves
    together. `meets` says which of them a particle is compared with: the map of its "own" half, of
    the "opposite" one, or the "full" one.
    `weight` (n//2+1,) is the map's FSC, or its trusted band, in shells of 1 / (box pixel_size).
    """

    volumes: Mapping[int, FourierVolume]
    weight: np.ndarray
    box: int
    pixel_size: float  # Å
    radius: np.ndarray  # (m,) Å, quantiles of the distance of the map's energy from its centre
    meets: str = "own"

    def volume(self, half_set: int, *, opposite: bool = False) -> FourierVolume:
        """The map that a particle of `half_set` meets, or the other half's, which never met it."""
        if not opposite and 0 in self.volumes:
            return self.volumes[0]
        return self.volumes[3 - half_set if opposite or self.meets == "opposite" else half_set]

    @property
    def holds_particles(self) -> bool:
        """Whether the map that a particle meets was made with that particle."""
        return 1 in self.volumes and self.meets != "opposite"

    def weight_at(self, k):
        """Amplitude weight in [0, 1] at frequency `k` [Å⁻¹]; 0 beyond the map's Nyquist."""
        shells = np.arange(len(self.weight)) / (self.box * self.pixel_size)
        return np.interp(k, shells, np.clip(self.weight, 0, 1), right=0.0)

    @property
    def k_max(self) -> float:
        """Highest frequency [Å⁻¹] at which the map carries weight."""
        last = np.flatnonzero(self.weight > 0)
        return min((last[-1] + 1) / (self.box * self.pixel_size), 0.5 / self.pixel_size)

    @property
    def k_signal(self) -> float:
        """Frequency [Å⁻¹] of the map's resolution: where its weight first falls below 0.143."""
        low = np.flatnonzero(self.weight[1:] < 0.143)
        last = low[0] if len(low) else len(self.weight) - 1
        return min(max(last, 1) / (self.box * self.pixel_size), self.k_max)

    def retained(self, distance, half_width):
        """Share of the particle's energy left in the box when delocalised by `distance` [Å].

        A wave of frequency k comes down a distance |dχ/dk|/2π away, along ±k, averaged here over
        the directions of k; the box is a square of half width `half_width` [Å] around the particle.
        The energy is spread over directions evenly, with the radii of the map's own.
        """
        table = np.arange(0.0, self.radius.max() + 1.5 * half_width + SHARE_STEP, SHARE_STEP)
        azimuth = (np.arange(8) + 0.5) * np.pi / 16  # the square repeats
        height = (np.arange(16) + 0.5) / 16  # cosine of the polar angle, even
        turn = (np.arange(64) + 0.5) * np.pi / 32
        flat = np.multiply.outer(self.radius, np.sqrt(1 - height**2)).ravel()[:, None]
        x, y = flat * np.cos(turn), flat * np.sin(turn)
        share = [
            np.mean(
                [
                    (
                        (np.abs(x + t * np.cos(a)) < half_width)
                        & (np.abs(y + t * np.sin(a)) < half_width)
                    ).mean()
                    for a in azimuth
                ]
            )
            for t in table
        ]
        return np.interp(distance, table, share)


def half_map_reference(half1, half2, *, pixel_size, mask=None, fsc=None, meets="own") -> Reference:
    """Two half-maps (n, n, n) and a mask; each particle will meet its own half (gold standard).

    Or it meets the "opposite" half, or the "full" map: sharper, and half-sets no longer independent.
    Without `fsc` (n//2+1,) it is the corrected one of `fsc_curves`. Without a mask a soft sphere that
    fills the box is used. Raises InputError.
    """
    halves = [_checked(half, name) for half, name in ((half1, "half-map 1"), (half2, "half-map 2"))]
    if halves[0].shape != halves[1].shape:
        raise InputError(
            f"the half-maps differ in box: {halves[0].shape} and {halves[1].shape}",
            mend="give the two unfiltered half-maps of one refinement",
        )
    mask = soft_sphere(len(half1)) if mask is None else _checked_mask(mask, halves[0].shape)
    if fsc is None:
        rng = np.random.default_rng(0)  # hardly matters: see there
        fsc = fsc_curves(halves[0], halves[1], mask, pixel_size=pixel_size, rng=rng).corrected
    if len(fsc) < len(half1) // 2 + 1:
        raise InputError(
            f"the FSC curve has {len(fsc)} shells, a box of {len(half1)} has {len(half1) // 2 + 1}",
            mend="give the FSC of these half-maps, or leave --fsc away to have it measured",
        )
    fsc, maps = np.asarray(fsc), {n: half * mask for n, half in enumerate(halves, 1)}
    if meets == "full":
        maps[0] = (maps[1] + maps[2]) / 2
        fsc = 2 * np.maximum(fsc, 0) / (1 + np.maximum(fsc, 0))  # of the full map with the truth
    return replace(_reference(maps, fsc, pixel_size), meets=meets)


def map_reference(density, *, pixel_size, resolution=None, mask=None) -> Reference:
    """One outside map (n, n, n), exact up to `resolution` [Å] (default: Nyquist), for every particle."""
    density = _checked(density, "map")
    if mask is not None:
        density = density * _checked_mask(mask, density.shape)
    n = len(density)
    k = np.arange(n // 2 + 1) / (n * pixel_size)
    limit = 1.0 / resolution if resolution else np.inf
    weight = np.clip((limit - k) * n * pixel_size + 1, 0, 1)  # falls over one shell
    return _reference({0: density}, weight, pixel_size)


def _reference(maps, weight, pixel_size):
    first = next(iter(maps.values()))
    n = len(first)
    radius = _energy_radii(first) * pixel_size
    oversampling = min(2.0, max(1.0, OVERSAMPLING * 2 * radius.max() / (n * pixel_size)))
    last = np.flatnonzero(weight > 0)
    if not len(last):
        raise InputError("the FSC of the half-maps is nowhere above zero", mend="check the maps")
    k_max = (last[-1] + 1) / (n * pixel_size)
    volumes = {
        key: fourier_volume(m, pixel_size, k_max=k_max, oversampling=oversampling)
        for key, m in maps.items()
    }
    return Reference(
        volumes=volumes, weight=np.asarray(weight), box=n, pixel_size=pixel_size, radius=radius
    )


def _energy_radii(density, count=32):
    """(count + 1,) px: radii that hold equal shares of the map's energy, the last SUPPORT of it."""
    n = len(density)
    x = np.arange(n) - n // 2
    r = np.sqrt(x[:, None, None] ** 2 + x[None, :, None] ** 2 + x**2)
    energy = np.bincount(
        np.rint(r).astype(np.int32).ravel(), weights=np.square(density, dtype=float).ravel()
    )
    held = np.cumsum(energy) / energy.sum()
    shares = np.append((np.arange(count) + 0.5) / count, SUPPORT)
    return np.interp(shares, held, np.arange(len(held)) + 0.5)  # shell i ends at i + 1/2


def _checked(density, name):
    density = np.asarray(density, dtype=np.float32)
    if density.ndim != 3 or len(set(density.shape)) != 1:
        raise InputError(f"not a cube: {density.shape}", where=name, mend="give a cubic map")
    if not np.isfinite(density).all():
        raise InputError("holds NaN or infinite voxels", where=name, mend="write the map again")
    if density.std() == 0:
        raise InputError("is constant", where=name, mend="write the map again")
    return density


def _checked_mask(mask, shape):
    mask = np.asarray(mask, dtype=np.float32)
    if mask.shape != shape:
        what = f"its box {mask.shape} is not the map's {shape}"
        raise InputError(what, where="mask", mend="make it on the same grid")
    if not np.isfinite(mask).all() or mask.max() <= 0:
        what = "zero everywhere, or not finite"
        raise InputError(what, where="mask", mend="make the mask again")
    if mask.min() < -1e-3 or mask.max() > 1 + 1e-3:
        raise InputError(
            f"values lie in [{mask.min():.3g}, {mask.max():.3g}], expected [0, 1]",
            where="mask",
            mend="divide it by its maximum",
        )
    return mask
