"""The reference made from the particles themselves: half-maps, mask and FSC, with the CTFs on file."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from parfocal.chunks import one_by_one
from parfocal.errors import InputError
from parfocal.fsc_curves import FscCurves, fsc_curves
from parfocal.masks import make_mask, soft_sphere
from parfocal.particles import Images, Particles
from parfocal.reconstruct import reconstruct
from parfocal.reference import Reference, half_map_reference


@dataclass(frozen=True, kw_only=True)
class OwnReference:
    """Half-maps (n, n, n) of the particles, what they are worth, and the reference that they make."""

    half_maps: tuple[np.ndarray, np.ndarray]
    mask: np.ndarray
    curves: FscCurves
    reference: Reference

    @property
    def resolution(self) -> float:
        """Å, where the corrected FSC falls below 0.143; nan where it is below from the start."""
        return self.curves.resolution()


def own_reference(
    particles: Particles,
    images: Images,
    *,
    symmetry: str = "C1",
    mask: np.ndarray | None = None,
    meets: str = "own",
    run: Callable = one_by_one,
) -> OwnReference:
    """Reconstruct the half-sets of `particles` with their own CTFs, and make a reference of them.

    Without `mask` one is made from the sum of the half-maps. `meets` as in Reference. A particle's
    own part is in the map that it meets, put there with the CTF of `particles`: `gather` takes it
    back from these same particles, and of particles with other CTFs it would take something else.
    `run` as in `reconstruct`. Raises InputError. Wrong where poses are.
    """
    made = reconstruct(particles, images, symmetry=symmetry, run=run)
    pixel_size = particles.optics[0].pixel_size
    first, second = (made.half_map(half) for half in (1, 2))
    del made  # 0.8 GB a half-set at box 256
    mask = automatic_mask(first + second, pixel_size) if mask is None else mask
    curves = fsc_curves(first, second, mask, pixel_size=pixel_size, rng=np.random.default_rng(0))
    reference = half_map_reference(
        first, second, pixel_size=pixel_size, mask=mask, fsc=curves.corrected, meets=meets
    )
    return OwnReference(half_maps=(first, second), mask=mask, curves=curves, reference=reference)


def automatic_mask(density, pixel_size: float) -> np.ndarray:
    """`make_mask` of a map that users need not have seen. InputError says what they can do."""
    try:
        return make_mask(density, pixel_size)
    except InputError as error:
        what = f"no mask can be made: {error.what}"
        raise InputError(what, mend="give the mask of the refinement with --mask") from None


def whole_box(particles: Particles) -> np.ndarray:
    """The mask that masks nothing but the box's corners, on the grid of the maps of `particles`."""
    return soft_sphere(particles.optics[0].image_size)
