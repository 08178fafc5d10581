"""`parfocal validate`."""

import json as as_json
import sys
from pathlib import Path
from typing import Annotated

import typer

from parfocal.cli.sets import (
    TOLERANCE,
    Common,
    Ignore,
    Jobs,
    Json,
    Out,
    Passthrough,
    Split,
    Symmetry,
    Tolerance,
)
from parfocal.cli.show import announce


def validate(
    sets: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]FILE...",
            help="Sets of defoci to judge: a parfocal run's folder or estimates.star, RELION .star, "
            "cryoSPARC .cs, Xmipp .xmd.",
        ),
    ],
    particles: Annotated[
        Path,
        typer.Option(
            "--particles",
            metavar="FILE",
            help="The particle file that all sets began from: poses, half-sets, and the input's "
            "defoci, against which the sets are judged.",
        ),
    ],
    out: Out,
    sym: Symmetry = "C1",
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Soft mask [default: made of the input's map]."),
    ] = None,
    controls: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Sets to make negative controls of, with commas; none for none [default: the "
            "first].",
        ),
    ] = None,
    independent: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Sets whose defoci were not fitted to these images, with commas, such as those of "
            "another exposure: nothing of what they gain is chance.",
        ),
    ] = None,
    held_out: Annotated[
        bool,
        typer.Option(
            help="Make the maps of sets with folds once more, each Fourier pixel with a defocus from "
            "other pixels, and take out of every FSC what chance lifts it by."
        ),
    ] = True,
    blocks: Annotated[
        int, typer.Option(metavar="N", help="Of micrographs, left out in turn for error bars.")
    ] = 20,
    local_resolution: Annotated[
        bool, typer.Option(help="Measure local resolution too; costs a sweep for each set.")
    ] = True,
    split: Split = None,
    common: Common = False,
    passthrough: Passthrough = None,
    ignore: Ignore = None,
    tolerance: Tolerance = TOLERANCE,
    jobs: Jobs = 1,
    json: Json = False,
) -> None:
    """Which defocus makes the better map, and is that sure? Half-maps with each set, compared.

    All sets have the same particles, poses, half-sets and mask; only the defocus differs. Each is
    judged against the input by what it is worth in particles, with an error bar from leaving out
    blocks of micrographs, and beside negative controls: heights shuffled, the correction doubled, its
    sign turned. A defocus fitted to an image raises the FSC by its noise too: of runs of parfocal, whose
    estimates come from either half of the pixels as well, that part is measured and taken out. Writes
    into OUT: report.html (look at it first), NAME/half1.mrc, half2.mrc, map.mrc, fsc.star and
    local_resolution.mrc for every set, mask.mrc, run.json.

    \b
    Examples:
      parfocal validate local_defocus/ relion=ctf_refine.star --particles run_data.star \\
          --mask mask.mrc --sym O --out validate -j 2
      parfocal validate cs=J50.cs --particles J42.cs --passthrough J42_pass.cs --out validate
    """
    from parfocal.io.defocus_sets import named_files
    from parfocal.reconstruct_inputs import ReconstructFiles
    from parfocal.validation_run import ValidationSettings, run_validation

    files = ReconstructFiles(
        particles=particles,
        sets=named_files(sets),
        mask=mask,
        passthrough=tuple(passthrough or ()),
        ignore=tuple(dict.fromkeys(ignore or ())),
        split=split,
        common=common,
        tolerance=tolerance,
    )
    settings = ValidationSettings(
        symmetry=sym,
        controls=None if controls is None else _names(controls),
        held_out=held_out,
        independent=_names(independent or ""),
        blocks=blocks,
        local_resolution=local_resolution,
        jobs=jobs,
    )
    with announce(quiet=json) as progress:
        run = run_validation(files, out, settings, progress=progress)
    if json:
        as_json.dump(run.info, sys.stdout, indent=2, allow_nan=False)
        print()
        return
    for line in (*run.info["joined"], *run.info["warnings"], *run.info["verdict"]):
        print(line)
    print(f"look at    {out / 'report.html'}")


def _names(text: str) -> tuple[str, ...]:
    named = (name.strip() for name in text.split(","))
    return tuple(dict.fromkeys(name for name in named if name and name != "none"))
