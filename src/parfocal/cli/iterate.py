"""`parfocal iterate`."""

import json as as_json
import sys
from pathlib import Path
from typing import Annotated

import typer

from parfocal.cli.sets import Jobs, Json, Out, Passthrough
from parfocal.cli.show import announce


def iterate(
    particles: Annotated[
        Path,
        typer.Argument(
            metavar="PARTICLES",
            help="Particles of a finished refinement: RELION .star, cryoSPARC .cs, Xmipp .xmd.",
        ),
    ],
    out: Out,
    rounds: Annotated[int, typer.Option(metavar="N", help="Rounds at the most.")] = 5,
    sym: Annotated[
        str, typer.Option(metavar="GROUP", help="Symmetry of the maps: C1, D7, O ...")
    ] = "C1",
    mask: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Soft mask; auto: made of the first maps; none: the whole box."
        ),
    ] = "auto",
    split: Annotated[
        int | None,
        typer.Option(
            metavar="SEED", help="Draw half-sets at random, where the particles have none."
        ),
    ] = None,
    method: Annotated[str, typer.Option(metavar="NAME", help="bayes or profile.")] = "bayes",
    range: Annotated[
        float,
        typer.Option("--range", metavar="Å", help="Searched either side of the input defocus."),
    ] = 1000.0,
    passthrough: Passthrough = None,
    jobs: Jobs = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run.")
    ] = False,
    json: Json = False,
) -> None:
    """Estimate, reconstruct with the new defoci, and estimate again, for as long as it pays.

    Half-maps are reconstructed from the particles themselves; poses and half-sets stay as they are.
    A round pays if it gains more on held-out data than its standard error, and defoci still move by
    a tenth of their error bars. Writes into OUT:
    report.html (look at it first), particles.star (the input with only its defocus changed, of the
    last round that paid), estimates.star, half1.mrc and half2.mrc made with these defoci, mask.mrc,
    rounds.star, run.json; until then rounds/, from which --resume goes on after the last whole round.

    \b
    Examples:
      parfocal iterate run_data.star --sym O --mask mask.mrc --out rounds -j 8
      parfocal iterate run_data.star --sym O --mask mask.mrc --out rounds -j 8 --resume
      parfocal iterate particles.star --split 1 --rounds 3 --out rounds
    """
    from parfocal.iterate_run import IterateSettings, run_iterate
    from parfocal.reference_files import Own, ReferenceFiles

    files = ReferenceFiles(own=Own(symmetry=sym, split=split), mask=mask)
    settings = IterateSettings(method=method, rounds=rounds, search_range=range, jobs=jobs)
    with announce(quiet=json) as progress:
        info = run_iterate(
            particles,
            files,
            out,
            settings,
            passthrough=tuple(passthrough or ()),
            resume=resume,
            progress=progress,
        )
    if json:
        as_json.dump(info, sys.stdout, indent=2, allow_nan=False)
        print()
        return
    for line in info["warnings"]:
        print(f"warning    {line}")
    for line in info["rounds"]:
        resolution = f"{line['resolution']:.2f} Å" if line["resolution"] else "no maps"
        print(
            f"{line['name']:<10} {line['gain'] or 0:+.3f} ± {line['gain_error'] or 0:.3f} nats a "
            f"particle, moved {line['moved'] or 0:.0f} Å, {resolution}{', kept' if line['kept'] else ''}"
        )
    print(f"took       {info['timings']['wall_s']:.0f} s")
    print(f"look at    {out / 'report.html'}")
    name = next(iter(out.glob("particles.*")), None)
    print(f"next job   {name or f'{particles} (the input: no round paid)'}")
