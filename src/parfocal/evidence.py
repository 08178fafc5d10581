"""Evidence: the spectra of a particle set, and the noise models that turn them into likelihoods."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from parfocal.calibration import calibrate
from parfocal.chunks import (
    Chunk,
    ChunkSpectra,
    MemoryStore,
    Store,
    chunk_spectra,
    one_by_one,
    plan,
    plan_opposite,
    stored,
)
from parfocal.estimates import Status
from parfocal.folds import fold_difference_variance
from parfocal.grid import SpectraGrid, padded_size, spectra_grid
from parfocal.leave_one_out import SelfShare, fit_self_share, without_self
from parfocal.likelihood import NoiseModel, change_grid
from parfocal.particles import Images, Particles
from parfocal.reference import Reference

SHOWN = 8  # particles that the geometry of the folds is worked out for
UNUSUAL = 10.0  # an image's power over the group's median, or below it, that is not learned from
CALIBRATION = 2000  # particles of an optics group that its noise model is learned from
COMPARED = 2000  # particles of an optics group that meet the other half's map too


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that the images have to say about defocus, given the reference.

    `images` and `reference` are for methods whose cost is no sum over radial bins: they look again.
    `run` maps a function over numbers and yields (number, result) as they come.
    """

    chunks: tuple[Chunk, ...]
    store: Store
    models: Mapping[int, NoiseModel]  # by optics group
    shares: Mapping[int, SelfShare]  # by optics group, of a map that holds the particles
    change_max: float
    images: Images
    reference: Reference
    run: Callable

    def batches(
        self, *, corrected: bool = True
    ) -> Iterator[tuple[np.ndarray, ChunkSpectra, NoiseModel]]:
        """(rows, spectra, model) of each chunk, the particles' own part in the map taken back.

        Not `corrected`, the spectra are as the pass made them: as other programs see the particles.
        """
        shares = self.shares if corrected else {}
        for number, chunk in enumerate(self.chunks):
            if chunk.group in self.models:
                spectra = _corrected(self.store, number, chunk, shares)
                yield chunk.rows, spectra, self.models[chunk.group]

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


def lay_grids(
    particles: Particles,
    reference: Reference,
    *,
    change_max: float,
    padding: float | None = None,
    astigmatism: bool = False,
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
        grids[int(group)] = spectra_grid(
            optics, padded=size, change_max=change_max, k_max=k_max, astigmatism=astigmatism
        )
    return grids


def self_shares(particles: Particles, chunks, again, store: Store, grids) -> dict[int, SelfShare]:
    """The weight of one image in the map, of each optics group whose particles met both halves' maps.

    `again` are those of `chunks` that met the opposite one; they are stored after `chunks`.
    """
    numbers, pairs = {id(c.rows): i for i, c in enumerate(chunks)}, {}
    for number, chunk in enumerate(again, len(chunks)):
        own, other = stored(store, numbers[id(chunk.rows)]), stored(store, number)
        good = (own.status == Status.OK) & (other.status == Status.OK)
        half_set = particles.half_set[chunk.rows[good]]
        pair = own.sums[good].sum(axis=1), other.sums[good].sum(axis=1), half_set
        pairs.setdefault(chunk.group, []).append(pair)
    shares = {}
    for group, found in pairs.items():
        own, other, half_set = (np.concatenate(column) for column in zip(*found, strict=True))
        usual = _of_usual_power(own)
        share = fit_self_share(own[usual], other[usual], half_set[usual], grids[group])
        if share is not None:
            shares[group] = share
    return shares


def _corrected(store: Store, number: int, chunk: Chunk, shares) -> ChunkSpectra:
    spectra = stored(store, number)
    if chunk.group not in shares:
        return spectra
    return replace(spectra, sums=without_self(spectra.sums, shares[chunk.group]))


def noise_models(
    particles: Particles,
    chunks,
    store: Store,
    grids: Mapping[int, SpectraGrid],
    reference: Reference,
    shares: Mapping[int, SelfShare],
) -> dict[int, NoiseModel]:
    """Learn each optics group's noise model from up to CALIBRATION of its particles, evenly taken."""
    models = {}
    for group, grid in grids.items():
        numbers = [i for i, chunk in enumerate(chunks) if chunk.group == group]
        total = sum(len(chunks[i].rows) for i in numbers)
        stride = max(1, total // CALIBRATION)
        sums, rows = [], []
        for number in numbers:
            spectra = _corrected(store, number, chunks[number], shares)
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
    ratio = power / np.median(power) if len(power) else power
    return (ratio > 1 / UNUSUAL) & (ratio < UNUSUAL)


def gather(
    particles: Particles,
    images: Images,
    reference: Reference,
    *,
    change_max: float = 1000.0,
    padding: float | None = None,
    astigmatism: bool = False,
    store: Store | None = None,
    run: Callable = one_by_one,
) -> Evidence:
    """One pass over the images, then the noise models: everything that the methods ask.

    `change_max` [Å] is the largest change of defocus that will be asked for. `store` keeps the
    spectra (default: in memory); chunks that it holds already are not computed again. `run` maps
    a function over chunk numbers and yields (number, result) as they come (default: one by one).
    With `astigmatism` the spectra keep what a change of astigmatism would ask of them.
    """
    kept: Store = MemoryStore() if store is None else store
    grids = lay_grids(
        particles, reference, change_max=change_max, padding=padding, astigmatism=astigmatism
    )
    chunks = plan(particles)
    again = plan_opposite(chunks, COMPARED) if reference.holds_particles else ()
    work_list = chunks + again
    missing = [number for number in range(len(work_list)) if number not in kept]

    def work(number):
        chunk = work_list[number]
        return chunk_spectra(chunk, particles, images, reference, grids[chunk.group])

    for number, spectra in run(work, missing):
        kept.put(number, spectra)
    shares = self_shares(particles, chunks, again, kept, grids)
    models = noise_models(particles, chunks, kept, grids, reference, shares)
    return Evidence(
        chunks=chunks,
        store=kept,
        models=models,
        shares=shares,
        change_max=change_max,
        images=images,
        reference=reference,
        run=run,
    )
