"""Sums of two masked half-maps over shells and directions, and the FSC in each direction."""

from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.spatial

from parfocal.conventions import DEGREE
from parfocal.fsc_curves import SETTLED, FscCurves, crossings

SIDE = 24  # cells along each side of a face: 3.75°, and many ways to join them
HALF_ANGLE = 20 * DEGREE  # of the cone around a direction
OFF_AXES = np.array([0.4363, 0.2111, 0.8747])  # on no axis or mirror plane of a point group
DIRECTIONS = 200  # on the half sphere, some 10° apart


@dataclass(frozen=True, kw_only=True)
class DirectionSums:
    """Sums over the Fourier voxels of each shell and each cell of directions: (shells, cells).

    Opposite directions are one. Cells are squares on three faces of a cube around the origin, SIDE to
    a side, of equal angles: cells (3, SIDE, SIDE), flattened.
    """

    cross: np.ndarray  # Re F1 F2*
    power1: np.ndarray  # |F1|²
    power2: np.ndarray
    count: np.ndarray  # complex values

    def joined(self, side: int, group: np.ndarray | None = None) -> "DirectionSums":
        """The same with larger cells, `side` of them to a side of a face, which divides SIDE.

        With the rotations `group` (m, 3, 3) of a point group, directions that it takes into each other
        are one, and only cells of its asymmetric unit are left.
        """
        directions = cell_directions() if group is None else _asymmetric(cell_directions(), group)
        used, place = np.unique(cell_of(*directions.T, side=side), return_inverse=True)
        joins = np.zeros((len(place), len(used)))
        joins[np.arange(len(place)), place] = 1.0
        return DirectionSums(**{name: getattr(self, name) @ joins for name in SUMS})


SUMS = ("cross", "power1", "power2", "count")


def direction_sums(half1, half2, mask) -> DirectionSums:
    """Sums of the transforms of two half-maps (n, n, n) under `mask`, by shell and direction.

    Plane by plane, so that memory is that of the two transforms.
    """
    first, second = (scipy.fft.rfftn(np.asarray(h, np.float32) * mask) for h in (half1, half2))
    n = len(first)
    shells, cells = n // 2 + 1, 3 * SIDE**2
    sums = np.zeros((len(SUMS), shells * cells))
    k = np.fft.fftfreq(n, 1 / n)
    x, y = (np.broadcast_to(v, first.shape[1:]) for v in (np.arange(first.shape[2]), k[:, None]))
    once = np.ones(first.shape[1:])
    for fold in {0, *({n // 2} if n % 2 == 0 else ())}:  # planes that hold both Friedel mates
        once[:, fold] = 0.5
    for plane, z in enumerate(k):
        shell = np.rint(np.sqrt(x**2 + y**2 + z**2)).astype(np.int64)
        held = (shell < shells) & (shell > 0)
        place = shell[held] * cells + cell_of(x[held], y[held], np.full(held.sum(), z))
        a, b, weight = first[plane][held], second[plane][held], once[held]
        for part, values in zip(
            sums, ((a * b.conj()).real, np.abs(a) ** 2, np.abs(b) ** 2, 1.0), strict=True
        ):
            part += np.bincount(place, weights=values * weight, minlength=shells * cells)
    return DirectionSums(**dict(zip(SUMS, sums.reshape(-1, shells, cells), strict=True)))


def cell_of(x, y, z, side: int = SIDE):
    """Cell of each direction (m,), the same for its opposite, of `side` cells along each face."""
    axes = np.array([x, y, z])
    face = np.abs(axes).argmax(axis=0)
    every = np.arange(axes.shape[1])
    along = axes[face, every]
    angles = [np.arctan(axes[(face + turn) % 3, every] / along) for turn in (1, 2)]
    u, v = (np.minimum((a / (np.pi / 2) + 0.5) * side, side - 1).astype(np.int64) for a in angles)
    return (face * side + u) * side + v


def cell_directions() -> np.ndarray:
    """(cells, 3) unit vector (x, y, z) at the middle of each cell."""
    tangent = np.tan(((np.arange(SIDE) + 0.5) / SIDE - 0.5) * np.pi / 2)
    face, u, v = np.indices((3, SIDE, SIDE)).reshape(3, -1)
    vectors = np.empty((len(face), 3))
    every = np.arange(len(face))
    for turn, values in ((0, 1.0), (1, tangent[u]), (2, tangent[v])):
        vectors[every, (face + turn) % 3] = values
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _asymmetric(directions, group):
    """(m, 3) of the copies of each direction by `group`, and their opposites, one in the same unit."""
    copies = np.einsum("gij,mj->mgi", group, directions)
    nearness = copies @ OFF_AXES
    best = np.abs(nearness).argmax(axis=1)
    every = np.arange(len(directions))
    return copies[every, best] * np.sign(nearness[every, best])[:, None]


def even_directions(count: int = DIRECTIONS) -> np.ndarray:
    """(count, 3) unit vectors spread evenly over the half sphere z > 0, by the golden angle."""
    z = (np.arange(count) + 0.5) / count
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))
    flat = np.sqrt(1 - z**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1)


@dataclass(frozen=True, kw_only=True)
class Directional:
    """The corrected FSC in cones around evenly spread directions, and where each falls to `level`."""

    direction: np.ndarray  # (m, 3) unit vectors x, y, z of a half sphere
    resolution: np.ndarray  # (m,) Å
    fsc: np.ndarray  # (m, shells)
    level: float

    def worst(self) -> float:
        """Resolution [Å] that 90 % of all directions reach."""
        return float(np.percentile(self.resolution, 90))

    def best(self) -> float:
        """Resolution [Å] that 10 % of all directions reach."""
        return float(np.percentile(self.resolution, 10))

    def spread(self) -> float:
        """Standard deviation of the limiting frequency over directions, over its mean."""
        frequency = 1 / self.resolution
        return float(frequency.std() / frequency.mean())

    def sphericity(self) -> float:
        """Sphericity of the hull of the limiting frequencies: 1 if all directions are alike.

        π^⅓ (6 V)^⅔ / A as of the thresholded FSC of Tan et al., Nat. Methods 14, 2017, relative to
        that of the same directions on a sphere.
        """
        both = np.concatenate([self.direction, -self.direction])
        frequency = np.tile(1 / self.resolution, 2)[:, None]
        found, even = (scipy.spatial.ConvexHull(r) for r in (both * frequency, both))
        return float((found.volume / even.volume) ** (2 / 3) * even.area / found.area)


def directional(sums: DirectionSums, curves: FscCurves, level: float = 0.143) -> Directional:
    """FSC in cones of 20° half-angle around DIRECTIONS directions, and the resolution of each.

    A cone holds 6 % of the voxels, so its curve is four times as noisy as the whole: some of the
    spread is noise, `fsc_spread.noise_in_cones`. The mask's share is taken to be the same in all.
    """
    directions = even_directions()
    inside = np.abs(directions @ cell_directions().T) >= np.cos(HALF_ANGLE)
    cross, power1, power2 = (
        s @ inside.T.astype(float) for s in (sums.cross, sums.power1, sums.power2)
    )
    power = np.sqrt(power1 * power2)
    masked = np.divide(cross, power, out=np.ones_like(cross), where=power > 0).T
    share = mask_share(curves)
    fsc = (masked - share) / (1 - share)
    position = crossings(fsc, level)
    return Directional(
        direction=directions,
        resolution=1 / (np.maximum(position, 1) * curves.k[1]),
        fsc=fsc,
        level=level,
    )


def mask_share(curves: FscCurves) -> np.ndarray:
    """(shells,) what is taken out of the masked FSC as the mask's: 0 before it is corrected."""
    late = np.arange(len(curves.k)) >= curves.randomised_from + SETTLED
    return np.where(late, np.minimum(curves.randomised, 1 - 1e-6), 0.0)
