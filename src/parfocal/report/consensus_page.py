"""The page of a consensus: what it weighs, how far the sets scatter, who is left out."""

import html

import numpy as np

from parfocal.report.compare_page import gaps
from parfocal.report.page import Page, render_page
from parfocal.report.sections import (
    Column,
    FigureSection,
    Section,
    SettingsSection,
    TableSection,
    TextSection,
    Tile,
    quantity,
)
from parfocal.report.set_figures import Panel, histogram, panels_figure, weights_figure
from parfocal.set_runs import ConsensusRun

HOW = {
    "posterior": "from the posterior means among the sets",
    "folds": "from the sets' folds, which share no pixels and so no noise",
    "bound": "as far as sets without folds tell: shared noise counts as height",
}


def consensus_page(run: ConsensusRun) -> str:
    """HTML of a consensus."""
    info, found = run.info, run.found
    kept = info["kept"]
    page = Page(
        title=f"Consensus of {len(found.joined.names)} sets of defoci",
        under=f"{'the median' if _of_median(run) else 'weighted'}; parfocal {run.estimates.version}",
        verdict=(*_sentences(run),),
        tiles=(
            Tile("particles", f"{info['particles']:,}", f"{len(found.joined.names)} sets"),
            Tile("kept", f"{kept:,}", "hold all limits"),
            Tile("median error", quantity(_or_nan(info["median_error"]), ".0f", "Å"), "one sd"),
            Tile("median MAD", quantity(_or_nan(info["median_mad"]), ".0f", "Å"), "of the sets"),
            Tile("heights", _heights(run), "sd, as the sets show it"),
        ),
        warnings=(*info["faults"], *info["warnings"]),
        sections=tuple(consensus_sections(run)),
    )
    return render_page(page)


def _of_median(run: ConsensusRun) -> bool:
    return run.info["settings"]["combine"] == "median"


def _heights(run: ConsensusRun) -> str:
    bound = "up to " * (run.info["heights_known_by"] == "bound")
    return f"{bound}{run.info['heights_sd']:.0f} Å"


def _or_nan(value) -> float:
    return np.nan if value is None else value


def _sentences(run: ConsensusRun):
    info = run.info
    if _of_median(run):
        yield "The median of the sets is written; weights and heights are those it did not use."
    heights = info["weights"]["height"]
    most = max((name for name in heights if name != "plane"), key=heights.__getitem__)
    says = (
        f"{most} says most about them (weight {heights[most]:.2f})"
        if heights[most]
        else "none knows them"
    )
    yield (
        f"Heights scatter by {_heights(run)} about the planes of the ice, known "
        f"{HOW[info['heights_known_by']]}; of the sets {says}, and {heights['plane']:.2f} goes to "
        "the plane."
    )
    if info["left_out"]:
        told = ", ".join(f"{count:,} by {name}" for name, count in info["left_out"].items())
        yield f"{info['kept']:,} of {info['particles']:,} particles are kept; left out: {told}."
    yield from gaps(run.found.joined.joints)


def consensus_sections(run: ConsensusRun) -> list[Section]:
    """What the page of a consensus shows, for pages that hold more."""
    found, joined = run.found, run.found.joined
    sections: list[Section] = [
        FigureSection(
            id="weights",
            title="What is believed of whom",
            short="Weights",
            caption="Each set is taken apart into the level and the slope of every micrograph, and "
            "the heights of particles about that plane. Weights are of least error, never negative, "
            "and sum to 1 with that of saying nothing (grey): the input for level and slope, the "
            "plane for heights. Noise that sets share, as they saw the same images, gains them "
            "nothing here, where a median would take it for agreement.",
            figure=weights_figure(run.info["weights"]),
        ),
        _sets_table(run),
        FigureSection(
            id="mad",
            title="How far the sets scatter, and the error of the result",
            short="MAD",
            caption="The paper's Fig. 9: the median absolute deviation of the sets about their "
            "median, times 1.4826, of each particle that two sets know; "
            + ("it is the error bar" if _of_median(run) else "beside it the error bar")
            + " that is written. A small MAD is no proof: sets that share noise agree on it.",
            figure=histogram(
                {"MAD": found.mad, "error": run.estimates.defocus_error[run.estimates.ok()]},
                "MAD and error",
            )
            if not _of_median(run)
            else histogram({"MAD": found.mad}, "MAD"),
        ),
        FigureSection(
            id="median",
            title="Each set against their median",
            short="Median",
            caption="The paper's Fig. 8, over the whole data set: change from the input by each set "
            "against the median of all, and last the combination.",
            figure=panels_figure(_against_median(run)),
        ),
        TableSection(
            id="statuses",
            title="What became of each particle",
            short="Particles",
            noun="groups",
            columns=_counts(run),
            caption="Outliers lie farther from their micrograph's plane than heights and noise "
            "would take them; "
            + (
                "a median is written as it is."
                if _of_median(run)
                else "they are written on that plane, with an error bar that says so."
            ),
        ),
    ]
    text = _methods_text(run)
    sections.append(
        TextSection(
            id="methods-text",
            title="For the methods part of a paper",
            short="Text",
            paragraphs=(text,),
            copy=True,
        )
    )
    settings = run.info["settings"]
    limits = {
        name.replace("_", "-"): ", ".join(limit) if isinstance(limit, tuple) else f"{limit:g} Å"
        for name, limit in settings["filter"].items()
        if limit
    }
    values = {
        "Settings": {
            "combine": settings["combine"],
            "tolerance": f"{settings['tolerance']:g} Å",
            **(limits or {"limits": "none"}),
        },
        "Sets": {**run.info["sets"], "input": run.info["input"] or joined.base.name},
        "Versions": {"parfocal": run.info["parfocal"], "command": run.info["command"]},
        "Timings [s]": run.info["timings"],
    }
    sections.append(SettingsSection(values=values))
    return sections


def _sets_table(run: ConsensusRun) -> TableSection:
    found, joined = run.found, run.found.joined
    signal = float(found.heights.signal.quantiles(100.0)[2])
    spread = np.sqrt(np.diagonal(found.heights.product))
    claimed = [
        _rms(np.where(joined.ok[:, k], joined.error[:, k], np.nan)) for k in range(len(spread))
    ]
    levels = np.sqrt(np.diagonal(found.levels.covariance(100.0, 150.0))[1:])
    names = list(joined.names)
    return TableSection(
        id="sets",
        title="The sets",
        noun="sets",
        caption=f"Heights are taken to scatter by {np.sqrt(signal):.0f} Å. A spread near that and "
        "far below the claimed error is of a set that hardly moves from the plane.",
        columns=(
            Column(heading="set", name="set", values=names),
            Column(heading="trusted", name="trusted", values=joined.ok.sum(axis=0), digits=0),
            Column(heading="used", name="used", values=found.used.sum(axis=0), digits=0),
            Column(heading="spread about planes [Å]", name="spread_A", values=spread, digits=0),
            Column(heading="claimed error [Å]", name="claimed_A", values=claimed, digits=0),
            Column(heading="error of levels [Å]", name="level_error_A", values=levels, digits=0),
        ),
    )


def _rms(values) -> float:
    values = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(values**2))) if len(values) else np.nan


def _against_median(run: ConsensusRun) -> list[Panel]:
    found, joined = run.found, run.found.joined
    prior = joined.prior if np.isfinite(joined.prior).all() else found.plane
    middle = found.median - prior
    columns = {name: joined.change()[:, k] for k, name in enumerate(joined.names)}
    if prior is found.plane:
        values = np.where(joined.ok, joined.defocus, np.nan) - prior[:, None]
        columns = {name: values[:, k] for k, name in enumerate(joined.names)}
    columns["combination"] = found.defocus - prior
    return [
        Panel(html.escape(name), middle, values, "median [Å]", f"{html.escape(name)} [Å]")
        for name, values in columns.items()
    ]


def _counts(run: ConsensusRun) -> tuple[Column, ...]:
    groups = {
        **run.info["statuses"],
        **{f"left out by {k}": v for k, v in run.info["left_out"].items()},
    }
    groups["kept"] = run.info["kept"]
    share = 100 * np.array(list(groups.values())) / max(run.info["particles"], 1)
    return (
        Column(heading="group", name="group", values=list(groups)),
        Column(heading="particles", name="particles", values=list(groups.values()), digits=0),
        Column(heading="share [%]", name="share_percent", values=share, digits=2),
    )


def _methods_text(run: ConsensusRun) -> str:
    names = ", ".join(run.found.joined.names)
    if _of_median(run):
        how = "the median of the sets, with their median absolute deviation (× 1.4826) as its error"
    else:
        how = (
            "the convex combination of least estimated error of the sets and of the planes of the "
            "ice, micrograph levels, slopes and particle heights being weighted apart"
        )
    return (
        f"Per-particle defoci of {len(run.found.joined.names)} sets ({names}) were joined by particle "
        f"and combined with parfocal {run.estimates.version}: {how}. {run.info['kept']:,} of "
        f"{run.info['particles']:,} particles were kept. Error variances were estimated without "
        f"ground truth, {HOW[run.info['heights_known_by']]}."
    )
