"""Pages as a user meets them, in a real browser: drawn, sorted, chosen from, saved, and quick."""

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.subplots import make_subplots

from parfocal.report.page import Page, render_page
from parfocal.report.sections import (
    ChooserSection,
    Column,
    FigureSection,
    Item,
    SettingsSection,
    TableSection,
    TextSection,
)
from parfocal.report.style import STYLE, numbers

from .browser import SLOW, opened_pages, started_browser  # noqa: F401
from .conftest import parfocal

QUICK = 5.0  # s of CPU in which a page of 8,000 micrographs opens
NAMES = [f"job/mic_{number}.mrc" for number in range(30)]
TILTS = np.array([(7 * n) % 30 / 3 for n in range(30)])


def curve(name: str, values) -> go.Figure:
    trace = go.Scatter(x=np.arange(len(values)), y=values, meta=numbers(name, x="n", y="value"))
    return go.Figure(trace, {"template": STYLE, "height": 700})


def panels(rng) -> go.Figure:
    """Eight particles in two scenes and from above, their rows in another order in each."""
    figure = make_subplots(
        cols=3, specs=[[{"type": "scene"}, {"type": "scene"}, {"type": "xy"}]], horizontal_spacing=0
    )
    place = rng.uniform(0, 10, (8, 3)).astype("f4")
    for column in (1, 2, 3):
        ids = rng.permutation(8).astype("i4")
        same = {"mode": "markers", "ids": ids, "x": place[ids, 0], "y": place[ids, 1]}
        trace = go.Scatter(**same) if column == 3 else go.Scatter3d(**same, z=place[ids, 2])
        figure.add_trace(trace, row=1, col=column)
    figure.update_layout(template=STYLE, meta={"linked": True, "place": place.tolist()})
    return figure


def some_page(n: int = 30) -> Page:
    rng = np.random.default_rng(4)
    return Page(
        title="<b>A page</b>",
        under="of every kind of section",
        verdict=("It works.",),
        sections=(
            FigureSection(id="lines", title="Lines", figure=curve("a, b", [1.5, np.nan, 2.25])),
            ChooserSection(
                id="one",
                title="One of several",
                table="all",
                items=tuple(
                    Item(name, curve(name, [k, k + 1])) for k, name in enumerate(NAMES[:3])
                ),
            ),
            FigureSection(id="linked", title="Linked", figure=panels(rng)),
            TableSection(
                id="all",
                title="All",
                noun="micrographs",
                columns=(
                    Column(heading="micrograph", name="micrograph", values=NAMES, path=True),
                    Column(
                        heading="tilt [°]",
                        name="tilt_deg",
                        values=np.where(np.arange(30) == 4, np.nan, TILTS),
                        errors=TILTS / 10,
                        digits=2,
                    ),
                ),
            ),
            TextSection(id="paper", title="Paper", paragraphs=("First.", "Second."), copy=True),
            SettingsSection(values={"settings": {"range": 2000}}),
        ),
    )


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "page.html"
    made.write_text(render_page(some_page()), encoding="utf-8")
    return made


def test_every_figure_is_drawn_when_it_comes_near(file, opened):
    here = opened(file)
    assert here.plots() == ["lines", "linked", "one"]
    assert here.page.locator("#plot-linked .main-svg").count() == 0, "it is far below"
    here.draw_all()
    for name in here.plots():
        box = here.page.locator(f"#plot-{name} .main-svg").first.bounding_box()
        assert box["width"] > 600
        assert box["height"] > 200


def test_a_script_that_fails_is_seen(tmp_path, opened):
    file = tmp_path / "bad.html"
    html = render_page(some_page()).replace('data-kind="text"', 'data-kind="table"')
    file.write_text(html, encoding="utf-8")
    here = opened(file)
    with pytest.raises(AssertionError):
        here.check()
    here.errors.clear()


def test_a_page_that_asks_the_network_is_seen(tmp_path, opened):
    file, other = tmp_path / "page.html", tmp_path / "other.html"
    other.write_text("<p>", encoding="utf-8")
    file.write_text('<iframe src="other.html"></iframe>', encoding="utf-8")
    here = opened(file)
    assert [address.rpartition("/")[2] for address in here.asked] == ["other.html"]
    here.asked.clear()


def test_a_click_on_a_heading_sorts_and_gaps_come_last(file, opened):
    here = opened(file)
    heading = here.page.locator("#all thead th").nth(1)
    shown = [f"{t:.2f} ± {t / 10:.2f}" for t in TILTS]
    shown[4] = "–"
    assert here.cells("all", 1) == shown[:20]
    known = [n for n in range(30) if n != 4]
    for sign, state in ((1, "ascending"), (-1, "descending")):
        heading.click()
        assert heading.get_attribute("aria-sort") == state
        order = [*sorted(known, key=lambda n: sign * TILTS[n]), 4]
        assert here.cells("all", 1) == [shown[n] for n in order[:20]]
    here.page.locator("#all .next").click()
    assert here.cells("all", 1) == [shown[n] for n in order[20:]]
    here.page.locator("#all thead th").nth(0).click()  # numbers in names count as numbers
    assert here.cells("all", 0) == [f"mic_{n}.mrc" for n in range(20)]


def test_the_filter_leaves_what_has_the_word(file, opened):
    here = opened(file)
    here.page.locator("#all .filter").fill("MIC_2")
    assert here.cells("all", 0) == [f"mic_{n}.mrc" for n in (2, *range(20, 30))]
    assert here.page.locator("#all .page-of").inner_text() == "11 micrographs, page 1 of 1"
    assert "All are in job/" in here.page.locator("#all .caption").inner_text()


def drawn(here, section: str) -> list[float]:
    """y of the first trace that is on the screen."""
    return here.page.evaluate(f"Array.from($('plot-{section}')._fullData[0].y)")


def test_a_chooser_shows_one_figure_at_a_time(file, opened):
    here = opened(file)
    here.draw_all()
    assert drawn(here, "one") == [0, 1]
    assert here.page.locator("#one .facts").inner_text() == "tilt 0.00 ± 0.00°"
    assert here.page.locator("#one .previous").is_disabled()
    here.page.locator("#one .next").click()
    assert drawn(here, "one") == [1, 2]
    here.page.locator("#one select").select_option("mic_2.mrc")
    assert drawn(here, "one") == [2, 3]
    assert here.page.locator("#one .next").is_disabled()
    assert here.csv("one")[1:] == [[NAMES[2], "0", "2"], [NAMES[2], "1", "3"]]
    here.page.locator("#all tbody a", has_text="mic_1.mrc").click()
    assert drawn(here, "one") == [1, 2]
    assert here.page.locator("#one select").input_value() == "mic_1.mrc"
    assert here.page.locator("#all tbody a").count() == 3  # the others are not drawn


def test_saved_numbers_are_those_of_the_figure_and_the_table(file, opened):
    here = opened(file)
    here.draw_all()
    with here.page.expect_download() as download:
        here.page.locator("#lines [data-save=csv]").click()
    text = download.value.path().read_text(encoding="utf-8")
    assert text == 'series,n,value\n"a, b",0,1.5\n"a, b",1,\n"a, b",2,2.25\n'
    header, *lines = here.csv("all")
    assert header == ["micrograph", "tilt_deg", "tilt_deg_error"]
    assert [line[0] for line in lines] == NAMES
    assert lines[4][1] == ""
    kept = [n for n in range(30) if n != 4]
    np.testing.assert_allclose([float(lines[n][1]) for n in kept], TILTS[kept], rtol=1e-5)
    np.testing.assert_allclose([float(line[2]) for line in lines], TILTS / 10, rtol=1e-5)


def test_figures_are_saved_as_pictures(file, opened):
    here = opened(file)
    here.draw_all()
    for form, begins in (("svg", b"<svg"), ("png", b"\x89PNG")):
        with here.page.expect_download(timeout=SLOW) as download:
            here.page.locator(f"#linked [data-save={form}]").click()
        assert download.value.suggested_filename == f"parfocal-linked.{form}"
        assert download.value.path().read_bytes().startswith(begins)


MARKS = "$('plot-linked').linked.n"


def marked(here) -> list[list[float]]:
    """Where the mark is in each panel: x, y (z)."""
    return here.page.evaluate(
        f"$('plot-linked')._fullData.slice({MARKS}).map((t) => [t.x[0], t.y[0], t.z?.[0]])"
    )


def test_a_particle_that_is_pointed_at_is_marked_in_every_panel(file, opened):
    here = opened(file)
    here.draw_all()
    place = here.page.evaluate("figures.linked.layout.meta.place")
    assert marked(here) == [[None, None, None]] * 2 + [[None, None, None]]
    spot = here.page.locator("#plot-linked .scatterlayer .trace").first.locator("path").nth(3)
    spot.hover(force=True)
    here.page.wait_for_function(f"$('plot-linked')._fullData[{MARKS}].x[0] !== null", timeout=SLOW)
    third = here.page.evaluate("values(figures.linked.data[2].ids)[3]")
    x, y, z = place[third]
    np.testing.assert_allclose(marked(here)[:2], [[x, y, z]] * 2, rtol=1e-6)
    np.testing.assert_allclose(marked(here)[2][:2], [x, y], rtol=1e-6)


def test_linked_scenes_turn_together(file, opened):
    here = opened(file)
    here.draw_all()
    eye = {"x": 2.0, "y": 0.5, "z": 0.25}
    here.page.evaluate(
        "(eye) => Plotly.relayout($('plot-linked'), { 'scene2.camera': { eye } })", eye
    )
    here.page.wait_for_function("$('plot-linked').layout.scene.camera?.eye?.x === 2", timeout=SLOW)
    assert here.page.evaluate("$('plot-linked').layout.scene.camera.eye") == eye


def test_the_paragraph_is_copied(file, opened):
    here = opened(file)
    here.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    here.page.locator("#paper .copy").click()
    here.page.wait_for_function("document.querySelector('.copy').textContent === 'Copied'")
    assert here.page.evaluate("navigator.clipboard.readText()") == "First.\n\nSecond."


def test_the_page_of_a_run_is_drawn(finished, opened):
    here = opened(finished[0] / "report.html")
    assert {"histograms", "overview", "micrograph", "spectra"} <= set(here.plots())
    here.draw_all()
    first = here.cells("micrographs", 0)[0]
    assert here.page.locator("#micrograph select").input_value() == first
    lines = here.csv("micrograph")
    assert lines[0][:3] == ["series", "particle", "x_A"]
    assert len(lines) == 1 + int(here.cells("micrographs", 1)[0])


def test_the_page_of_limits_is_drawn(tmp_path, opened):
    assert parfocal("limits", "--error", "200", "--out", tmp_path / "limits").code == 0
    here = opened(tmp_path / "limits" / "report.html")
    here.draw_all()
    assert here.plots() == ["reach", "phase", "signal", "needed"]
    assert here.cells("limits", 3) == ["2.81", "3.17"]
    found = {tuple(line[:2]): float(line[2]) for line in here.csv("reach")[1:]}
    assert found["300 kV, 90°", "200"] == pytest.approx(2.806, abs=1e-3)


def test_a_page_of_8000_micrographs_opens_quickly(tmp_path, opened):
    rng, n = np.random.default_rng(5), 8000
    names = [f"MotionCorr/job003/Movies/FoilHole_{k:05d}_Fractions.mrc" for k in range(n)]
    points = go.Scattergl(x=np.arange(n), y=rng.normal(size=n).astype("f4"), mode="markers")
    columns = [
        Column(heading=f"value {k}", name=f"value_{k}", values=rng.normal(size=n), digits=2)
        for k in range(12)
    ]
    name = Column(heading="micrograph", name="micrograph", values=names, path=True)
    many = {"mode": "markers", "x": rng.random(4000), "y": rng.random(4000), "text": names[:4000]}
    items = [
        Item(name, go.Figure(go.Scatter3d(z=rng.random(4000), **many), {"template": STYLE}))
        for name in names[:30]
    ]
    page = Page(
        title="Large",
        under="",
        verdict=("Large.",),
        sections=(
            FigureSection(id="points", title="Points", figure=go.Figure(points)),
            ChooserSection(id="one", title="One", items=tuple(items), table="all"),
            TableSection(id="all", title="All", columns=(name, *columns)),
        ),
    )
    file = tmp_path / "large.html"
    file.write_text(render_page(page), encoding="utf-8")
    assert 12e6 < file.stat().st_size < 20e6, "as large as a page may be"
    here = opened(file)
    here.page.wait_for_selector("#plot-points .main-svg", state="attached")
    assert len(here.cells("all", 0)) == 20
    opening = here.busy()
    assert 0 < opening < QUICK
    here.page.locator("#all thead th").nth(3).dispatch_event("click")  # which scrolls nowhere
    assert here.cells("all", 3) == [f"{value:.2f}" for value in sorted(columns[2].values)[:20]]
    assert 0 < here.busy() - opening < 1.0
