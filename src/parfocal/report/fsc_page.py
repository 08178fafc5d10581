"""The page of `parfocal fsc`: how good half-maps are, how sure that is, and what to mind."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from plotly.graph_objects import Figure

from parfocal import __version__
from parfocal.fsc_measure import FscMeasurement
from parfocal.report.fsc_figures import (
    curves_figure,
    directions_figure,
    guinier_figure,
    pairs_figure,
)
from parfocal.report.fsc_words import (
    b_factor_words,
    directions_sentence,
    has_resolution,
    interval,
    methods_text,
    resolution_sentence,
)
from parfocal.report.page import Page
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

FOOTER = (
    "FSC: Fourier shell correlation; random phases after Chen et al., Ultramicroscopy 135, 2013; "
    "Guinier plot after Rosenthal and Henderson, J. Mol. Biol. 333, 2003. This page needs no network."
)
CURVES = (
    "Corrected is the one to quote: masked, less what the mask itself makes common to both maps, as "
    "randomised phases show it. The band is one standard deviation of noise. Where the curve with "
    "random phases is not near zero at the resolution, the mask is too tight. A resolution is where the "
    "curve falls below the level for three shells in a row."
)
DIRECTIONS = (
    "The corrected FSC in cones of 20° about each direction (200 on the half sphere; opposite "
    "directions are one), and where it falls to 0.143. Light: all directions; dark: the middle 80 %. A "
    "cone holds 6 % of the voxels, so noise alone makes them differ too; views that are missing or "
    "rare make a whole region of the half sphere worse."
)
GUINIER = (
    "Logarithm of the mean amplitude in each shell of the masked map. Weighted by "
    "√(2 FSC / (1 + FSC)) it is the signal's. The line is fitted from 10 Å to the resolution; its "
    "slope is -B / 4. The error is from the scatter about the line: a molecule's own spectrum is no "
    "line, so it is a least one."
)


class Part(NamedTuple):
    """A figure that every pair has, and what is told beside it where there are several pairs."""

    id: str
    title: str
    short: str
    caption: str
    drawn: Callable[[FscMeasurement], Figure]
    facts: Callable[[FscMeasurement], str]


PARTS = (
    Part("curves", "Fourier shell correlation", "FSC", CURVES, curves_figure, resolution_sentence),
    Part(
        "directions",
        "In each direction",
        "Directions",
        DIRECTIONS,
        directions_figure,
        directions_sentence,
    ),
    Part(
        "guinier",
        "Guinier plot",
        "Guinier",
        GUINIER,
        lambda one: guinier_figure(one.guinier),
        b_factor_words,
    ),
)


def fsc_page(found: Sequence[FscMeasurement], info: Mapping[str, Any]) -> Page:
    """The page on the half-maps in `found`; `info` as in run.json."""
    first = found[0]
    several = len(found) > 1
    return Page(
        title=f"Resolution of {len(found)} pairs of half-maps" if several else "Resolution",
        under=f"Fourier shell correlation of {', '.join(one.name for one in found)}; parfocal "
        f"{__version__}",
        verdict=tuple(_verdict(found)),
        tiles=() if several else _tiles(first),
        warnings=tuple(info["warnings"]),
        sections=tuple(_sections(found, info)),
        footer=FOOTER,
    )


def _verdict(found: Sequence[FscMeasurement]):
    if len(found) == 1:
        if has_resolution(found[0]):
            yield f"The resolution is {resolution_sentence(found[0])}."
        else:
            yield "No resolution: the corrected FSC is below 0.143 from the start."
        yield directions_sentence(found[0])
        return
    for one in found:
        yield f"{one.name}: {resolution_sentence(one)}."
    yield (
        "Intervals are each pair's own. Pairs made of the same particles share noise, so their "
        "difference may be surer than the intervals say: parfocal validate tells."
    )


def _tiles(one: FscMeasurement) -> tuple[Tile, ...]:
    cones = one.directional
    spread = f"{cones.best():.1f} – {cones.worst():.1f} Å" if has_resolution(one) else "–"
    return (
        Tile("resolution", quantity(one.curves.resolution(), ".2f", "Å"), interval(one)),
        Tile("at FSC 0.5", quantity(one.curves.resolution(0.5), ".2f", "Å")),
        Tile(
            "without mask",
            quantity(one.curves.resolution(0.143, "unmasked"), ".2f", "Å"),
            "FSC 0.143",
        ),
        Tile("directions", spread, "the middle 80 %"),
        Tile("sphericity", f"{cones.sphericity():.3f}", "1: all directions alike"),
        Tile("B-factor", quantity(one.guinier.b_factor, ".0f", "Å²"), _b_factor_error(one)),
    )


def _b_factor_error(one: FscMeasurement) -> str:
    error = one.guinier.b_factor_error
    return f"± {error:.0f} at the least, Guinier fit" if np.isfinite(error) else "Guinier fit"


def _sections(found: Sequence[FscMeasurement], info: Mapping[str, Any]) -> list[Section]:
    sections: list[Section] = []
    if len(found) > 1:
        sections += [
            FigureSection(
                id="pairs",
                title="All pairs, corrected",
                short="All",
                caption="The corrected FSC of each pair under the same mask, with one standard "
                "deviation of noise.",
                figure=pairs_figure(found),
            ),
            _summary(found),
        ]
    sections += [
        *(_figures(found, part) for part in PARTS),
        _shells(found),
        TextSection(
            id="methods",
            title="For the methods part of a paper",
            short="Methods",
            paragraphs=tuple(
                (f"{one.name}: " if len(found) > 1 else "") + methods_text(one, info["mask"])
                for one in found
            ),
            copy=True,
        ),
        SettingsSection(values=_settings(info)),
    ]
    return sections


def _figures(found: Sequence[FscMeasurement], part: Part) -> Section:
    """A figure of one pair, or one to choose of several."""
    texts = {"id": part.id, "title": part.title, "short": part.short, "caption": part.caption}
    if len(found) == 1:
        return FigureSection(figure=part.drawn(found[0]), **texts)
    items = tuple(Item(one.name, part.drawn(one), part.facts(one)) for one in found)
    return ChooserSection(items=items, **texts)


def _summary(found: Sequence[FscMeasurement]) -> TableSection:
    def resolutions(level: float, which: str = "corrected") -> list[float]:
        return [one.curves.resolution(level, which) for one in found]

    fine, coarse = zip(*(one.intervals[0.143] for one in found), strict=True)
    numbers = (
        ("FSC 0.143 [Å]", "resolution_A", resolutions(0.143), 2),
        ("from [Å]", "fine_A", fine, 2),
        ("to [Å]", "coarse_A", coarse, 2),
        ("FSC 0.5 [Å]", "resolution_05_A", resolutions(0.5), 2),
        ("no mask [Å]", "unmasked_A", resolutions(0.143, "unmasked"), 2),
        ("best [Å]", "best_A", [one.directional.best() for one in found], 2),
        ("worst [Å]", "worst_A", [one.directional.worst() for one in found], 2),
        ("sphericity", "sphericity", [one.directional.sphericity() for one in found], 3),
        ("B [Å²]", "b_factor_A2", [one.guinier.b_factor for one in found], 0),
    )
    names = Column(heading="pair", name="pair", values=[one.name for one in found])
    columns = [Column(heading=h, name=n, values=list(v), digits=d) for h, n, v, d in numbers]
    return TableSection(
        id="summary-table",
        title="Resolution of each pair",
        short="Table",
        noun="pairs",
        caption="Resolution at FSC 0.143 and its 68 % interval; the tenth and the ninetieth percentile "
        "of the resolutions of directions; B-factor of the Guinier fit.",
        columns=(names, *columns),
    )


def _shells(found: Sequence[FscMeasurement]) -> TableSection:
    curves = found[0].curves
    shell = np.arange(1, len(curves.k))
    columns = [
        Column(heading="shell", name="shell", values=shell, digits=0),
        Column(heading="resolution [Å]", name="resolution_A", values=1 / curves.k[1:], digits=2),
    ]
    for one in found:
        told = f"{one.name}: " if len(found) > 1 else ""
        kinds = (
            ("corrected",) if len(found) > 1 else ("corrected", "masked", "randomised", "unmasked")
        )
        for kind in kinds:
            columns.append(
                Column(
                    heading=f"{told}{kind}",
                    name=f"{one.name}_{kind}" if told else kind,
                    values=getattr(one.curves, kind)[1:],
                    errors=one.error[1:] if kind == "corrected" else None,
                    digits=3,
                )
            )
    return TableSection(
        id="shells", title="Shell by shell", short="Shells", noun="shells", columns=tuple(columns)
    )


def _settings(info: Mapping[str, Any]) -> dict[str, dict[str, object]]:
    return {
        "Half-maps": {name: " and ".join(paths) for name, paths in info["half_maps"].items()},
        "Settings": {
            "mask": info["mask"],
            "share of the box inside the mask": info["mask_share_of_box"],
            "box [px]": info["box"],
            "pixel size [Å]": info["pixel_size"],
            "symmetry": info["symmetry"],
            "seed": info["seed"],
        },
        "Versions": {"parfocal": info["parfocal"], "command": info["command"]},
        "Timings [s]": info["timings"],
    }
