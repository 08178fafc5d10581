"""A ChimeraX script that opens a map coloured by another one."""

from os import PathLike

import numpy as np

from parfocal.io.files import replacing

# Viridis, which colour-blind readers can tell apart: from the finest to the coarsest.
COLOURS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")


def write_coloured_map(
    path: str | PathLike,
    *,
    density: str,
    values: str,
    level: float,
    limits: tuple[float, float],
) -> None:
    """Script that shows `density` as a surface at `level`, coloured by `values` within `limits`.

    Both are names of MRC files in the script's own folder, which ChimeraX takes for the current one.
    The script is for a session without other models.
    """
    stops = np.linspace(*limits, len(COLOURS))
    palette = ":".join(f"{s:.3f},{c}" for s, c in zip(stops, COLOURS, strict=True))
    key = " ".join(f"{c}:{s:.2f}" for s, c in zip(stops, COLOURS, strict=True))
    lines = (
        "# Local resolution in Å. If the surface is too thin or too full, change `level`.",
        f'open "{density}"',
        f'open "{values}"',
        "set bgColor white",
        f"volume #1 style surface step 1 level {level:.6g}",
        "hide #2 models",
        f"color sample #1 map #2 palette {palette}",
        f"key {key}",
        "lighting soft",
        "view",
    )
    with replacing(path) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())
