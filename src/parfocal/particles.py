"""Particles: frozen, row-aligned columns keyed by particle id, and the images they point to."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from parfocal.optics import Optics

FLOAT_COLUMNS = (
    "coordinate_x",
    "coordinate_y",
    "defocus_u",
    "defocus_v",
    "defocus_angle",
    "phase_shift",
    "rot",
    "tilt",
    "psi",
    "origin_x",
    "origin_y",
)


FARTHEST_DEFOCUS = 2e5  # Å; a fit of the CTF that gave more has failed


class ImageError(Exception):
    """One particle's image cannot be used. The particle is counted, not dropped.

    The text says why and nothing of the particle itself, so that equal faults are counted together.
    """


class Images(Protocol):
    """Where the pixels of a particle set come from; row i belongs to row i of the Particles."""

    def read_into(self, row: int, out: np.ndarray) -> None:
        """Fill `out` (float32, (box, box)) with image `row`, or raise ImageError."""
        ...


@dataclass(frozen=True, kw_only=True)
class Particles:
    """A particle set: (n,) columns in input order. Lengths Å, angles rad, underfocus positive."""

    optics: tuple[Optics, ...]
    optics_group: np.ndarray  # int, index into `optics`
    particle_id: np.ndarray  # str, unique: index@stack, or uid; see io.records.unique_ids
    stack: np.ndarray  # str, path of the image stack
    image_index: np.ndarray  # int, from 0, within the stack
    micrograph: np.ndarray  # str
    coordinate_x: np.ndarray  # Å in the micrograph; nan where the input has none
    coordinate_y: np.ndarray
    defocus_u: np.ndarray
    defocus_v: np.ndarray
    defocus_angle: np.ndarray  # from +x to the direction of U
    phase_shift: np.ndarray
    rot: np.ndarray  # nan where the input has no pose, as tilt and psi
    tilt: np.ndarray
    psi: np.ndarray
    origin_x: np.ndarray  # the particle sits at -origin from the box centre
    origin_y: np.ndarray
    half_set: np.ndarray  # int: 1 or 2; 0 where the input has none
    source: Path | None = None  # the file that these came from

    def __post_init__(self) -> None:
        n = len(self.particle_id)
        for name, column in self.columns().items():
            if np.shape(column) != (n,):
                raise ValueError(f"column {name} has shape {np.shape(column)}, expected ({n},)")
            column.setflags(write=False)
        if len(set(self.particle_id.tolist())) != n:
            raise ValueError("particle_id is not unique")
        if n and not 0 <= self.optics_group.min() <= self.optics_group.max() < len(self.optics):
            raise ValueError("optics_group points outside of `optics`")

    def __len__(self) -> int:
        return len(self.particle_id)

    def columns(self) -> dict[str, np.ndarray]:
        """Name -> column, for all that has one value a particle."""
        return {k: v for k, v in vars(self).items() if isinstance(v, np.ndarray)}

    def take(self, rows) -> "Particles":
        """The particles of `rows` (indices or a mask), in that order."""
        return replace(self, **{name: column[rows] for name, column in self.columns().items()})

    def faults(self) -> np.ndarray:
        """(n,) str: why a particle cannot be used, whatever its image; empty where it can."""
        used = [getattr(self, name) for name in FLOAT_COLUMNS if "coordinate" not in name]
        half_box = np.array([o.image_size * o.pixel_size / 2 for o in self.optics])
        shift = np.maximum(np.abs(self.origin_x), np.abs(self.origin_y))
        defocus = np.maximum(np.abs(self.defocus_u), np.abs(self.defocus_v))
        cases = {
            "pose, shift or CTF is not a number": ~np.isfinite(used).all(axis=0),
            "defocus beyond 20 µm": defocus > FARTHEST_DEFOCUS,
            "shifted out of its box": shift > half_box[self.optics_group],
        }
        return np.select(list(cases.values()), list(cases), "").astype(object)

    @property
    def defocus(self) -> np.ndarray:
        """Mean defocus (U+V)/2 [Å]."""
        return (self.defocus_u + self.defocus_v) / 2
