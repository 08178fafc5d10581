"""`parfocal fsc`."""

import json as as_json
import sys
from pathlib import Path
from typing import Annotated

import typer

from parfocal.cli.show import announce


def fsc(
    half_maps: Annotated[
        list[str],
        typer.Argument(
            metavar="HALF1 HALF2 | NAME=HALF1,HALF2...",
            help="Two half-maps, unmasked and unfiltered; or several named pairs, on one grid.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder to make for the results.")
    ],
    mask: Annotated[
        str,
        typer.Option(
            metavar="FILE|auto|none",
            help="Soft mask; auto: made as by `parfocal mask`; none: a sphere that fills the box.",
        ),
    ] = "auto",
    pixel_size: Annotated[
        float | None, typer.Option(metavar="Å", help="Where the headers are wrong or have none.")
    ] = None,
    sym: Annotated[
        str,
        typer.Option(
            metavar="GROUP", help="Symmetry imposed on the half-maps: the intervals need it."
        ),
    ] = "C1",
    seed: Annotated[int, typer.Option(metavar="N", help="Of the random phases and draws.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print run.json instead of text.")] = False,
) -> None:
    """Measure the resolution of half-maps, with an error bar.

    FSC without and with the mask, of randomised phases, and corrected for the mask; the resolution
    with a 68 % interval; the FSC in each direction; the Guinier plot and its B-factor. Writes into
    OUT: report.html (look at it first), fsc.star (as relion_postprocess writes it: for
    `parfocal estimate --fsc` and relion_ctf_refine --f), mask.mrc if it was made, run.json. Of
    several pairs each has its fsc.star in OUT/NAME/, and all are drawn in one plot.

    \b
    Examples:
      parfocal fsc run_half1_class001_unfil.mrc run_half2_class001_unfil.mrc --out fsc
      parfocal fsc half1.mrc half2.mrc --mask mask.mrc --sym D2 --out fsc_masked
      parfocal fsc before=a1.mrc,a2.mrc after=b1.mrc,b2.mrc --mask mask.mrc --out fsc_both
    """
    from parfocal.fsc_inputs import named_pairs
    from parfocal.fsc_run import run_fsc
    from parfocal.report.fsc_words import resolution_sentence

    with announce(quiet=json) as progress:
        run = run_fsc(
            named_pairs(half_maps),
            out,
            mask=mask,
            pixel_size=pixel_size,
            symmetry=sym,
            seed=seed,
            progress=progress,
        )
    if json:
        as_json.dump(run.info, sys.stdout, indent=2, allow_nan=False)
        print()
        return
    for warning in run.info["warnings"]:
        print(f"warning: {warning}")
    for one in run.measurements:
        print(f"{one.name}: {resolution_sentence(one)}")
    print(f"look at    {out / 'report.html'}")
