"""Methods `xmipp` and `xmipp-cc`: Xmipp's local defocus, Powell's search on the image itself."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from parfocal.chunks import stored
from parfocal.conventions import DEGREE, rotation_matrix
from parfocal.errors import InputError
from parfocal.estimates import DefocusEstimates, Status
from parfocal.estimators.circle import anticorrelation, mean_deviation
from parfocal.estimators.cost_error import Cost, cost_error
from parfocal.estimators.draft import Draft
from parfocal.estimators.powell import OUTSIDE, Latest, Minimum, powell
from parfocal.estimators.profile import FLAT_SPREAD
from parfocal.evidence import Evidence
from parfocal.particles import Particles
from parfocal.projection import FourierVolume
from parfocal.template import TemplateGrid, filtered, moved, projection_of, template, template_grid

A, B, U, V, ANGLE = range(5)  # the variables: scale, offset, changes of U and V [Å], of angle [°]
COSTS = ("l1", "cc")
EDGE = 1.0  # Å; a change that ends this near to its limit was stopped by it
# The cost bends along U and V as [[3, 1], [1, 3]]. One sweep, U then V, of a change δ of both ends at
# 4/3 and 8/9 of it: mean 10/9 δ, and its noise has √(34/27) of the standard deviation at the minimum.
SWEEP_BIAS = 0.1  # of the answer
SWEEP_SPREAD = np.sqrt(34 / 27)


@dataclass(frozen=True, kw_only=True)
class View:
    """One particle, ready to be compared with its templates."""

    grid: TemplateGrid
    image: np.ndarray  # float32 (box, box), low-passed, in units of its standard deviation
    scale: float  # of the template, in that unit
    volume: FourierVolume  # the map that it meets
    angles: tuple[float, float, float]  # rot, tilt, psi [rad]
    origin: tuple[float, float]  # px
    defocus: tuple[float, float, float]  # U, V [Å], angle [rad] on file
    phase_shift: float


@dataclass(frozen=True, kw_only=True)
class Xmipp:
    """Defocus U, V and angle of each particle by Powell's method from the values on file.

    Cost "l1", which the protocol runs: mean |a CTF P + b - image| over a circle of the box, a in
    [0, 2] times the data set's scale, |b| at most the image's standard deviation. Cost "cc", which
    the paper describes: minus their correlation. Changes of U and V stay within `max_change` [Å],
    `low_pass` [Å] cuts both; `same_defocus` sets V = U, without astigmatism.

    The answer is the change of (U + V) / 2 in the nearest minimum, which is not always the lowest.
    The error is what noise does near it (see `cost_error` and SWEEP_BIAS); it knows nothing of a
    wrong one.
    """

    cost: str = "l1"
    max_change: float = 500.0
    low_pass: float = 4.0
    same_defocus: bool = False
    name: str = "xmipp"

    def __post_init__(self) -> None:
        if self.cost not in COSTS:
            raise InputError(f"unknown cost {self.cost!r}", mend=f"choose {' or '.join(COSTS)}")
        check_limits(self.max_change, self.low_pass)

    def estimate(self, particles: Particles, evidence: Evidence) -> DefocusEstimates:
        """Estimates of all `particles`, in their order."""
        limited = replace(self, max_change=min(self.max_change, evidence.change_max))
        draft = Draft(self, particles, evidence)
        found = searched(particles, evidence, self.low_pass, limited.search)
        cost = Cost(low_pass=self.low_pass, interpolated=True, l1=self.cost == "l1")
        judge(draft, evidence, dict(found), max_change=limited.max_change, cost=cost)
        if self.same_defocus:
            draft.change = draft.change + (particles.defocus_u - particles.defocus_v) / 2
        return draft.finish()

    def search(self, view: View) -> Minimum:
        """The minimum for one particle, its place in the order of A, B, U, V, ANGLE.

        With `same_defocus`, changes of U and of V are both from the U on file.
        """
        u0, v0, angle0 = view.defocus
        v0 = u0 if self.same_defocus else v0
        projection = projection_of(view.volume, rotation_matrix(*view.angles), view.grid)
        projection = projection * np.float32(view.scale)
        image = moved(view.image, view.origin)
        across = view.grid.across

        def made(change):
            return template(
                projection, changed((u0, v0, angle0), change), view.phase_shift, view.grid
            )

        latest = Latest(made)

        def cost(place: np.ndarray) -> float:
            a, b, u, v, angle = place.tolist()
            v = u if self.same_defocus else v
            if max(abs(u), abs(v)) > self.max_change or abs(a - 1) > 1 or abs(b) > 1:
                return OUTSIDE
            if self.cost == "cc":
                return float(anticorrelation(latest([u, v, angle]), image, across))
            return float(mean_deviation(latest([u, v, angle]), image, across, a, b))

        free = [A, B] * (self.cost == "l1") + [U, V, ANGLE]
        if self.same_defocus:
            free.remove(V)
        found = powell(cost, [1.0, 0.0, 0.0, 0.0, 0.0], free)
        if self.same_defocus:
            found.place[V] = found.place[U]
        return found


def check_limits(max_change: float, low_pass: float) -> None:
    """InputError if the limits of a search cannot be meant."""
    if not 0 < max_change <= 10000:
        raise InputError(f"a max_change of {max_change:g} Å", mend="choose up to 10000 Å")
    if not 0.5 < low_pass < 1000:
        raise InputError(f"a low_pass of {low_pass:g} Å", mend="give a resolution in Å, such as 4")


def changed(defocus, change) -> tuple[float, float, float]:
    """Defocus (U, V [Å], angle [rad]) after a `change` of (U, V [Å], angle [°])."""
    return defocus[0] + change[0], defocus[1] + change[1], defocus[2] + change[2] * DEGREE


def judge(draft: Draft, evidence: Evidence, found: dict[int, Minimum], *, max_change, cost) -> None:
    """Fill change, error and status of what was found; the last variables are U, V and angle."""
    change = np.full((len(draft.change), 2), np.nan)
    once = np.zeros(len(change), dtype=bool)
    for row, minimum in found.items():
        change[row] = minimum.place[-3:-1]
        once[row] = minimum.sweeps == 1 and change[row, 0] != change[row, 1]
    draft.change = change.mean(axis=1)
    for rows, spectra, model in evidence.batches(corrected=False):
        rows, sums = rows[spectra.status == Status.OK], spectra.sums[spectra.status == Status.OK]
        draft.error[rows] = cost_error(
            sums.sum(axis=1),
            draft.particles.defocus[rows],
            draft.change[rows],
            model,
            evidence.reference,
            cost,
        )
    inflated = np.hypot(SWEEP_SPREAD * draft.error, SWEEP_BIAS * draft.change)
    draft.error = np.where(once, inflated, draft.error)
    flat = (draft.error > FLAT_SPREAD * max_change / np.sqrt(3)) | (change == 0).all(axis=1)
    edge = (np.abs(change) > max_change - EDGE).any(axis=1)
    seen = draft.status == Status.OK
    draft.status[seen & edge] = Status.AT_BOUND
    draft.status[seen & flat] = Status.FLAT
    # what is not found here may lie anywhere in the range that the user asked for
    draft.error_at_prior[seen & (edge | flat)] = evidence.change_max / np.sqrt(3)


def searched(
    particles: Particles, evidence: Evidence, low_pass: float, search: Callable[[View], Minimum]
) -> Iterator[tuple[int, Minimum]]:
    """(row, minimum) of every particle that can be used, `evidence.run` sharing out the work."""
    grids = {
        group: template_grid(particles.optics[group], low_pass=low_pass)
        for group in evidence.models
    }

    def work(number: int) -> list[tuple[int, Minimum]]:
        chunk = evidence.chunks[number]
        spectra, grid = stored(evidence.store, number), grids[chunk.group]
        scales = template_scales(spectra.sums, evidence.models[chunk.group], low_pass)
        good = np.flatnonzero(spectra.status == Status.OK)
        return [
            (
                int(chunk.rows[i]),
                search(view_of(particles, evidence, int(chunk.rows[i]), grid, scales[i])),
            )
            for i in good
        ]

    numbers = [i for i, chunk in enumerate(evidence.chunks) if chunk.group in evidence.models]
    for _, found in evidence.run(work, numbers):
        yield from found


def template_scales(sums, model, low_pass: float) -> np.ndarray:
    """(m,) factor that brings a template without falloff nearest to the data set's own."""
    energy = sums[..., 6].sum(axis=1) * (model.grid.k <= 1 / low_pass)
    return np.divide(
        energy @ model.amplitude,
        energy.sum(axis=1),
        where=energy.any(axis=1),
        out=np.ones(len(sums)),
    )


def view_of(particles: Particles, evidence: Evidence, row: int, grid: TemplateGrid, scale) -> View:
    """Read the image of particle `row`, and take together what it is compared with."""
    p, n = particles, grid.optics.image_size
    image = np.empty((n, n), dtype=np.float32)
    evidence.images.read_into(row, image)
    spread = float(image.std(dtype=float))
    return View(
        grid=grid,
        image=filtered(image / np.float32(spread), grid),
        scale=float(scale) / spread,
        volume=evidence.reference.volume(int(p.half_set[row])),
        angles=(p.rot[row], p.tilt[row], p.psi[row]),
        origin=(p.origin_x[row] / grid.optics.pixel_size, p.origin_y[row] / grid.optics.pixel_size),
        defocus=(p.defocus_u[row], p.defocus_v[row], p.defocus_angle[row]),
        phase_shift=p.phase_shift[row],
    )
