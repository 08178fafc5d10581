"""Pages opened in a real browser: Debian's chromium, driven by playwright, without a network.

A test module that wants it imports the two fixtures, and its tests ask for `opened`.
"""

import csv
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ..conftest import missing

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
SLOW = 30_000  # ms that a page may take for anything: 3D is drawn without a GPU here


@dataclass(frozen=True)
class Opened:
    """A page in the browser, and what went wrong in it so far."""

    page: object  # playwright's Page
    tools: object  # playwright's CDPSession of the page
    errors: list[str] = field(default_factory=list)  # of scripts, and of the console
    asked: list[str] = field(default_factory=list)  # addresses that are not this file or its own

    def plots(self) -> list[str]:
        """Ids of all sections with a figure."""
        return self.page.evaluate("Object.keys(figures)")

    def draw_all(self) -> None:
        """Bring every figure near the window, and wait until it is drawn."""
        for name in self.plots():
            self.page.locator(f"#plot-{name}").scroll_into_view_if_needed()
            self.page.wait_for_selector(f"#plot-{name} .main-svg", timeout=SLOW, state="attached")

    def cells(self, table: str, column: int) -> list[str]:
        """Texts of a column of the rows that are shown of a table; columns count from 0."""
        return self.page.locator(f"#{table} tbody td:nth-child({column + 1})").all_inner_texts()

    def csv(self, section: str) -> list[list[str]]:
        """The lines of the CSV file that a section's button saves."""
        with self.page.expect_download() as download:
            self.page.locator(f"#{section} [data-save=csv]").click()
        assert download.value.suggested_filename == f"parfocal-{section}.csv"
        text = Path(download.value.path()).read_text(encoding="utf-8")
        return list(csv.reader(text.splitlines()))

    def busy(self) -> float:
        """CPU time [s] that the page's own thread has used so far, however busy the machine is."""
        found = self.tools.send("Performance.getMetrics")["metrics"]
        return {metric["name"]: metric["value"] for metric in found}["TaskDuration"]

    def check(self) -> None:
        """No script failed, the console is clean, and nothing was asked of a network."""
        assert self.errors == []
        assert self.asked == []


@pytest.fixture(scope="module", name="browser")
def started_browser() -> Iterator[object]:
    """Chromium; one for all tests of a module."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: pip install playwright")
    chromium = shutil.which("chromium")
    if not chromium:
        missing("no chromium on the path: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(name="opened")
def opened_pages(browser) -> Iterator[Callable[[Path], Opened]]:
    """`opened(file)` opens an HTML file; what went wrong in any is told at the end of the test."""
    context, pages = browser.new_context(viewport={"width": 1280, "height": 900}), []

    def opening(file: Path) -> Opened:
        page = context.new_page()
        here = Opened(page=page, tools=context.new_cdp_session(page))
        here.tools.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.on("pageerror", lambda error: here.errors.append(str(error)))
        page.on(
            "console", lambda said: here.errors.append(said.text) if said.type == "error" else None
        )
        page.on(
            "request",
            lambda request: (
                here.asked.append(request.url)
                if not request.url.startswith((Path(file).resolve().as_uri(), "data:", "blob:"))
                else None
            ),
        )
        page.goto(Path(file).resolve().as_uri())
        pages.append(here)
        return here

    yield opening
    for here in pages:
        here.check()
    context.close()
