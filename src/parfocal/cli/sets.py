"""What the commands share: their arguments, and reading them."""

from pathlib import Path
from typing import Annotated

import typer

Sets = Annotated[
    list[str],
    typer.Argument(
        metavar="[NAME=]FILE...",
        help="Sets of defoci: a parfocal run's folder or estimates.star, RELION .star, cryoSPARC "
        ".cs, Xmipp .xmd.",
    ),
]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder to make for the results.")
]
Input = Annotated[
    Path | None,
    typer.Option(
        "--input",
        metavar="FILE",
        help="The particle file that all sets began from: what is compared and written, and the "
        "global defocus [default: the first set].",
    ),
]
Passthrough = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="cryoSPARC passthrough .cs; may be repeated."),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD",
        help="cryoSPARC aberration to leave out, such as ctf/tilt_A; may be repeated.",
    ),
]
Split = Annotated[
    int | None,
    typer.Option(
        metavar="SEED",
        help="For particles without half-sets: draw them at random in every micrograph.",
    ),
]
Common = Annotated[
    bool, typer.Option("--common", help="Leave out of all sets what one of them lacks.")
]
Symmetry = Annotated[
    str, typer.Option(metavar="GROUP", help="Point group, in RELION's settings: C1, D2, O, I1.")
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", metavar="N", help="Threads.")]
Tolerance = Annotated[
    float,
    typer.Option(metavar="Å", help="Between coordinates of one particle, where names do not tell."),
]
Json = Annotated[bool, typer.Option("--json", help="Print run.json instead of text.")]
TOLERANCE = 10.0  # said here, for `join` would load numpy; a test holds that they are the same
