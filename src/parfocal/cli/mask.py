"""`parfocal mask`."""

import json as as_json
from pathlib import Path
from typing import Annotated

import typer


def mask(
    density: Annotated[
        Path, typer.Argument(metavar="MAP", help="A map, protein bright; best of all particles.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The mask to write, an MRC file.")
    ],
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="DENSITY",
            help="Of the low-passed map, in its own units [default: 0.3 of the molecule's mean].",
        ),
    ] = None,
    lowpass: Annotated[
        float,
        typer.Option(
            metavar="Å",
            help="Low-pass filter before the cut; coarser where noise hides the molecule and the "
            "threshold is automatic. 0: none.",
        ),
    ] = 15.0,
    extend: Annotated[
        float, typer.Option(metavar="PX", help="How far the mask goes beyond the threshold.")
    ] = 3.0,
    edge: Annotated[
        float, typer.Option(metavar="PX", help="Width of the soft edge, beyond that.")
    ] = 6.0,
    pixel_size: Annotated[
        float | None, typer.Option(metavar="Å", help="Where the header is wrong or has none.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Make a soft mask around the molecule of a map.

    The map is low-passed and cut at the threshold; small bodies are dropped; what is left is
    extended and given a raised-cosine edge.

    \b
    Examples:
      parfocal mask map.mrc --out mask.mrc
      parfocal mask map.mrc --threshold 0.012 --extend 4 --edge 8 --out wide.mrc
    """
    from parfocal.mask_file import MaskSettings, write_mask

    settings = MaskSettings(threshold=threshold, lowpass=lowpass, extend=extend, edge=edge)
    done = write_mask(density, out, settings, pixel_size=pixel_size)
    if json:
        print(as_json.dumps(done, indent=2, allow_nan=False))
        return
    for warning in done["warnings"]:
        print(f"warning: {warning}")
    print(
        f"low-passed to {done['lowpass']:g} Å, cut at {done['threshold']:g}, "
        f"{100 * done['share_of_box']:.1f} % of the box is inside"
    )
    print(f"look at    {done['mask']} over the map")
