"""`parfocal estimate`."""

from pathlib import Path
from typing import Annotated

import typer

from parfocal.cli.show import announce, machine_or_person

RESULT = "Results"
TUNE = "Tuning"


def estimate(
    particles: Annotated[
        Path,
        typer.Argument(help="Particles of a finished refinement: RELION .star, cryoSPARC .cs."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make for the results.")],
    half_maps: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--half-maps", help="The two unfiltered half-maps; each particle meets its own."
        ),
    ] = None,
    mask: Annotated[Path | None, typer.Option(help="Soft mask of the refinement.")] = None,
    fsc: Annotated[
        Path | None, typer.Option(help="postprocess.star; measured from the half-maps if left out.")
    ] = None,
    map: Annotated[
        Path | None, typer.Option("--map", help="One outside map instead of half-maps.")
    ] = None,
    resolution: Annotated[
        float | None, typer.Option(help="Å, up to which --map is exact [default: Nyquist].")
    ] = None,
    passthrough: Annotated[
        list[Path] | None, typer.Option(help="cryoSPARC passthrough .cs; may be repeated.")
    ] = None,
    method: Annotated[str, typer.Option(help="Method, or several with commas.")] = "profile",
    range: Annotated[
        float, typer.Option("--range", help="Å searched either side of the input defocus.")
    ] = 1000.0,
    padding: Annotated[
        float | None, typer.Option(help="Padded size over box [default: as delocalisation asks].")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Threads.")] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print run.json instead of text.")] = False,
) -> None:
    """Estimate every particle's defocus, with an error bar.

    Writes into OUT: report.html (look at it first), METHOD/particles.star (the input with only its
    defocus changed, ready for the next job), METHOD/estimates.star (one row a particle),
    micrographs.star, run.json, and spectra/, which makes the run resumable.

    Example: parfocal estimate run_data.star --half-maps run_half1_class001_unfil.mrc
    run_half2_class001_unfil.mrc --mask mask.mrc --out local_defocus -j 8
    """
    from parfocal.inputs import ReferenceFiles
    from parfocal.pipeline import EstimateSettings
    from parfocal.pipeline import estimate as run_estimate

    files = ReferenceFiles(half_maps=half_maps, map=map, mask=mask, fsc=fsc, resolution=resolution)
    settings = EstimateSettings(
        methods=tuple(name.strip() for name in method.split(",") if name.strip()),
        search_range=range,
        padding=padding,
        jobs=jobs,
    )
    with announce(quiet=json) as progress:
        run = run_estimate(
            particles,
            files,
            out,
            settings,
            passthrough=tuple(passthrough or ()),
            resume=resume,
            progress=progress,
        )
    machine_or_person(run, json)
