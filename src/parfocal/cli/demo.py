"""`parfocal demo`."""

from pathlib import Path
from typing import Annotated

import typer

from parfocal.cli.show import announce, study_told


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder to make.")
    ] = Path("demo"),
    particles: Annotated[int, typer.Option(help="Number of particles.")] = 600,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Threads.")] = 2,
    seed: Annotated[int, typer.Option(help="The same seed gives the same data.")] = 1,
) -> None:
    """Simulate a small data set with known truth, study it, and compare with the truth.

    Takes some two minutes on two cores. Writes OUT/data (what `parfocal simulate` writes) and
    OUT/study (what `parfocal study` writes); open OUT/study/report.html.

    \b
    Example:
      parfocal demo --out demo --particles 200
    """
    from parfocal.demo import demo_table, make_data
    from parfocal.reference_files import ReferenceFiles
    from parfocal.study import StudySettings, run_study

    settings = StudySettings(methods=("bayes", "relion", "xmipp"), jobs=jobs)
    data, truth = make_data(out / "data", particles=particles, seed=seed)
    halves = data / "half1.mrc", data / "half2.mrc"
    files = ReferenceFiles(half_maps=halves, mask=data / "mask.mrc")
    with announce(quiet=False) as progress:
        run = run_study(data / "particles.star", files, out / "study", settings, progress=progress)
    print(demo_table(run.estimate.results["bayes"].estimates, truth))
    study_told(run)
