"""Evidence: the spectra of a particle set, and the noise models that turn them into likelihoods."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from parfocal.calibration import calibrate
from parfocal.estimates import Status
from parfocal.folds import fold_difference_variance
from parfocal.grid import SpectraGrid, padded_size, spectra_grid
from parfocal.likelihood import NoiseModel, change_grid
from parfocal.particles import ImageError, Images, Particles
from parfocal.reference import Reference
from parfocal.spectra import spectra_of, views_of

CHUNK = 256  # particles a chunk: a few MB of spectra, under a second of work
SHOWN = 8  # particles that the geometry of the folds is worked out for
UNUSUAL = 10.0  # an image's power over the group's median, or below it, that is not learned from
CALIBRATION = 2000  # particles of an optics group that its noise model is learned from


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some particles of one optics group: the unit of work, of storage and of resuming."""

    group: int
    rows: np.ndarray  # (m,) rows of the Particles, in the order of their stacks


@dataclass(frozen=True, kw_only=True)
class ChunkSpectra:
    """What the pass made of a chunk: spectra, and the particles that gave none."""

    sums: np.ndarray  # float32 (m, 3, bins, 8); zero where status is not OK
    status: np.ndarray  # (m,) int, Status
    reason: np.ndarray  # (m,) str


class Store(Protocol):
    """Keeps the spectra of chunks: in memory, or as files of a run that can be resumed."""

    def __contains__(self, number: int) -> bool: ...

    def get(self, number: int) -> ChunkSpectra | None: ...

    def put(self, number: int, spectra: ChunkSpectra) -> None: ...


class MemoryStore:
    """Chunks in memory, for particle sets that fit there: some 10 kB a particle."""

    def __init__(self) -> None:
        self._held: dict[int, ChunkSpectra] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._held

    def get(self, number: int) -> ChunkSpectra | None:
        """Chunk `number`, or None where it is not there yet."""
        return self._held.get(number)

    def put(self, number: int, spectra: ChunkSpectra) -> None:
        """Keep one chunk."""
        self._held[number] = spectra


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that the images have to say about defocus, given the reference.

    `images` and `reference` are for methods whose cost is no sum over radial bins: they look again.
    `run` maps a function over numbers and yields (number, result) as they come.
    """

    chunks: tuple[Chunk, ...]
    store: Store
    models: Mapping[int, NoiseModel]  # by optics group
    change_max: float
    images: Images
    reference: Reference
    run: Callable

    def batches(self) -> Iterator[tuple[np.ndarray, ChunkSpectra, NoiseModel]]:
        """(rows, spectra, model) of each chunk."""
        for number, chunk in enumerate(self.chunks):
            if chunk.group in self.models:
                yield chunk.rows, stored(self.store, number), self.models[chunk.group]

    def change(self) -> np.ndarray:
        """Grid of changes [Å] that is fine enough for every optics group."""
        grids = [change_grid(m.grid, m.amplitude, self.change_max) for m in self.models.values()]
        return max(grids, key=len)

    def failures(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """(n,) status, and reason as str objects, of every particle; OK and empty if all went well."""
        status, reason = np.zeros(n, dtype=int), np.full(n, "", dtype=object)
        for number, chunk in enumerate(self.chunks):
            spectra = stored(self.store, number)
            status[chunk.rows], reason[chunk.rows] = spectra.status, spectra.reason
        return status, reason


def stored(store: Store, number: int) -> ChunkSpectra:
    """Chunk `number`, which must be there."""
    spectra = store.get(number)
    if spectra is None:
        raise LookupError(f"chunk {number} of the spectra is missing")
    return spectra


def plan(particles: Particles) -> tuple[Chunk, ...]:
    """Cut a particle set into chunks of one optics group each, along its stacks."""
    chunks = []
    for group in range(len(particles.optics)):
        rows = np.flatnonzero(particles.optics_group == group)
        rows = rows[np.lexsort((particles.image_index[rows], particles.stack[rows]))]
        pieces = np.array_split(rows, max(1, -(-len(rows) // CHUNK)))
        chunks += [Chunk(group=group, rows=piece) for piece in pieces if len(piece)]
    return tuple(chunks)


def lay_grids(
    particles: Particles, reference: Reference, *, change_max: float, padding: float | None = None
) -> dict[int, SpectraGrid]:
    """A grid for each optics group that has particles.

    `padding` is the size of the padded image over the box; None picks the smallest that holds the
    delocalisation of every frequency that carries weight.
    """
    grids, usable = {}, particles.faults() == ""
    for group in np.unique(particles.optics_group):
        optics = particles.optics[group]
        k_max = min(reference.k_max, optics.nyquist)
        if padding is None:
            here = usable & (particles.optics_group == group)
            defocus = np.abs(particles.defocus[here]).max(initial=0)
            radius = float(reference.radius.max())
            size = padded_size(optics, defocus_max=defocus + change_max, radius=radius, k_max=k_max)
        else:
            size = 2 * round(padding * optics.image_size / 2)
        grids[int(group)] = spectra_grid(optics, padded=size, change_max=change_max, k_max=k_max)
    return grids


def chunk_spectra(
    chunk: Chunk, particles: Particles, images: Images, reference: Reference, grid: SpectraGrid
) -> ChunkSpectra:
    """The pass over one chunk. A particle whose image fails is noted, with the reason."""
    here = particles.take(chunk.rows)
    faults = here.faults()
    m, box = len(chunk.rows), grid.optics.image_size
    sums = np.zeros((m, 3, grid.bins, 8), dtype=np.float32)
    status, reason = np.zeros(m, dtype=int), np.full(m, "", dtype=object)
    image = np.empty((box, box), dtype=np.float32)
    with np.errstate(all="ignore"):  # what is not finite is noted instead
        views = views_of(here, grid)
        for i, row in enumerate(chunk.rows):
            try:
                status[i] = Status.NOT_READ
                images.read_into(int(row), image)
                status[i] = Status.NON_FINITE
                if faults[i]:
                    raise ImageError(faults[i])
                found = spectra_of(image, views, i, reference.volume(int(here.half_set[i])), grid)
                if not np.isfinite(found).all():
                    raise ImageError("pixels too large to be squared")
            except ImageError as error:
                reason[i] = str(error)
            else:
                sums[i], status[i] = found, Status.OK
    return ChunkSpectra(sums=sums, status=status, reason=reason.astype(str))


def noise_models(
    particles: Particles, chunks, store: Store, grids: Mapping[int, SpectraGrid], reference
) -> dict[int, NoiseModel]:
    """Learn each optics group's noise model from up to CALIBRATION of its particles, evenly taken."""
    models = {}
    for group, grid in grids.items():
        numbers = [i for i, chunk in enumerate(chunks) if chunk.group == group]
        total = sum(len(chunks[i].rows) for i in numbers)
        stride = max(1, total // CALIBRATION)
        sums, rows = [], []
        for number in numbers:
            spectra = stored(store, number)
            good = np.flatnonzero(spectra.status == Status.OK)[::stride]
            sums.append(spectra.sums[good].sum(axis=1))
            rows.append(chunks[number].rows[good])
        sums, rows = np.concatenate(sums), np.concatenate(rows)
        if len(rows):
            usual = _of_usual_power(sums)
            sums, rows = sums[usual], rows[usual]
            prior = particles.defocus[rows]
            model = calibrate(sums, prior, grid, reference, change_max=grid.change_max)
            shown = rows[:: max(1, len(rows) // SHOWN)]
            ratios = [
                fold_difference_variance(
                    particles, row, reference.volume(int(particles.half_set[row])), model
                )
                for row in shown
            ]
            models[group] = replace(model, fold_variance=float(np.mean(ratios)))
    return models


def _of_usual_power(sums):
    """(m,) mask: one image that was never normalised would pass for the noise of all the others."""
    power = sums[..., 7].sum(axis=1)
    ratio = power / np.median(power)
    return (ratio > 1 / UNUSUAL) & (ratio < UNUSUAL)


def one_by_one(work: Callable, numbers: Iterable[int]) -> Iterator[tuple[int, object]]:
    """`work` on each number in turn; execution.threads does the same on several threads."""
    for number in numbers:
        yield number, work(number)


def gather(
    particles: Particles,
    images: Images,
    reference: Reference,
    *,
    change_max: float = 1000.0,
    padding: float | None = None,
    store: Store | None = None,
    run: Callable = one_by_one,
) -> Evidence:
    """One pass over the images, then the noise models: everything that the methods ask.

    `change_max` [Å] is the largest change of defocus that will be asked for. `store` keeps the
    spectra (default: in memory); chunks that it holds already are not computed again. `run` maps
    a function over chunk numbers and yields (number, result) as they come (default: one by one).
    """
    kept: Store = MemoryStore() if store is None else store
    grids = lay_grids(particles, reference, change_max=change_max, padding=padding)
    chunks = plan(particles)
    missing = [number for number in range(len(chunks)) if number not in kept]

    def work(number):
        chunk = chunks[number]
        return chunk_spectra(chunk, particles, images, reference, grids[chunk.group])

    for number, spectra in run(work, missing):
        kept.put(number, spectra)
    models = noise_models(particles, chunks, kept, grids, reference)
    return Evidence(
        chunks=chunks,
        store=kept,
        models=models,
        change_max=change_max,
        images=images,
        reference=reference,
        run=run,
    )
