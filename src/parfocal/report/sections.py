"""What a page is put together from, as data: figures, tables, choosers, texts and settings.

Texts are plain and are escaped; only a `markupsafe.Markup` that this package made is taken as HTML.
Texts inside of figures are plotly's: whoever makes the figure escapes names with `html.escape`.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
from plotly.graph_objects import Figure

MISSING = "–"


class Tile(NamedTuple):
    """A key number of the page."""

    name: str
    value: str
    note: str = ""


class Link(NamedTuple):
    """A way to another page, relative to this one."""

    text: str
    href: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table: numbers if it has `digits`, else texts. NaN and None are gaps."""

    heading: str  # with its unit in brackets: "tilt [°]"
    name: str  # in the CSV file: "tilt_deg"
    values: Sequence | np.ndarray
    errors: Sequence | np.ndarray | None = None  # shown after ±
    error_name: str = ""  # in the CSV file; default: name + "_error"
    digits: int | None = None  # shown after the point
    links: Sequence[str] = ()  # where each value leads, relative to the page; "": nowhere
    path: bool = False  # file names: the folder that all share is told once, not in every row
    note: str = ""  # shown when the mouse is over the heading

    def __post_init__(self) -> None:
        for name, values in (("errors", self.errors), ("links", self.links or None)):
            if values is not None and len(values) != len(self.values):
                raise ValueError(f"{self.name}: {len(values)} {name}, {len(self.values)} values")
        for link in self.links:
            check_link(link)

    def as_json(self) -> dict:
        """What page.js reads."""
        stored = {
            "heading": self.heading,
            "name": self.name,
            "note": self.note,
            "digits": self.digits,
            "path": self.path,
            "values": _plain(self.values),
        }
        if self.errors is not None:
            stored["errors"] = _plain(self.errors)
            stored["errorName"] = self.error_name or f"{self.name}_error"
        if self.links:
            stored["links"] = list(self.links)
        return stored


@dataclass(frozen=True, kw_only=True)
class Section:
    """What all sections have."""

    kind: ClassVar[str] = ""
    id: str  # of its place in the page, and part of the names of files saved from it
    title: str
    short: str = ""  # in the bar at the top; default: the title
    caption: str = ""

    def stored(self) -> str:
        """JSON that page.js reads, or nothing."""
        return ""


@dataclass(frozen=True, kw_only=True)
class FigureSection(Section):
    """A figure, drawn when it comes near the window; saved as CSV (its numbers), SVG and PNG.

    Traces whose `meta` names columns (`style.numbers`) are its numbers. With `layout.meta`
    `{"linked": True}` points of equal `ids` are marked together in all panels, and the scenes turn
    together.
    """

    kind = "figure"
    figure: Figure

    def stored(self) -> str:
        return str(self.figure.to_json())


@dataclass(frozen=True, kw_only=True)
class TableSection(Section):
    """A table: sorted by a click on a heading, filtered by its texts, in pages, saved as CSV."""

    kind = "table"
    columns: tuple[Column, ...]
    noun: str = "rows"  # what the rows are
    muted: Sequence[int] = ()  # rows in grey

    def __post_init__(self) -> None:
        if len({len(column.values) for column in self.columns}) != 1:
            lengths = {column.name: len(column.values) for column in self.columns}
            raise ValueError(f"columns of table {self.id!r} differ in length: {lengths}")

    def stored(self) -> str:
        """JSON of the columns."""
        table = {
            "noun": self.noun,
            "muted": [int(row) for row in self.muted],
            "columns": [column.as_json() for column in self.columns],
        }
        return json.dumps(table, separators=(",", ":"), allow_nan=False)


class Item(NamedTuple):
    """One of the figures of a chooser."""

    name: str  # in the select box; the same as in the first column of the table, if there is one
    figure: Figure
    facts: str = ""  # beside the box; default: the item's row of the table


@dataclass(frozen=True, kw_only=True)
class ChooserSection(Section):
    """Several figures of one kind, of which one is shown."""

    kind = "chooser"
    items: tuple[Item, ...]
    table: str = ""  # id of the table whose first column names the items: a click there chooses

    def stored(self) -> str:
        """JSON of the names, the facts and the figures."""
        head = {
            "table": self.table,
            "names": [item.name for item in self.items],
            "facts": [item.facts for item in self.items],
        }
        figures = ",".join(str(item.figure.to_json()) for item in self.items)
        return f'{json.dumps(head)[:-1]}, "figures": [{figures}]}}'


@dataclass(frozen=True, kw_only=True)
class TextSection(Section):
    """Paragraphs; with `copy` a button puts them on the clipboard, such as methods for a paper."""

    kind = "text"
    paragraphs: tuple[str, ...]
    copy: bool = False


@dataclass(frozen=True, kw_only=True)
class SettingsSection(Section):
    """Names and values in groups: settings, versions, inputs."""

    kind = "settings"
    id: str = "run"
    title: str = "How this was made"
    short: str = "Run"
    values: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def check_link(href: str) -> None:
    """ValueError if `href` leads anywhere but to a place in this page or a file near it."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|//", href):
        raise ValueError(f"{href!r} is not a link to a page nearby")


def quantity(value: float, form: str, unit: str = "") -> str:
    """A number with its unit for tiles and sentences; a dash for what is not finite."""
    return f"{value:{form}} {unit}".rstrip() if math.isfinite(value) else MISSING


def _plain(values) -> list:
    """Values as JSON has them: six digits, null for gaps."""
    return [_value(v) for v in (values.tolist() if isinstance(values, np.ndarray) else values)]


def _value(value):
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
