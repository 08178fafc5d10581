"""The figure of the ladder: what held-out data say of each model, over the set and by micrograph."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from parfocal.estimates import DefocusEstimates
from parfocal.ice import rows_by_micrograph
from parfocal.ladder import RUNGS, Ladder, ladder_of
from parfocal.report.style import BLACK, BLUE, GREEN, GREY, ORANGE, STYLE, numbers

COLOURS = dict(zip(RUNGS, (GREY, ORANGE, GREEN, BLUE), strict=True))


def ladder_figure(estimates: DefocusEstimates) -> go.Figure | None:
    """Gain over the input [nats a particle] of each rung, and how many micrographs each suits best.

    Bars are one standard error. None without a ladder.
    """
    ladder = ladder_of(estimates)
    if ladder is None:
        return None
    figure = make_subplots(cols=2, column_widths=[0.55, 0.45], horizontal_spacing=0.16)
    figure.add_trace(_gains(ladder), row=1, col=1)
    figure.add_hline(y=0, line={"color": BLACK, "width": 1}, row=1, col=1)  # pyright: ignore
    figure.add_trace(_best(estimates), row=1, col=2)
    figure.update_layout(template=STYLE, height=340, showlegend=False, margin_l=95)
    figure.update_yaxes(title_text="gain over the input<br>[nats a particle]", col=1)
    figure.update_yaxes(title_text="micrographs", col=2)
    figure.update_xaxes(title_text="model", col=1)
    figure.update_xaxes(title_text="best model of a micrograph", col=2)
    return figure


def _gains(ladder: Ladder) -> go.Scatter:
    gains = [(0.0, 0.0), *ladder.gain.values()]
    names = [f"<b>{rung}</b>" if rung == ladder.best else rung for rung in RUNGS]
    return go.Scatter(
        x=names,
        y=[round(mean, 5) for mean, _ in gains],
        error_y={"array": [round(error, 5) for _, error in gains], "color": BLACK},
        mode="markers",
        marker={"size": 13, "color": [COLOURS[rung] for rung in RUNGS]},
        hovertemplate="%{x}: %{y:.3f} nats<extra></extra>",
        meta=numbers("gain over the input", x="model", y="nats_a_particle"),
    )


def _best(estimates: DefocusEstimates) -> go.Bar:
    best = [
        ladder_of(estimates, rows) for rows in rows_by_micrograph(estimates.micrograph).values()
    ]
    counts = [sum(found is not None and found.best == rung for found in best) for rung in RUNGS]
    return go.Bar(
        x=list(RUNGS),
        y=np.array(counts),
        marker={"color": [COLOURS[rung] for rung in RUNGS]},
        hovertemplate="%{x}: %{y} micrographs<extra></extra>",
        meta=numbers("best model of a micrograph", x="model", y="micrographs"),
    )
