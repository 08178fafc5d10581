"""Atoms: what a simulated particle is made of, and how they scatter electrons."""

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from parfocal.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Atoms:
    """Heavy atoms of one particle, in the frame of its map: the origin is the box centre."""

    position: np.ndarray  # (n, 3) Å, as (x, y, z)
    atomic_number: np.ndarray  # (n,) int

    def __post_init__(self) -> None:
        n = len(self.atomic_number)
        if n == 0 or np.shape(self.position) != (n, 3) or not np.isfinite(self.position).all():
            raise ValueError(f"{n} atoms need finite positions of shape ({n}, 3)")
        self.position.setflags(write=False)
        self.atomic_number.setflags(write=False)

    def __len__(self) -> int:
        return len(self.atomic_number)

    @property
    def radius(self) -> float:
        """Distance [Å] of the outermost atom from the origin."""
        return float(np.linalg.norm(self.position, axis=1).max())

    def by_element(self) -> dict[int, np.ndarray]:
        """Atomic number -> positions (m, 3) [Å]."""
        return {
            int(z): self.position[self.atomic_number == z] for z in np.unique(self.atomic_number)
        }


def centred(position, atomic_number) -> Atoms:
    """Atoms moved so that their centre of mass is the origin."""
    weight = np.array([gemmi.Element(int(z)).weight for z in atomic_number])
    position = np.asarray(position, dtype=float)
    return Atoms(
        position=position - np.average(position, axis=0, weights=weight),
        atomic_number=np.asarray(atomic_number, dtype=np.int64),
    )


def read_structure(path) -> Atoms:
    """Atoms of a PDB or mmCIF file: first model, first alternative; no hydrogens, no waters.

    The file must hold the whole complex: biological assemblies are not built. Occupancies and B
    factors of the file are not used.
    """
    try:
        with open(path, "rb"):  # gemmi's own complaints are harder to read
            structure = gemmi.read_structure(str(Path(path)))
    except OSError as error:
        raise InputError.of_system(error, Path(path)) from error
    except (RuntimeError, ValueError) as error:
        raise InputError(str(error), where=path, mend="give a PDB or mmCIF file") from error
    structure.remove_alternative_conformations()
    structure.remove_hydrogens()
    structure.remove_waters()
    found = [site.atom for site in structure[0].all()] if len(structure) else []
    if not found:
        what = "no atoms but hydrogens and waters"
        raise InputError(what, where=path, mend="give a file of a whole protein complex")
    return centred([a.pos.tolist() for a in found], [a.element.atomic_number for a in found])


def form_factor(atomic_number: int, s) -> np.ndarray:
    """Electron scattering factor [Å] of an atom at squared frequency `s` = |k|² [Å⁻²].

    Int. Tables for Crystallography C (1999), table 4.3.2.2: Σ a exp(-b (sin θ / λ)²), in which
    (sin θ / λ)² = s / 4. Valid to |k| = 4 Å⁻¹.
    """
    table = gemmi.Element(atomic_number).c4322
    if table is None or atomic_number == 0:  # gemmi takes an unknown element for oxygen
        what = f"no electron scattering factor for atomic number {atomic_number}"
        raise InputError(what, where="structure", mend="remove such atoms")
    return np.exp(np.multiply.outer(np.asarray(s) / -4, table.b)) @ table.a
