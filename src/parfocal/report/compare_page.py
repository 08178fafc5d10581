"""The page of a comparison: agreement, what to expect of it, faults, planes, stability."""

import numpy as np

from parfocal.compare import table_1
from parfocal.grouped import groups_of
from parfocal.ice import rows_by_micrograph
from parfocal.report import compare_captions as captions
from parfocal.report.agreement_figures import expected_figure, matrix_figure
from parfocal.report.compare_tables import (
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
        title=f"Comparison of {len(found.names)} sets of defoci",
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
        yield (
            f"Averaged over micrographs {' and '.join(best.names)} agree most "
            f"({best.pearson.value:+.2f} ± {best.pearson.error:.2f}), {' and '.join(least.names)} "
            f"least ({least.pearson.value:+.2f} ± {least.pearson.error:.2f})."
        )
        verdicts = [str(e.verdict.value) for e in found.expected]
        for verdict in dict.fromkeys(verdicts):
            pairs = [" – ".join(e.names) for e in found.expected if str(e.verdict.value) == verdict]
            yield f"{verdict[0].upper()}{verdict[1:]}: {', '.join(pairs)}."
    gaps = [str(j) for j in run.joined.joints if j.missing or j.beyond or not j.in_order]
    yield from gaps or ["All sets hold the same particles."]


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
        ]
    sections.append(set_table(found))
    if found.pairs:
        titles = [f"r = {p.pooled.value:.2f} ± {p.pooled.error:.2f}" for p in found.pairs]
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
        "Settings": run.info["settings"],
        "Sets": {**run.info["sets"], "input": run.info["input"] or run.joined.base.name},
        "Versions": {"parfocal": run.info["parfocal"], "command": run.info["command"]},
        "Timings [s]": run.info["timings"],
    }
    sections.append(SettingsSection(values=values))
    return sections


def _centred(run: CompareRun) -> np.ndarray:
    """(n, K) Å, defocus less its mean on the micrograph; nan where not trusted."""
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
        told = f"{one.pooled.value:.2f}"
        panels.append(
            Panel(f"r = {told}", values[:, i], values[:, j], f"{names[i]} [Å]", f"{names[j]} [Å]")
        )
    start = np.where(np.isfinite(joined.prior), joined.prior, 0.0)
    for name, one in run.folds.items() if not run.repeats else ():
        k = names.index(name)
        fold = np.where(joined.ok[:, k, None], joined.folds[:, k] - start[:, None], np.nan)
        told = f"r = {one.pooled.value:.2f}"
        axes = f"{name}, first fold [Å]", f"{name}, second fold [Å]"
        panels.append(Panel(told, fold[:, 0], fold[:, 1], *axes))
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
    return (
        f"Per-particle defoci of {len(found.names)} sets ({', '.join(found.names)}) were joined by "
        f"particle and compared with parfocal {run.info['parfocal']} on {found.particles:,} particles "
        f"of {len(found.micrographs):,} micrographs. Pearson correlations were computed within "
        "micrographs and averaged over them, with standard errors over micrographs, as in "
        "Fernandez-Gimenez, Carazo and Sorzano (J. Struct. Biol. 2023). The correlation expected if "
        "every set were right was derived from the variance of heights, which "
        f"{'folds of the images' if run.folds else 'error bars and spreads'} tell without ground "
        "truth."
    )
