"""Chunks: some particles of one optics group, the unit of work, of storage and of resuming."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from parfocal.estimates import Status
from parfocal.grid import SpectraGrid
from parfocal.particles import ImageError, Images, Particles
from parfocal.reference import Reference
from parfocal.spectra import HARMONICS, spectra_of, views_of

CHUNK = 256  # particles a chunk: a few MB of spectra, under a second of work


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some particles of one optics group, to meet their reference, or the other half's map."""

    group: int
    rows: np.ndarray  # (m,) rows of the Particles, in the order of their stacks
    opposite: bool = False


@dataclass(frozen=True, kw_only=True)
class ChunkSpectra:
    """What the pass made of a chunk: spectra, and the particles that gave none."""

    sums: np.ndarray  # float32 (m, 3, bins, 8); zero where status is not OK
    status: np.ndarray  # (m,) int, Status
    reason: np.ndarray  # (m,) str
    harmonics: np.ndarray  # float32 (m, bins, 16), see spectra.HARMONICS; (m, 0, 16) if not asked


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


def stored(store: Store, number: int) -> ChunkSpectra:
    """Chunk `number`, which must be there."""
    spectra = store.get(number)
    if spectra is None:
        raise LookupError(f"chunk {number} of the spectra is missing")
    return spectra


def one_by_one(work: Callable, numbers: Iterable[int]) -> Iterator[tuple[int, object]]:
    """`work` on each number in turn; execution.threads does the same on several threads."""
    for number in numbers:
        yield number, work(number)


def plan(particles: Particles) -> tuple[Chunk, ...]:
    """Cut a particle set into chunks of one optics group each, along its stacks."""
    chunks = []
    for group in range(len(particles.optics)):
        rows = np.flatnonzero(particles.optics_group == group)
        rows = rows[np.lexsort((particles.image_index[rows], particles.stack[rows]))]
        pieces = np.array_split(rows, max(1, -(-len(rows) // CHUNK)))
        chunks += [Chunk(group=group, rows=piece) for piece in pieces if len(piece)]
    return tuple(chunks)


def plan_opposite(chunks: tuple[Chunk, ...], wanted: int) -> tuple[Chunk, ...]:
    """Some of `chunks` again, to meet the other half's map: about `wanted` particles a group."""
    again = []
    for group in sorted({chunk.group for chunk in chunks}):
        mine = [chunk for chunk in chunks if chunk.group == group]
        count = min(len(mine), -(-wanted // CHUNK))
        taken = np.linspace(0, len(mine) - 1, count).round().astype(int)
        again += [replace(mine[i], opposite=True) for i in taken]
    return tuple(again)


def chunk_spectra(
    chunk: Chunk, particles: Particles, images: Images, reference: Reference, grid: SpectraGrid
) -> ChunkSpectra:
    """The pass over one chunk. A particle whose image fails is noted, with the reason."""
    here = particles.take(chunk.rows)
    faults = here.faults()
    m, box = len(chunk.rows), grid.optics.image_size
    sums = np.zeros((m, 3, grid.bins, 8), dtype=np.float32)
    harmonics = np.zeros((m, grid.bins if grid.sectors else 0, len(HARMONICS)), dtype=np.float32)
    status, reason = np.zeros(m, dtype=int), np.full(m, "", dtype=object)
    image = np.empty((box, box), dtype=np.float32)
    with np.errstate(all="ignore"):  # what is not finite is noted instead
        views = views_of(here, grid)
        for i, row in enumerate(chunk.rows):
            volume = reference.volume(int(here.half_set[i]), opposite=chunk.opposite)
            try:
                status[i] = Status.NOT_READ
                images.read_into(int(row), image)
                status[i] = Status.NON_FINITE
                if faults[i]:
                    raise ImageError(faults[i])
                found, azimuth = spectra_of(image, views, i, volume, grid)
                if not np.isfinite(found).all():
                    raise ImageError("pixels too large to be squared")
            except ImageError as error:
                reason[i] = str(error)
            else:
                sums[i], harmonics[i], status[i] = found, azimuth, Status.OK
    return ChunkSpectra(sums=sums, status=status, reason=reason.astype(str), harmonics=harmonics)
