"""Figures of how far sets agree: the matrix of correlations, and what to expect of each pair."""

import html
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from parfocal.agreement import Measured, correlation
from parfocal.expected import Expected
from parfocal.report.style import BLACK, BLUE, GREY, SKY, STYLE, VERMILION, numbers


def matrix_figure(names: Sequence[str], values, errors) -> go.Figure:
    """The paper's Table 1 as colours: correlations (K, K) with standard errors; nan is left blank."""
    labels = [html.escape(name) for name in names]
    own = np.eye(len(labels), dtype=bool)
    shown = np.where(own, np.nan, values)
    text = [
        [
            "" if not np.isfinite(v) else correlation(Measured(v, e)).replace(" ±", "<br>±")
            for v, e in zip(row, error_row, strict=True)
        ]
        for row, error_row in zip(shown, errors, strict=True)
    ]
    rows, columns = np.nonzero(np.isfinite(shown))
    figure = go.Figure(
        [
            go.Heatmap(
                x=labels,
                y=labels,
                z=shown,
                text=text,
                texttemplate="%{text}",
                zmin=-1,
                zmax=1,
                colorscale=[[0, VERMILION], [0.5, "white"], [1, BLUE]],
                colorbar={"title": {"text": "r"}, "thickness": 12},
                hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
            ),
            go.Scatter(  # the same as numbers to be saved, drawn nowhere
                x=[labels[c] for c in columns],
                y=[labels[r] for r in rows],
                customdata=np.stack([shown[rows, columns], errors[rows, columns]], axis=1),
                mode="markers",
                marker={"opacity": 0},
                hoverinfo="skip",
                meta=numbers(
                    "correlation", y="set_a", x="set_b", customdata=["correlation", "error"]
                ),
            ),
        ]
    )
    size = 120 + 70 * len(labels)
    figure.update_layout(template=STYLE, height=max(size, 300), showlegend=False, margin_l=130)
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def expected_figure(pairs: Sequence[Expected]) -> go.Figure:
    """For each pair the correlation seen, and the range that would be seen if every set were right."""
    labels = [" – ".join(html.escape(name) for name in pair.names) for pair in pairs]
    figure = go.Figure()
    for label, pair in zip(labels, pairs, strict=True):
        ends = [pair.independent.value, pair.shared.value]
        figure.add_trace(
            go.Scatter(
                x=ends,
                y=[label, label],
                mode="lines",
                line={"color": SKY, "width": 14},
                opacity=0.6,
                hovertemplate="%{y}: %{x:.2f} expected<extra></extra>",
                meta=numbers("expected, independent and shared noise", y="pair", x="correlation"),
            )
        )
    figure.add_trace(
        go.Scatter(
            x=[pair.observed.value for pair in pairs],
            y=labels,
            error_x={"array": [pair.observed.error for pair in pairs], "color": BLACK},
            mode="markers",
            marker={"color": BLUE, "size": 10},
            hovertemplate="%{y}: %{x:.2f} seen<extra></extra>",
            meta=numbers("seen", y="pair", x="correlation", **{"error_x.array": "error"}),
        )
    )
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    height = 110 + 32 * len(pairs)
    figure.update_layout(template=STYLE, height=height, showlegend=False, margin_l=200)
    figure.update_xaxes(title_text="correlation within micrographs", range=[-0.35, 1.05])
    figure.update_yaxes(autorange="reversed")
    return figure
