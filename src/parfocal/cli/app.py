"""The `parfocal` command. Nothing heavy is imported before a command runs."""

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from parfocal import __version__
from parfocal.cli import (
    compare,
    consensus,
    demo,
    estimate,
    extract,
    fsc,
    iterate,
    limits,
    localres,
    mask,
    reconstruct,
    simulate,
    study,
    validate,
)
from parfocal.errors import InputError

DEBUG = "PARFOCAL_DEBUG"  # set in the environment: errors of any kind show where they arose

app = typer.Typer(
    name="parfocal",
    help="Per-particle defocus for single-particle cryo-EM, with an error bar on every particle.",
    epilog="Start with `parfocal demo --out demo`, then open demo/study/report.html.",
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


def _guarded(command: Callable, *, interrupted: str) -> Callable:
    """`command`, with every failure told in one line on stderr. 2: the user's input, 130: Ctrl-C."""

    @functools.wraps(command)
    def run(*arguments, **options):
        try:
            return command(*arguments, **options)
        except (BrokenPipeError, typer.Exit):
            raise  # typer ends in silence: `parfocal ... | head`
        except (InputError, OSError, MemoryError) as error:
            _tell(_as_input_error(error))
            code = 2
        except KeyboardInterrupt:
            _tell(f"interrupted: {interrupted}")
            code = 130
        except Exception as error:
            if os.environ.get(DEBUG):
                raise
            name = type(error).__name__
            _tell(f"internal error ({name}: {error}) - set {DEBUG}=1 to see where, and report it")
            code = 1
        raise typer.Exit(code)

    return run


def _tell(message: object) -> None:
    print("parfocal:", *str(message).split(), file=sys.stderr)


def _as_input_error(error: InputError | OSError | MemoryError) -> InputError:
    if isinstance(error, OSError):
        return InputError.of_system(error)
    if isinstance(error, MemoryError):
        return InputError("not enough memory", mend="use fewer --jobs, or a machine with more")
    return error


FROM_SCRATCH = "remove what was written, and run again"
app.command("estimate")(
    _guarded(estimate.estimate, interrupted="the same command with --resume goes on")
)
app.command("compare")(_guarded(compare.compare, interrupted=FROM_SCRATCH))
app.command("consensus")(_guarded(consensus.consensus, interrupted=FROM_SCRATCH))
app.command("reconstruct")(_guarded(reconstruct.reconstruct, interrupted=FROM_SCRATCH))
app.command("iterate")(
    _guarded(iterate.iterate, interrupted="the same command with --resume goes on")
)
app.command("fsc")(_guarded(fsc.fsc, interrupted=FROM_SCRATCH))
app.command("localres")(_guarded(localres.localres, interrupted=FROM_SCRATCH))
app.command("mask")(_guarded(mask.mask, interrupted="run it again"))
app.command("validate")(_guarded(validate.validate, interrupted=FROM_SCRATCH))
app.command("study")(_guarded(study.study, interrupted="the same command with --resume goes on"))
app.command("simulate")(_guarded(simulate.simulate, interrupted=FROM_SCRATCH))
app.command("extract")(_guarded(extract.extract, interrupted=FROM_SCRATCH))
app.command("limits")(_guarded(limits.limits, interrupted="run it again"))
app.command("demo")(_guarded(demo.demo, interrupted=FROM_SCRATCH))


def main() -> None:
    """Entry point. A batch system's SIGTERM ends a run as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # --jobs has the threads; more only compete
    app(prog_name="parfocal")
