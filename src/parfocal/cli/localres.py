"""`parfocal localres`."""

import json as as_json
import sys
from typing import Annotated

import typer

from parfocal.cli.sets import Jobs, Json, Out
from parfocal.cli.show import announce


def localres(
    half_maps: Annotated[
        list[str],
        typer.Argument(
            metavar="HALF1 HALF2 | NAME=HALF1,HALF2...",
            help="Two unfiltered half-maps, or several named pairs that are compared.",
        ),
    ],
    out: Out,
    mask: Annotated[
        str,
        typer.Option(
            metavar="FILE|auto",
            help="Mask, tight around the molecule; auto: made from the mean of all maps.",
        ),
    ] = "auto",
    method: Annotated[
        str, typer.Option(metavar="NAMES", help="monores, fsc (in a moving window), or both.")
    ] = "monores,fsc",
    finest: Annotated[
        float | None,
        typer.Option(
            "--min", metavar="Å", help="Finest resolution tried [default: where the FSC ends]."
        ),
    ] = None,
    coarsest: Annotated[
        float | None,
        typer.Option("--max", metavar="Å", help="Coarsest one [default: 18 Å, or 8 pixels]."),
    ] = None,
    step: Annotated[
        float, typer.Option(metavar="Å", help="From one resolution to the next.")
    ] = 0.25,
    significance: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Share of the noise's amplitudes that a signal must exceed."
        ),
    ] = 0.95,
    window: Annotated[
        float | None,
        typer.Option(metavar="Å", help="Diameter of the FSC's window [default: 25 Å or 20 px]."),
    ] = None,
    level: Annotated[
        float, typer.Option(metavar="FSC", help="Of the windowed FSC: 0.5, or 0.143.")
    ] = 0.5,
    pixel_size: Annotated[
        float | None, typer.Option(metavar="Å", help="If the maps' headers are wrong.")
    ] = None,
    jobs: Jobs = 1,
    json: Json = False,
) -> None:
    """Local resolution of half-maps: MonoRes, and an FSC in a moving window beside it.

    Writes into OUT: report.html (look at it first), local_resolution_METHOD.mrc in Å with a
    ChimeraX script .cxc that shows map.mrc coloured by it, mask.mrc, run.json. With several named
    pairs each has a folder, and is compared voxel by voxel with the first: with an error bar that
    knows that neighbouring voxels are not independent.

    \b
    Examples:
      parfocal localres half1.mrc half2.mrc --mask mask.mrc --out localres
      parfocal localres half1.mrc half2.mrc --method monores --min 2 --max 10 --out monores
      parfocal localres before=a1.mrc,a2.mrc after=b1.mrc,b2.mrc --mask mask.mrc --out compared
    """
    from parfocal.fsc_inputs import named_pairs
    from parfocal.local_runs import difference_sentence
    from parfocal.localres_run import LocalSettings, run_localres
    from parfocal.monores import Sweep
    from parfocal.windowed_fsc import Window

    settings = LocalSettings(
        methods=tuple(name.strip() for name in method.split(",") if name.strip()),
        sweep=Sweep(finest=finest, coarsest=coarsest, step=step, significance=significance),
        window=Window(diameter=window, level=level),
        pixel_size=pixel_size,
        jobs=jobs,
    )
    with announce(quiet=json) as progress:
        run = run_localres(
            named_pairs(half_maps),
            out,
            settings,
            mask=mask,
            progress=progress,
        )
    if json:
        as_json.dump(run.info, sys.stdout, indent=2, allow_nan=False)
        print()
        return
    for line in run.info["warnings"]:
        print(f"warning: {line}")
    for label, (_, found) in run.items().items():
        low, median, high = found.quantiles()
        print(f"{label}: median {median:.2f} Å, quartiles {low:.2f} to {high:.2f} Å")
    for d in run.differences:
        print(difference_sentence(d))
    print(f"look at    {out / 'report.html'}")
