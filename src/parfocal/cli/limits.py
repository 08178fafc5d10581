"""`parfocal limits`."""

import json as as_json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer


def limits(
    voltage: Annotated[
        list[float] | None,
        typer.Option(metavar="kV", help="Of the microscope; repeat for more [default: 300, 200]."),
    ] = None,
    error: Annotated[
        list[float] | None,
        typer.Option(
            metavar="Å", help="Defocus error; repeat for more [default: 25, 50, 100, 150, 200]."
        ),
    ] = None,
    phase: Annotated[
        list[float] | None,
        typer.Option(
            metavar="°",
            help="Turn of the CTF's phase that is too much; repeat for more [default: 90].",
        ),
    ] = None,
    spread: Annotated[
        list[float] | None,
        typer.Option(
            metavar="Å",
            help="Standard deviation of Gaussian errors; repeat for more [default: 25, 50, 100].",
        ),
    ] = None,
    resolution: Annotated[
        list[float] | None,
        typer.Option(
            metavar="Å",
            help="Resolution to be reached; repeat for more [default: 1.2, 1.5, 2, 2.5, 3, 3.5, 4].",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="Write report.html and limits.star there."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
) -> None:
    """What a defocus error costs: the resolution that it allows, and the signal that it loses.

    Four tables: the resolution at which an error turns the phase of the CTF by 90° or another
    --phase; the phase that it turns at each resolution; how small errors must be for a resolution;
    and the fraction of the signal that is left when errors have a given spread. OUT/report.html
    has them as figures too.

    \b
    Examples:
      parfocal limits
      parfocal limits --voltage 300 --error 65 --spread 65 --resolution 2
      parfocal limits --phase 45 --phase 90 --out limits
    """
    from parfocal.conventions import DEGREE
    from parfocal.limits import LimitSettings, limit_tables

    given = {
        "voltages": voltage,
        "errors": error,
        "phases": phase and [value * DEGREE for value in phase],
        "spreads": spread,
        "resolutions": resolution,
    }
    settings = LimitSettings(**{k: tuple(dict.fromkeys(v)) for k, v in given.items() if v})
    tables = limit_tables(settings)
    if out is not None:
        _write(out, settings, tables)
    if json:
        print(as_json.dumps(_as_records(tables), indent=2, allow_nan=False))
        return
    print("\n".join(_lines(settings, tables)))
    if out is not None:
        print(f"look at    {out / 'report.html'}")


def _write(out: Path, settings, tables) -> None:
    from parfocal.io import write_star
    from parfocal.io.files import check_free, replacing
    from parfocal.report.limits_page import limits_page
    from parfocal.report.page import render_page

    check_free(out)
    with replacing(out / "report.html") as file:
        file.write(render_page(limits_page(settings, tables)).encode())
    blocks = {
        block: {
            f"parfocal{name.title().replace('_', '')}": [f"{value:.6g}" for value in column]
            for name, column in _in_degrees(table).items()
        }
        for block, table in tables.items()
    }
    write_star(out / "limits.star", blocks)


def _in_degrees(table) -> dict:
    from parfocal.conventions import DEGREE

    return {name: column / DEGREE if name == "phase" else column for name, column in table.items()}


def _as_records(tables) -> dict:
    """Rows as JSON has them; degrees, and null for what is beyond all numbers."""
    from parfocal.limits import PAPER_NOTE, WAVELENGTH_NOTE

    found: dict = {
        name: [
            {
                key: value if math.isfinite(value) else None
                for key, value in zip(t, row, strict=True)
            }
            for row in zip(*(column.tolist() for column in t.values()), strict=True)
        ]
        for name, t in ((name, _in_degrees(table)) for name, table in tables.items())
    }
    return found | {"notes": [PAPER_NOTE, WAVELENGTH_NOTE]}


def _lines(settings, tables) -> Iterator[str]:
    """The tables for a terminal, each with what it says."""
    from parfocal.conventions import DEGREE
    from parfocal.limits import KEPT, PAPER_NOTE, WAVELENGTH_NOTE
    from parfocal.optics import wavelength

    heads = [f"{voltage:g} kV" for voltage in settings.voltages]
    waves = (f"{wavelength(voltage):.6f} Å at {voltage:g} kV" for voltage in settings.voltages)
    yield f"Wavelength: {', '.join(waves)}"
    n, n_phases = len(heads), len(settings.phases)
    found = tables["limits"]["resolution"].reshape(n, n_phases, -1)
    for place, phase in enumerate(settings.phases):
        yield f"\nResolution [Å] at which a defocus error turns the CTF by {phase / DEGREE:g}°"
        yield from _grid("error [Å]", settings.errors, heads, found[:, place], ".2f")
    offsets = tables["offsets"]["phase"].reshape(n, len(settings.errors), -1) / DEGREE
    needed = tables["needed"]
    allowed = [needed[name].reshape(n, -1) for name in list(needed)[2:]]
    kept = 100 * tables["signal"]["signal_kept"].reshape(n, len(settings.spreads), -1)
    first = "resolution [Å]"
    for v, head in enumerate(heads):
        yield f"\nTurn of the CTF [°] at {head} by a defocus error of"
        errors = [f"{error:g} Å" for error in settings.errors]
        yield from _grid(first, settings.resolutions, errors, offsets[v], ".1f")
        yield f"\nErrors [Å] that a resolution allows at {head}"
        keeping = [f"sd, {100 * k:.0f} % kept" for k in KEPT]
        ways = [f"{settings.phases[0] / DEGREE:g}° turn", *keeping]
        yield from _grid(first, settings.resolutions, ways, [a[v] for a in allowed], ".1f")
        yield f"\nSignal kept [%] at {head}, errors with a standard deviation of"
        spreads = [f"{spread:g} Å" for spread in settings.spreads]
        yield from _grid(first, settings.resolutions, spreads, kept[v], ".1f")
    yield f"\n{PAPER_NOTE}\n{WAVELENGTH_NOTE}"


def _grid(name: str, rows, heads: list[str], columns, form: str) -> Iterator[str]:
    """Lines of a table: `columns` are of one length with `rows`, which are at their left."""
    yield f"{name:>14}" + "".join(f"{head:>17}" for head in heads)
    for row, values in zip(rows, zip(*columns, strict=True), strict=True):
        yield f"{row:>14g}" + "".join(f"{value:>17{form}}" for value in values)
