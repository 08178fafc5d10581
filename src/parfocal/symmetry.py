"""Point groups, and the sums of a map made symmetric once, not image by image."""

import re

import numpy as np

from parfocal.errors import InputError
from parfocal.insertion import PARTS, FourierSums
from parfocal.jit import inlined, kernel

GOLDEN = (1 + np.sqrt(5)) / 2
X, Y, Z = np.eye(3)
SAME = 1e-6  # two rotations closer than this are one
LARGEST_FOLD = 99

# Axes and folds that generate a group, in RELION's settings
GENERATORS = {
    "T": ((Z, 3), ((0.0, np.sqrt(2.0), 1.0), 2)),
    "O": ((Z, 4), ((1.0, 1.0, 1.0), 3)),
    "I1": ((X, 2), ((GOLDEN, 0.0, -1.0), 5), ((GOLDEN**2, 1.0, 0.0), 3)),
    "I2": ((Z, 2), ((1.0, 0.0, GOLDEN), 5), ((0.0, 1.0, GOLDEN**2), 3)),
    "I3": (((-1.0, 0.0, GOLDEN), 2), (Z, 5)),
    "I4": (((1.0, 0.0, GOLDEN), 2), (Z, 5)),
}


def rotations(name: str) -> np.ndarray:
    """The rotations of point group `name`, (n, 3, 3), the identity first. InputError if unknown.

    C1, C2 ...: axis along z. D2, D3 ...: and a two-fold along x. T: three-fold along z, two-fold
    along (0, √2, 1). O: four-folds along x, y, z. I1 to I4 as in RELION: I1 and I2 (= I) have
    two-folds along x, y, z, I2 with a five-fold along (1, 0, φ), I1 along (φ, 0, -1); I3 and I4 have a
    five-fold along z, and a two-fold along (-1, 0, φ) and (1, 0, φ), φ the golden ratio.
    """
    key = name.strip().upper()
    key = "I2" if key == "I" else key
    found = re.fullmatch(r"([CD])([1-9]\d?)", key)
    if found:
        dihedral = ((X, 2),) if found[1] == "D" else ()
        return _generated(((Z, int(found[2])), *dihedral))
    if key not in GENERATORS:
        known = f"C1 to C{LARGEST_FOLD}, D1 to D{LARGEST_FOLD}, T, O, I, I1, I2, I3, I4"
        raise InputError(f"symmetry {name!r} is not known", mend=f"choose one of {known}")
    return _generated(GENERATORS[key])


def _generated(generators) -> np.ndarray:
    """All products of rotations by 2π / fold about an axis."""
    steps = [_turn(np.asarray(axis, dtype=float), 2 * np.pi / fold) for axis, fold in generators]
    group, new = [np.eye(3)], [np.eye(3)]
    while new:
        found = []
        for rotation in (step @ g for g in new for step in steps):
            if not any(np.abs(rotation - g).max() < SAME for g in group):
                group.append(rotation)
                found.append(rotation)
        new = found
    return np.array(group)


def _turn(axis, angle):
    """Rotation about `axis` by `angle` [rad], by Rodrigues' formula."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def on_grid(group: np.ndarray) -> np.ndarray:
    """Those rotations of `group` that take every grid point to a grid point: a group too, int64."""
    whole = np.rint(group)
    return whole[np.abs(group - whole).max(axis=(1, 2)) < SAME].astype(np.int64)


def off_grid(group: np.ndarray) -> np.ndarray:
    """One rotation g of each coset g H of the subgroup H = `on_grid`, but for H itself.

    The products of these, and of the identity, with the rotations of H are all of `group`.
    """
    exact = on_grid(group).astype(float)
    seen, chosen = list(exact), []
    for g in group:
        if not any(np.abs(g - s).max() < SAME for s in seen):
            chosen.append(g)
            seen.extend(g @ exact)
    return np.array(chosen).reshape(-1, 3, 3)


def symmetrise(sums: FourierSums, group: np.ndarray) -> None:
    """Add to closed `sums`, in place, what every rotation of `group` makes of them.

    Rotations that map the grid to itself are exact. The others interpolate, so that their share of
    the sums has met the trilinear kernel twice: `Reconstruction` allows for it.
    """
    reps = off_grid(group).astype(np.float32)
    if len(reps):
        radius = np.float32(sums.k_max / sums.spacing)
        turned = np.empty(sums.data.shape[:3], dtype=np.float32)
        for part in range(PARTS):  # one by one: a third of the memory
            _add_turned(sums.data[..., part], reps, radius, part == 1, turned)
            sums.data[..., part] = turned
    exact = on_grid(group)
    if len(exact) > 1:  # first those that tell soonest that a voxel is not the first of its orbit
        exact = exact[np.lexsort((-exact[:, 0, 0], exact[:, 2, 2]))]
        _add_exact(sums.data, exact, (sums.k_max / sums.spacing + 2) ** 2)


@kernel
def _add_turned(source, group, radius, is_odd, out):
    """`out` = source(v) + Σ source(g v) within `radius`; the imaginary part `is_odd` under v -> -v."""
    edge, m = source.shape[0], source.shape[0] // 2
    one = np.float32(1.0)
    for iz in range(edge):
        for iy in range(edge):
            for ix in range(m + 1):
                x, y, z = np.float32(ix), np.float32(iy - m), np.float32(iz - m)
                total = source[iz, iy, ix]
                if x * x + y * y + z * z < radius * radius:
                    for g in range(group.shape[0]):
                        tx = group[g, 0, 0] * x + group[g, 0, 1] * y + group[g, 0, 2] * z
                        ty = group[g, 1, 0] * x + group[g, 1, 1] * y + group[g, 1, 2] * z
                        tz = group[g, 2, 0] * x + group[g, 2, 1] * y + group[g, 2, 2] * z
                        flip = -one if tx < np.float32(0.0) else one
                        tx, ty, tz = tx * flip, ty * flip + np.float32(m), tz * flip + np.float32(m)
                        jx, jy, jz = np.int64(tx), np.int64(ty), np.int64(tz)
                        fx, fy, fz = (
                            tx - np.float32(jx),
                            ty - np.float32(jy),
                            tz - np.float32(jz),
                        )
                        below = _bilinear(
                            source[jz, jy, jx : jx + 2], source[jz, jy + 1, jx : jx + 2], fx, fy
                        )
                        above = _bilinear(
                            source[jz + 1, jy, jx : jx + 2],
                            source[jz + 1, jy + 1, jx : jx + 2],
                            fx,
                            fy,
                        )
                        value = below + fz * (above - below)
                        total += value * flip if is_odd else value
                out[iz, iy, ix] = total


@inlined
def _bilinear(near, far, fx, fy):
    a = near[0] + fx * (near[1] - near[0])
    b = far[0] + fx * (far[1] - far[0])
    return a + fy * (b - a)


@kernel
def _add_exact(data, group, limit):
    """Replace each voxel by the sum over its orbit, orbit by orbit in place; r² to `limit` only.

    Of two Friedel mates on the plane x = 0 one stands for both, and is copied to the other at last.
    """
    edge, m = data.shape[0], data.shape[0] // 2
    order = group.shape[0]
    start, where = np.empty((order, 3), np.int64), np.empty((order, 3), np.int64)
    side = np.empty(order, np.float32)
    for z in range(-m, m + 1):
        for y in range(-m, m + 1):
            for g in range(order):
                for axis in range(3):
                    start[g, axis] = group[g, axis, 1] * y + group[g, axis, 2] * z
            for x in range(m + 1):
                if _is_mate(x, y, z) or x * x + y * y + z * z > limit:  # beyond it there is nothing
                    continue
                here = (z * edge + y) * edge + x
                is_first = True
                for g in range(order):
                    tx = start[g, 0] + group[g, 0, 0] * x
                    ty = start[g, 1] + group[g, 1, 0] * x
                    tz = start[g, 2] + group[g, 2, 0] * x
                    side[g] = np.float32(1.0)
                    if _is_mate(tx, ty, tz):
                        tx, ty, tz = -tx, -ty, -tz
                        side[g] = np.float32(-1.0)
                    where[g, 0], where[g, 1], where[g, 2] = tz + m, ty + m, tx
                    if (tz * edge + ty) * edge + tx < here:
                        is_first = False
                        break
                if is_first:
                    _share(data, where, side)
    for z in range(-m, m + 1):
        for y in range(-m, m + 1):
            if _is_mate(0, y, z):
                kept, mate = data[m - z, m - y, 0], data[m + z, m + y, 0]
                mate[0], mate[1], mate[2] = kept[0], -kept[1], kept[2]


@inlined
def _share(data, where, side):
    """Sum the voxels at `where`, the imaginary parts times `side`, and leave the sum in each."""
    a, b, w = np.float32(0), np.float32(0), np.float32(0)
    for g in range(len(side)):
        voxel = data[where[g, 0], where[g, 1], where[g, 2]]
        a += voxel[0]
        b += side[g] * voxel[1]
        w += voxel[2]
    for g in range(len(side)):
        voxel = data[where[g, 0], where[g, 1], where[g, 2]]
        voxel[0], voxel[1], voxel[2] = a, side[g] * b, w


@inlined
def _is_mate(x, y, z):
    """Whether a frequency is told by its Friedel mate."""
    return x < 0 or (x == 0 and (y < 0 or (y == 0 and z < 0)))
