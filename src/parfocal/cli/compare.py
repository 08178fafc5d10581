"""`parfocal compare`."""

import json as as_json
import sys
from typing import Annotated

import typer

from parfocal.cli.sets import TOLERANCE, Input, Json, Out, Passthrough, Sets, Tolerance
from parfocal.cli.show import announce


def compare(
    sets: Sets,
    out: Out,
    input: Input = None,
    repeat: Annotated[
        bool,
        typer.Option(
            "--repeat",
            help="The sets are pairs of runs of one method, or two runs' folders: how stable is it? "
            "(Fig. 7)",
        ),
    ] = False,
    passthrough: Passthrough = None,
    tolerance: Tolerance = TOLERANCE,
    json: Json = False,
) -> None:
    """Compare sets of defoci: how far they agree, how far they should, and what is wrong with them.

    Particles are joined by name or place, never by row. Writes into OUT: report.html (look at it
    first), compare.star (every pair), micrographs.star (planes by each set), run.json.

    \b
    Examples:
      parfocal compare local_defocus/ relion=ctf_refine.star cs=J50.cs \\
          --input run_data.star --out compare
      parfocal compare first=run1/bayes/estimates.star second=run2/bayes/estimates.star \\
          --repeat --out stability
      parfocal compare first=run1 second=run2 --repeat --out stability
    """
    from parfocal.agreement import correlation
    from parfocal.compare_run import run_compare
    from parfocal.io.defocus_sets import named_files

    with announce(quiet=json) as progress:
        run = run_compare(
            named_files(sets),
            out,
            repeats=repeat,
            input_file=input,
            passthrough=tuple(passthrough or ()),
            tolerance=tolerance,
            progress=progress,
        )
    if json:
        as_json.dump(run.info, sys.stdout, indent=2, allow_nan=False)
        print()
        return
    for line in (*run.info["joined"], *map(str, run.faults)):
        print(line)
    found = run.comparison
    for pair, expected in zip(found.pairs, found.expected, strict=True):
        mean = pair.pearson
        told = correlation(mean)
        print(f"{pair.names[0]} and {pair.names[1]}: correlation {told}; {expected.words}")
    for one in run.repeats:
        names, implied = one.agreement.names, one.implied_error
        print(
            f"{names[0]} and {names[1]}: one run strays by {implied.value:.0f} ± "
            f"{implied.error:.0f} Å"
        )
    print(f"look at    {out / 'report.html'}")
