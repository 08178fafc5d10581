"""`parfocal consensus`."""

import json as as_json
import sys
from typing import Annotated

import typer

from parfocal.cli.sets import TOLERANCE, Input, Json, Out, Passthrough, Sets, Tolerance
from parfocal.cli.show import announce


def consensus(
    sets: Sets,
    out: Out,
    input: Input = None,
    combine: Annotated[
        str,
        typer.Option(
            metavar="WAY", help="weighted (by what the sets themselves show), or the median."
        ),
    ] = "weighted",
    max_mad: Annotated[
        float | None,
        typer.Option(
            metavar="Å",
            help="Leave out particles on which the sets scatter more, or that one alone knows.",
        ),
    ] = None,
    max_error: Annotated[
        float | None, typer.Option(metavar="Å", help="Leave out those with a larger error bar.")
    ] = None,
    max_from_prior: Annotated[
        float | None,
        typer.Option(
            metavar="Å", help="Leave out those farther from the input: half the ice's thickness."
        ),
    ] = None,
    status: Annotated[
        str, typer.Option(metavar="NAMES", help="Keep these only: ok, outlier, unknown.")
    ] = "",
    passthrough: Passthrough = None,
    tolerance: Tolerance = TOLERANCE,
    json: Json = False,
) -> None:
    """Combine sets of defoci into one, with an error bar.

    Writes into OUT: report.html (look at it first), particles.star (the input with only its
    defocus changed), estimates.star, consensus.star (median, MAD, weights' result and status of
    every particle), run.json; with limits also particles_kept.star and particles_left_out.star.

    \b
    Examples:
      parfocal consensus local_defocus/ relion=ctf_refine.star cs=J50.cs \\
          --input run_data.star --out consensus
      parfocal consensus a.star b.star c.star --max-mad 150 --max-from-prior 300 --out consensus
    """
    from parfocal.consensus_run import ConsensusSettings, run_consensus
    from parfocal.filters import Filter
    from parfocal.io.defocus_sets import named_files

    wanted = tuple(dict.fromkeys(name.strip() for name in status.split(",") if name.strip()))
    limits = Filter(
        max_mad=max_mad, max_error=max_error, max_from_prior=max_from_prior, status=wanted
    )
    settings = ConsensusSettings(combine=combine, filter=limits, tolerance=tolerance)  # pyright: ignore[reportArgumentType]
    with announce(quiet=json) as progress:
        run = run_consensus(
            named_files(sets),
            out,
            settings,
            input_file=input,
            passthrough=tuple(passthrough or ()),
            progress=progress,
        )
    if json:
        as_json.dump(run.info, sys.stdout, indent=2, allow_nan=False)
        print()
        return
    for line in (*run.info["joined"], *run.info["faults"], *run.info["warnings"]):
        print(line)
    print(f"{run.info['kept']} of {run.info['particles']} particles kept", end="")
    reasons = ", ".join(f"{count} by {name}" for name, count in run.info["left_out"].items())
    print(f"; left out: {reasons}" if reasons else "")
    for name in ("error", "MAD"):
        value = run.info[f"median_{name.lower()}"]
        print(f"median {name:<5} {'unknown' if value is None else f'{value} Å'}")
    print(f"look at    {out / 'report.html'}")
    if run.template is not None and run.info["kept"]:
        name = "particles_kept" if run.info["left_out"] else "particles"
        print(f"next job   {run.file(name)}")
