"""`parfocal estimate`."""

from pathlib import Path
from typing import Annotated

import typer

from parfocal.cli.sets import Ignore, Jobs
from parfocal.cli.show import announce, machine_or_person

# said here, for the table of methods would load numpy; a test holds that they are the same
METHODS = "bayes, profile, relion, relion-grid, cryosparc, xmipp, xmipp-cc, highres, gctf"


def estimate(
    particles: Annotated[
        Path,
        typer.Argument(
            metavar="PARTICLES",
            help="Particles of a finished refinement: RELION .star, cryoSPARC .cs, Xmipp .xmd.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder to make for the results.")
    ],
    half_maps: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--half-maps",
            metavar="HALF1 HALF2",
            help="The two unfiltered half-maps; each particle meets its own.",
        ),
    ] = None,
    own_reference: Annotated[
        bool,
        typer.Option(
            "--own-reference",
            help="Reconstruct the half-maps from these particles, poses and defoci as they are.",
        ),
    ] = False,
    sym: Annotated[
        str | None,
        typer.Option(
            metavar="GROUP", help="Symmetry of --own-reference: C1, D7, O ... [default: C1]."
        ),
    ] = None,
    split: Annotated[
        int | None,
        typer.Option(
            metavar="SEED",
            help="Draw half-sets for --own-reference at random, where the particles have none.",
        ),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Soft mask of the refinement; auto makes one of the maps (what --own-reference does "
            "by default), none leaves it away.",
        ),
    ] = None,
    fsc: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="postprocess.star; measured from the half-maps if left out."
        ),
    ] = None,
    map: Annotated[
        Path | None,
        typer.Option("--map", metavar="FILE", help="One outside map instead of half-maps."),
    ] = None,
    resolution: Annotated[
        float | None,
        typer.Option(metavar="Å", help="Up to which --map is exact [default: Nyquist]."),
    ] = None,
    passthrough: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="cryoSPARC passthrough .cs; may be repeated."),
    ] = None,
    ignore: Ignore = None,
    reference: Annotated[
        str,
        typer.Option(
            metavar="HALF",
            help="Which half-map a particle meets: its own (its part taken out), or else the "
            "opposite one, or the full map (sharper). Only own keeps half-sets independent.",
        ),
    ] = "own",
    method: Annotated[
        str,
        typer.Option(metavar="NAMES", help=f"Method, or several with commas: {METHODS}."),
    ] = "bayes",
    set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD.SETTING=VALUE",
            help="Setting of a method, such as bayes.stage_tilt=30; may be repeated.",
        ),
    ] = None,
    range: Annotated[
        float,
        typer.Option("--range", metavar="Å", help="Searched either side of the input defocus."),
    ] = 1000.0,
    padding: Annotated[
        float | None,
        typer.Option(
            metavar="FACTOR", help="Padded size over box [default: as delocalisation asks]."
        ),
    ] = None,
    jobs: Jobs = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print run.json instead of text.")] = False,
) -> None:
    """Estimate every particle's defocus, with an error bar.

    Writes into OUT: report.html (look at it first), METHOD/particles.star (the input with only its
    defocus changed, ready for the next job), METHOD/estimates.star (one row a particle),
    micrographs.star, run.json, and spectra/, which makes the run resumable.

    \b
    Examples:
      parfocal estimate run_data.star --half-maps half1.mrc half2.mrc \\
          --mask mask.mrc --out local_defocus -j 8
      parfocal estimate J42_particles.cs --passthrough J42_passthrough.cs \\
          --map reference.mrc --resolution 3 --out local_defocus
      parfocal estimate run_data.star --own-reference --sym O --out local_defocus -j 8
    """
    from parfocal.pipeline import EstimateSettings
    from parfocal.pipeline import estimate as run_estimate
    from parfocal.reference_files import ReferenceFiles, own_of

    files = ReferenceFiles(
        half_maps=half_maps,
        map=map,
        own=own_of(own_reference, sym, split),
        mask=mask,
        fsc=fsc,
        resolution=resolution,
        meets=reference,
    )
    settings = EstimateSettings(
        methods=tuple(dict.fromkeys(name.strip() for name in method.split(",") if name.strip())),
        options=tuple(set or ()),
        search_range=range,
        padding=padding,
        ignore=tuple(dict.fromkeys(ignore or ())),
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
