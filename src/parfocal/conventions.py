"""Signs, units and axes: every conversion between programs and our own frame lives here.

Inside the package lengths are Å, angles radians, underfocus positive, arrays (z, y, x) with x along
columns, y along rows, no flip, and the box centre at index N // 2. A point r of the map is seen at
A r, with A from `rotation_matrix`, and is projected along z. The particle sits at minus its origin
from the box centre.
"""

import numpy as np

DEGREE = np.pi / 180.0
MM = 1e7  # Å
KILOVOLT = 1e3  # V


def rotation_matrix(rot, tilt, psi):
    """Pose A = Rz(psi) Ry(tilt) Rz(rot), shape (..., 3, 3), from RELION's ZYZ angles [rad].

    Rz(t) = [[c, s, 0], [-s, c, 0], [0, 0, 1]] and Ry(t) = [[c, 0, -s], [0, 1, 0], [s, 0, c]].
    """
    rot, tilt, psi = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (rot, tilt, psi)))
    ca, sa, cb, sb = np.cos(rot), np.sin(rot), np.cos(tilt), np.sin(tilt)
    cg, sg = np.cos(psi), np.sin(psi)
    rows = [
        [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
        [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
        [sb * ca, sb * sa, cb],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def euler_angles(pose):
    """(rot, tilt, psi) [rad] of a pose matrix of shape (..., 3, 3); inverse of `rotation_matrix`.

    At tilt 0 or π only rot ± psi is defined; there rot is set to 0.
    """
    pose = np.asarray(pose, dtype=float)
    tilt = np.arctan2(np.hypot(pose[..., 2, 0], pose[..., 2, 1]), pose[..., 2, 2])
    free = np.sin(tilt) > 1e-9
    rot = np.where(free, np.arctan2(pose[..., 2, 1], pose[..., 2, 0]), 0.0)
    at_pole = np.arctan2(pose[..., 0, 1], pose[..., 1, 1])
    psi = np.where(free, np.arctan2(pose[..., 1, 2], -pose[..., 0, 2]), at_pole)
    return rot, tilt, psi


def pose_from_cryosparc(rotation_vector):
    """Pose A, shape (n, 3, 3), from cryoSPARC's alignments3D/pose, shape (n, 3) [rad].

    cryoSPARC stores the rotation vector of the transpose: A = R(vector)ᵀ (Rodrigues' formula).
    """
    vector = np.asarray(rotation_vector, dtype=float)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    half = np.sinc(angle / (2 * np.pi))  # sin(angle/2) / (angle/2), safe at 0
    matrix = np.eye(3) + np.sinc(angle / np.pi) * cross + half**2 / 2 * (cross @ cross)
    return np.swapaxes(matrix, -1, -2)


def coordinate_from_cryosparc(fraction_x, fraction_y, *, shape, pixel_size):
    """Particle centre (x, y) [Å] from location/center_{x,y}_frac and micrograph shape (ny, nx).

    cryoSPARC counts y upwards: y = (1 - fraction_y) ny.
    """
    ny, nx = np.moveaxis(np.asarray(shape, dtype=float), -1, 0)
    return fraction_x * nx * pixel_size, (1.0 - np.asarray(fraction_y)) * ny * pixel_size


def astigmatism_vector(defocus_u, defocus_v, defocus_angle):
    """(mean, A cos 2φ, A sin 2φ) [Å], A = (U-V)/2: the only form in which defoci may be averaged."""
    half_difference = (defocus_u - defocus_v) / 2
    return (
        (defocus_u + defocus_v) / 2,
        half_difference * np.cos(2 * defocus_angle),
        half_difference * np.sin(2 * defocus_angle),
    )


def changed_astigmatism(defocus_u, defocus_v, defocus_angle, change):
    """(U, V, angle) once the astigmatism vector has changed by `change`, x and y [Å]; mean as before.

    Of the ways to write it this is the one nearest to what was there: U and V keep their order, and
    the angle is taken from the half turn about the old one. Without a change all three are exactly
    as before.
    """
    mean, x, y = astigmatism_vector(defocus_u, defocus_v, defocus_angle)
    sign = np.where(defocus_u < defocus_v, -1.0, 1.0)
    x, y = x + change[0], y + change[1]
    half, angle = sign * np.hypot(x, y), np.arctan2(sign * y, sign * x) / 2
    new = mean + half, mean - half, nearest_turn(angle, defocus_angle)
    same = (np.asarray(change[0]) == 0) & (np.asarray(change[1]) == 0)
    old = defocus_u, defocus_v, defocus_angle
    return tuple(np.where(same, a, b) for a, b in zip(old, new, strict=True))


def nearest_turn(angle, near):
    """The angle [rad] that is `angle` but for half turns, and nearest to `near`."""
    return near + (np.mod(angle - near + np.pi / 2, np.pi) - np.pi / 2)


def plane_tilt(slope_x, slope_y):
    """(tilt angle, azimuth of the tilt axis in [0, π)) [rad] of a plane with slope [Å per Å].

    The axis is the line in the image along which defocus stays the same: perpendicular to the slope.
    """
    angle = np.arctan(np.hypot(slope_x, slope_y))
    axis = np.mod(np.arctan2(slope_y, slope_x) + np.pi / 2, np.pi)
    return angle, axis
