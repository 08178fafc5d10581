"""Figures of FSC curves: one pair's four, several pairs', directions, and the Guinier plot."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from parfocal.fsc_directions import Directional
from parfocal.fsc_measure import LEVELS, FscMeasurement
from parfocal.guinier import Guinier
from parfocal.report.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LINE_COLOURS,
    ORANGE,
    STYLE,
    VERMILION,
    compact,
    numbers,
    resolution_axis,
)

LOOKS = {  # curve -> its name in the plot, colour, dash
    "corrected": ("corrected", BLUE, "solid"),
    "masked": ("masked", ORANGE, "dash"),
    "unmasked": ("unmasked", GREEN, "solid"),
    "randomised": ("random phases, masked", VERMILION, "dot"),
}


def curves_figure(one: FscMeasurement) -> go.Figure:
    """The four curves of one pair, the corrected one with its error as a band."""
    figure, curves = go.Figure(), one.curves
    _add_band(figure, curves.k, curves.corrected, one.error, BLUE)
    for kind, (name, colour, dash) in LOOKS.items():
        line = {"color": colour, "dash": dash, "width": 2.4 if kind == "corrected" else 1.6}
        _add_curve(figure, curves.k, getattr(curves, kind), name, line)
    return _finished(figure, curves.k[-1])


def pairs_figure(found: Sequence[FscMeasurement]) -> go.Figure:
    """The corrected curves of all pairs, each with its error."""
    figure = go.Figure()
    for place, one in enumerate(found):
        colour = LINE_COLOURS[place % len(LINE_COLOURS)]
        _add_band(figure, one.curves.k, one.curves.corrected, one.error, colour)
    for place, one in enumerate(found):
        line = {"color": LINE_COLOURS[place % len(LINE_COLOURS)], "width": 2.2}
        _add_curve(figure, one.curves.k, one.curves.corrected, html.escape(one.name), line)
    return _finished(figure, found[0].curves.k[-1])


def _add_band(figure, k, middle, error, colour: str) -> None:
    edges = np.concatenate([middle + error, (middle - error)[::-1]])
    figure.add_trace(
        go.Scatter(
            x=compact(np.concatenate([k, k[::-1]])),
            y=compact(edges),
            fill="toself",
            fillcolor=colour,
            opacity=0.2,
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
        )
    )


def _add_curve(figure, k, values, name: str, line: dict[str, Any]) -> None:
    with np.errstate(divide="ignore"):
        resolution = np.where(k > 0, 1 / k, np.nan)
    figure.add_trace(
        go.Scatter(
            x=compact(k[1:]),
            y=compact(values[1:]),
            customdata=compact(resolution[1:]),
            name=name,
            mode="lines",
            line=line,
            hovertemplate="%{customdata:.2f} Å: %{y:.3f}<extra>%{fullData.name}</extra>",
            meta=numbers(name, x="frequency_per_A", customdata="resolution_A", y="fsc"),
        )
    )


def _finished(figure: go.Figure, highest: float) -> go.Figure:
    for level in LEVELS:
        figure.add_hline(
            y=level,
            line={"color": GREY, "dash": "dash", "width": 1},
            annotation={"text": f"{level:g}", "font": {"color": GREY, "size": 11}},
            annotation_position="top left",
        )
    figure.update_layout(template=STYLE, height=440)
    figure.update_xaxes(**resolution_axis(highest))
    figure.update_yaxes(title_text="FSC", range=[-0.15, 1.05])
    return figure


def directions_figure(one: FscMeasurement) -> go.Figure:
    """Left: FSC in cones, over all directions. Right: the resolution of each, seen from +z."""
    figure = make_subplots(
        rows=1,
        cols=2,
        column_widths=[0.55, 0.45],
        horizontal_spacing=0.12,
        subplot_titles=["FSC in cones", "resolution of each direction, seen from +z"],
    )
    left: dict[str, Any] = {"row": 1, "col": 1}
    k, cones = one.curves.k, one.directional
    for low, high, opacity in ((0, 100, 0.15), (10, 90, 0.3)):
        lower, upper = np.percentile(cones.fsc, (low, high), axis=0)
        band = go.Scatter(
            x=compact(np.concatenate([k[1:], k[:0:-1]])),
            y=compact(np.concatenate([upper[1:], lower[:0:-1]])),
            fill="toself",
            fillcolor=BLUE,
            opacity=opacity,
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            name="all directions" if low == 0 else "the middle 80 %",
        )
        figure.add_trace(band, **left)
    whole = go.Scatter(
        x=compact(k[1:]),
        y=compact(one.curves.corrected[1:]),
        mode="lines",
        line={"color": BLACK, "width": 2},
        name="whole shells",
        customdata=compact(1 / k[1:]),
        hovertemplate="%{customdata:.2f} Å: %{y:.3f}<extra>whole shells</extra>",
        meta=numbers("whole shells", x="frequency_per_A", y="fsc"),
    )
    figure.add_trace(whole, **left)
    figure.add_hline(y=cones.level, line={"color": GREY, "dash": "dash", "width": 1}, **left)
    _add_half_sphere(figure, cones)
    figure.update_layout(
        template=STYLE, height=440, margin={"t": 70}, legend={"y": 1.08, "x": 0.25}
    )
    figure.update_xaxes(**resolution_axis(k[-1], spacing=0.05), **left)
    figure.update_yaxes(title_text="FSC", range=[-0.15, 1.05], **left)
    return figure


def _add_half_sphere(figure: go.Figure, cones: Directional) -> None:
    """Directions as points of Lambert's equal-area projection of the half sphere around +z."""
    x, y, z = cones.direction.T
    shrink = 1 / np.sqrt(1 + z)
    middle = float(np.median(cones.resolution))
    reach = max(float(np.abs(cones.resolution - middle).max()), 0.02 * middle)
    points = go.Scatter(
        x=compact(x * shrink),
        y=compact(y * shrink),
        customdata=compact(np.column_stack([cones.resolution, cones.direction])),
        mode="markers",
        marker={
            "size": 13,
            "color": compact(cones.resolution),
            "colorscale": "Viridis",
            "cmin": middle - reach,
            "cmax": middle + reach,
            "colorbar": {"title": {"text": "Å"}, "thickness": 14, "len": 0.9},
        },
        showlegend=False,
        hovertemplate="%{customdata[0]:.2f} Å<br>x %{customdata[1]:.2f}, y %{customdata[2]:.2f}, "
        "z %{customdata[3]:.2f}<extra></extra>",
        meta=numbers(
            "directions", x="lambert_x", y="lambert_y", customdata=["resolution_A", "x", "y", "z"]
        ),
    )
    right: dict[str, Any] = {"row": 1, "col": 2}
    figure.add_trace(points, **right)
    axis = {"range": [-1.12, 1.12], "showgrid": False, "ticks": "", "showticklabels": False}
    figure.update_xaxes(title_text="x", **axis, **right)
    figure.update_yaxes(title_text="y", scaleanchor="x2", title_standoff=2, **axis, **right)


def guinier_figure(line: Guinier) -> go.Figure:
    """ln of mean amplitudes over k², raw and weighted by the FSC, with the fitted line."""
    figure = go.Figure()
    for values, name, colour in (
        (line.original, "amplitude", GREY),
        (line.weighted, "weighted by FSC", BLUE),
    ):
        figure.add_trace(
            go.Scatter(
                x=compact(line.k_squared[1:]),
                y=compact(values[1:]),
                name=name,
                mode="lines",
                line={"color": colour, "width": 1.8},
                customdata=compact(1 / np.sqrt(line.k_squared[1:])),
                hovertemplate="%{customdata:.2f} Å: %{y:.2f}<extra>%{fullData.name}</extra>",
                meta=numbers(name, x="k_squared_per_A2", y="ln_amplitude"),
            )
        )
    if np.isfinite(line.slope):
        ends = np.array([1 / resolution**2 for resolution in line.band])
        figure.add_trace(
            go.Scatter(
                x=compact(ends),
                y=compact(line.intercept + line.slope * ends),
                name=f"fit, B = {line.b_factor:.0f} Å²",
                mode="lines",
                line={"color": VERMILION, "dash": "dash", "width": 2.2},
                hoverinfo="skip",
            )
        )
    shown = line.weighted[1:][np.isfinite(line.weighted[1:])]
    figure.update_layout(template=STYLE, height=400)
    figure.update_xaxes(title_text="k² [Å⁻²]", range=[0, float(line.k_squared[-1])])
    figure.update_yaxes(title_text="ln amplitude")
    if len(shown):
        low, high = np.percentile(shown, [1, 100])
        figure.update_yaxes(range=[float(low - 0.8), float(high + 0.5)])
    return figure
