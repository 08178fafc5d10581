"""Figures of `parfocal limits`: the paper's Fig. 10 and Fig. S-2, and the signal that is lost."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from parfocal.conventions import DEGREE
from parfocal.limits import (
    KEPT,
    LimitSettings,
    largest_spread,
    limiting_error,
    limiting_resolution,
    phase_offset,
    signal_kept,
)
from parfocal.report.style import GREY, LINE_COLOURS, STYLE, compact, numbers, resolution_axis

FINE = 301  # points of a line
DASHES = ("solid", "dash", "dot", "dashdot")
PANELS = 3  # beside each other
COARSEST = 10.0  # Å, where the lines begin
TICKS = [step * 10**power for power in range(-3, 6) for step in (1, 2, 5)]  # of a log axis


def reach_figure(settings: LimitSettings) -> go.Figure:
    """Resolution [Å] at which an error [Å] turns the phase, by voltage and phase (Fig. 10)."""
    figure = go.Figure()
    error = np.linspace(0, 1.25 * max(settings.errors), FINE)
    for place, voltage in enumerate(settings.voltages):
        for number, phase in enumerate(settings.phases):
            name = f"{voltage:g} kV, {phase / DEGREE:g}°"
            trace = go.Scatter(
                x=compact(error),
                y=compact(limiting_resolution(error, voltage, phase)),
                hovertemplate=f"error %{{x:.0f}} Å: %{{y:.2f}} Å<extra>{name}</extra>",
                meta=numbers(name, x="defocus_error_A", y="resolution_A"),
                **_line(name, place, number),
            )
            figure.add_trace(trace)
    figure.update_layout(template=STYLE, height=420, showlegend=True)
    figure.update_xaxes(title_text="defocus error [Å]", range=[0, error[-1]])
    figure.update_yaxes(title_text="resolution [Å]", rangemode="tozero")
    return figure


def offset_figure(settings: LimitSettings) -> go.Figure:
    """Phase [°] that each error turns, against resolution; a panel for each voltage (Fig. S-2)."""

    def offset(error, resolution, voltage):
        return phase_offset(error, resolution, voltage) / DEGREE

    figure = _panels(settings, settings.errors, offset, "phase_offset_deg")
    figure.update_yaxes(range=[0, 2.2 * max(settings.phases) / DEGREE], title_text="offset [°]")
    for phase in settings.phases:
        limit = {"color": GREY, "dash": "dash", "width": 1.5}
        figure.add_hline(y=phase / DEGREE, line=limit)
    return figure


def signal_figure(settings: LimitSettings) -> go.Figure:
    """Signal kept [%] against resolution for each spread of errors; a panel for each voltage."""

    def kept(spread, resolution, voltage):
        return 100 * signal_kept(spread, resolution, voltage)

    figure = _panels(settings, settings.spreads, kept, "signal_kept_percent")
    figure.update_yaxes(range=[0, 103], title_text="signal kept [%]")
    return figure


def needed_figure(settings: LimitSettings) -> go.Figure:
    """Error that turns the first phase, and spreads that keep KEPT, against resolution [Å]."""
    figure, frequency = go.Figure(), _frequencies(settings)
    phase = settings.phases[0]
    for place, voltage in enumerate(settings.voltages):
        lines = [(f"{phase / DEGREE:g}° turn", limiting_error(1 / frequency, voltage, phase))]
        for kept in KEPT:
            spread = largest_spread(kept, 1 / frequency, voltage)
            lines.append((f"sd, {100 * kept:.0f} % kept", spread))
        for number, (what, values) in enumerate(lines):
            name = f"{voltage:g} kV, {what}"
            figure.add_trace(
                _against(frequency, values, name, "error_A", _line(name, place, number))
            )
    figure.update_layout(template=STYLE, height=420)
    figure.update_xaxes(**resolution_axis(frequency[-1], frequency[0]))
    figure.update_yaxes(title_text="error [Å]", type="log", tickvals=TICKS, tickformat=",")
    return figure


def _panels(
    settings: LimitSettings, values: Sequence[float], of: Callable, column: str
) -> go.Figure:
    """A panel for each voltage, and in it a line against resolution for each of `values` [Å]."""
    n = len(settings.voltages)
    n_rows, n_columns = -(-n // PANELS), min(n, PANELS)
    titles = [f"{voltage:g} kV" for voltage in settings.voltages]
    figure = make_subplots(
        rows=n_rows, cols=n_columns, subplot_titles=titles, horizontal_spacing=0.08
    )
    frequency = _frequencies(settings)
    for place, voltage in enumerate(settings.voltages):
        panel: dict[str, Any] = {"row": place // PANELS + 1, "col": place % PANELS + 1}
        for number, value in enumerate(values):
            look = _line(f"{value:g} Å", number, number // len(LINE_COLOURS))
            look |= {"legendgroup": f"{value:g}", "showlegend": place == 0}
            y = of(value, 1 / frequency, voltage)
            name = f"{voltage:g} kV, {value:g} Å"
            figure.add_trace(_against(frequency, y, name, column, look), **panel)
    figure.update_layout(template=STYLE, height=80 + 340 * n_rows, margin_t=80)
    figure.update_layout(legend={"y": 1, "yref": "container", "yanchor": "top"})
    spacing = 0.03 * n_columns
    figure.update_xaxes(**resolution_axis(frequency[-1], frequency[0], spacing))
    figure.update_xaxes(title_text="resolution [Å]")
    return figure


def _frequencies(settings: LimitSettings) -> np.ndarray:
    """(FINE,) Å⁻¹, to a little beyond the finest resolution that is asked for."""
    finest = min(settings.resolutions)
    return np.linspace(1 / max(COARSEST, 2 * finest), 1.1 / finest, FINE)


def _against(frequency, y, series: str, column: str, look: dict) -> go.Scatter:
    return go.Scatter(
        x=compact(frequency),
        y=compact(y),
        customdata=compact(1 / frequency),
        hovertemplate=f"%{{customdata:.2f}} Å: %{{y:.3g}}<extra>{series}</extra>",
        meta=numbers(series, x="frequency_per_A", customdata="resolution_A", y=column),
        **look,
    )


def _line(name: str, colour: int, dash: int) -> dict[str, Any]:
    style = {
        "color": LINE_COLOURS[colour % len(LINE_COLOURS)],
        "dash": DASHES[dash % len(DASHES)],
        "width": 2.2,
    }
    return {"name": name, "mode": "lines", "line": style}
