"""Where every particle of a scene lies, how it is turned, and what the particle file says of it."""

from dataclasses import dataclass, replace

import numpy as np

from parfocal.conventions import DEGREE, euler_angles, pose_from_cryosparc, rotation_matrix
from parfocal.particles import Particles
from parfocal.simulate.scene import Scene


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """True state of each particle: (n,) columns, row-aligned with the Particles. Å and rad."""

    micrograph: np.ndarray  # int, from 0
    defocus: np.ndarray  # mean of U and V: that of the micrograph + plane + height
    defocus_u: np.ndarray
    defocus_v: np.ndarray
    defocus_angle: np.ndarray
    plane: np.ndarray  # defocus of the ice over the micrograph's centre, at the particle's place
    slope_x: np.ndarray  # of that plane, Å of defocus per Å in the image
    slope_y: np.ndarray
    height: np.ndarray  # defocus over that of the plane
    rot: np.ndarray
    tilt: np.ndarray
    psi: np.ndarray
    origin_x: np.ndarray  # the particle sits at -origin from the box centre
    origin_y: np.ndarray
    wrong: np.ndarray  # bool: the particle file's pose is not that of anything in the image
    empty: np.ndarray  # bool: wrong, and there is no particle at all

    def __post_init__(self) -> None:
        for name, column in vars(self).items():
            if np.shape(column) != np.shape(self.micrograph):
                raise ValueError(f"column {name} has shape {np.shape(column)}")
            column.setflags(write=False)

    def __len__(self) -> int:
        return len(self.micrograph)


@dataclass(frozen=True, kw_only=True)
class Truth(Specimen):
    """The specimen, and what its images can tell at best."""

    signal_variance: np.ndarray  # over the box, without noise; the noise has variance 1
    cramer_rao: np.ndarray  # Å, least standard error of the defocus, all else being known;
    # inf for wrong particles, whose images tell nothing to one who believes the file


def draw_specimen(scene: Scene, rng: np.random.Generator) -> tuple[Particles, Specimen]:
    """Particles as a particle file has them, micrograph by micrograph, and their true state."""
    n, m = scene.particles, scene.micrographs
    micrograph = np.arange(n) * m // n
    place = _places(scene, rng)
    plane, slope = _plane(scene, place, micrograph, rng)
    height = _heights(scene, rng)
    defocus = rng.uniform(*scene.defocus, m)[micrograph] + plane + height
    vector = rng.normal(scale=scene.astigmatism, size=(2, m))[:, micrograph]
    half_difference = np.hypot(*vector) / 2
    rot, tilt, psi = euler_angles(_random_poses(n, rng))
    origin = rng.normal(scale=scene.shift, size=(2, n))
    specimen = Specimen(
        micrograph=micrograph,
        defocus=defocus,
        defocus_u=defocus + half_difference,
        defocus_v=defocus - half_difference,
        defocus_angle=np.mod(np.arctan2(vector[1], vector[0]) / 2, np.pi),
        plane=plane,
        slope_x=slope[0],
        slope_y=slope[1],
        height=height,
        rot=rot,
        tilt=tilt,
        psi=psi,
        origin_x=origin[0],
        origin_y=origin[1],
        wrong=np.zeros(n, dtype=bool),
        empty=np.zeros(n, dtype=bool),
    )
    particles = _as_filed(scene, specimen, place, rng)
    return particles, _with_wrong(specimen, int(scene.wrong * n), rng)


def _with_wrong(specimen: Specimen, count: int, rng) -> Specimen:
    """`count` particles are replaced: half by nothing, half by one in any pose, at its height."""
    if count == 0:
        return specimen
    rows = rng.permutation(len(specimen))[:count]
    wrong, empty = specimen.wrong.copy(), specimen.empty.copy()
    wrong[rows], empty[rows[: count // 2]] = True, True
    pose = np.array([specimen.rot, specimen.tilt, specimen.psi])
    pose[:, rows] = euler_angles(_random_poses(count, rng))
    rot, tilt, psi = pose
    return replace(specimen, wrong=wrong, empty=empty, rot=rot, tilt=tilt, psi=psi)


def _as_filed(scene: Scene, specimen: Specimen, place, rng) -> Particles:
    """What the particle file says: one defocus a micrograph, and everything with its error."""
    n, micrograph = len(specimen), specimen.micrograph
    error = rng.normal(scale=scene.defocus_error, size=scene.micrographs)[micrograph]
    change = error - specimen.plane - specimen.height
    turn = pose_from_cryosparc(rng.normal(scale=scene.pose_error * DEGREE, size=(n, 3)))
    pose = turn @ rotation_matrix(specimen.rot, specimen.tilt, specimen.psi)
    rot, tilt, psi = euler_angles(pose)
    shift = rng.normal(scale=scene.shift_error, size=(2, n))
    index = np.arange(n) - np.searchsorted(micrograph, micrograph)
    stack = np.array([f"particles/mic_{number + 1:04d}.mrcs" for number in micrograph])
    first_of_pair = rng.integers(2, size=n)[np.arange(n) // 2]
    return Particles(
        optics=(scene.optics(),),
        optics_group=np.zeros(n, dtype=np.int64),
        particle_id=np.array([f"{i + 1:06d}@{s}" for i, s in zip(index, stack, strict=True)]),
        stack=stack,
        image_index=index,
        micrograph=np.array([f"micrographs/mic_{number + 1:04d}.mrc" for number in micrograph]),
        coordinate_x=place[0],
        coordinate_y=place[1],
        defocus_u=specimen.defocus_u + change,
        defocus_v=specimen.defocus_v + change,
        defocus_angle=specimen.defocus_angle.copy(),
        phase_shift=np.full(n, scene.phase_shift * DEGREE),
        rot=rot,
        tilt=tilt,
        psi=psi,
        origin_x=specimen.origin_x + shift[0],
        origin_y=specimen.origin_y + shift[1],
        half_set=1 + (first_of_pair + np.arange(n)) % 2,
    )


def _places(scene: Scene, rng) -> np.ndarray:
    """(2, n) coordinates [Å], on whole pixels, half a box from the edges; boxes may overlap."""
    margin = scene.box * scene.pixel_size / 2 / scene.micrograph_pixel_size
    sides = np.array(scene.micrograph_size)[:, None]
    pixel = rng.uniform(margin, sides - margin, (2, scene.particles))
    return np.rint(pixel) * scene.micrograph_pixel_size


def _plane(scene: Scene, place, micrograph, rng):
    """Defocus (n,) of the tilted ice over that of the micrograph's centre, and its slope (2, n)."""
    m = scene.micrographs
    gradient = np.tan(rng.uniform(0, scene.ice_tilt, m) * DEGREE)
    direction = rng.uniform(0, 2 * np.pi, m)
    slope = (gradient * [np.cos(direction), np.sin(direction)])[:, micrograph]
    centre = np.array(scene.micrograph_size)[:, None] * scene.micrograph_pixel_size / 2
    return (slope * (place - centre)).sum(axis=0), slope


def _heights(scene: Scene, rng) -> np.ndarray:
    """(n,) defocus [Å] over that of the plane, of mean 0."""
    n = scene.particles
    layer = {
        0: rng.uniform(-0.5, 0.5, n),
        1: np.zeros(n),
        2: rng.integers(2, size=n) - 0.5,
    }[scene.sheets]
    return layer * scene.ice_thickness + rng.normal(scale=scene.height_scatter, size=n)


def _random_poses(n: int, rng) -> np.ndarray:
    """(n, 3, 3) poses, every direction and in-plane angle as likely as any other."""
    rot, psi = rng.uniform(-np.pi, np.pi, (2, n))
    return rotation_matrix(rot, np.arccos(rng.uniform(-1, 1, n)), psi)
