"""The paper's Fig. 5: the particles of one micrograph and its plane, in 3D and from above."""

import html

import numpy as np
import plotly.graph_objects as go

from parfocal.estimates import DefocusEstimates, Status
from parfocal.ice import PlaneFit
from parfocal.report.style import BLACK, GREY, SKY, STYLE, compact, numbers

MAX_PARTICLES = 500  # drawn of one micrograph
TICKS = {"nticks": 5, "showspikes": False, "tickformat": ",d", "tickfont": {"size": 11}}
LAYOUT = {
    "template": STYLE,
    "meta": {"linked": True},
    "height": 460,
    "margin": {"l": 0, "r": 10, "t": 10, "b": 50},
    "showlegend": False,
    "scene": {
        "domain": {"x": [0, 0.56]},
        "uirevision": "turned",  # the next micrograph is seen from where this one was
        "xaxis": {"title": {"text": "x [Å]"}, **TICKS},
        "yaxis": {"title": {"text": "y [Å]"}, **TICKS},
        "zaxis": {"title": {"text": "defocus [Å]"}, **TICKS},
        "aspectmode": "manual",
        "aspectratio": {"x": 1, "y": 1, "z": 0.6},
        "camera": {"eye": {"x": 1.4, "y": -1.55, "z": 0.6}, "center": {"z": -0.12}},
    },
    "xaxis": {
        "title": {"text": "x [Å]"},
        "domain": [0.63, 1],
        "constrain": "domain",
        "tickformat": ",d",
    },
    "yaxis": {
        "title": {"text": "y [Å]"},
        "autorange": "reversed",  # as a micrograph is displayed
        "scaleanchor": "x",
        "constrain": "domain",
        "tickformat": ",d",
    },
}


def micrograph_figure(
    estimates: DefocusEstimates,
    rows: np.ndarray,
    plane: PlaneFit,
    *,
    colour_limit: float | None = None,
) -> go.Figure:
    """Particles `rows` of one micrograph with its plane (the paper's Fig. 5), in 3D and from above.

    Height is defocus [Å], colour its change between ±`colour_limit` [Å; default: the largest].
    Failed particles are grey diamonds at their prior. At most MAX_PARTICLES are drawn.
    """
    drawn = rows[np.linspace(0, len(rows) - 1, min(len(rows), MAX_PARTICLES)).astype(int)]
    if colour_limit is None:
        colour_limit = float(np.abs(estimates.defocus_change[drawn]).max(initial=1.0))
    colours = {
        "colorscale": "Viridis",
        "cmin": -colour_limit,
        "cmax": colour_limit,
        "colorbar": {"title": {"text": "change [Å]"}, "thickness": 12, "len": 0.9},
    }
    traces = []
    for status in Status:
        chosen = drawn[estimates.status[drawn] == status]
        if len(chosen):
            traces += _particles(estimates, chosen, status)
    if plane.kind == "plane":
        traces += _plane(plane, estimates.coordinate_x[rows], estimates.coordinate_y[rows])
    return go.Figure(traces, {**LAYOUT, "coloraxis": colours})


def _particles(estimates: DefocusEstimates, rows, status: Status) -> list:
    x, y = compact(estimates.coordinate_x[rows]), compact(estimates.coordinate_y[rows])
    change, error = estimates.defocus_change[rows], estimates.defocus_error[rows]
    marker = {"color": GREY, "symbol": "diamond"}  # crosses would need an emoji font
    if status == Status.OK:
        marker = {"color": compact(change), "coloraxis": "coloraxis"}
    same = {
        "mode": "markers",
        "name": status.label,
        "ids": rows.astype(np.int32),
        "text": [html.escape(particle) for particle in estimates.particle_id[rows]],
        "customdata": compact(np.stack([change, error], axis=1)),
        "hovertemplate": "%{text}<br>change %{customdata[0]:+.0f} ± %{customdata[1]:.0f} Å"
        f"<extra>{status.label}</extra>",
    }
    in_space = go.Scatter3d(
        x=x,
        y=y,
        z=compact(estimates.defocus[rows]),
        marker={**marker, "size": 4 if status == Status.OK else 3},
        meta=numbers(
            status.label,
            text="particle",
            x="x_A",
            y="y_A",
            z="defocus_A",
            customdata=["defocus_change_A", "defocus_error_A"],
        ),
        **same,
    )
    edge = {"width": 0.5, "color": "white"}
    return [in_space, go.Scatter(x=x, y=y, marker={**marker, "size": 8, "line": edge}, **same)]


def _plane(plane: PlaneFit, x, y) -> list:
    corners_x, corners_y = np.meshgrid([np.min(x), np.max(x)], [np.min(y), np.max(y)])
    sheet = go.Surface(
        x=corners_x[0],
        y=corners_y[:, 0],
        z=plane.at(corners_x, corners_y),
        colorscale=[[0, SKY], [1, SKY]],
        opacity=0.45,
        showscale=False,
        hoverinfo="skip",
        name="plane",
    )
    half = 0.5 * min(np.ptp(x), np.ptp(y)) * np.array([-1, 1])
    axis = go.Scatter(
        x=plane.mean_x + half * np.cos(plane.tilt_axis),
        y=plane.mean_y + half * np.sin(plane.tilt_axis),
        mode="lines",
        line={"color": BLACK, "dash": "dash", "width": 1.5},
        hovertemplate="tilt axis<extra></extra>",
        name="tilt axis",
    )
    return [sheet, axis]
