"""The figures of the gallery, drawn by those of the reports, and written as PNG by a browser."""

from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from gallery_measures import Gallery
from plotly.offline import get_plotlyjs

from parfocal.grouped import MAD_TO_SD
from parfocal.limits import LimitSettings, phase_offset, signal_kept
from parfocal.report.agreement_figures import matrix_figure
from parfocal.report.limits_figures import offset_figure, reach_figure
from parfocal.report.set_figures import (
    Panel,
    histogram,
    in_space_figure,
    panels_figure,
    scatter_matrix,
)
from parfocal.report.style import BLACK, LINE_COLOURS, STYLE, resolution_axis

WIDTH = 900  # px
BROWSER = "/usr/bin/chromium"
RUNS = {
    "first": "first run [Å]",
    "again": "second run [Å]",
    "half 1": "first half-dose [Å]",
    "half 2": "second half-dose [Å]",
}
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
]
SETTLED = 3000  # ms, that 3D takes to be drawn in software
DRAW = """async ([text, width]) => {
  const figure = JSON.parse(text);
  const size = `width:${width}px;height:${figure.layout.height}px`;
  document.body.innerHTML = `<div id="figure" style="${size}"></div>`;
  figure.layout.width = width;
  await Plotly.newPlot('figure', figure.data, figure.layout, {displayModeBar: false});
}"""


def figures_of(gallery: Gallery, numbers: dict, dealt: np.ndarray) -> dict[str, go.Figure]:
    """File name -> figure; `dealt` are the shuffled defoci."""
    return {
        "figure-5.png": _planes(gallery),
        "figure-6.png": _scatter(gallery),
        "table-1.png": _table(gallery, numbers),
        "figure-s1.png": _globals(gallery, numbers, dealt),
        "figure-7.png": _stability(gallery),
        "figure-8.png": _median(gallery),
        "figure-9.png": _mad(gallery),
        "figure-10.png": reach_figure(LimitSettings()),
        "figure-s2.png": offset_figure(LimitSettings()),
        "signal.png": _signal(gallery),
    }


def draw(figures: dict[str, go.Figure], folder: Path) -> None:
    """Write each as a PNG file of WIDTH."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": WIDTH + 20, "height": 1200})
        page.set_content("<!doctype html><body style='margin:0'></body>")
        page.add_script_tag(content=get_plotlyjs())
        for name, figure in figures.items():
            text = str(figure.to_json())
            page.evaluate(DRAW, [text, WIDTH])
            if '"type":"scatter3d"' in text:
                page.wait_for_timeout(SETTLED)
            page.locator("#figure").screenshot(path=str(folder / name))
        browser.close()


def _planes(g: Gallery) -> go.Figure:
    rows = np.flatnonzero(g.groups.index == g.micrograph)
    base = g.all.base
    defocus = np.stack([*g.values.values(), g.truth.defocus], axis=1)[rows]
    planes = {name: planes.one(g.micrograph) for name, planes in g.planes.items()}
    figure = in_space_figure(base.coordinate_x[rows], base.coordinate_y[rows], defocus, planes)
    farther = {"eye": {"x": 1.75, "y": -1.9, "z": 0.85}, "center": {"z": -0.1}}
    larger = {"x": 1.08, "y": 1.08, "z": 0.78}
    ticks = {"nticks": 3, "tickfont": {"size": 9}, "title": {"font": {"size": 12}}}
    up = {**ticks, "title": {"text": ""}}  # which the panel would cut
    figure.update_scenes(camera=farther, aspectratio=larger, xaxis=ticks, yaxis=ticks, zaxis=up)
    return figure.update_layout(height=640)


def _scatter(g: Gallery) -> go.Figure:
    rows = g.groups.index == g.micrograph
    names = [*g.four.names, "truth"]
    values = np.stack([*(g.values[name] for name in g.four.names), g.truth.defocus], axis=1)[rows]
    values = values - np.nanmean(values, axis=0)
    titles = []
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            titles.append(f"r = {_correlation(values[:, i], values[:, j]):.2f}")
    return scatter_matrix(names, values, titles)


def _table(g: Gallery, numbers: dict) -> go.Figure:
    names = [*g.values, "truth"]
    size = len(names)
    values, errors = np.eye(size), np.zeros((size, size))
    for i in range(size):
        for j in range(i + 1, size):
            found = numbers["pairs"][f"{names[i]} – {names[j]}"]["average"]
            (values[i, j], errors[i, j]), (values[j, i], errors[j, i]) = found, found
    return matrix_figure(names, values, errors)


def _globals(g: Gallery, numbers: dict, dealt: np.ndarray) -> go.Figure:
    values = {name: g.values[name] for name in g.four.names}
    values["relion, shuffled"] = dealt
    values["truth"] = g.truth.defocus
    found = numbers["global"]["correlation"]
    panels = [
        Panel(f"{name}: r = {found[name][0]:.4f}", g.all.prior, value, "global [Å]", "local [Å]")
        for name, value in values.items()
    ]
    figure = _labelled_at_the_edge(panels_figure(panels), across=3)
    return figure.update_xaxes(nticks=4).update_layout(margin_l=95)


def _labelled_at_the_edge(figure: go.Figure, *, across: int) -> go.Figure:
    """Labels of y in the first column only."""
    for place, axis in enumerate(figure.select_yaxes()):
        if place % across:
            axis.title.text = ""
    return figure


def _correlation(x, y) -> float:
    both = np.isfinite(x + y)
    return float(np.corrcoef(x[both], y[both])[0, 1])


def _stability(g: Gallery) -> go.Figure:
    names, rows = g.runs.names, g.groups.index == g.micrograph
    trusted = np.where(g.runs.ok, g.runs.defocus, np.nan)[rows]
    near = dict(zip(names, (trusted - np.nanmedian(trusted, axis=0)).T, strict=True))
    panels = []
    for first, second in (("first", "again"), ("half 1", "half 2")):
        for name in g.four.names:
            x, y = near[f"{name} {first}"], near[f"{name} {second}"]
            labels = RUNS[first], RUNS[second]
            panels.append(Panel(f"{name}: r = {_correlation(x, y):.2f}", x, y, *labels))
    figure = _labelled_at_the_edge(panels_figure(panels, across=4), across=4)
    for column in range(1, 5):
        figure.update_xaxes(dtick=50 if column == 4 else 200, tickangle=0, col=column)
    return figure.update_layout(height=700)


def _median(g: Gallery) -> go.Figure:
    rows, prior = g.groups.index == g.micrograph, g.all.prior
    middle = (g.median.median - prior)[rows]
    named = {name: g.values[name] for name in g.four.names}
    named |= {"four combined": g.median.defocus, "truth": g.truth.defocus}
    panels = []
    for name, values in named.items():
        change = (values - prior)[rows]
        title = f"{name}: r = {_correlation(middle, change):.2f}"
        panels.append(Panel(title, middle, change, "median of four [Å]", "change [Å]"))
    return _labelled_at_the_edge(panels_figure(panels), across=3)


def _mad(g: Gallery) -> go.Figure:
    error = np.abs(g.median.median - g.truth.defocus)
    series = {
        "MAD of the four programs": g.median.mad / MAD_TO_SD,
        "true error of their median": error,
    }
    return histogram(series, "MAD, or distance of the truth from the median")


def _signal(g: Gallery) -> go.Figure:
    """Fraction of the signal that true errors leave, and that of Gaussian ones of their size."""
    frequency = np.linspace(1 / 10, 1 / 1.4, 150)
    shown = ("input", "xmipp", "gctf", "relion", "median of four", "four combined")
    figure = go.Figure()
    for colour, name in zip(LINE_COLOURS, shown, strict=False):
        error = g.results[name] - g.truth.defocus
        error = error[np.isfinite(error)]
        kept = [np.mean(np.cos(phase_offset(error, 1 / f, 300.0))) for f in frequency]
        size = float(np.sqrt(np.mean(error**2)))
        line = {"color": colour, "width": 2.2}
        figure.add_trace(go.Scatter(x=frequency, y=100 * np.array(kept), name=name, line=line))
        gauss = 100 * signal_kept(size, 1 / frequency, 300.0)
        thin = {"color": colour, "width": 1, "dash": "dot"}
        figure.add_trace(go.Scatter(x=frequency, y=gauss, showlegend=False, line=thin))
    figure.add_hline(y=0, line={"color": BLACK, "width": 1})
    figure.update_layout(template=STYLE, height=420)
    figure.update_xaxes(**resolution_axis(1 / 1.4, 1 / 10))
    figure.update_yaxes(title_text="signal kept [%]", range=[-25, 103])
    return figure
