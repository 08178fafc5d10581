"""The page of a comparison: agreement, what to expect of it, faults, planes, stability."""

from collections.abc import Iterable

import numpy as np

from parfocal.agreement import correlation
from parfocal.compare import table_1
from parfocal.grouped import groups_of
from parfocal.ice import rows_by_micrograph
from parfocal.join import Joint
from parfocal.report import compare_captions as captions
from parfocal.report.agreement_figures import expected_figure, matrix_figure
from parfocal.report.compare_tables import (
    difference_table,
    fault_table,
    micrograph_table,
    pair_table,
    set_table,
    stability_table,
)
from parfocal.report.page import Page, render_page
from parfocal.report.sections import (
    ChooserSection,
    FigureSection,
    Item,
    Section,
    SettingsSection,
    TextSection,
    Tile,
    quantity,
)
from parfocal.report.set_figures import Panel, in_space_figure, panels_figure, scatter_matrix
from parfocal.set_runs import CompareRun

MOST_MICROGRAPHS = 12  # that can be chosen: each takes plotly half a second to build


def compare_page(run: CompareRun) -> str:
    """HTML of a comparison."""
    found = run.comparison
    pearson = [p.pearson.value for p in found.pairs if np.isfinite(p.pearson.value)]
    heights = np.sqrt(found.heights.value) if found.heights.value > 0 else np.nan
    page = Page(
        title=f"Comparison of {len(found.names)} sets of defoci"
        if found.pairs
        else "One set of defoci",
        under=f"{', '.join(found.names)}; parfocal {run.info['parfocal']}",
        verdict=tuple(_sentences(run)),
        tiles=(
            Tile("particles", f"{found.particles:,}", f"{found.common:,} trusted by all sets"),
            Tile("micrographs", f"{len(found.micrographs):,}"),
            Tile(
                "agreement", quantity(float(np.mean(pearson or [np.nan])), "+.2f"), "mean of pairs"
            ),
            Tile("heights", quantity(float(heights), ".0f", "Å"), "sd, without truth"),
            Tile("faults", str(sum(f.severity == "fault" for f in run.faults)), "named below"),
        ),
        sections=tuple(compare_sections(run)),
    )
    return render_page(page)


def _sentences(run: CompareRun):
    found = run.comparison
    serious = [fault for fault in run.faults if fault.severity == "fault"]
    if serious:
        yield f"{len(serious)} fault{'s' * (len(serious) > 1)} found: {serious[0].text}"
    if found.pairs:
        best = max(found.pairs, key=lambda p: np.nan_to_num(p.pearson.value, nan=-2))
        least = min(found.pairs, key=lambda p: np.nan_to_num(p.pearson.value, nan=2))
        if np.isnan(best.pearson.value):
            yield "How far the sets agree cannot be told."
        elif len(found.pairs) == 1:
            yield f"Averaged over micrographs the two correlate by {correlation(best.pearson)}."
        else:
            yield (
                f"Averaged over micrographs {' and '.join(best.names)} agree most "
                f"({correlation(best.pearson)}), {' and '.join(least.names)} least "
                f"({correlation(least.pearson)})."
            )
        verdicts = [str(e.verdict.value) for e in found.expected]
        for verdict in dict.fromkeys(verdicts):
            pairs = [" – ".join(e.names) for e in found.expected if str(e.verdict.value) == verdict]
            yield f"{verdict[0].upper()}{verdict[1:]}: {', '.join(pairs)}."
    yield from gaps(run.joined.joints)


def compare_sections(run: CompareRun) -> list[Section]:
    """What the page of a comparison shows, for pages that hold more."""
    found = run.comparison
    names, values, errors, _ = table_1(found)
    sections: list[Section] = []
    if run.faults:
        sections.append(fault_table(run.faults))
    if found.pairs:
        sections += [
            FigureSection(**captions.TABLE_1, figure=matrix_figure(names, values, errors)),
            FigureSection(**captions.EXPECTED, figure=expected_figure(found.expected)),
            pair_table(found),
            difference_table(found),
        ]
    sections.append(set_table(found))
    if found.pairs:
        titles = [f"r = {correlation(p.pooled)}" for p in found.pairs]
        figure = scatter_matrix(found.names, _centred(run), titles)
        sections.append(FigureSection(**captions.SCATTER, figure=figure))
    if np.isfinite(run.joined.prior).any():
        sections.append(FigureSection(**captions.GLOBAL, figure=panels_figure(_globals(run))))
    sections += [*_micrographs(run)]
    if run.folds or run.repeats:
        sections.append(FigureSection(**captions.STABILITY, figure=panels_figure(_runs(run))))
        sections.append(stability_table(run.folds, run.repeats))
    sections.append(TextSection(**captions.METHODS, paragraphs=(_methods_text(run),), copy=True))
    values = {
        "Settings": {
            "repeat": "yes" if run.info["settings"]["repeat"] else "no",
            "tolerance": f"{run.info['settings']['tolerance']:g} Å",
        },
        "Sets": {**run.info["sets"], "input": run.info["input"] or run.joined.base.name},
        "Versions": {"parfocal": run.info["parfocal"], "command": run.info["command"]},
        "Timings [s]": run.info["timings"],
    }
    sections.append(SettingsSection(values=values))
    return sections


def gaps(joints: Iterable[Joint]) -> list[str]:
    """A sentence for each set that lacks particles or holds others; one that none does."""
    told = [str(j) for j in joints if j.missing or j.beyond or j.failed or not j.in_order]
    return told or ["All sets hold the same particles."]


def _centred(run: CompareRun) -> np.ndarray:
    """(n, K) Å, defocus less its median on the micrograph; nan where not trusted."""
    groups = groups_of(run.joined.base.micrograph)
    trusted = np.where(run.joined.ok, run.joined.defocus, np.nan)
    return np.stack([groups.centred(values, robust=True) for values in trusted.T], axis=1)


def _globals(run: CompareRun) -> list[Panel]:
    joined = run.joined
    trusted = np.where(joined.ok, joined.defocus, np.nan)
    return [
        Panel(
            f"r = {one.correlation.value:.4f}",
            joined.prior,
            trusted[:, k],
            "global [Å]",
            f"{name} [Å]",
        )
        for k, (name, one) in enumerate(
            zip(run.comparison.names, run.comparison.globals, strict=True)
        )
    ]


def _runs(run: CompareRun) -> list[Panel]:
    names, joined = run.comparison.names, run.joined
    values = _centred(run)
    panels = []
    for one in run.repeats:
        i, j = (names.index(name) for name in one.agreement.names)
        axes = f"{names[i]} [Å]", f"{names[j]} [Å]"
        panels.append(Panel(f"r = {correlation(one.pooled)}", values[:, i], values[:, j], *axes))
    groups = groups_of(joined.base.micrograph)
    for name, one in run.folds.items() if not run.repeats else ():
        k = names.index(name)
        known = joined.ok[:, k] & np.isfinite(joined.folds[:, k]).all(axis=1)
        first, second = (
            groups.centred(np.where(known, fold, np.nan), robust=True)
            for fold in joined.folds[:, k].T
        )
        axes = f"{name}, first fold [Å]", f"{name}, second fold [Å]"
        panels.append(Panel(f"r = {correlation(one.pooled)}", first, second, *axes))
    return panels


def _micrographs(run: CompareRun):
    """The chooser of micrographs, drawn where there are coordinates, and the table of all."""
    found, base = run.comparison, run.joined.base
    table = micrograph_table(found)
    tilt = np.nanmedian([p.tilt for p in found.planes], axis=0) if _any_plane(run) else None
    if tilt is not None:
        fitted = np.flatnonzero(np.isfinite(tilt))
        ranked = fitted[np.argsort(tilt[fitted])]
        places = np.linspace(0, len(ranked) - 1, min(MOST_MICROGRAPHS, len(ranked)))
        drawn = np.sort(ranked[np.unique(places.round().astype(int))])
        rows_of = rows_by_micrograph(base.micrograph)
        trusted = np.where(run.joined.ok, run.joined.defocus, np.nan)
        items = []
        for number in drawn.tolist():
            name = found.micrographs[number]
            rows = rows_of[name]
            planes = {p.name: p.one(number) for p in found.planes}
            x, y = base.coordinate_x[rows], base.coordinate_y[rows]
            items.append(Item(name, in_space_figure(x, y, trusted[rows], planes)))
        caption = captions.PLANES["caption"].format(len(items), len(found.micrographs))
        yield ChooserSection(
            **{**captions.PLANES, "caption": caption}, items=tuple(items), table=table.id
        )
    yield table


def _any_plane(run: CompareRun) -> bool:
    return all(p.found().any() for p in run.comparison.planes)


def _methods_text(run: CompareRun) -> str:
    found = run.comparison
    text = (
        f"Per-particle defoci of {len(found.names)} sets ({', '.join(found.names)}) were joined by "
        f"particle and compared with parfocal {run.info['parfocal']} on {found.particles:,} particles "
        f"of {len(found.micrographs):,} micrographs. Pearson correlations were computed within "
        "micrographs and averaged over them, with standard errors over micrographs, as in "
        "Fernandez-Gimenez, Carazo and Sorzano (J. Struct. Biol. 2023)."
    )
    if np.isnan(found.heights.value):
        return text
    return (
        f"{text} The correlation expected if every set were right was derived from the variance of "
        f"heights, which {'folds of the images' if run.folds else 'error bars and spreads'} tell "
        "without ground truth."
    )
