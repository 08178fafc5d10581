"""`parfocal reconstruct`."""

import json as as_json
import sys
from pathlib import Path
from typing import Annotated

import typer

from parfocal.cli.sets import (
    TOLERANCE,
    Common,
    Ignore,
    Json,
    Out,
    Passthrough,
    Split,
    Symmetry,
    Tolerance,
)
from parfocal.cli.show import announce


def reconstruct(
    particles: Annotated[
        Path,
        typer.Argument(
            metavar="PARTICLES",
            help="Particles of a finished refinement: RELION .star, cryoSPARC .cs, Xmipp .xmd.",
        ),
    ],
    out: Out,
    sets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=FILE...]",
            help="Further defoci of the same particles, by any program: a parfocal run's folder or "
            "estimates.star, RELION .star, cryoSPARC .cs, Xmipp .xmd. Each gets maps of its own.",
        ),
    ] = None,
    sym: Symmetry = "C1",
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Soft mask for the FSC [default: a sphere that fills the box]."
        ),
    ] = None,
    max_resolution: Annotated[
        float | None,
        typer.Option(
            metavar="Å", help="Make maps to this resolution only; takes less memory and time."
        ),
    ] = None,
    padding: Annotated[
        float,
        typer.Option(
            metavar="FACTOR", help="Of the Fourier grid over the box; 1.5 halves the memory."
        ),
    ] = 2.0,
    split: Split = None,
    common: Common = False,
    ewald: Annotated[
        float | None,
        typer.Option(
            metavar="DIAMETER",
            help="Correct for the curvature of the Ewald sphere; diameter of the particle in Å.",
        ),
    ] = None,
    reverse_curvature: Annotated[
        bool,
        typer.Option("--reverse-curvature", help="Bend the Ewald sphere the other way."),
    ] = False,
    passthrough: Passthrough = None,
    ignore: Ignore = None,
    tolerance: Tolerance = TOLERANCE,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", help="Threads; 2, one a half-set, are used.")
    ] = 1,
    json: Json = False,
) -> None:
    """Reconstruct half-maps and the full map from particles, poses, CTF and half-sets.

    Writes into OUT: half1.mrc, half2.mrc (not filtered, not masked), fsc.star (for estimate --fsc,
    too), map.mrc (both halves, regularised by that FSC), run.json; and the same into OUT/NAME/ for
    every further set of defoci. All sets have the same particles, poses and half-sets, and are made
    in one pass over the images: only the defocus differs.

    Memory: for each set 1.7 GB at box 256, 0.7 GB at box 192, 13 GB at box 512; times 0.42 with
    --padding 1.5. A run that cannot fit is refused before it begins.

    Ewald sphere: the hand of the map and of the microscope decide which way it is bent. Make maps
    with and without --reverse-curvature, and keep those of the better FSC at the highest resolution.

    \b
    Examples:
      parfocal reconstruct run_data.star --mask mask.mrc --sym O --out maps -j 2
      parfocal reconstruct run_data.star local=local_defocus/bayes/estimates.star \\
          relion=ctf_refine.star --mask mask.mrc --out by_set
      parfocal reconstruct particles.star --split 1 --out drawn
    """
    from parfocal.errors import InputError
    from parfocal.ewald import Ewald
    from parfocal.io.defocus_sets import named_files
    from parfocal.reconstruct_inputs import ReconstructFiles
    from parfocal.reconstruct_run import ReconstructSettings, run_reconstruct

    if reverse_curvature and ewald is None:
        raise InputError("--reverse-curvature alone", mend="give --ewald DIAMETER too")
    files = ReconstructFiles(
        particles=particles,
        sets=named_files(sets or ()),
        mask=mask,
        passthrough=tuple(passthrough or ()),
        ignore=tuple(dict.fromkeys(ignore or ())),
        split=split,
        common=common,
        tolerance=tolerance,
    )
    sphere = (
        Ewald(diameter=ewald, sign=1 if reverse_curvature else -1) if ewald is not None else None
    )
    settings = ReconstructSettings(
        symmetry=sym, padding=padding, resolution=max_resolution, ewald=sphere, jobs=jobs
    )
    with announce(quiet=json) as progress:
        run = run_reconstruct(files, out, settings, progress=progress)
    if json:
        as_json.dump(run.info, sys.stdout, indent=2, allow_nan=False)
        print()
        return
    for line in (*run.info["joined"], *run.info["not_used_told"], *run.info["warnings"]):
        print(line)
    halves = " and ".join(map(str, run.info["half_sets"].values()))
    print(f"{halves} particles in the half-maps")
    for name, at in run.info["resolution"].items():
        told = ", ".join(f"{value:.2f} Å at FSC {level}" for level, value in at.items() if value)
        print(f"{name:<10} {told or 'no resolution: the FSC is nowhere above 0.143'}")
    for name in run.curves:
        print(f"map        {run.folder(name) / 'map.mrc'}")
