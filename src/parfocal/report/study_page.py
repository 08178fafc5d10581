"""The page of a study: the verdict, and behind it every figure and table of the paper, in one place."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from parfocal.limits import LimitSettings, limit_tables
from parfocal.report.compare_page import compare_sections
from parfocal.report.consensus_page import consensus_sections
from parfocal.report.limits_page import limits_page
from parfocal.report.page import Page, render_page
from parfocal.report.sections import (
    ChooserSection,
    Column,
    Link,
    Section,
    SettingsSection,
    TableSection,
    TextSection,
)
from parfocal.report.validation_page import validation_sections, validation_tiles
from parfocal.study_record import STEPS, StudyRun

FIGURES = (  # of the paper: what it is called there, what it shows, and which sections have it here
    ("Table 1", "correlations of the methods within micrographs", ("compare-table-1",)),
    ("Fig. 4", "the workflow", ("steps",)),
    ("Fig. 5", "one micrograph by each method, with its plane", ("compare-planes",)),
    ("Fig. 6", "every method against every other", ("compare-scatter",)),
    ("Fig. 7", "stability of each method", ("compare-stability",)),
    ("Fig. 8", "every method against the median", ("consensus-median",)),
    ("Fig. 9", "median absolute deviation of the methods", ("consensus-mad",)),
    ("Fig. 10", "resolution that an error allows", ("limits-reach",)),
    ("Fig. 11", "local resolution in slices", ("validate-slices",)),
    ("Fig. 12, 13", "FSC with each method's defocus", ("validate-fsc",)),
    ("Fig. S-1", "every method against the global defocus", ("compare-global",)),
    ("Fig. S-2", "phase that an error turns", ("limits-phase",)),
    ("Fig. S-3 to S-6", "histograms of local resolution", ("validate-local-resolution",)),
)


def study_page(run: StudyRun) -> str:
    """HTML of a study: one page, its parts being the sections of the pages of its steps."""
    parts = {
        "validate": validation_sections(run.validate),
        "compare": compare_sections(run.compare),
        "consensus": consensus_sections(run.consensus),
        "limits": _limits(run.voltage),
    }
    adopted = {step: [*_adopted(sections, step)] for step, sections in parts.items()}
    sections = [*adopted.pop("validate"), _steps(run)]
    sections += [section for others in adopted.values() for section in others]
    texts = [s for step in ("compare", "consensus", "validate") for s in parts[step]]
    page = Page(
        title=f"Does local defocus help {run.source.name}?",
        under=f"A study of {len(run.validate.info['sets'])} sets of defoci, from images to maps; "
        f"parfocal {run.info['parfocal']}",
        verdict=tuple(run.info["verdict"]),
        tiles=validation_tiles(run.validate),
        warnings=tuple(run.info["warnings"]),
        links=tuple(Link(name, f"{name}/report.html") for name in STEPS),
        sections=(
            *sections,
            _index({section.id for section in sections}),
            _methods_text(texts),
            _settings(run),
        ),
    )
    return render_page(page)


def _limits(voltage: float) -> list[Section]:
    """What an error costs at this voltage: the paper's Fig. 10 and S-2."""
    settings = LimitSettings(voltages=(voltage,))
    sections = limits_page(settings, limit_tables(settings)).sections
    return [section for section in sections if section.id in ("reach", "phase")]


def _adopted(sections: Iterable[Section], step: str) -> Iterator[Section]:
    """The sections of a step's page, under ids of their own; its texts and settings come at the end."""
    for section in sections:
        if isinstance(section, TextSection | SettingsSection):
            continue
        changes = {"id": f"{step}-{section.id}"}
        if isinstance(section, ChooserSection) and section.table:
            changes["table"] = f"{step}-{section.table}"
        yield replace(section, **changes)


def _steps(run: StudyRun) -> TableSection:
    steps = run.info["steps"]
    return TableSection(
        id="steps",
        title="What was done",
        short="Steps",
        noun="steps",
        caption="The paper's Fig. 4: every method on the same images, the methods against each other, "
        "one defocus from all, and maps with each, of the same particles, half-sets and mask.",
        columns=(
            Column(
                heading="step",
                name="step",
                values=[step["name"] for step in steps],
                links=[f"{step['name']}/report.html" for step in steps],
            ),
            Column(heading="what", name="what", values=[step["what"] for step in steps]),
            Column(heading="found", name="found", values=[step["found"] for step in steps]),
            Column(
                heading="time [s]", name="wall_s", values=[s["wall_s"] for s in steps], digits=0
            ),
        ),
    )


def _index(here: set[str]) -> TableSection:
    """Where each figure of the paper is."""
    places = [next((place for place in wanted if place in here), "") for *_, wanted in FIGURES]
    return TableSection(
        id="paper",
        title="The paper's figures and tables",
        short="Index",
        noun="figures",
        caption="Of Fernandez-Gimenez, Carazo and Sorzano, J. Struct. Biol. 2023, doi "
        "10.1016/j.jsb.2023.108030.",
        columns=(
            Column(heading="there", name="there", values=[name for name, *_ in FIGURES]),
            Column(heading="shows", name="shows", values=[what for _, what, _ in FIGURES]),
            Column(
                heading="here",
                name="here",
                values=["see it" if place else "nothing to draw" for place in places],
                links=[f"#{place}" if place else "" for place in places],
            ),
        ),
    )


def _methods_text(sections: Iterable[Section]) -> TextSection:
    texts = [s.paragraphs for s in sections if isinstance(s, TextSection) and s.copy]
    return TextSection(
        id="methods-text",
        title="For the methods part of a paper",
        paragraphs=tuple(paragraph for paragraphs in texts for paragraph in paragraphs),
        copy=True,
    )


def _settings(run: StudyRun) -> SettingsSection:
    return SettingsSection(
        values={
            "Settings": run.info["settings"],
            "Inputs": run.info["inputs"],
            "Versions": {"parfocal": run.info["parfocal"], "command": run.info["command"]},
            "Timings [s]": run.info["timings"],
        }
    )
