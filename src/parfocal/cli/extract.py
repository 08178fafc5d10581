"""`parfocal extract`."""

import json as as_json
from pathlib import Path
from typing import Annotated

import typer

from parfocal.cli.show import announce


def extract(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="STAR", help="RELION particles with coordinates, or micrographs with their CTF."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder to make for the stacks.")
    ],
    box: Annotated[int, typer.Option(metavar="PX", help="Box, px of the micrograph.")],
    coordinates: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="With micrographs: folder of coordinate STAR files, or the file that lists them.",
        ),
    ] = None,
    micrographs: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where micrographs are, if not where the STAR says."),
    ] = None,
    rescale: Annotated[
        int | None,
        typer.Option("--rescale", metavar="PX", help="Fourier-crop to this box, px."),
    ] = None,
    invert: Annotated[bool, typer.Option("--invert", help="Invert the contrast.")] = False,
    normalise: Annotated[
        bool,
        typer.Option(
            "--normalise", help="Background without ramp, of mean 0 and standard deviation 1."
        ),
    ] = False,
    background_radius: Annotated[
        float | None,
        typer.Option(metavar="Å", help="Background is farther out than this [default: 0.375 box]."),
    ] = None,
    recentre: Annotated[
        bool, typer.Option("--recentre", help="Move boxes by the whole pixels of the origins.")
    ] = False,
    skip_edges: Annotated[
        bool,
        typer.Option(
            "--skip-edges",
            help="Leave out boxes over the edge [default: fill with the nearest pixels].",
        ),
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="N", help="Threads.")] = 1,
    json: Annotated[
        bool, typer.Option("--json", help="Print extract.json instead of text.")
    ] = False,
) -> None:
    """Cut particles from micrographs (MRC, TIFF); poses, origins and each one's defocus are kept.

    Writes OUT/particles.star, OUT/particles/ with a stack for each micrograph, and OUT/extract.json,
    which lists every particle that was left out, and why.

    \b
    Examples:
      parfocal extract run_data.star --box 256 --out reextract
      parfocal extract micrographs_ctf.star --coordinates AutoPick/job005 \\
          --box 384 --rescale 128 --invert --normalise --out extract
    """
    from parfocal.errors import InputError
    from parfocal.extract import ExtractSettings, extract_particles

    if jobs < 1:
        raise InputError(f"{jobs} jobs", mend="choose 1 or more")
    settings = ExtractSettings(
        box=box,
        rescale=rescale,
        invert=invert,
        normalise=normalise,
        background_radius=background_radius,
        recentre=recentre,
        skip_edges=skip_edges,
    )
    with announce(quiet=json) as progress:
        done = extract_particles(
            source,
            out,
            settings,
            coordinates=coordinates,
            micrographs=micrographs,
            jobs=jobs,
            progress=progress,
        )
    if json:
        print(as_json.dumps(done.info, indent=2, allow_nan=False))
        return
    counts = done.info["counts"]
    print(f"{counts['written']} of {counts['particles']} particles written")
    print(f"next       {done.particles_file}")
