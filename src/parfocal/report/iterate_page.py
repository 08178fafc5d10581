"""The page of rounds: what each gained, how far defoci moved, what became of the maps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from parfocal.fsc_curves import FscCurves
from parfocal.iterate import Standing
from parfocal.report.page import Page, render_page
from parfocal.report.sections import (
    Column,
    FigureSection,
    SettingsSection,
    TableSection,
    Tile,
    quantity,
)
from parfocal.report.style import BLACK, BLUE, GREY, STYLE, numbers

FIRST, LAST = (
    np.array([200, 200, 200]),
    np.array([0, 90, 160]),
)  # colours of the input's curve, the last
CLOSE = 0.143


def iterate_page(
    lines: Sequence[Standing], curves: Sequence[FscCurves], info: Mapping[str, Any]
) -> str:
    """HTML of rounds: a line for the input and each round, the FSCs of the maps, and run.json."""
    kept = next(line for line in lines if line.kept)
    page = Page(
        title=f"Rounds of {info['settings']['method']} and reconstruction",
        under=f"{info['particles']:,} particles; parfocal {info['parfocal']}",
        verdict=tuple(_sentences(lines, kept, info)),
        tiles=(
            Tile("particles", f"{info['particles']:,}"),
            Tile("defoci kept", kept.name, f"of {len(lines) - 1} rounds"),
            Tile(
                "held-out gain",
                f"{kept.gain[0]:+.3f}",
                f"{_error(kept.gain)}nats a particle, over the input",
            ),
            Tile("resolution, input", quantity(lines[0].resolution, ".2f", "Å"), "FSC 0.143"),
            Tile("resolution, kept", quantity(kept.resolution, ".2f", "Å"), "FSC 0.143"),
        ),
        warnings=tuple(info["warnings"]),
        sections=(
            FigureSection(
                id="rounds",
                title="What each round gained",
                short="Rounds",
                caption="Left: held-out gain over the input, scored on Fourier pixels that the fit "
                "did not see, against the maps of that round. Right: rms change of defocus since the "
                "line before. Bars are one standard error. A round pays when it gains more than that "
                "over the one before, particle by particle, and moves defoci by more than a tenth of "
                "their error bars.",
                figure=_rounds_figure(lines),
            ),
            FigureSection(
                id="fsc",
                title="FSC of the half-maps",
                short="FSC",
                caption="Corrected for the mask, which is the same in all rounds. Half-sets are never "
                "mixed: a particle meets the map of its own half only, and its own part is taken out.",
                figure=_fsc_figure(curves, [line.name for line in lines]),
            ),
            _table(lines),
            SettingsSection(
                values={
                    "Settings": {**info["settings"], **info["own_reference"], "mask": info["mask"]},
                    "Inputs": info["inputs"],
                    "Versions": {"parfocal": info["parfocal"], "command": info["command"]},
                    "Timings [s]": info["timings"],
                }
            ),
        ),
    )
    return render_page(page)


def _sentences(lines, kept, info):
    if kept is lines[0]:
        yield f"Keep the input's defoci: the first round brings {_why(lines[1])}."
        return
    yield (
        f"The defoci of {kept.name} are kept: {_nats(kept.gain)} a particle over the input on "
        "held-out data."
    )
    before, after = lines[0].resolution, kept.resolution
    if np.isfinite([before, after]).all():
        yield f"The half-maps agree to {after:.2f} Å, with the input's defoci to {before:.2f} Å."
    if info["settled"]:
        yield f"{lines[-1].name.capitalize()} brings {_why(lines[-1])}, so it is the last."
    else:
        yield "The last round still paid: --rounds allows no more."


def _why(line: Standing) -> str:
    """What a round that did not pay brings."""
    if line.step[0] > line.step[1]:
        return f"{_nats(line.step)} a particle more and moves defoci by {line.moved:.1f} Å only"
    return f"no more on held-out data than its error: {_nats(line.step)} a particle"


def _nats(pair) -> str:
    return f"{pair[0]:+.3f} {_error(pair)}nats" if np.isfinite(pair[0]) else "–"


def _error(pair) -> str:
    return f"± {pair[1]:.3f} " if np.isfinite(pair[1]) else ""


def _rounds_figure(lines) -> go.Figure:
    figure = make_subplots(cols=2, horizontal_spacing=0.16)
    names = [f"<b>{line.name}</b>" if line.kept else line.name for line in lines]
    marker = {"size": 11, "color": [BLUE if line.kept else GREY for line in lines]}
    figure.add_trace(
        go.Scatter(
            x=names,
            y=[round(line.gain[0], 5) for line in lines],
            error_y={"array": [round(line.gain[1], 5) for line in lines], "color": BLACK},
            mode="lines+markers",
            line={"color": GREY, "width": 1},
            marker=marker,
            hovertemplate="%{x}: %{y:.3f} nats<extra></extra>",
            meta=numbers("held-out gain", x="round", y="nats_a_particle"),
        ),
        row=1,
        col=1,
    )
    figure.add_trace(
        go.Bar(
            x=names[1:],
            y=[round(line.moved, 3) for line in lines[1:]],
            marker={"color": marker["color"][1:]},
            hovertemplate="%{x}: %{y:.1f} Å<extra></extra>",
            meta=numbers("moved", x="round", y="rms_A"),
        ),
        row=1,
        col=2,
    )
    figure.update_layout(template=STYLE, height=340, showlegend=False, margin_l=95)
    figure.update_yaxes(title_text="gain over the input<br>[nats a particle]", col=1)
    figure.update_yaxes(title_text="rms change of defocus [Å]", col=2)
    return figure


def _fsc_figure(curves, names) -> go.Figure:
    figure = go.Figure()
    for i, curve in enumerate(curves):
        share = i / max(len(curves) - 1, 1)
        colour = tuple(np.rint(FIRST + share * (LAST - FIRST)).astype(int).tolist())
        figure.add_trace(
            go.Scatter(
                x=np.round(curve.k[1:], 6),
                y=np.round(curve.corrected[1:], 5),
                name=f"defoci of {names[i]}",
                mode="lines",
                line={"color": f"rgb{colour}", "width": 2},
                hovertemplate="1 / %{x:.3f} Å⁻¹: %{y:.3f}<extra></extra>",
                meta=numbers(names[i], x="frequency_per_A", y="fsc"),
            )
        )
    figure.add_hline(y=CLOSE, line={"color": BLACK, "width": 1, "dash": "dot"})
    figure.update_layout(template=STYLE, height=380)
    figure.update_xaxes(title_text="spatial frequency [Å⁻¹]")
    figure.update_yaxes(title_text="FSC", range=[-0.1, 1.05])
    return figure


def _table(lines) -> TableSection:
    return TableSection(
        id="table",
        title="The rounds",
        noun="lines",
        caption="Resolution is that of the half-maps made with the defoci of the line; for a last "
        "round that did not pay none were made.",
        columns=(
            Column(heading="defoci of", name="round", values=[line.name for line in lines]),
            Column(
                heading="gain over the input [nats]",
                name="gain_nats",
                values=[line.gain[0] for line in lines],
                errors=[line.gain[1] for line in lines],
                digits=3,
            ),
            Column(
                heading="over the line before [nats]",
                name="step_nats",
                values=[line.step[0] for line in lines],
                errors=[line.step[1] for line in lines],
                digits=3,
            ),
            Column(
                heading="moved [Å]",
                name="moved_A",
                values=[line.moved for line in lines],
                digits=1,
            ),
            Column(
                heading="resolution [Å]",
                name="resolution_A",
                values=[line.resolution for line in lines],
                digits=2,
            ),
            Column(
                heading="kept", name="kept", values=["yes" if line.kept else "" for line in lines]
            ),
        ),
    )
