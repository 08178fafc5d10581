"""`parfocal study`."""

import json as as_json
import sys
from pathlib import Path
from typing import Annotated

import typer

from parfocal.cli.sets import Ignore, Jobs, Json, Passthrough, Symmetry
from parfocal.cli.show import announce, study_told

METHODS = "bayes,relion,cryosparc,xmipp,gctf"  # said here; a test holds that `study` has the same


def study(
    particles: Annotated[
        Path,
        typer.Argument(
            metavar="PARTICLES", help="Particles of a finished refinement: .star, .cs, .xmd."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder to make for the results.")
    ],
    sets: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=FILE]...", help="Defoci that other programs wrote of them."),
    ] = None,
    half_maps: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--half-maps",
            metavar="HALF1 HALF2",
            help="The two unfiltered half-maps [default: reconstructed from the particles].",
        ),
    ] = None,
    map: Annotated[
        Path | None,
        typer.Option("--map", metavar="FILE", help="One outside map to estimate against."),
    ] = None,
    resolution: Annotated[
        float | None,
        typer.Option(metavar="Å", help="Up to which --map is exact [default: Nyquist]."),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Soft mask [default: made of the reconstructed maps]."),
    ] = None,
    sym: Symmetry = "C1",
    method: Annotated[
        str, typer.Option(metavar="NAMES", help="Methods, with commas; the first is the main one.")
    ] = METHODS,
    set: Annotated[
        list[str] | None,
        typer.Option(metavar="METHOD.SETTING=VALUE", help="As in `estimate`; may be repeated."),
    ] = None,
    range: Annotated[
        float,
        typer.Option("--range", metavar="Å", help="Searched either side of the input defocus."),
    ] = 1000.0,
    split: Annotated[
        int,
        typer.Option(
            metavar="SEED",
            help="Of half-sets, drawn at random in every micrograph if the particles have none.",
        ),
    ] = 0,
    passthrough: Passthrough = None,
    ignore: Ignore = None,
    jobs: Jobs = 2,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted study.")
    ] = False,
    json: Json = False,
) -> None:
    """Does local defocus help this data set? All steps in one command, one page at the end.

    Estimates the defocus of every particle by each method, compares the methods, combines them,
    reconstructs with each the same particles, half-sets and mask, and says which defocus makes the
    better map, with error bars and negative controls. Writes into OUT: report.html (look at it
    first), a folder for each step (estimate, compare, consensus, validate), run.json.

    \b
    Examples:
      parfocal study run_data.star --half-maps half1.mrc half2.mrc --mask mask.mrc --sym O --out study
      parfocal study particles.star relion=ctf_refine.star --sym D2 --out study -j 8
    """
    from parfocal.io.defocus_sets import named_files
    from parfocal.reference_files import Own, ReferenceFiles
    from parfocal.study import StudySettings, run_study

    own = None if half_maps or map else Own(symmetry=sym)
    files = ReferenceFiles(half_maps=half_maps, map=map, own=own, mask=mask, resolution=resolution)
    settings = StudySettings(
        methods=tuple(dict.fromkeys(name.strip() for name in method.split(",") if name.strip())),
        options=tuple(set or ()),
        search_range=range,
        ignore=tuple(dict.fromkeys(ignore or ())),
        symmetry=sym,
        passthrough=tuple(passthrough or ()),
        split=split,
        jobs=jobs,
    )
    with announce(quiet=json) as progress:
        run = run_study(
            particles,
            files,
            out,
            settings,
            sets=named_files(sets) if sets else {},
            resume=resume,
            progress=progress,
        )
    if json:
        as_json.dump(run.info, sys.stdout, indent=2, default=str, allow_nan=False)
        print()
        return
    study_told(run)
