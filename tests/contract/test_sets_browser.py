"""The pages of a comparison and a consensus, opened in a real browser."""

import json
import shutil
from pathlib import Path

import pytest

from .browser import opened_pages, started_browser  # noqa: F401 - fixtures
from .conftest import parfocal

INPUT = ("--input", "particles.star")


@pytest.fixture
def folder(project, several, request) -> Path:
    """The folder that a command made of a run of several methods."""
    ignored = shutil.ignore_patterns("spectra")
    shutil.copytree(several, project / "run", ignore=ignored)
    said = parfocal(request.param, "run", *INPUT, "--out", "made")
    assert said.code == 0, said.err
    return project / "made"


@pytest.mark.parametrize("folder", ["compare"], indirect=True)
def test_the_page_of_a_comparison(folder, opened):
    page = opened(folder / "report.html")
    page.draw_all()
    assert {"table-1", "expected", "scatter", "global", "planes", "stability"} <= set(page.plots())
    # the numbers of Table 1 as saved are those of run.json
    lines = page.csv("table-1")
    found = json.loads((folder / "run.json").read_text())["comparison"]
    saved = {tuple(line[1:3]): float(line[3]) for line in lines[1:]}
    for pair in found["pairs"]:
        for names in (tuple(pair["names"]), tuple(reversed(pair["names"]))):
            assert saved[names] == pytest.approx(pair["pearson"]["value"], rel=1e-5)
    first = page.cells("pairs", 4)
    page.page.locator("#pairs th").nth(4).click()
    ranked = [float(text.split()[0]) for text in page.cells("pairs", 4)]
    assert ranked == sorted(ranked)
    assert sorted(first) == sorted(page.cells("pairs", 4))


@pytest.mark.parametrize("folder", ["consensus"], indirect=True)
def test_the_page_of_a_consensus(folder, opened):
    page = opened(folder / "report.html")
    page.draw_all()
    assert {"weights", "mad", "median"} <= set(page.plots())
    lines = page.csv("weights")
    found = json.loads((folder / "run.json").read_text())["weights"]
    saved = {(line[1], line[0]): float(line[2]) for line in lines[1:]}
    for part, weights in found.items():
        for name, weight in weights.items():
            assert saved[part, name] == pytest.approx(weight, abs=1e-6)
