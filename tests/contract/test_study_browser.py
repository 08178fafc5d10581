"""The page of a study, which holds those of its steps, opened in a real browser."""

import json
from pathlib import Path

import pytest

from .browser import opened_pages, started_browser  # noqa: F401 - fixtures
from .conftest import HALVES, parfocal


def test_the_page_of_a_study(project, opened):
    arguments = (*HALVES, "--method", "bayes,relion", "--out", "study")
    said = parfocal("study", "particles.star", *arguments)
    assert said.code == 0, said.err
    page = opened(project / "study" / "report.html")
    page.draw_all()
    steps = ("validate-fsc", "validate-slices", "compare-table-1", "consensus-mad", "limits-reach")
    assert set(steps) <= set(page.plots())
    # what each set is worth, as saved, is that of run.json
    rows = json.loads(Path("study/run.json").read_text())["validation"]
    worth = {row["name"]: 100 * row["worth"]["value"] for row in rows}
    lines = page.csv("validate-worth")
    saved = {line[1]: float(line[2]) for line in lines[1:] if line[0] == "worth"}
    assert saved == pytest.approx({n: w for n, w in worth.items() if n != "input"}, abs=0.01)
    seen = {line[1]: float(line[2]) for line in lines[1:] if line[0] == "with chance"}
    assert seen.keys() == {"bayes", "relion", "consensus"}
    # the table begins with the best set, and sorts by another column at a click
    assert page.cells("validate-sets", 0)[0] == rows[0]["name"]
    page.page.locator("#validate-sets th").nth(2).click()
    finest = [float(text.split()[0]) for text in page.cells("validate-sets", 2)]
    assert finest == sorted(finest)
    # the index leads to every figure of the paper that these data have
    links = page.page.locator("#paper tbody a")
    targets = [links.nth(i).get_attribute("href") for i in range(links.count())]
    assert len(targets) >= 12
    for target in targets:
        assert page.page.locator(target).count() == 1, target
