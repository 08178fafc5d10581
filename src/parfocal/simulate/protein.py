"""A protein that is in no data bank: helices and sheets packed at protein density, no symmetry."""

from typing import NamedTuple

import numpy as np

from parfocal.conventions import DEGREE, rotation_matrix
from parfocal.simulate.structure import Atoms, centred

CARBON, NITROGEN, OXYGEN, SULPHUR = 6, 7, 8, 16
BACKBONE = (NITROGEN, CARBON, CARBON, OXYGEN, CARBON)  # N, CA, C, O, CB
SIDE_CHAIN = {CARBON: 0.68, NITROGEN: 0.13, OXYGEN: 0.17, SULPHUR: 0.02}  # beyond CB, how often
SIDE_ATOMS = 2.8  # mean number of heavy atoms beyond CB
LAYER = 9.6  # Å between layers of helices or strands
TWIST = 40 * DEGREE  # from one layer to the next
DOMAIN = 250  # residues
GAP = 4.0  # Å along the chain that a turn would fill
RESIDUE = 180.0  # Å³ that a residue fills, with its share of the gaps and of the rough surface


class Fold(NamedTuple):
    """A regular stretch of chain."""

    phi: float
    psi: float
    rise: float  # Å a residue
    pitch: float  # Å between neighbours in a layer
    residues: tuple[int, int]  # least and most


HELIX = Fold(-57 * DEGREE, -47 * DEGREE, 1.5, 9.6, (9, 20))
STRAND = Fold(-119 * DEGREE, 113 * DEGREE, 3.3, 4.8, (5, 10))


class Segment(NamedTuple):
    """One helix or strand: row vectors of its local frame are turned by `frame`, then moved."""

    fold: Fold
    residues: int
    frame: np.ndarray
    centre: np.ndarray


def protein_like(rng: np.random.Generator, *, residues: int = 2000) -> Atoms:
    """Heavy atoms of a globular particle of `residues` residues of some 110 Da.

    Domains, each a stack of layers of right-handed alpha helices or of beta strands, with L side
    chains, inside of an irregular envelope; another one from every `rng`. There are no turns, no
    chain runs through it all and side chains may overlap: good for simulating images, not for more.
    """
    segments = _segments(rng, residues)
    lobes = rng.normal(scale=0.3, size=(3, 4))
    depth = [_depth(segment.centre, lobes) for segment in segments]
    chains = {fold: _backbone(fold, max(fold.residues)) for fold in (HELIX, STRAND)}
    positions, numbers, left = [], [], residues
    for i in np.argsort(depth):
        fold, length, frame, centre = segments[i]
        backbone = chains[fold][: min(length, left)]
        backbone = backbone - backbone[:, 1].mean(axis=0) * [0, 0, 1]
        atoms, elements = _with_side_chains(backbone, rng)
        positions.append(atoms @ frame + centre)
        numbers.append(elements)
        left -= len(backbone)
        if left == 0:
            break
    return centred(np.concatenate(positions), np.concatenate(numbers))


def _depth(centre, lobes) -> float:
    """Distance from the origin over the radius of the lobed envelope in that direction."""
    distance = np.linalg.norm(centre)
    return distance / np.exp(((centre / max(distance, 1e-9) @ lobes) ** 3).sum())


def _segments(rng, residues: int) -> list[Segment]:
    """Segments that fill more than the envelope of a particle, those of a domain side by side."""
    radius = np.cbrt(0.75 / np.pi * RESIDUE * residues)
    middles = _spread_points(rng, 1.5 * radius, count=max(1, int(1.5**3 * residues / DOMAIN)))
    found = []
    for number, middle in enumerate(middles):
        turn = rotation_matrix(*rng.uniform(0, 2 * np.pi, 3))
        for fold, length, frame, centre in _stack(rng, 1.8 * np.cbrt(RESIDUE * DOMAIN)):
            place = centre @ turn + middle
            if np.linalg.norm(middles - place, axis=1).argmin() == number:
                found.append(Segment(fold, length, frame @ turn, place))
    return found


def _spread_points(rng, radius: float, count: int) -> np.ndarray:
    """(count, 3) points within `radius` that keep away from each other: best of 20 tries each."""
    tries = rng.normal(size=(count, 20, 3))
    tries *= radius * np.cbrt(rng.random((count, 20, 1))) / np.linalg.norm(tries, axis=2)[..., None]
    points = tries[:1, 0]
    for candidates in tries[1:]:
        gaps = np.linalg.norm(candidates[:, None] - points, axis=2).min(axis=1)
        points = np.vstack([points, candidates[gaps.argmax()]])
    return points


def _stack(rng, side: float) -> list[Segment]:
    """Segments that fill a cube of `side` [Å] about the origin, layer by layer along z."""
    reach, found = side / 2, []
    for layer, z in enumerate(np.arange(-reach, reach, LAYER)):
        fold = HELIX if rng.random() < 0.5 else STRAND
        turn = layer * TWIST + rng.normal(scale=10 * DEGREE)
        layer_axes = rotation_matrix(turn, 0, 0)  # along the segments, across them, normal
        for y in np.arange(-reach, reach, fold.pitch):
            x = -reach - rng.uniform(0, 20)
            while x < reach:
                residues = int(rng.integers(*fold.residues, endpoint=True))
                extent = residues * fold.rise + GAP
                # Side chains of a strand stand on the sheet; those of a helix point all around.
                roll = rng.uniform(0, 2 * np.pi) if fold is HELIX else np.pi * rng.integers(2)
                c, s, way = np.cos(roll), np.sin(roll), 2 * rng.integers(2) - 1
                frame = np.array([[0, s, c], [0, -way * c, way * s], [way, 0, 0]]) @ layer_axes
                centre = np.array([x + extent / 2, y, z]) @ layer_axes
                found.append(Segment(fold, residues, frame, centre))
                x += extent
    return found


def _backbone(fold: Fold, residues: int) -> np.ndarray:
    """(residues, 5, 3) N, CA, C, O, CB [Å]: axis z through the origin, first CB towards +x."""
    n, ca, c = np.array([[0.0, 0, 0], [1.458, 0, 0], [2.004, 1.424, 0]])
    atoms = []
    for _ in range(residues):
        b, t = ca - n, c - ca
        cb = ca - 0.5827 * np.cross(b, t) + 0.5680 * b - 0.5407 * t  # L amino acids
        o = _place(n, ca, c, 1.231, 120.5 * DEGREE, fold.psi + np.pi)
        atoms.append([n, ca, c, o, cb])
        n_next = _place(n, ca, c, 1.329, 117.2 * DEGREE, fold.psi)
        ca_next = _place(ca, c, n_next, 1.458, 121.7 * DEGREE, np.pi)
        c_next = _place(c, n_next, ca_next, 1.525, 111.0 * DEGREE, fold.phi)
        n, ca, c = n_next, ca_next, c_next
    chain = np.array(atoms)
    chain -= chain[:, 1].mean(axis=0)
    axis = np.linalg.svd(chain[:, 1])[2][0]
    axis *= np.sign(axis @ (chain[-1, 1] - chain[0, 1]))
    x = (chain[0, 4] - chain[0, 1]) @ (np.eye(3) - np.outer(axis, axis))
    x /= np.linalg.norm(x)
    return chain @ np.column_stack([x, np.cross(axis, x), axis])


def _with_side_chains(backbone, rng):
    """Positions (m, 3) and atomic numbers (m,) of a backbone and random side chains on it."""
    before, last, tip = backbone[:, 0], backbone[:, 1], backbone[:, 4]
    left = rng.poisson(SIDE_ATOMS, len(backbone))
    positions, numbers = [backbone.reshape(-1, 3)], [np.tile(BACKBONE, len(backbone))]
    while (left > 0).any():
        grows = left > 0
        before, last, tip, left = before[grows], last[grows], tip[grows], left[grows] - 1
        torsion = rng.choice([-60, 60, 180], len(left)) * DEGREE + rng.normal(
            scale=0.2, size=len(left)
        )
        before, last, tip = last, tip, _place(before, last, tip, 1.52, 112 * DEGREE, torsion)
        positions.append(tip)
        numbers.append(rng.choice(list(SIDE_CHAIN), len(left), p=list(SIDE_CHAIN.values())))
    return np.concatenate(positions), np.concatenate(numbers)


def _place(a, b, c, length, angle, torsion) -> np.ndarray:
    """Point d, (..., 3), with |cd| = length, angle bcd and torsion abcd, from points (..., 3)."""
    u = (c - b) / np.linalg.norm(c - b, axis=-1, keepdims=True)
    n = np.cross(b - a, u)
    n /= np.linalg.norm(n, axis=-1, keepdims=True)
    torsion = np.asarray(torsion)[..., None]
    sideways = np.cos(torsion) * np.cross(n, u) + np.sin(torsion) * n
    return c + length * (-np.cos(angle) * u + np.sin(angle) * sideways)
