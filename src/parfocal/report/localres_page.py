"""The page of `parfocal localres`: how local resolution is spread, where, and between pairs."""

import numpy as np

from parfocal.local_resolution import LocalResolution
from parfocal.local_runs import LocalRun, difference_sentence
from parfocal.report.page import Page, render_page
from parfocal.report.sections import (
    ChooserSection,
    Column,
    FigureSection,
    Item,
    Section,
    SettingsSection,
    TableSection,
    TextSection,
    Tile,
    quantity,
)
from parfocal.report.slice_figures import (
    distribution_figure,
    methods_figure,
    slices_figure,
)

FOOTER = "Finer resolution is a smaller number of Å. This page needs no network."


def localres_page(run: LocalRun) -> str:
    """HTML of a run."""
    maps = {label: found for label, (_, found) in run.items().items()}
    tiles = [
        Tile(label, quantity(found.median, ".2f", "Å"), "median") for label, found in maps.items()
    ]
    tiles.append(Tile("voxels", f"{run.info['voxels']:,}", "inside of the mask"))
    page = Page(
        title="Local resolution",
        under=f"{_listed(run.results)}; parfocal {run.info['parfocal']}",
        verdict=tuple(_sentences(run, maps)),
        tiles=tuple(tiles),
        warnings=tuple(run.info["warnings"]),
        sections=tuple(_sections(run, maps)),
        footer=FOOTER,
    )
    return render_page(page)


def _listed(names) -> str:
    several = list(names)
    return (
        f"pairs of half-maps: {', '.join(several)}" if len(several) > 1 else "one pair of half-maps"
    )


def _sentences(run: LocalRun, maps):
    for label, found in maps.items():
        low, median, high = found.quantiles()
        yield (
            f"{label}: half of the molecule's voxels are at {median:.2f} Å or finer; the middle half "
            f"of them lies between {low:.2f} and {high:.2f} Å."
        )
    yield from map(difference_sentence, run.differences)


def _sections(run: LocalRun, maps: dict[str, LocalResolution]):
    yield FigureSection(
        id="distribution",
        title="How local resolution is spread over the mask",
        short="Histogram",
        caption="The paper's Fig. S-3. Dashed: medians. The first and last steps hold what lies "
        "beyond.",
        figure=distribution_figure(maps),
    )
    yield _table(maps)
    items = [
        Item(label, slices_figure(found, run.density[name], run.colours(found.method)))
        for label, (name, found) in run.items().items()
    ]
    words = {
        "id": "slices",
        "title": "Slices coloured by local resolution",
        "short": "Slices",
        "caption": "The paper's Fig. 11: slices through the middle of the mask, density in grey "
        "below. Maps of one method have the same colours. In 3D: open the .cxc file with ChimeraX.",
    }
    if len(items) == 1:
        yield FigureSection(**words, figure=items[0].figure)
    else:
        yield ChooserSection(**words, items=tuple(items), table="medians")
    yield from _methods(run)
    if run.differences:
        yield _differences(run)
    yield TextSection(
        id="reading",
        title="How to read these numbers",
        short="Reading",
        paragraphs=(
            "The two methods ask different things. MonoRes asks where the map's amplitude beyond a "
            "frequency exceeds nearly all of the noise in the mask; weak signal is not seen, so its "
            "values are coarser than the resolution of the FSC where the signal fades slowly. The "
            "windowed FSC asks up to where the half-maps agree within its window; the strong outweighs "
            "the weak there, so it is too fine in a poor part beside a much better one.",
            "Compare maps by one method with one mask, and trust differences more than values.",
        ),
    )
    yield TextSection(
        id="methods-text",
        title="For the methods section of a paper",
        short="Methods",
        paragraphs=(_methods_text(run),),
        copy=True,
    )
    info = run.info
    inputs = {name: ", ".join(files) for name, files in info["inputs"].items()}
    yield SettingsSection(
        values={
            "Inputs": {**inputs, "mask": info["mask"]},
            "Settings": {
                f"{label}: {key}": value
                for label, found in maps.items()
                for key, value in found.settings.items()
                if value is not None
            },
            "Versions": {"parfocal": info["parfocal"], "command": info["command"]},
            "Timings [s]": info["timings"],
        }
    )


def _table(maps: dict[str, LocalResolution]) -> TableSection:
    quartiles = np.array([found.quantiles() for found in maps.values()])
    unseen = [100 * found.unseen for found in maps.values()]
    finest, coarsest = zip(*(found.limits for found in maps.values()), strict=True)
    return TableSection(
        id="medians",
        title="Medians and quartiles",
        short="Table",
        noun="maps",
        caption="Unseen: the share of voxels that show nothing at the coarsest resolution.",
        columns=(
            Column(heading="map", name="map", values=list(maps)),
            Column(heading="median [Å]", name="median_A", values=quartiles[:, 1], digits=2),
            Column(heading="lower quartile [Å]", name="q25_A", values=quartiles[:, 0], digits=2),
            Column(heading="upper quartile [Å]", name="q75_A", values=quartiles[:, 2], digits=2),
            Column(heading="finest possible [Å]", name="finest_A", values=list(finest), digits=2),
            Column(
                heading="coarsest possible [Å]", name="coarsest_A", values=list(coarsest), digits=1
            ),
            Column(heading="unseen [%]", name="unseen_percent", values=unseen, digits=1),
        ),
    )


def _methods(run: LocalRun):
    """A section that shows the methods against each other, where there are two."""
    pairs = {name: list(found.values()) for name, found in run.results.items() if len(found) == 2}
    items = [Item(name, methods_figure(*found)) for name, found in pairs.items()]
    words = {
        "id": "methods",
        "title": "One method against the other",
        "short": "Both",
        "caption": "Every voxel of the mask. On the dotted line both say the same; a map that is "
        "better here than there should rise along it, whatever the offset. The outermost squares hold "
        "what lies beyond.",
    }
    if len(items) == 1:
        yield FigureSection(**words, figure=items[0].figure)
    elif items:
        yield ChooserSection(**words, items=tuple(items))


def _differences(run: LocalRun) -> Section:
    found = [d.found for d in run.differences]
    return TableSection(
        id="differences",
        title="What one pair gains on the first",
        short="Differences",
        noun="differences",
        caption="Paired voxel by voxel; positive: finer than the first pair. Neighbouring voxels are "
        "not independent, so errors are from resampling whole blocks of the mask, several "
        "correlation lengths wide. They hold what varies over the map, not what all voxels share.",
        columns=(
            Column(heading="pair", name="pair", values=[d.name for d in run.differences]),
            Column(heading="first", name="first", values=[d.first for d in run.differences]),
            Column(heading="method", name="method", values=[d.method for d in run.differences]),
            Column(
                heading="mean gain [Å]",
                name="mean_A",
                values=[f.mean for f in found],
                errors=[f.mean_error for f in found],
                digits=3,
            ),
            Column(
                heading="median gain [Å]",
                name="median_A",
                values=[f.median for f in found],
                errors=[f.median_error for f in found],
                digits=3,
            ),
            Column(heading="blocks", name="blocks", values=[f.blocks for f in found], digits=0),
            Column(heading="side [voxels]", name="side", values=[f.side for f in found], digits=0),
        ),
    )


def _methods_text(run: LocalRun) -> str:
    told = []
    for method, found in next(iter(run.results.values())).items():
        settings = found.settings
        if method == "monores":
            told.append(
                f"MonoRes (Vilas et al., 2018; {found.limits[1]:.3g} to {found.limits[0]:.3g} Å in "
                f"steps of {settings['step']:g} Å or half a Fourier shell, significance "
                f"{settings['significance']:g}; maps low-passed at the finest of these)"
            )
        else:
            told.append(
                f"the correlation of the half-maps in bands of Fourier shells within a moving soft "
                f"sphere of {settings['diameter']:g} Å (local FSC, level {settings['level']:g})"
            )
    return (
        f"Local resolution was computed with parfocal {run.info['parfocal']} from two half-maps "
        f"within a mask, by {' and by '.join(told)}."
    )
