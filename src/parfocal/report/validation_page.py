"""The page of a validation: which defocus makes the better map, how sure that is, and when to doubt."""

import numpy as np

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
from parfocal.report.slice_figures import distribution_figure, slices_figure
from parfocal.report.validation_figures import (
    difference_figure,
    fsc_figure,
    growth_figure,
    worth_figure,
)
from parfocal.validation import BAND
from parfocal.validation_record import ValidationRun
from parfocal.validation_verdict import doubts, is_control, percent

SPREAD = (0.02, 0.98)  # quantiles of local resolution between which slices are coloured


def validation_page(run: ValidationRun) -> str:
    """HTML of a validation."""
    tried = [one.name for one in run.qualities if not is_control(one.name)]
    page = Page(
        title=f"Maps with {len(tried)} sets of defoci",
        under=f"{', '.join(tried)}; same particles, half-sets and mask; parfocal "
        f"{run.info['parfocal']}",
        verdict=tuple(run.info["verdict"]),
        tiles=validation_tiles(run),
        warnings=tuple(run.info["warnings"]),
        sections=tuple(validation_sections(run)),
    )
    return render_page(page)


def validation_tiles(run: ValidationRun) -> tuple[Tile, ...]:
    """The key numbers."""
    of = {one.name: one for one in run.qualities}
    base = of[run.about.base]
    first = next(one for one in run.qualities if not is_control(one.name) and one.name != base.name)
    worth, error = percent(first.worth).split(" ± ")
    return (
        Tile("particles in the maps", f"{run.info['particles']:,}", f"{run.info['blocks']} blocks"),
        Tile("input", quantity(base.resolution, ".2f", "Å"), f"± {base.resolution_error:.2f} Å"),
        Tile(
            f"best: {first.name}",
            quantity(first.resolution, ".2f", "Å"),
            f"finer by {first.gain:.2f} ± {first.gain_error:.2f} Å",
        ),
        Tile("its worth", f"{worth} %", f"± {error}"),
        Tile("use", run.best, "for the next job"),
    )


def validation_sections(run: ValidationRun) -> list[Section]:
    """What the page of a validation shows, for pages that hold more."""
    base = run.about.base
    sections: list[Section] = [
        _table(run),
        FigureSection(
            id="worth",
            title="What each set is worth",
            short="Worth",
            caption="By how many percent the number of particles would have to grow for the input "
            "to show as much signal: the ratio of FSC / (1 - FSC) over the shells where the input's "
            f"FSC lies between {BAND[0]:g} and {BAND[1]:g}. Bars are one standard error, from leaving "
            "out blocks of micrographs; grey are negative controls, which a set should beat, and the "
            "sets' own held-out maps. Open circles: with what chance lifts the FSC by, for a fit takes "
            "the noise of an image for signal. How much that is, is told by maps in which no Fourier "
            "pixel had a say in the defocus that it is given.",
            figure=worth_figure(run.qualities, base),
        ),
        FigureSection(
            id="fsc",
            title="FSC of the half-maps",
            short="FSC",
            caption="Corrected for the mask (the paper's Fig. 12 and 13), and without what chance lifts "
            "it by where that is known; fsc.star has the maps' own. Same particles, half-sets and mask "
            "for every set; controls in grey.",
            figure=fsc_figure(run.qualities, base),
        ),
        FigureSection(
            id="difference",
            title="Difference to the input",
            short="Difference",
            caption="FSC less that of the input's maps, paired block by block: bands are one standard "
            "error of the difference, far smaller than that of either curve, as both have the same "
            "noise.",
            figure=difference_figure(run.qualities, base),
        ),
        FigureSection(
            id="growth",
            title="Resolution against the number of particles",
            short="B-factor",
            caption="Of the first blocks of micrographs and of all (Rosenthal and Henderson 2003); the "
            "steeper, the smaller the B-factor.",
            figure=growth_figure(run.qualities, base),
        ),
    ]
    sections += _local(run)
    sections.append(
        TextSection(
            id="methods-text",
            title="For the methods part of a paper",
            paragraphs=(_methods_text(run),),
            copy=True,
        )
    )
    values = {
        "Settings": run.info["settings"],
        "Sets": {"particles": run.info["particles_file"], **run.info["sets"]},
        "Mask": {"mask": run.info["mask"]},
        "Versions": {"parfocal": run.info["parfocal"], "command": run.info["command"]},
        "Timings [s]": run.info["timings"],
    }
    sections.append(SettingsSection(values=values))
    return sections


def _table(run: ValidationRun) -> TableSection:
    found = run.qualities

    def column(heading, name, values, errors=None, digits=2, note=""):
        return Column(
            heading=heading, name=name, values=values, errors=errors, digits=digits, note=note
        )

    local = [run.local_gain.get(one.name) for one in found]
    medians = [run.local[q.name].median if q.name in run.local else np.nan for q in found]
    return TableSection(
        id="sets",
        title="The sets, best first",
        short="Table",
        noun="sets",
        muted=[row for row, one in enumerate(found) if is_control(one.name)],
        caption="± is one standard error, from leaving out blocks of whole micrographs; differences are "
        "paired. The error of the local gain is of noise that varies over the map alone, not of which "
        "particles there are. Grey: negative controls and held-out maps. Local resolution and the B of "
        "amplitudes are those of the maps as they are.",
        columns=(
            Column(heading="set", name="set", values=[one.name for one in found]),
            column(
                "worth [%]",
                "worth_percent",
                [100 * one.worth.value for one in found],
                [100 * one.worth.error for one in found],
                digits=1,
            ),
            column(
                "resolution [Å]",
                "resolution_A",
                [one.resolution for one in found],
                [one.resolution_error for one in found],
            ),
            column(
                "finer by [Å]",
                "finer_A",
                [one.gain for one in found],
                [one.gain_error for one in found],
            ),
            column(
                "worth with chance [%]",
                "worth_as_seen_percent",
                [100 * one.seen.value for one in found],
                [100 * one.seen.error for one in found],
                digits=1,
                note="the maps as they are: a fit takes noise for signal too",
            ),
            Column(
                heading="when not to believe this row",
                name="doubts",
                values=["; ".join(doubts(one, run.about)) for one in found],
            ),
            column("local median [Å]", "local_median_A", medians),
            column(
                "locally finer by [Å]",
                "locally_finer_A",
                [np.nan if g is None else g.mean for g in local],
                [np.nan if g is None else g.mean_error for g in local],
                note="mean over the mask; the error holds noise that varies over the map",
            ),
            column(
                "B, particles [Å²]",
                "b_particles_A2",
                [run.b_factor[q.name][0] for q in found],
                [run.b_factor[q.name][1] for q in found],
                digits=0,
            ),
            column(
                "B, amplitudes [Å²]",
                "b_guinier_A2",
                [run.guinier[q.name].b_factor for q in found],
                digits=0,
            ),
            column(
                "change, rms [Å]",
                "change_rms_A",
                [run.about.change[q.name] for q in found],
                digits=0,
            ),
        ),
    )


def _local(run: ValidationRun) -> list[Section]:
    shown = {q.name: run.local[q.name] for q in run.qualities if q.name in run.local}
    if not shown:
        return []
    ends = np.array([one.quantiles(SPREAD) for one in shown.values()])
    limits = float(ends[:, 0].min()), float(ends[:, 1].max())
    return [
        FigureSection(
            id="local-resolution",
            title="Local resolution over the mask",
            short="Local resolution",
            caption="By MonoRes (the paper's Fig. S-3 to S-6); dashed: medians. The first and last "
            "steps hold what lies beyond.",
            figure=distribution_figure(shown),
        ),
        ChooserSection(
            id="slices",
            title="Local resolution in slices",
            short="Slices",
            caption="The paper's Fig. 11: density in grey, coloured by local resolution, on one scale "
            "for all sets.",
            items=tuple(
                Item(name, slices_figure(one, run.densities[name], limits))
                for name, one in shown.items()
            ),
        ),
    ]


def _methods_text(run: ValidationRun) -> str:
    tried = [q.name for q in run.qualities if q.name != run.about.base and not is_control(q.name)]
    units = "whole micrographs" if run.about.whole_micrographs else "particles"
    return (
        f"Half-maps of {run.info['particles']:,} particles were reconstructed with the input's "
        f"per-particle defoci and with those of {', '.join(tried)} (parfocal {run.info['parfocal']}), "
        "poses, half-sets and mask being the same for all. Fourier shell correlations were corrected by "
        "phase randomisation (Chen et al. 2013). Standard errors of differences were obtained by a "
        f"paired delete-a-group jackknife over {run.info['blocks']} blocks of {units}. The worth "
        "of a set is the mean ratio of spectral signal to noise to the input's, given as a percentage "
        f"of particles. {_chance_text(run)}Heights shuffled within micrographs, the correction doubled "
        "and the correction with its sign turned served as negative controls."
    )


def _chance_text(run: ValidationRun) -> str:
    if not any(one.chance.by == "folds" for one in run.qualities):
        return ""
    return (
        "What fits of noise add to the correlation was measured on maps in which each Fourier pixel "
        "had the defocus that the other half of the pixels gave, and taken out. "
    )
