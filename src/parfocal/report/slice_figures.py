"""Figures of local resolution: distributions over the mask, and slices coloured by it."""

import html
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
import scipy.ndimage
from plotly.subplots import make_subplots

from parfocal.local_resolution import LocalResolution
from parfocal.report.style import BLACK, LINE_COLOURS, STYLE, compact, numbers

BINS = 60
MIDDLE = (0.005, 0.995)  # quantiles that the histogram holds; what lies beyond is in its last bars
MOST_PIXELS = 120  # across a slice
MARGIN = 8  # voxels around the mask that a slice shows
PLANES = (("z", "x", "y"), ("y", "x", "z"), ("x", "y", "z"))  # cut across; along and up the panel


def distribution_figure(maps: Mapping[str, LocalResolution]) -> go.Figure:
    """Histograms over the mask [%] of several local resolutions on common bins; dashed: medians."""
    ends = np.array([found.quantiles(MIDDLE) for found in maps.values()])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    edges = np.linspace(low, max(high, low + 0.5), BINS + 1)
    figure = go.Figure()
    for place, (label, found) in enumerate(maps.items()):
        values = np.clip(found.values, edges[0], edges[-1])
        share = 100 * np.histogram(values, edges)[0] / len(values)
        colour = LINE_COLOURS[place % len(LINE_COLOURS)]
        figure.add_trace(
            go.Scatter(
                x=compact((edges[1:] + edges[:-1]) / 2),
                y=compact(share),
                name=html.escape(label),
                mode="lines",
                line={"color": colour, "width": 2, "shape": "hvh"},
                fill="tozeroy",
                fillcolor=f"rgba{(*bytes.fromhex(colour[1:]), 0.18)}",
                hovertemplate="%{x:.2f} Å: %{y:.1f} % of the mask<extra>%{fullData.name}</extra>",
                meta=numbers(label, x="bin_centre_A", y="voxels_percent"),
            )
        )
        figure.add_vline(x=found.median, line={"color": colour, "dash": "dash", "width": 1.5})
    figure.update_layout(template=STYLE, height=380, showlegend=True)
    figure.update_xaxes(title_text="local resolution [Å]", range=[edges[0], edges[-1]])
    figure.update_yaxes(title_text="voxels of the mask [%]", rangemode="tozero")
    return figure


def slices_figure(found: LocalResolution, density, limits: tuple[float, float]) -> go.Figure:
    """Three slices through the middle of the mask: density in grey, local resolution over it.

    `density` (n, n, n) is smoothed by a voxel for the eye. Axes are Å from the box centre.
    """
    middle = [round(float(c)) for c in scipy.ndimage.center_of_mass(found.inside)]
    figure = make_subplots(
        cols=3,
        horizontal_spacing=0.07,
        subplot_titles=[
            f"{cut} = {_place(middle['zyx'.index(cut)], found):.0f} Å" for cut, _, _ in PLANES
        ],
    )
    for column, (cut, across, up) in enumerate(PLANES, start=1):
        axis, at = "zyx".index(cut), middle["zyx".index(cut)]
        around = np.take(density, range(max(at - 2, 0), at + 3), axis=axis, mode="clip")
        grey = scipy.ndimage.gaussian_filter(around, 1.0).take(min(at, 2), axis=axis)
        inside = found.inside.take(at, axis=axis)
        shown = np.where(inside, found.resolution.take(at, axis=axis), np.nan)
        rows, columns = (_shown_part(inside.any(axis=1 - a), inside.shape[a]) for a in (0, 1))
        x, y = (compact([_place(i, found) for i in part]) for part in (columns, rows))
        where: dict[str, Any] = {"row": 1, "col": column}
        figure.add_trace(
            go.Heatmap(
                x=x,
                y=y,
                z=compact(grey[np.ix_(rows, columns)]),
                colorscale="Greys",
                showscale=False,
                hoverinfo="skip",
            ),
            **where,
        )
        figure.add_trace(
            go.Heatmap(
                x=x,
                y=y,
                z=compact(shown[np.ix_(rows, columns)]),
                coloraxis="coloraxis",
                opacity=0.7,
                hoverongaps=False,
                hovertemplate=f"{across} %{{x:.0f}}, {up} %{{y:.0f}} Å: %{{z:.2f}} Å<extra></extra>",
            ),
            **where,
        )
        anchor = "x" if column == 1 else f"x{column}"
        figure.update_xaxes(title_text=f"{across} [Å]", constrain="domain", showgrid=False, **where)
        figure.update_yaxes(
            title_text=f"{up} [Å]", scaleanchor=anchor, constrain="domain", showgrid=False, **where
        )
    bar = {"title": {"text": "[Å]"}, "thickness": 14}
    colours = {"colorscale": "Viridis", "cmin": limits[0], "cmax": limits[1], "colorbar": bar}
    figure.update_layout(template=STYLE, height=400, coloraxis=colours)
    return figure


def _place(voxel: int, found: LocalResolution) -> float:
    """Å from the box centre."""
    return (voxel - found.inside.shape[0] // 2) * found.pixel_size


def _shown_part(held, size: int) -> np.ndarray:
    """Voxels along one side of a slice that are drawn: the mask's and a margin, thinned if many."""
    there = np.flatnonzero(held)
    if not len(there):
        there = np.array([0, size - 1])
    first, last = max(there[0] - MARGIN, 0), min(there[-1] + MARGIN, size - 1)
    return np.arange(first, last + 1, -(-(last + 1 - first) // MOST_PIXELS))


def methods_figure(first: LocalResolution, second: LocalResolution) -> go.Figure:
    """One method against another, voxel by voxel [%]: density of both, and the line where they agree."""
    x, y = first.values, second.values
    low, high = (float(np.quantile(np.concatenate([x, y]), share)) for share in MIDDLE)
    edges = np.linspace(low, max(high, low + 0.5), BINS + 1)
    count = np.histogram2d(np.clip(y, low, high), np.clip(x, low, high), bins=[edges, edges])[0]
    share = 100 * count / len(x)
    centre = compact((edges[1:] + edges[:-1]) / 2)
    figure = go.Figure(
        go.Heatmap(
            x=centre,
            y=centre,
            z=compact(np.where(share > 0, share, np.nan)),
            colorscale="Viridis",
            colorbar={"title": {"text": "voxels [%]"}, "thickness": 14},
            hovertemplate=f"{first.method} %{{x:.2f}} Å, {second.method} %{{y:.2f}} Å: %{{z:.2f}} %"
            "<extra></extra>",
        )
    )
    ends = [float(edges[0]), float(edges[-1])]
    line = {"color": BLACK, "dash": "dot", "width": 1}
    figure.add_trace(go.Scatter(x=ends, y=ends, mode="lines", line=line, hoverinfo="skip"))
    figure.update_layout(template=STYLE, height=440, showlegend=False)
    figure.update_xaxes(title_text=f"{first.method} [Å]", range=ends, constrain="domain")
    figure.update_yaxes(
        title_text=f"{second.method} [Å]", range=ends, scaleanchor="x", constrain="domain"
    )
    return figure
