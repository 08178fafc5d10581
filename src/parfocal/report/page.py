"""One self-contained HTML page from its sections: no network, no other file."""

import re
from dataclasses import dataclass

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from parfocal.report.sections import ChooserSection, Link, Section, TableSection, Tile, check_link

FOOTER = "Underfocus is positive; change = estimate − input. This page needs no network."


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that a page shows, in order. Texts as in `sections`: plain, and escaped."""

    title: str
    under: str  # the line under the title: what kind of page this is
    verdict: tuple[str, ...]  # sentences; the first is the answer
    sections: tuple[Section, ...]
    tiles: tuple[Tile, ...] = ()
    warnings: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()  # to other pages that belong with this one
    footer: str = FOOTER

    def __post_init__(self) -> None:
        ids = ["summary", *(section.id for section in self.sections)]
        for name in ids:
            if not re.fullmatch("[a-z][a-z0-9-]*", name) or ids.count(name) > 1:
                raise ValueError(f"sections need ids of their own, of letters, not {name!r}")
        tables = {s.id for s in self.sections if isinstance(s, TableSection)}
        for section in self.sections:
            if isinstance(section, ChooserSection) and section.table not in {"", *tables}:
                raise ValueError(f"chooser {section.id!r} asks for table {section.table!r}")
        for link in self.links:
            check_link(link.href)


def render_page(page: Page) -> str:
    """The page as one HTML text, to be written as UTF-8.

    Everything is inside, plotly.js included (5 MB). What is in the sections is all that is in the
    page: whoever makes them bins what is large.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("parfocal", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("template.html").render(
        page=page,
        plotly_js=Markup(get_plotlyjs()),
        stored={s.id: _in_script(s.stored()) for s in page.sections},
    )


def _in_script(text: str) -> Markup:
    """JSON that cannot end the <script> that it stands in."""
    return Markup(text.replace("<", "\\u003c"))
