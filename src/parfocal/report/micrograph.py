"""The paper's Fig. 5: the particles of one micrograph and its plane, in 3D and from above."""

import html

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from parfocal.estimates import DefocusEstimates, Status
from parfocal.ice import PlaneFit
from parfocal.report.style import BLACK, GREY, SKY, STYLE, compact, numbers

MAX_PARTICLES = 500  # drawn of one micrograph


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
    figure = make_subplots(
        cols=2, specs=[[{"type": "scene"}, {"type": "xy"}]], column_widths=[0.58, 0.42]
    )
    for status in Status:
        chosen = drawn[estimates.status[drawn] == status]
        if len(chosen):
            _add_particles(figure, estimates, chosen, status)
    if plane.kind == "plane":
        _add_plane(figure, plane, estimates.coordinate_x[rows], estimates.coordinate_y[rows])
    ticks = {"nticks": 5, "tickformat": ",d", "tickfont": {"size": 11}}
    figure.update_layout(
        template=STYLE,
        height=480,
        margin={"l": 0, "r": 10, "t": 10, "b": 50},
        showlegend=False,
        coloraxis={
            "colorscale": "Viridis",
            "cmin": -colour_limit,
            "cmax": colour_limit,
            "colorbar": {"title": {"text": "change [Å]"}, "thickness": 12, "len": 0.9},
        },
        scene={
            "xaxis": {"title": {"text": "x [Å]"}, **ticks},
            "yaxis": {"title": {"text": "y [Å]"}, **ticks},
            "zaxis": {"title": {"text": "defocus [Å]"}, **ticks},
            "aspectmode": "manual",
            "aspectratio": {"x": 1, "y": 1, "z": 0.6},
            "camera": {"eye": {"x": 1.35, "y": -1.5, "z": 0.6}, "center": {"z": -0.1}},
        },
    )
    figure.update_xaxes(title_text="x [Å]", constrain="domain", tickformat=",d")
    figure.update_yaxes(
        title_text="y [Å]",
        scaleanchor="x",
        autorange="reversed",
        constrain="domain",
        tickformat=",d",
    )
    return figure


def _add_particles(figure, estimates, rows, status: Status) -> None:
    x, y = compact(estimates.coordinate_x[rows]), compact(estimates.coordinate_y[rows])
    change, error = estimates.defocus_change[rows], estimates.defocus_error[rows]
    marker = {"color": GREY, "symbol": "diamond"}  # crosses would need an emoji font
    if status == Status.OK:
        marker = {"color": compact(change), "coloraxis": "coloraxis"}
    same = {
        "mode": "markers",
        "name": status.label,
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
    from_above = go.Scatter(x=x, y=y, marker={**marker, "size": 8, "line": edge}, **same)
    figure.add_trace(in_space, row=1, col=1)
    figure.add_trace(from_above, row=1, col=2)


def _add_plane(figure, plane: PlaneFit, x, y) -> None:
    corners_x, corners_y = np.meshgrid([np.min(x), np.max(x)], [np.min(y), np.max(y)])
    figure.add_trace(
        go.Surface(
            x=corners_x[0],
            y=corners_y[:, 0],
            z=plane.at(corners_x, corners_y),
            colorscale=[[0, SKY], [1, SKY]],
            opacity=0.45,
            showscale=False,
            hoverinfo="skip",
            name="plane",
        ),
        row=1,
        col=1,
    )
    half = 0.5 * min(np.ptp(x), np.ptp(y))
    along = half * np.array([np.cos(plane.tilt_axis), np.sin(plane.tilt_axis)])
    figure.add_trace(
        go.Scatter(
            x=plane.mean_x + along[0] * np.array([-1, 1]),
            y=plane.mean_y + along[1] * np.array([-1, 1]),
            mode="lines",
            line={"color": BLACK, "dash": "dash", "width": 1.5},
            hovertemplate="tilt axis<extra></extra>",
            name="tilt axis",
        ),
        row=1,
        col=2,
    )
