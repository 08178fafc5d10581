"""Figures of a validation: FSC of all sets, differences to the input, worth, and resolution's growth."""

import html
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from parfocal.report.style import (
    GREY,
    LINE_COLOURS,
    STYLE,
    compact,
    numbers,
    resolution_axis,
)
from parfocal.validation import LEVEL, SetQuality
from parfocal.validation_verdict import is_control

DASHES = ("solid", "dash", "dot")


def looks(found: Sequence[SetQuality], base: str) -> dict[str, dict]:
    """Line of each set: the input black, the others in colours, controls dashed and thin."""
    styles, place, controls = {}, 0, 0
    for one in found:
        if one.name == base:
            styles[one.name] = {"color": "#1b1f24", "width": 2.4}
        elif is_control(one.name):
            dash = DASHES[controls % len(DASHES)]
            styles[one.name] = {"color": GREY, "width": 1.4, "dash": dash}
            controls += 1
        else:
            styles[one.name] = {"color": LINE_COLOURS[place % 6], "width": 2.0}
            styles[one.name] |= {"dash": DASHES[place // 6 % len(DASHES)]}
            place += 1
    return styles


def fsc_figure(found: Sequence[SetQuality], base: str) -> go.Figure:
    """FSC of every set, corrected for the mask and freed of chance."""
    figure = go.Figure()
    style = looks(found, base)
    for one in found:
        _curve(figure, one, one.fsc, one.error, style[one.name], band=False)
    figure.add_hline(y=LEVEL, line={"color": GREY, "dash": "dash", "width": 1})
    figure.update_yaxes(title_text="FSC", range=[-0.1, 1.05])
    return _finished(figure, found)


def difference_figure(found: Sequence[SetQuality], base: str) -> go.Figure:
    """FSC less the input's, with one standard error of the difference as a band."""
    figure = go.Figure()
    style = looks(found, base)
    for one in found:
        if one.name != base:
            shown = style[one.name]
            _curve(figure, one, one.difference, one.difference_error, shown, band=True)
    figure.add_hline(y=0, line={"color": "#1b1f24", "width": 1})
    figure.update_yaxes(title_text="FSC less the input's")
    return _finished(figure, found)


def worth_figure(found: Sequence[SetQuality], base: str) -> go.Figure:
    """What every set is worth [% of the particles], with its error, and with chance; best on top."""
    rows = [one for one in reversed(found) if one.name != base]
    figure = go.Figure(
        go.Scatter(
            x=compact([100 * one.worth.value for one in rows]),
            y=[html.escape(one.name) for one in rows],
            error_x={
                "type": "data",
                "array": compact([100 * one.worth.error for one in rows]),
                "thickness": 2,
            },
            name="worth",
            mode="markers",
            marker={
                "size": 10,
                "color": [GREY if is_control(one.name) else LINE_COLOURS[0] for one in rows],
            },
            customdata=compact([100 * one.worth.error for one in rows]),
            hovertemplate="%{y}: %{x:.1f} ± %{customdata:.1f} %<extra></extra>",
            meta=numbers("worth", y="set", x="worth_percent", customdata="error_percent"),
        )
    )
    lifted = [one for one in rows if one.chance.by in ("folds", "another")]
    if lifted:
        figure.add_trace(
            go.Scatter(
                x=compact([100 * one.seen.value for one in lifted]),
                y=[html.escape(one.name) for one in lifted],
                name="with chance",
                mode="markers",
                marker={"size": 10, "symbol": "circle-open", "color": LINE_COLOURS[0]},
                hovertemplate="%{y}: %{x:.1f} % with chance<extra></extra>",
                meta=numbers("with chance", y="set", x="worth_percent"),
            )
        )
    figure.add_vline(x=0, line={"color": "#1b1f24", "width": 1})
    figure.update_layout(
        template=STYLE, height=120 + 32 * len(rows), margin={"l": 150}, showlegend=False
    )
    figure.update_xaxes(title_text="worth, in % of the particles, against the input")
    return figure


def growth_figure(found: Sequence[SetQuality], base: str) -> go.Figure:
    """1/d² against the number of particles, on a log axis (Rosenthal and Henderson)."""
    figure = go.Figure()
    style = looks(found, base)
    for one in found:
        if is_control(one.name):
            continue
        figure.add_trace(
            go.Scatter(
                x=one.particles.tolist(),
                y=compact(1 / one.subset_resolution**2),
                customdata=compact(one.subset_resolution),
                name=html.escape(one.name),
                mode="lines+markers",
                line=style[one.name],
                hovertemplate="%{x} particles: %{customdata:.2f} Å<extra>%{fullData.name}</extra>",
                meta=numbers(one.name, x="particles", customdata="resolution_A"),
            )
        )
    figure.update_layout(template=STYLE, height=380, showlegend=True)
    figure.update_xaxes(title_text="particles", type="log")
    figure.update_yaxes(title_text="1 / resolution² [Å⁻²]")
    return figure


def _curve(figure: go.Figure, one: SetQuality, values, error, line: Mapping, *, band: bool) -> None:
    k, name = one.curves.k, html.escape(one.name)
    if band:
        edges = np.concatenate([values + error, (values - error)[::-1]])
        figure.add_trace(
            go.Scatter(
                x=compact(np.concatenate([k, k[::-1]])),
                y=compact(edges),
                fill="toself",
                fillcolor=line["color"],
                opacity=0.15,
                line={"width": 0},
                hoverinfo="skip",
                legendgroup=name,
                showlegend=False,
            )
        )
    figure.add_trace(
        go.Scatter(
            x=compact(k[1:]),
            y=compact(values[1:]),
            customdata=compact(1 / k[1:]),
            text=compact(error[1:]),
            name=name,
            legendgroup=name,
            mode="lines",
            line=dict(line),
            hovertemplate="%{customdata:.2f} Å: %{y:.3f} ± %{text:.3f}<extra>%{fullData.name}</extra>",
            meta=numbers(
                one.name, x="frequency_per_A", customdata="resolution_A", y="fsc", text="error"
            ),
        )
    )


def _finished(figure: go.Figure, found: Sequence[SetQuality]) -> go.Figure:
    figure.update_layout(template=STYLE, height=440, showlegend=True)
    figure.update_xaxes(**resolution_axis(float(found[0].curves.k[-1])))
    return figure
