"""What a page is made of: the records that a run fills in, and the few numbers drawn from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from parfocal.estimates import DefocusEstimates
from parfocal.ice import PlaneFit, rows_by_micrograph


@dataclass(frozen=True, kw_only=True)
class CurveExample:
    """Log-likelihood of one particle against its defocus change."""

    label: str  # what it is an example of: "good", "typical", "bad", ...
    particle_id: str
    change: np.ndarray  # (n,) Å, the grid; 0 is the prior
    log_likelihood: np.ndarray  # (n,) nats, up to a constant
    folds: tuple[np.ndarray, ...] = ()  # (n,) nats each: the same from one fold of the pixels
    estimate: float  # Å, change at the optimum
    error: float  # Å, one standard deviation


@dataclass(frozen=True, kw_only=True)
class OpticsSpectrum:
    """Power against spatial frequency in the particles of one optics group, on one scale."""

    optics_group: str
    frequency: np.ndarray  # (n,) Å⁻¹
    signal: np.ndarray  # (n,) power of the scaled reference
    noise: np.ndarray  # (n,) power of what is left


@dataclass(frozen=True, kw_only=True)
class MethodSummary:
    """One line of the table that compares the methods of a run."""

    name: str
    link: str  # to its page, from this one; empty for the page's own method
    ok: int  # particles
    median_error: float | None  # Å
    change_sd: float | None  # Å
    verdict: str


@dataclass(frozen=True, kw_only=True)
class PageContent:
    """All that `method_page` shows. Texts are plain, not HTML: they are escaped."""

    title: str
    summary: tuple[str, ...]  # the verdict first, in plain words
    estimates: DefocusEstimates
    planes: Mapping[str, PlaneFit]  # by micrograph, as from `fit_planes`
    curves: tuple[CurveExample, ...] = ()
    spectra: tuple[OpticsSpectrum, ...] = ()
    methods: tuple[MethodSummary, ...] = ()  # of the same run, this page's own included
    warnings: tuple[str, ...] = ()
    calibration_factor: float | None = None  # that the errors were multiplied by
    cpu_seconds: float | None = None  # of the whole run, all cores
    run: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    # Section -> name -> value, shown at the end: settings, versions, timings, input hashes.


@dataclass(frozen=True, kw_only=True)
class MicrographSummary:
    """One micrograph in the overview and the table."""

    name: str
    n_particles: int
    n_ok: int
    mean_change: float  # Å, over particles that are ok; nan without
    mean_change_error: float  # Å, standard error of that mean; nan below two
    plane: PlaneFit


def summarise_micrographs(
    estimates: DefocusEstimates, planes: Mapping[str, PlaneFit]
) -> tuple[MicrographSummary, ...]:
    """A summary of every micrograph of `estimates`, in order of first appearance."""
    no_plane, ok, summaries = PlaneFit(kind="none", n_particles=0, n_outliers=0), estimates.ok(), []
    for name, rows in rows_by_micrograph(estimates.micrograph).items():
        change = estimates.defocus_change[rows[ok[rows]]]
        n = len(change)
        summaries.append(
            MicrographSummary(
                name=name,
                n_particles=len(rows),
                n_ok=n,
                mean_change=float(change.mean()) if n else np.nan,
                mean_change_error=float(change.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan,
                plane=planes.get(name, no_plane),
            )
        )
    return tuple(summaries)


def choose_micrographs(micrographs: tuple[MicrographSummary, ...], limit: int) -> tuple[str, ...]:
    """At most `limit` names, evenly over the ranks of tilt and of spread, extremes included.

    Where there is a choice, micrographs without a plane are not drawn.
    """
    if len(micrographs) <= limit:
        return tuple(m.name for m in micrographs)
    fitted = [m for m in micrographs if m.plane.kind == "plane"] or list(micrographs)
    chosen = set()
    for rank in (lambda m: m.plane.tilt, lambda m: np.nan_to_num(m.plane.spread)):
        ranked = sorted(fitted, key=rank)
        places = np.linspace(0, len(ranked) - 1, limit // 2).round().astype(int)
        chosen.update(ranked[place].name for place in places)
    return tuple(m.name for m in micrographs if m.name in chosen)


def bin_edges(values) -> np.ndarray:
    """Edges around the middle 99 % of `values`; the rest is for the bins at the ends.

    The number of bins is the Rice rule's, 2 n^(1/3), from 30 to 80.
    """
    low, high = np.percentile(values, [0.5, 99.5]) if len(values) else (0.0, 0.0)
    margin = 0.15 * (high - low) or 1.0
    lowest = 0.0 if low >= 0 else -np.inf  # no bar below 0 for what cannot be negative
    n_bins = int(np.clip(2 * len(values) ** (1 / 3), 30, 80))
    return np.linspace(max(low - margin, lowest), high + margin, n_bins + 1)


def binned(values, edges) -> np.ndarray:
    """Counts per bin; values beyond the edges are counted in the bins at the ends."""
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
