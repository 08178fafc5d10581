"""How much of a molecule the automatic mask holds, over the resolution of the map.

Half-maps of protein-like molecules with noise everywhere in the box, at an FSC of 0.143 under a mask
at the resolution; a mask is made of their mean. Told of the worst of all molecules and draws: the
share of the energy of the true map, low-passed to that resolution, in the mask, and the mask's volume
in that of the molecule (what lies within 3 Å of an atom).

    python benchmarks/masks.py
"""

import argparse
from typing import NamedTuple

import numpy as np
import scipy.ndimage

from parfocal.errors import InputError
from parfocal.masks import TIGHT, low_passed, make_mask
from parfocal.optics import Optics
from parfocal.simulate.maps import half_maps, soft_mask
from parfocal.simulate.project import density
from parfocal.simulate.protein import protein_like

PIXEL = 2.0  # Å
MOLECULES = {150: 64, 400: 64, 1000: 80, 3000: 96}  # residues -> box
RESOLUTIONS = (5.0, 8.0, 12.0, 16.0)  # Å
KINDS = {"default": {}, "tight": TIGHT}


class Molecule(NamedTuple):
    residues: int
    density: np.ndarray  # (n, n, n)
    body: np.ndarray  # (n, n, n) bool, within 3 Å of an atom


def molecule(residues: int, box: int) -> Molecule:
    atoms = protein_like(np.random.default_rng(residues), residues=residues)
    optics = Optics(
        name="",
        voltage=300.0,
        spherical_aberration=2.7,
        amplitude_contrast=0.1,
        pixel_size=PIXEL,
        image_size=box,
    )
    empty = np.ones((box, box, box), dtype=bool)
    empty[tuple(np.rint(atoms.position[:, ::-1] / PIXEL).astype(int).T + box // 2)] = False
    body = scipy.ndimage.distance_transform_edt(empty) * PIXEL <= 3
    found = density(atoms, optics=optics, b_factor=60.0)
    return Molecule(residues, np.asarray(found, dtype=np.float32), body)


def held(one: Molecule, resolution: float, seed: int, options) -> tuple[float, float]:
    """Share of the energy in the mask, and its volume in that of the molecule. InputError."""
    halves = half_maps(
        one.density,
        soft_mask(one.density, pixel_size=PIXEL),
        pixel_size=PIXEL,
        resolution=resolution,
        rng=np.random.default_rng(seed),
    )
    mask = make_mask(sum(halves) / 2, PIXEL, **options)
    energy = np.square(low_passed(one.density, resolution / PIXEL))
    return float((energy * mask).sum() / energy.sum()), float(mask.sum() / one.body.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description="How much of a molecule the automatic mask holds.")
    parser.add_argument("--draws", type=int, default=3)
    draws = parser.parse_args().draws
    molecules = [molecule(*item) for item in MOLECULES.items()]
    for resolution in RESOLUTIONS:
        for kind, options in KINDS.items():
            found, refused = [], []
            for one in molecules:
                for seed in range(draws):
                    try:
                        found.append(held(one, resolution, seed, options))
                    except InputError:
                        refused.append(one.residues)
            share, volume = zip(*found, strict=True)
            print(
                f"{resolution:4.0f} Å  {kind:8} share {min(share):.4f}  volume {min(volume):.2f} to "
                f"{max(volume):.2f}  refused: {refused or 'none'}"
            )


if __name__ == "__main__":
    main()
