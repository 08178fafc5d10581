"""The `parfocal` command. Nothing heavy is imported before a command runs."""

import sys
from typing import Annotated

import typer

from parfocal import __version__
from parfocal.cli import demo, estimate, simulate
from parfocal.errors import InputError

app = typer.Typer(
    name="parfocal",
    help="Per-particle defocus for single-particle cryo-EM, with an error bar on every particle.",
    epilog="Start with `parfocal demo --out demo`, then open demo/run/report.html.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would double the time of --help
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"parfocal {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print and exit.")
    ] = False,
) -> None:
    pass


app.command("estimate")(estimate.estimate)
app.command("simulate")(simulate.simulate)
app.command("demo")(demo.demo)


def main() -> None:
    """Entry point: a user's error is one line on stderr and exit code 2."""
    try:
        app()
    except InputError as error:
        print(f"parfocal: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("parfocal: interrupted; the same command with --resume goes on", file=sys.stderr)
        sys.exit(130)
