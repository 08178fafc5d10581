"""One self-contained HTML page from a run's content: no network, no other file."""

import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from parfocal.conventions import DEGREE
from parfocal.estimates import LIKELY_CAUSES, DefocusEstimates, Status
from parfocal.ice import rows_by_micrograph
from parfocal.report.content import (
    MicrographSummary,
    PageContent,
    choose_micrographs,
    summarise_micrographs,
)
from parfocal.report.figures import curve_figure, histogram_figure, overview_figure, spectrum_figure
from parfocal.report.ladder import ladder_figure
from parfocal.report.micrograph import MAX_PARTICLES, micrograph_figure
from parfocal.verdict import held_out_gain

MAX_MICROGRAPHS = 60  # drawn; every micrograph is in the overview and the table
MISSING = "–"


class Tile(NamedTuple):
    """A key number of the page."""

    name: str
    value: str
    note: str


def render_page(content: PageContent) -> str:
    """The report as one HTML text, to be written as UTF-8.

    Everything is inside, plotly.js included (5 MB). Histograms are binned here and at most
    MAX_MICROGRAPHS micrographs are drawn, of MAX_PARTICLES particles each, which the page says: a
    million particles stay below 20 MB.
    """
    micrographs = summarise_micrographs(content.estimates, content.planes)
    drawn = choose_micrographs(micrographs, MAX_MICROGRAPHS)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("parfocal", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("template.html").render(
        content=content,
        plotly_js=Markup(get_plotlyjs()),
        tiles=_tiles(content, len(micrographs)),
        statuses=_statuses(content.estimates),
        figures={
            name: _in_script(str(f.to_json())) for name, f in _figures(content, micrographs).items()
        },
        micrograph_figures=_in_script(_micrograph_figures(content, micrographs, drawn)),
        table=_in_script(_table(micrographs)),
        n_micrographs=len(micrographs),
        n_drawn=len(drawn),
        max_particles=MAX_PARTICLES,
    )


def _tiles(content: PageContent, n_micrographs: int) -> list[Tile]:
    estimates = content.estimates
    ok, n = estimates.ok(), len(estimates)
    change, error = estimates.defocus_change[ok], estimates.defocus_error[ok]
    share = math.floor(1000 * len(change) / n) / 10 if n else math.nan  # 99.99 % is not 100 %
    mean = _number(_of(np.mean, change), "+.0f", "Å")
    tiles = [
        Tile("particles", f"{n:,}", f"on {n_micrographs:,} micrographs"),
        Tile("ok", _number(share, ".1f", "%"), f"{n - len(change):,} keep their prior"),
        Tile("median error", _number(_of(np.median, error), ".0f", "Å"), "one standard deviation"),
        Tile("sd of change", _number(_of(np.std, change), ".0f", "Å"), f"about a mean of {mean}"),
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


def _statuses(estimates: DefocusEstimates) -> list[tuple[str, int, str, str]]:
    """(status, particles, share, likely causes), every status present."""
    n = max(len(estimates), 1)
    return [
        (label, count, f"{100 * count / n:.2f}", LIKELY_CAUSES[Status[label.upper()]])
        for label, count in estimates.counts().items()
    ]


def _figures(content: PageContent, micrographs: Sequence[MicrographSummary]) -> dict[str, Figure]:
    figures = {
        "histograms": histogram_figure(content.estimates),
        "overview": overview_figure(micrographs),
    }
    ladder = ladder_figure(content.estimates)
    if ladder is not None:
        figures["ladder"] = ladder
    if content.curves:
        figures["curves"] = curve_figure(content.curves)
    if content.spectra:
        figures["spectra"] = spectrum_figure(content.spectra)
    return figures


def _micrograph_figures(
    content: PageContent, micrographs: Sequence[MicrographSummary], drawn: Sequence[str]
) -> str:
    """JSON list of [number in the table, figure]; colours mean the same in all."""
    estimates = content.estimates
    rows = rows_by_micrograph(estimates.micrograph)
    size = np.abs(estimates.defocus_change[estimates.ok()])
    limit = max(_of(lambda v: np.percentile(v, 98), size), 1.0)
    wanted = set(drawn)
    figures = [
        (number, micrograph_figure(estimates, rows[m.name], m.plane, colour_limit=limit).to_json())
        for number, m in enumerate(micrographs)
        if m.name in wanted
    ]
    return f"[{','.join(f'[{number},{figure}]' for number, figure in figures)}]"


def _table(micrographs: Sequence[MicrographSummary]) -> str:
    rows = [
        (
            m.name,
            m.n_particles,
            m.n_ok,
            m.mean_change,
            m.mean_change_error,
            m.plane.tilt / DEGREE,
            m.plane.tilt_error / DEGREE,
            m.plane.tilt_axis / DEGREE,
            m.plane.tilt_axis_error / DEGREE,
            m.plane.r_squared,
            m.plane.spread,
        )
        for m in micrographs
    ]
    return json.dumps([[_json_value(v) for v in row] for row in rows], separators=(",", ":"))


def _json_value(value):
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    return value


def _in_script(text: str) -> Markup:
    """JSON that cannot end the <script> that it stands in."""
    return Markup(text.replace("<", "\\u003c"))


def _of(function, values) -> float:
    return float(function(values)) if len(values) else math.nan


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _number(value: float, form: str, unit: str) -> str:
    return f"{value:{form}} {unit}" if math.isfinite(value) else MISSING
