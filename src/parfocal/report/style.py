"""Colours and layout shared by the figures.

Colours are Okabe and Ito's and viridis, which colour-blind readers can tell apart.
"""

import numpy as np
import plotly.graph_objects as go

from parfocal.estimates import Status

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, BLACK, GREY = "#56B4E9", "#CC79A7", "#1b1f24", "#8c959f"
LINE_COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK, GREY)
STATUS_COLOURS = {
    Status.OK: BLUE,
    Status.AT_BOUND: VERMILION,
    Status.FLAT: ORANGE,
    Status.MULTIMODAL: PURPLE,
    Status.NON_FINITE: BLACK,
    Status.NOT_READ: GREY,
}
RESOLUTIONS = (50, 20, 15, 10, 8, 7, 6, 5, 4, 3.5, 3, 2.5, 2, 1.7, 1.5, 1.3, 1.2, 1, 0.9, 0.8)  # Å
STYLE = go.layout.Template(
    layout={
        "font": {"family": "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif", "size": 13},
        "colorway": LINE_COLOURS,
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 70, "r": 20, "t": 30, "b": 60},
        "xaxis": {"gridcolor": "#e7eaee", "linecolor": GREY, "ticks": "outside", "zeroline": False},
        "yaxis": {"gridcolor": "#e7eaee", "linecolor": GREY, "ticks": "outside", "zeroline": False},
        "legend": {
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0.5,
            "xanchor": "center",
        },
        "hoverlabel": {"align": "left"},
    }
)


def resolution_axis(highest: float, lowest: float = 0.0, spacing: float = 0.02) -> dict:
    """An x axis of spatial frequency [Å⁻¹] with resolutions [Å] as its ticks.

    Ticks are at least `spacing` apart, in parts of the axis: more for a narrow panel.
    """
    ticks = []
    for resolution in RESOLUTIONS:
        after = ticks[-1] if ticks else -np.inf
        if lowest <= 1 / resolution <= highest and (
            1 / resolution - after >= spacing * (highest - lowest)
        ):
            ticks.append(1 / resolution)
    return {
        "title": {"text": "resolution [Å], linear in spatial frequency"},
        "tickvals": ticks,
        "ticktext": [f"{1 / tick:.3g}" for tick in ticks],
        "range": [lowest, highest],
    }


def compact(values) -> np.ndarray:
    """Values as the page stores them: float32, half the size and exact to 0.01 Å at 10 µm."""
    return np.asarray(values, dtype=np.float32)


def numbers(series: str, **columns: str | list[str]) -> dict:
    """The `meta` of a trace that the page offers as CSV: a name for each of its arrays."""
    return {"series": series, "columns": columns}
