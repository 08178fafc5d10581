"""Maps from particles: half-maps and the full map, by Fourier insertion with CTF weights."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from parfocal.chunks import one_by_one, plan
from parfocal.errors import InputError
from parfocal.ewald import Ewald, sphere_of
from parfocal.grid import Fold, SpectraGrid, spectra_grid
from parfocal.held_out import Defoci, grid_of_fold, parts_of
from parfocal.insertion import FourierSums, close, give_back_corners, insert
from parfocal.inversion import ITERATIONS, map_of
from parfocal.losses import Loss, losses_of
from parfocal.optics import Optics
from parfocal.particles import ImageError, Images, Particles
from parfocal.spectra import image_transform, views_of
from parfocal.symmetry import off_grid, rotations, symmetrise

UNUSED = 1000.0  # Å, the largest change of defocus that the grid's bins resolve: none is used here


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """Sums of the images of each half-set, symmetric already, and the maps that follow from them.

    The map's scale is absolute: an image's transform is the CTF times the map's slice, as the
    simulation draws it. `reason` says of each particle why it could not be used, and is empty where
    it was. Half-set 0 is that of particles which have none: the full map alone holds them.
    """

    sums: Mapping[int, FourierSums]  # by half-set
    box: int
    symmetry: str
    reason: np.ndarray  # (n,) str
    losses: tuple[Loss, ...]

    def half_map(self, half: int, *, fsc=None, iterations: int = ITERATIONS) -> np.ndarray:
        """Map of half-set `half`, float32 (box, box, box), as `full` makes it. InputError if empty."""
        if half not in self.sums:
            raise InputError(f"no particle is in half-set {half}", mend="split the particles first")
        return self._map([self.sums[half]], fsc=fsc, iterations=iterations)

    def full(self, *, fsc=None, iterations: int = ITERATIONS) -> np.ndarray:
        """Map of all particles, float32 (box, box, box); see `inversion.map_of`.

        With `fsc` (n,), that of the half-maps in shells of 1 / (box pixel_size), it is regularised:
        noise over signal power, (1 - FSC) / FSC times a half-set's mean weight, is added to the
        weights (Scheres, J. Mol. Biol. 415, 2012). `iterations` of the gridding weights make RELION's
        map; one makes the better map where views are few and noisy.
        """
        return self._map(list(self.sums.values()), fsc=fsc, iterations=iterations)

    def _map(self, parts, **options) -> np.ndarray:
        return map_of(parts, self.box, turned=self._turned, **options)

    @property
    def _turned(self) -> float:
        """Share of the sums that symmetry has interpolated."""
        others = len(off_grid(rotations(self.symmetry)))
        return others / (1 + others)


def reconstruct(particles: Particles, images: Images, **options) -> Reconstruction:
    """Half-maps and full map of one particle set, with the options of `reconstruct_sets`."""
    return reconstruct_sets({"": particles}, images, **options)[""]


def reconstruct_sets(
    sets: Mapping[str, Defoci],
    images: Images,
    *,
    symmetry: str = "C1",
    padding: float = 2.0,
    k_max: float = np.inf,
    ewald: Ewald | None = None,
    run: Callable = one_by_one,
) -> dict[str, Reconstruction]:
    """Maps of the same particles with other CTFs, poses or shifts; each image is read once.

    `sets` are row-aligned with `images`; one that is `HeldOut` gives the pixels of either fold their
    own defoci. A particle that one of them cannot use is left out of all, so that their maps compare.
    Maps have the box and pixel size of the first optics group. Sums are kept to `k_max` [Å⁻¹] on a grid
    of `padding` times the box: a half-set of box 256 takes 0.8 GB at padding 2, for each of `sets`.
    With `ewald` the curvature of the Ewald sphere is corrected for; insertion then takes half as long
    again. `run` maps a function over the half-sets and yields
    (half, result) as they come; with execution.threads both are at work at a time. Raises InputError.
    """
    parts = {name: parts_of(one) for name, one in sets.items()}
    first = _first(parts)
    group = rotations(symmetry)
    box, pixel_size = first.optics[0].image_size, first.optics[0].pixel_size
    k_max = min(k_max, 0.5 / pixel_size)
    every = [one for each in parts.values() for one in each]
    grids = {
        (o, fold): _grid(o, k_max, fold) for particles, fold in every for o in particles.optics
    }
    spheres = {place: sphere_of(grid, ewald) for place, grid in grids.items()} if ewald else {}
    reason = np.full(len(first), "", dtype=object)
    for particles, _ in every:
        reason = np.where(reason == "", particles.faults(), reason)
    chunks = plan(first)

    def work(half):
        sums = {
            name: FourierSums.zeros(box, pixel_size, padding=padding, k_max=k_max) for name in sets
        }
        for chunk in chunks:
            rows = chunk.rows[(first.half_set[chunk.rows] == half) & (reason[chunk.rows] == "")]
            for row, why in _insert_rows(rows, parts, images, sums, (grids, spheres)):
                reason[row] = why
        for part in sums.values():
            close(part)
            symmetrise(part, group)
            give_back_corners(part)
        return sums

    found = dict(run(work, np.unique(first.half_set).tolist()))
    losses = losses_of(first, reason)
    if (reason != "").all():
        what = f"none of the {len(first)} particles can be used: {losses[0]}"
        raise InputError(what, mend="check the particle file and its stacks")
    return {
        name: Reconstruction(
            sums={half: found[half][name] for half in sorted(found)},
            box=box,
            symmetry=symmetry,
            reason=reason.astype(str),
            losses=losses,
        )
        for name in sets
    }


def _first(parts) -> Particles:
    """One of the sets, after a look at whether they are sets of the same particles."""
    first = next(iter(parts.values()))[0][0]
    if not len(first):
        raise InputError("no particles", mend="give a set that is not empty")
    for name, particles in ((name, one) for name, each in parts.items() for one, _ in each):
        for column in ("particle_id", "half_set", "optics_group"):
            if not np.array_equal(getattr(particles, column), getattr(first, column)):
                what = f"its {column} is not that of the first set"
                raise InputError(
                    what, where=name, mend="give sets of the same particles, row by row"
                )
    return first


def _grid(optics: Optics, k_max: float, fold: Fold | None) -> SpectraGrid:
    whole = spectra_grid(optics, padded=optics.image_size, change_max=UNUSED, k_max=k_max)
    return whole if fold is None else grid_of_fold(whole, fold)


def _insert_rows(rows, parts, images: Images, sums, layouts) -> Iterator[tuple[int, str]]:
    """Insert the images of `rows`, all of one optics group; yields (row, reason) of those that fail."""
    if not len(rows):
        return
    grids, spheres = layouts
    ways = [  # (sums, views, grid, sphere, fold): of each image every way it goes
        (sums[name], views_of(here, grids[place]), grids[place], spheres.get(place), fold)
        for name, each in parts.items()
        for particles, fold in each
        for here in [particles.take(rows)]
        for place in [(here.optics[here.optics_group[0]], fold)]
    ]
    grid = ways[0][2]
    box = grid.optics.image_size
    image = np.empty((box, box), dtype=np.float32)
    for i, row in enumerate(rows.tolist()):
        try:
            images.read_into(row, image)
            transform = image_transform(image, grid, box // 2 + 1)
        except ImageError as error:
            yield row, str(error)
            continue
        mean = image.mean()
        for into, views, layout, sphere, fold in ways:
            origin = None if fold is Fold.SECOND else mean  # once for both folds
            insert(into, (transform, origin), views, i, layout, sphere)
