"""Figures of the report: records or plain arrays in, a plotly figure out; no files.

A trace whose `meta` names columns holds numbers that the page offers as CSV; the rest is drawing.
"""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from parfocal.conventions import DEGREE
from parfocal.estimates import DefocusEstimates, Status
from parfocal.report.content import (
    CurveExample,
    MicrographSummary,
    OpticsSpectrum,
    bin_edges,
    binned,
)
from parfocal.report.style import (
    BLUE,
    GREEN,
    GREY,
    LINE_COLOURS,
    ORANGE,
    STATUS_COLOURS,
    STYLE,
    compact,
    numbers,
    resolution_axis,
)

MANY = 1000  # points, beyond which the browser draws them with WebGL
LEAST_DEPTH = -3.0  # nats: a curve is drawn at least so deep, or a flat one would look steep


def histogram_figure(estimates: DefocusEstimates) -> go.Figure:
    """Histograms of defocus change, its error and the height in the ice [Å], binned here.

    Changes and heights are of particles that are ok; errors of all that have one, by status.
    What lies beyond the first and last bars is counted in them.
    """
    ok = estimates.ok()
    panels = (
        ("defocus change", estimates.defocus_change, ok),
        ("its error", estimates.defocus_error, np.isfinite(estimates.defocus_error)),
        ("height in the ice", estimates.ice_height, np.isfinite(estimates.ice_height)),
    )
    figure = make_subplots(cols=3, horizontal_spacing=0.06)
    for column, (title, values, shown) in enumerate(panels, start=1):
        edges = bin_edges(values[shown])
        for status in Status:
            counts = binned(values[shown & (estimates.status == status)], edges)
            if counts.any():
                figure.add_trace(
                    go.Bar(
                        x=(edges[1:] + edges[:-1]) / 2,
                        y=counts,
                        width=np.diff(edges),
                        name=status.label,
                        legendgroup=status.label,
                        showlegend=column == 2,
                        marker={"color": STATUS_COLOURS[status], "line": {"width": 0}},
                        hovertemplate="%{x:.0f} Å: %{y} particles<extra>%{fullData.name}</extra>",
                        meta=numbers(f"{title}: {status.label}", x="bin_centre_A", y="particles"),
                    ),
                    row=1,
                    col=column,
                )
        figure.update_xaxes(title_text=f"{title} [Å]", col=column)
    figure.update_layout(template=STYLE, barmode="stack", height=360)
    figure.update_yaxes(title_text="particles", col=1)
    return figure


def curve_figure(examples: Sequence[CurveExample]) -> go.Figure:
    """Log-likelihood above its maximum [nats] against defocus change [Å], a panel per example.

    Grey: the prior. Orange: the estimate, with one standard deviation either side. Thin lines: the
    same from each fold of the Fourier pixels, each against its own maximum.
    """
    columns = min(len(examples), 3)
    n_rows = -(-len(examples) // 3)
    titles = [f"<b>{html.escape(e.label)}</b><br>{_short(e.particle_id)}" for e in examples]
    figure = make_subplots(rows=n_rows, cols=columns, subplot_titles=titles)
    figure.update_annotations(font_size=12)
    for place, example in enumerate(examples):
        panel: dict[str, Any] = {"row": place // 3 + 1, "col": place % 3 + 1}
        curves = [("both folds", example.log_likelihood, BLUE, 2.5, "solid")]
        for fold, (values, dash) in enumerate(zip(example.folds, ("dash", "dot"), strict=False)):
            curves.append((f"fold {fold}", values, GREEN, 1.2, dash))
        for name, values, colour, width, dash in curves:
            figure.add_trace(
                go.Scatter(
                    x=compact(example.change),
                    y=compact(values - np.max(values)),
                    name=name,
                    legendgroup=name,
                    showlegend=place == 0,
                    line={"color": colour, "width": width, "dash": dash},
                    hovertemplate="%{x:.0f} Å: %{y:.2f} nats<extra>%{fullData.name}</extra>",
                    meta=numbers(
                        f"{example.label} {example.particle_id}, {name}",
                        x="defocus_change_A",
                        y="log_likelihood_above_maximum_nats",
                    ),
                ),
                **panel,
            )
        lowest = np.min(example.log_likelihood) - np.max(example.log_likelihood)
        depth = -min(1.05 * lowest, LEAST_DEPTH)
        figure.update_yaxes(range=[-depth, 0.05 * depth], **panel)
        band = example.estimate - example.error, example.estimate + example.error
        shade = {"fillcolor": ORANGE, "opacity": 0.25, "line_width": 0, "layer": "below"}
        figure.add_vrect(x0=band[0], x1=band[1], **shade, **panel)
        figure.add_vline(x=0, line={"color": GREY, "dash": "dash", "width": 1.5}, **panel)
        figure.add_vline(x=example.estimate, line={"color": ORANGE, "width": 1.5}, **panel)
    figure.update_layout(template=STYLE, height=80 + 330 * n_rows, margin_t=90)
    figure.update_layout(legend={"y": 1, "yref": "container", "yanchor": "top"})
    figure.update_xaxes(title_text="defocus change [Å]")
    figure.update_yaxes(title_text="log-likelihood [nats]", col=1)
    return figure


def _short(name: str, length: int = 40) -> str:
    """Both ends of a long name, escaped: the index in the stack and the file tell particles apart."""
    half = length // 2
    return html.escape(name if len(name) <= length else f"{name[:half]}…{name[-half:]}")


def spectrum_figure(spectra: Sequence[OpticsSpectrum]) -> go.Figure:
    """Power of signal (dashed) and noise (solid) against frequency [Å⁻¹], by optics group."""
    figure = go.Figure()
    for place, spectrum in enumerate(spectra):
        for name, power, dash in (
            ("noise", spectrum.noise, "solid"),
            ("signal", spectrum.signal, "dash"),
        ):
            figure.add_trace(
                go.Scatter(
                    x=compact(spectrum.frequency),
                    y=compact(power),
                    name=f"{html.escape(spectrum.optics_group)}: {name}",
                    line={
                        "color": LINE_COLOURS[place % len(LINE_COLOURS)],
                        "width": 2,
                        "dash": dash,
                    },
                    hovertemplate="%{x:.3f} Å⁻¹: %{y:.3g}<extra>%{fullData.name}</extra>",
                    meta=numbers(
                        f"{spectrum.optics_group}: {name}", x="frequency_per_A", y="power"
                    ),
                )
            )
    highest = max((float(np.max(s.frequency)) for s in spectra), default=0.5)
    figure.update_layout(template=STYLE, height=380)
    figure.update_xaxes(**resolution_axis(highest))
    figure.update_yaxes(title_text="power [a.u.]", type="log", exponentformat="power", dtick=1)
    figure.update_yaxes(
        range=_decades(np.concatenate([p for s in spectra for p in (s.signal, s.noise)]))
    )
    return figure


def _decades(power) -> list[float] | None:
    """Range of a log axis: at most eight decades, whatever is left of the signal beyond its limit."""
    decades = np.log10(power[power > 0])
    if not len(decades):
        return None
    top = float(decades.max())
    return [max(float(decades.min()), top - 8) - 0.2, top + 0.2]


def overview_figure(micrographs: Sequence[MicrographSummary]) -> go.Figure:
    """Mean defocus change [Å] and tilt [°] of every micrograph, in file order, ± standard error."""
    number = np.arange(1, len(micrographs) + 1)
    points = go.Scatter if len(micrographs) < MANY else go.Scattergl
    names = [html.escape(m.name) for m in micrographs]
    panels = (
        (
            "mean change",
            "Å",
            np.array([m.mean_change for m in micrographs]),
            np.array([m.mean_change_error for m in micrographs]),
        ),
        (
            "tilt of the ice",
            "°",
            np.array([m.plane.tilt for m in micrographs]) / DEGREE,
            np.array([m.plane.tilt_error for m in micrographs]) / DEGREE,
        ),
    )
    figure = make_subplots(rows=2, shared_xaxes=True, vertical_spacing=0.06)
    for row, (title, unit, values, errors) in enumerate(panels, start=1):
        # One line with gaps instead of an error bar a point: 8,000 of them draw at once.
        gap = np.full(len(values), np.nan)
        ends = np.stack([values - errors, values + errors, gap], axis=1)
        figure.add_trace(
            go.Scatter(
                x=np.repeat(number, 3),
                y=compact(ends.ravel()),
                mode="lines",
                line={"color": "#8fb8d6", "width": 1.5 if len(number) < 500 else 0.5},
                hoverinfo="skip",
            ),
            row=row,
            col=1,
        )
        figure.add_trace(
            points(
                x=number,
                y=compact(values),
                mode="markers",
                marker={"color": BLUE, "size": 6 if len(number) < 500 else 3},
                text=names,
                customdata=compact(errors),
                hovertemplate=f"%{{text}}<br>{title} %{{y:.2f}} ± %{{customdata:.2f}} {unit}"
                "<extra></extra>",
                meta=numbers(
                    f"{title} [{unit}]",
                    x="micrograph_number",
                    text="micrograph",
                    y="value",
                    customdata="standard_error",
                ),
            ),
            row=row,
            col=1,
        )
        figure.update_yaxes(title_text=f"{title} [{unit}]", row=row, col=1)
    figure.update_layout(template=STYLE, height=460, showlegend=False)
    figure.update_xaxes(showgrid=False, tickformat=",d")
    figure.update_xaxes(title_text="micrograph, in file order", row=2, col=1)
    figure.update_yaxes(zeroline=True, zerolinecolor=GREY)
    figure.update_yaxes(rangemode="tozero", row=2, col=1)
    return figure
