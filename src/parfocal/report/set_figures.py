"""Figures of several sets of defoci: against each other, against one value, and on one micrograph."""

import html
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from parfocal.ice import PlaneFit
from parfocal.report.content import bin_edges, binned
from parfocal.report.style import BLACK, GREY, LINE_COLOURS, SKY, STYLE, compact, numbers

POINTS = 1500  # that a panel draws as points; of more it draws the density
BINS = 60  # along each side of a density
ACROSS = 3  # panels in a row
MOST_DRAWN = 300  # particles of a micrograph
TICKS = {"nticks": 4, "tickformat": ",d", "tickfont": {"size": 10}}


class Panel(NamedTuple):
    """One value against another, of the same particles."""

    title: str
    x: np.ndarray  # (n,) Å; nan is left out, as of y
    y: np.ndarray
    x_title: str
    y_title: str


def panels_figure(panels: Sequence[Panel], *, across: int = ACROSS) -> go.Figure:
    """Panels of points, or of density where there are many, each with the line y = x.

    Axes hold the middle 99 % of the values; what lies beyond is counted at the edge of a density.
    """
    across = min(across, len(panels))
    places = [(place // across + 1, place % across + 1) for place in range(len(panels))]
    return _drawn_at(panels, places)


def scatter_matrix(names: Sequence[str], values: np.ndarray, titles: Sequence[str]) -> go.Figure:
    """The paper's Fig. 6: each column of `values` (n, K) against each before it, as a triangle.

    `titles` are those of the pairs (0, 1), (0, 2), ..., (1, 2), ...
    """
    pairs = [(i, j) for i in range(len(names)) for j in range(i + 1, len(names))]
    labels = [f"{name} [Å]" for name in names]
    panels = [
        Panel(title, values[:, i], values[:, j], labels[i], labels[j])
        for (i, j), title in zip(pairs, titles, strict=True)
    ]
    figure = _drawn_at(panels, [(j, i + 1) for i, j in pairs])
    figure.update_xaxes(range=_ends(values[np.isfinite(values)]), nticks=6, tickangle=0)
    figure.update_yaxes(range=_ends(values[np.isfinite(values)]), nticks=6)
    for i, j in pairs:  # labels at the edges of the triangle only
        if j < len(names) - 1:
            figure.update_xaxes(title_text="", row=j, col=i + 1)
        if i > 0:
            figure.update_yaxes(title_text="", row=j, col=i + 1)
    return figure


def _drawn_at(panels: Sequence[Panel], places: Sequence[tuple[int, int]]) -> go.Figure:
    """Panels at their (row, column), counted from 1."""
    rows, columns = (max(place[axis] for place in places) for axis in (0, 1))
    titles = {place: panel.title for place, panel in zip(places, panels, strict=True)}
    every = [(row, column) for row in range(1, rows + 1) for column in range(1, columns + 1)]
    figure = make_subplots(
        rows=rows,
        cols=columns,
        specs=[
            [{} if (r, c) in titles else None for c in range(1, columns + 1)]
            for r in range(1, rows + 1)
        ],
        subplot_titles=[titles[place] for place in every if place in titles],
        horizontal_spacing=(0.2 if columns > ACROSS else 0.3) / max(columns, 2),
        vertical_spacing=0.25 / max(rows, 2) ** 1.1,
    )
    figure.update_annotations(font_size=13 if columns <= ACROSS else 11)
    for panel, (row, column) in zip(panels, places, strict=True):
        _add_panel(figure, panel, {"row": row, "col": column})
    height = 330 if columns <= ACROSS else 250
    figure.update_layout(
        template=STYLE,
        height=70 + height * rows,
        showlegend=False,
        margin={"t": 60, "l": 95},
        coloraxis={"colorscale": "Viridis", "showscale": False},
    )
    return figure


def _add_panel(figure: go.Figure, panel: Panel, where: dict[str, Any]) -> None:
    known = np.isfinite(panel.x) & np.isfinite(panel.y)
    x, y = panel.x[known], panel.y[known]
    ends = _ends(np.concatenate([x, y]))
    named = {"x": panel.x_title, "y": panel.y_title}
    for trace in _drawn(x, y, ends, (f"{panel.y_title} on {panel.x_title}", named)):
        figure.add_trace(trace, **where)
    line = {"color": BLACK, "dash": "dot", "width": 1}
    same = go.Scatter(x=ends, y=ends, mode="lines", line=line, hoverinfo="skip")
    figure.add_trace(same, **where)
    axis = {"range": ends, "tickformat": ",d", "nticks": 5, "title_standoff": 4}
    figure.update_xaxes(title_text=html.escape(panel.x_title), **axis, **where)
    figure.update_yaxes(title_text=html.escape(panel.y_title), **axis, **where)


def _ends(values) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = np.percentile(values, [0.5, 99.5])
    margin = 0.08 * (high - low) or 10.0
    return float(low - margin), float(high + margin)


def _drawn(x, y, ends: tuple[float, float], named) -> list[go.Scatter | go.Heatmap]:
    """Points, or a density and its numbers to be saved; `named` are their series and columns."""
    series, columns = named
    if len(x) <= POINTS:
        marker = {"size": 4, "color": LINE_COLOURS[0], "opacity": 0.55}
        meta = numbers(series, **columns)
        return [go.Scatter(x=compact(x), y=compact(y), mode="markers", marker=marker, meta=meta)]
    edges = np.linspace(*ends, BINS + 1)
    place = [np.clip((v - ends[0]) * BINS / (ends[1] - ends[0]), 0, BINS - 1) for v in (x, y)]
    cell = place[1].astype(np.intp) * BINS + place[0].astype(np.intp)
    count = np.bincount(cell, minlength=BINS**2).reshape(BINS, BINS)
    centre = compact((edges[1:] + edges[:-1]) / 2)
    with np.errstate(divide="ignore"):
        shade = np.where(count > 0, np.log10(count), np.nan)
    density = go.Heatmap(
        x=centre,
        y=centre,
        z=compact(shade),
        customdata=count.astype(np.int32),
        coloraxis="coloraxis",
        hovertemplate="%{x:.0f}, %{y:.0f} Å: %{customdata} particles<extra></extra>",
    )
    row, column = np.nonzero(count)
    saved = go.Scatter(
        x=centre[column],
        y=centre[row],
        customdata=count[row, column].astype(np.int32),
        visible=False,
        meta=numbers(series, **columns, customdata="particles"),
    )
    return [density, saved]


def histogram(series: dict[str, np.ndarray], title: str) -> go.Figure:
    """Histograms [Å] of several columns on common bins; the last bar holds what lies beyond."""
    values = np.concatenate([v[np.isfinite(v)] for v in series.values()])
    edges = bin_edges(values)
    figure = go.Figure()
    for place, (name, column) in enumerate(series.items()):
        counts = binned(column[np.isfinite(column)], edges)
        figure.add_trace(
            go.Bar(
                x=compact((edges[1:] + edges[:-1]) / 2),
                y=counts,
                name=html.escape(name),
                marker={"color": LINE_COLOURS[place % len(LINE_COLOURS)], "line": {"width": 0}},
                opacity=0.75 if len(series) > 1 else 1.0,
                hovertemplate="%{x:.0f} Å: %{y} particles<extra>%{fullData.name}</extra>",
                meta=numbers(name, x="bin_centre_A", y="particles"),
            )
        )
    figure.update_layout(template=STYLE, barmode="overlay", bargap=0, height=340)
    figure.update_xaxes(title_text=f"{title} [Å]")
    figure.update_yaxes(title_text="particles")
    return figure


def in_space_figure(x, y, defocus, planes: dict[str, PlaneFit]) -> go.Figure:
    """The paper's Fig. 5: one micrograph by each set side by side, on the same axes.

    `x` and `y` (n,) and `defocus` (n, K) [Å] of one micrograph; the planes by set, in the order of the
    columns. At most MOST_DRAWN particles are drawn; what a set does not know is left out.
    """
    drawn = np.linspace(0, len(x) - 1, min(len(x), MOST_DRAWN)).astype(int)
    known = defocus[np.isfinite(defocus)]
    low, high = _ends(known)
    across = min(len(planes), ACROSS)
    rows = -(-len(planes) // across)
    figure = make_subplots(
        rows=rows,
        cols=across,
        specs=[[{"type": "scene"}] * across] * rows,
        subplot_titles=[html.escape(name) for name in planes],
        horizontal_spacing=0.01,
        vertical_spacing=0.06,
    )
    for column, (name, plane) in enumerate(planes.items()):
        where: dict[str, Any] = {"row": column // across + 1, "col": column % across + 1}
        here = drawn[np.isfinite(defocus[drawn, column])]
        figure.add_trace(
            go.Scatter3d(
                x=compact(x[here]),
                y=compact(y[here]),
                z=compact(defocus[here, column]),
                ids=[str(i) for i in here],
                mode="markers",
                marker={
                    "size": 3,
                    "color": compact(defocus[here, column]),
                    "coloraxis": "coloraxis",
                },
                hovertemplate="%{z:.0f} Å<extra></extra>",
                meta=numbers(name, x="x_A", y="y_A", z="defocus_A"),
            ),
            **where,
        )
        if plane.kind == "plane":
            figure.add_trace(_sheet(plane, x, y), **where)
    axes = {
        "xaxis": {"title": {"text": "x [Å]"}, **TICKS},
        "yaxis": {"title": {"text": "y [Å]"}, **TICKS},
        "zaxis": {"title": {"text": "defocus [Å]"}, "range": [low, high], **TICKS},
        "aspectmode": "manual",
        "aspectratio": {"x": 1, "y": 1, "z": 0.7},
        "camera": {"eye": {"x": 1.75, "y": -1.9, "z": 0.85}, "center": {"z": -0.1}},
    }
    figure.update_scenes(axes)
    figure.update_layout(
        template=STYLE,
        height=40 + 360 * rows,
        margin={"l": 0, "r": 0, "t": 30, "b": 0},
        showlegend=False,
        coloraxis={"colorscale": "Viridis", "cmin": low, "cmax": high, "showscale": False},
        meta={"linked": True},
    )
    return figure


def _sheet(plane: PlaneFit, x, y) -> go.Surface:
    corners_x, corners_y = np.meshgrid([x.min(), x.max()], [y.min(), y.max()])
    return go.Surface(
        x=corners_x[0],
        y=corners_y[:, 0],
        z=plane.at(corners_x, corners_y),
        colorscale=[[0, SKY], [1, SKY]],
        opacity=0.45,
        showscale=False,
        hoverinfo="skip",
    )


def weights_figure(parts: dict[str, dict[str, float]]) -> go.Figure:
    """Weights of each set, and of "nothing", for level, slope and height: bars that sum to 1."""
    figure = go.Figure()
    names = list(dict.fromkeys(name for weights in parts.values() for name in weights))
    nothing = {next(iter(weights)) for weights in parts.values()}
    colours = iter(LINE_COLOURS * (1 + len(names) // len(LINE_COLOURS)))
    for name in names:
        shares = [weights.get(name, 0.0) for weights in parts.values()]
        figure.add_trace(
            go.Bar(
                y=list(parts),
                x=shares,
                name=html.escape(name),
                orientation="h",
                marker={"color": GREY if name in nothing else next(colours)},
                hovertemplate="%{y}: %{x:.2f}<extra>%{fullData.name}</extra>",
                meta=numbers(name, y="part", x="weight"),
            )
        )
    figure.update_layout(template=STYLE, barmode="stack", height=260)
    figure.update_xaxes(title_text="weight", range=[0, 1])
    figure.update_yaxes(autorange="reversed")
    return figure
