"""The page on one method of a run, from its content."""

import math
from collections.abc import Sequence
from itertools import starmap

import numpy as np
from markupsafe import Markup

from parfocal.conventions import DEGREE
from parfocal.estimates import LIKELY_CAUSES, DefocusEstimates, Status
from parfocal.ice import rows_by_micrograph
from parfocal.report import captions
from parfocal.report.content import (
    MethodSummary,
    MicrographSummary,
    PageContent,
    choose_micrographs,
    summarise_micrographs,
)
from parfocal.report.figures import curve_figure, histogram_figure, overview_figure, spectrum_figure
from parfocal.report.ladder import ladder_figure
from parfocal.report.micrograph import MAX_PARTICLES, micrograph_figure
from parfocal.report.page import FOOTER, Page
from parfocal.report.sections import (
    ChooserSection,
    Column,
    FigureSection,
    Item,
    Link,
    Section,
    SettingsSection,
    TableSection,
    TextSection,
    Tile,
    quantity,
)
from parfocal.verdict import held_out_gain

MAX_MICROGRAPHS = 60  # drawn; every micrograph is in the overview and the table


def method_page(content: PageContent) -> Page:
    """The page on `content`.

    Histograms are binned and at most MAX_MICROGRAPHS micrographs are drawn, of MAX_PARTICLES
    particles each, which the page says: a million particles stay below 20 MB.
    """
    estimates = content.estimates
    under = Markup("Per-particle defocus, method <code>{}</code>").format(estimates.method)
    micrographs = summarise_micrographs(estimates, content.planes)
    return Page(
        title=content.title,
        under=under + (f", parfocal {estimates.version}" if estimates.version else ""),
        verdict=content.summary,
        tiles=tuple(_tiles(content, len(micrographs))),
        warnings=content.warnings,
        links=tuple(Link(m.name, m.link) for m in content.methods if m.link),
        sections=tuple(_sections(content, micrographs)),
        footer=f"{FOOTER} {captions.PLANES}",
    )


def _sections(content: PageContent, micrographs: Sequence[MicrographSummary]) -> list[Section]:
    estimates = content.estimates
    found: list[Section] = []
    if len(content.methods) > 1:
        found.append(_methods(content.methods, estimates.method))
    found.append(_statuses(estimates))
    ladder = ladder_figure(estimates)
    if ladder is not None:
        found.append(FigureSection(**captions.LADDER, figure=ladder))
    found.append(FigureSection(**captions.HISTOGRAMS, figure=histogram_figure(estimates)))
    if content.curves:
        found.append(FigureSection(**captions.CURVES, figure=curve_figure(content.curves)))
    found.append(FigureSection(**captions.OVERVIEW, figure=overview_figure(micrographs)))
    found.append(_chooser(content, micrographs))
    if content.spectra:
        found.append(FigureSection(**captions.SPECTRA, figure=spectrum_figure(content.spectra)))
    found.append(_table(micrographs))
    text = _methods_text(content, len(micrographs))
    found.append(TextSection(**captions.METHODS_TEXT, paragraphs=(text,), copy=True))
    if content.run:
        found.append(SettingsSection(values=content.run))
    return found


def _tiles(content: PageContent, n_micrographs: int) -> list[Tile]:
    estimates = content.estimates
    ok, n = estimates.ok(), len(estimates)
    change, error = estimates.defocus_change[ok], estimates.defocus_error[ok]
    share = math.floor(1000 * len(change) / n) / 10 if n else math.nan  # 99.99 % is not 100 %
    mean = quantity(_of(np.mean, change), "+.0f", "Å")
    tiles = [
        Tile("particles", f"{n:,}", f"on {n_micrographs:,} micrographs"),
        Tile("ok", quantity(share, ".1f", "%"), f"{n - len(change):,} keep their prior"),
        Tile("median error", quantity(_of(np.median, error), ".0f", "Å"), "one standard deviation"),
        Tile("sd of change", quantity(_of(np.std, change), ".0f", "Å"), f"about a mean of {mean}"),
    ]
    gain, gain_error = held_out_gain(estimates)
    if math.isfinite(gain):
        digits = 2 if gain_error >= 0.01 else 3
        note = f"± {gain_error:.{digits}f} nats a particle, against the input"
        tiles.append(Tile("held-out gain", f"{gain:+.{digits}f}", note))
    if content.calibration_factor is not None:
        note = "multiplies the errors; 1 = as computed"
        tiles.append(Tile("calibration factor", f"{content.calibration_factor:.2f}", note))
    if content.cpu_seconds is not None and n:
        note = f"a particle; {_duration(content.cpu_seconds)} in all"
        tiles.append(Tile("CPU", f"{1e3 * content.cpu_seconds / n:.1f} ms", note))
    return tiles


def _methods(methods: Sequence[MethodSummary], here: str) -> TableSection:
    gap = math.nan
    errors, spreads = (
        [gap if value is None else value for value in values]
        for values in ([m.median_error for m in methods], [m.change_sd for m in methods])
    )
    return TableSection(
        id="methods",
        title="Methods of this run",
        short="Methods",
        caption=captions.METHODS.format(here),
        noun="methods",
        columns=(
            Column(
                heading="method",
                name="method",
                values=[m.name for m in methods],
                links=[m.link for m in methods],
            ),
            Column(heading="ok", name="ok", values=[m.ok for m in methods], digits=0),
            Column(heading="median error [Å]", name="median_error_A", values=errors, digits=0),
            Column(heading="sd of change [Å]", name="change_sd_A", values=spreads, digits=0),
            Column(heading="verdict", name="verdict", values=[m.verdict for m in methods]),
        ),
    )


def _statuses(estimates: DefocusEstimates) -> TableSection:
    counts = estimates.counts()
    share = 100 * np.array(list(counts.values())) / max(len(estimates), 1)
    causes = [LIKELY_CAUSES[Status[label.upper()]] for label in counts]
    return TableSection(
        **captions.STATUS,
        noun="statuses",
        muted=[row for row, count in enumerate(counts.values()) if not count],
        columns=(
            Column(heading="status", name="status", values=list(counts)),
            Column(heading="particles", name="particles", values=list(counts.values()), digits=0),
            Column(heading="share [%]", name="share_percent", values=share, digits=2),
            Column(heading="likely causes, most common first", name="causes", values=causes),
        ),
    )


def _chooser(content: PageContent, micrographs: Sequence[MicrographSummary]) -> ChooserSection:
    """A figure of each micrograph that is drawn; colours mean the same in all."""
    estimates = content.estimates
    drawn = choose_micrographs(tuple(micrographs), MAX_MICROGRAPHS)
    size = np.abs(estimates.defocus_change[estimates.ok()])
    limit = max(_of(lambda v: np.percentile(v, 98), size), 1.0)
    rows, planes = rows_by_micrograph(estimates.micrograph), {m.name: m.plane for m in micrographs}
    some = captions.SOME_DRAWN.format(len(drawn), len(micrographs))
    return ChooserSection(
        id="micrograph",
        title="One micrograph",
        caption=captions.MICROGRAPH.format(
            some=some if len(drawn) < len(micrographs) else "", most=MAX_PARTICLES
        ),
        table="micrographs",
        items=tuple(
            Item(name, micrograph_figure(estimates, rows[name], planes[name], colour_limit=limit))
            for name in drawn
        ),
    )


def _table(micrographs: Sequence[MicrographSummary]) -> TableSection:
    planes = [m.plane for m in micrographs]
    tilt, tilt_error, axis, axis_error = (
        np.array([getattr(plane, name) for plane in planes], float) / DEGREE
        for name in ("tilt", "tilt_error", "tilt_axis", "tilt_axis_error")
    )
    columns = (
        ("particles", "particles", [m.n_particles for m in micrographs], None, 0),
        ("ok", "ok", [m.n_ok for m in micrographs], None, 0),
        (
            "mean change [Å]",
            "mean_change_A",
            [m.mean_change for m in micrographs],
            ([m.mean_change_error for m in micrographs], "mean_change_error_A"),
            1,
        ),
        ("tilt [°]", "tilt_deg", tilt, (tilt_error, "tilt_error_deg"), 2),
        ("tilt axis [°]", "tilt_axis_deg", axis, (axis_error, "tilt_axis_error_deg"), 0),
        ("R²", "r_squared", [plane.r_squared for plane in planes], None, 2),
        ("spread [Å]", "spread_A", [plane.spread for plane in planes], None, 0),
    )
    names = [m.name for m in micrographs]
    first = Column(heading="micrograph", name="micrograph", values=names, path=True)
    return TableSection(
        **captions.TABLE,
        noun="micrographs",
        columns=(first, *starmap(_column, columns)),
    )


def _column(heading, name, values, errors, digits) -> Column:
    error, error_name = errors or (None, "")
    return Column(
        heading=heading,
        name=name,
        values=values,
        errors=error,
        error_name=error_name,
        digits=digits,
    )


def _methods_text(content: PageContent, n_micrographs: int) -> str:
    """What was done and found, as a paper's methods section has it."""
    estimates = content.estimates
    ok, (gain, gain_error) = estimates.ok(), held_out_gain(estimates)
    version = f" {estimates.version}" if estimates.version else ""
    text = (
        f"The defocus of each of {len(estimates):,} particles from {n_micrographs:,} micrographs "
        f"was estimated with parfocal{version} (method {estimates.method}). "
        f"{ok.sum():,} particles ({quantity(100 * _of(np.mean, ok), '.1f', '%')}) were given a new "
        "defocus; the others kept that of the input."
    )
    if ok.any():
        change, error = estimates.defocus_change[ok], estimates.defocus_error[ok]
        text += (
            f" Among them the mean change was {change.mean():+.0f} Å with a standard deviation of "
            f"{change.std():.0f} Å; the median standard error was {np.median(error):.0f} Å"
        )
        factor = content.calibration_factor
        text += f", calibrated by a factor of {factor:.2f}." if factor is not None else "."
    if math.isfinite(gain):
        text += (
            f" On Fourier pixels that were kept out of the fit, log-likelihood changed by {gain:+.2f} "
            f"± {gain_error:.2f} nats a particle against the input's defocus."
        )
    return text


def _of(function, values) -> float:
    return float(function(values)) if len(values) else math.nan


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
