"""A page as data: what cannot be a page is refused, and all that is in it arrives."""

import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from parfocal.report.page import Page, render_page
from parfocal.report.sections import (
    ChooserSection,
    Column,
    FigureSection,
    Item,
    Link,
    SettingsSection,
    TableSection,
    TextSection,
    Tile,
    quantity,
)

NASTY = "</script><script>alert('x')</script>"


def page_of(*sections, **others) -> Page:
    texts = {"title": "Title", "under": "under it", "verdict": ("It is so.",)}
    return Page(sections=sections, **(texts | others))


def text_of(page: Page) -> str:
    return render_page(page).replace(get_plotlyjs(), "")


def stored(page: Page, section: str):
    """What the page's scripts read of a section."""
    found = re.search(rf'id="data-{section}">(.*?)</script>', text_of(page), re.DOTALL)
    assert found
    return json.loads(found[1])


def table(**columns) -> TableSection:
    made = tuple(
        Column(heading=name, name=name, values=values, digits=None if name == "name" else 1)
        for name, values in columns.items()
    )
    return TableSection(id="rows", title="Rows", columns=made)


def a_figure(name="a") -> go.Figure:
    return go.Figure(go.Scatter(x=[1, 2], y=[3, 4], name=name))


def test_every_part_arrives_in_order():
    page = page_of(
        TextSection(id="second", title="Second", paragraphs=("Some text.",)),
        SettingsSection(values={"group": {"a name": 17}}),
        tiles=(Tile("tile", "42 Å", "a note"),),
        warnings=("Mind this.", "And that."),
        links=(Link("elsewhere", "../other/report.html"),),
        footer="At the foot.",
    )
    text = text_of(page)
    wanted = (
        "<h1>Title</h1>",
        "under it",
        '<a href="../other/report.html">elsewhere</a>',
        "It is so.",
        "2 warnings",
        "And that.",
        "42 Å",
        "a note",
        "Some text.",
        "<td>a name</td><td>17</td>",
        "At the foot.",
    )
    places = [text.find(word) for word in wanted]
    assert -1 not in places
    assert places == sorted(places)


def test_the_bar_names_every_section_and_leads_to_it():
    page = page_of(
        TextSection(id="one", title="A long title", short="One", paragraphs=()),
        TextSection(id="two", title="Two", paragraphs=()),
    )
    bar = text_of(page).partition("<nav")[2].partition("</nav>")[0]
    assert re.findall(r'<a href="#(\w+)">(\w+)</a>', bar) == [
        ("summary", "Summary"),
        ("one", "One"),
        ("two", "Two"),
    ]


def test_texts_are_escaped_unless_they_are_markup():
    page = page_of(
        TextSection(id="t", title=NASTY, caption=Markup("<b>bold</b>"), paragraphs=(NASTY,)),
        table(name=[NASTY]),
        ChooserSection(id="c", title=NASTY, items=(Item(NASTY, a_figure(NASTY), NASTY),)),
        SettingsSection(values={NASTY: {NASTY: NASTY}}),
        title=NASTY,
        under=NASTY,
        verdict=(NASTY,),
        tiles=(Tile(NASTY, NASTY, NASTY),),
        warnings=(NASTY,),
        links=(Link(NASTY, "a.html"),),
        footer=NASTY,
    )
    text = text_of(page)
    assert "<b>bold</b>" in text
    assert NASTY not in text
    assert "<script>alert" not in text
    assert stored(page, "rows")["columns"][0]["values"] == [NASTY]  # whole, where it is data
    assert stored(page, "c")["names"] == [NASTY]


def test_a_table_keeps_counts_exact_numbers_to_six_digits_and_gaps():
    page = page_of(
        table(
            name=["a", None, "c"],
            count=np.array([12_345_678, 2, 3]),
            value=np.array([12345.678, np.nan, -np.inf]),
        )
    )
    columns = stored(page, "rows")["columns"]
    assert [c["values"] for c in columns] == [
        ["a", None, "c"],
        [12_345_678, 2, 3],
        [12345.7, None, None],
    ]
    assert [c["digits"] for c in columns] == [None, 1, 1]


def test_errors_and_links_go_with_their_column():
    column = Column(
        heading="tilt [°]",
        name="tilt_deg",
        values=[1.0, 2.0],
        errors=[0.1, np.nan],
        digits=2,
        links=["", "one.html"],
    )
    page = page_of(TableSection(id="rows", title="Rows", columns=(column,), muted=np.array([1])))
    (found,) = stored(page, "rows")["columns"]
    assert found["errors"] == [0.1, None]
    assert found["errorName"] == "tilt_deg_error"
    assert found["links"] == ["", "one.html"]
    assert stored(page, "rows")["muted"] == [1]


def test_figures_are_stored_whole():
    page = page_of(
        FigureSection(id="f", title="F", figure=a_figure("<b>")),
        ChooserSection(id="c", title="C", items=(Item("1", a_figure()), Item("2", a_figure("z")))),
        ChooserSection(id="none", title="None", items=()),
    )
    assert stored(page, "f") == json.loads(a_figure("<b>").to_json())
    assert [f["data"][0]["name"] for f in stored(page, "c")["figures"]] == ["a", "z"]
    assert stored(page, "none")["figures"] == []


@pytest.mark.parametrize("name", ["", "Big", "two words", "9", 'a"b', "summary", "t"])
def test_ids_that_cannot_be_are_refused(name):
    first = TextSection(id="t", title="T", paragraphs=())
    with pytest.raises(ValueError, match="id"):
        page_of(first, TextSection(id=name, title="T", paragraphs=()))


def test_a_chooser_of_a_table_that_is_not_there_is_refused():
    chooser = ChooserSection(id="c", title="C", items=(), table="rows")
    page_of(chooser, table(name=["a"]))
    with pytest.raises(ValueError, match="rows"):
        page_of(chooser)


@pytest.mark.parametrize(
    "href", ["javascript:alert(1)", "https://example.org", "//example.org", "file:///etc/passwd"]
)
def test_links_that_leave_are_refused(href):
    with pytest.raises(ValueError, match="link"):
        page_of(links=(Link("out", href),))
    with pytest.raises(ValueError, match="link"):
        Column(heading="a", name="a", values=["x"], links=[href])


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="differ in length"):
        table(name=["a"], value=[1, 2])
    with pytest.raises(ValueError, match="2 errors, 1 values"):
        Column(heading="a", name="a", values=[1.0], errors=[1, 2], digits=0)
    with pytest.raises(ValueError, match="differ in length"):
        TableSection(id="none", title="None", columns=())


@pytest.mark.parametrize(
    ("value", "form", "unit", "text"),
    [(12.345, ".1f", "Å", "12.3 Å"), (np.nan, ".1f", "Å", "–"), (3.0, "+.0f", "", "+3")],
)
def test_quantities(value, form, unit, text):
    assert quantity(value, form, unit) == text
