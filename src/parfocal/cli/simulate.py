"""`parfocal simulate`."""

from pathlib import Path
from typing import Annotated

import typer


def simulate(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make for the data set.")],
    structure: Annotated[
        Path | None, typer.Option(help="PDB or mmCIF file [default: a made-up protein].")
    ] = None,
    particles: Annotated[int, typer.Option(help="Number of particles.")] = 300,
    micrographs: Annotated[int, typer.Option(help="Number of micrographs.")] = 3,
    box: Annotated[int, typer.Option(help="Box, px.")] = 128,
    pixel_size: Annotated[float, typer.Option(help="Å.")] = 1.5,
    snr: Annotated[float, typer.Option(help="Variance of signal over that of noise.")] = 0.05,
    b_factor: Annotated[float, typer.Option(help="Å², damps the signal.")] = 60.0,
    defocus: Annotated[
        tuple[float, float], typer.Option(help="Lowest and highest of the micrographs, Å.")
    ] = (10_000.0, 20_000.0),
    defocus_error: Annotated[
        float, typer.Option(help="Error of the micrographs' defocus in the file, Å, sd.")
    ] = 100.0,
    ice_tilt: Annotated[float, typer.Option(help="Largest tilt of the ice, degrees.")] = 5.0,
    sheets: Annotated[int, typer.Option(help="1: one sheet, 2: both faces, 0: slab.")] = 1,
    ice_thickness: Annotated[float, typer.Option(help="Å, for sheets 0 and 2.")] = 400.0,
    height_scatter: Annotated[float, typer.Option(help="Å, sd about the sheet.")] = 100.0,
    noise: Annotated[str, typer.Option(help="white or coloured.")] = "white",
    pose_error: Annotated[float, typer.Option(help="degrees, sd about each axis.")] = 0.0,
    shift_error: Annotated[float, typer.Option(help="Å, sd along x and y.")] = 0.0,
    wrong: Annotated[
        float, typer.Option(help="Share of wrong particles: noise, or in any pose.")
    ] = 0.0,
    whole_micrographs: Annotated[
        bool,
        typer.Option(
            "--whole-micrographs", help="Write micrographs too, and cut the particles from them."
        ),
    ] = False,
    micrograph_size: Annotated[
        tuple[int, int], typer.Option(help="Columns and rows of a micrograph, px.")
    ] = (4096, 4096),
    amorphous: Annotated[
        float,
        typer.Option(help="Variance of ice in whole micrographs before the CTF; noise has 1."),
    ] = 0.0,
    half_map_resolution: Annotated[
        float, typer.Option(help="Å, where the half-maps' FSC is 0.143.")
    ] = 4.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same data.")] = 0,
) -> None:
    """Simulate a data set whose every defocus is known.

    Writes particles.star with its stacks (RELION 3.1), map.mrc, half1.mrc, half2.mrc, mask.mrc and
    truth.star, which holds the true defocus of every particle and its Cramér-Rao bound; with
    --whole-micrographs also micrographs/, in which particles have neighbours, for
    `parfocal extract` and method gctf.

    \b
    Example:
      parfocal simulate --out sim --structure 6z6u.pdb --box 256 --pixel-size 1
    """
    import numpy as np

    from parfocal.io.files import check_free
    from parfocal.simulate import Scene, write_dataset
    from parfocal.simulate import simulate as run_simulation

    check_free(out)
    scene = Scene(
        structure=structure,
        particles=particles,
        micrographs=micrographs,
        box=box,
        pixel_size=pixel_size,
        snr=snr,
        b_factor=b_factor,
        defocus=defocus,
        defocus_error=defocus_error,
        ice_tilt=ice_tilt,
        sheets=sheets,
        ice_thickness=ice_thickness,
        height_scatter=height_scatter,
        noise=noise,
        pose_error=pose_error,
        shift_error=shift_error,
        wrong=wrong,
        whole_micrographs=whole_micrographs,
        micrograph_size=micrograph_size,
        micrograph_pixel_size=pixel_size if whole_micrographs else Scene.micrograph_pixel_size,
        amorphous=amorphous,
        half_map_resolution=half_map_resolution,
    )
    simulation = run_simulation(scene, np.random.default_rng(seed), keep_images=False)
    write_dataset(simulation, out)
    truth = simulation.truth
    bound = float(np.sqrt(np.mean(truth.cramer_rao[~truth.wrong] ** 2)))
    print(f"{particles} particles, Cramér-Rao bound {bound:.0f} Å (root mean square)")
    print(
        f"next job   parfocal estimate {out / 'particles.star'} --half-maps {out / 'half1.mrc'} "
        f"{out / 'half2.mrc'} --mask {out / 'mask.mrc'} --out {out / 'run'}"
    )
