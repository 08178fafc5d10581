"""What a person sees in the terminal: progress with rate and time left, and the result in short."""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int, int], None]
OTHERS = ("maps", "blocks", "monores", "windowed FSC")  # stages that do not count particles
EVERY = 30.0  # s between lines of progress where stderr is not a terminal, such as a log file


@contextmanager
def announce(*, quiet: bool) -> Iterator[Progress]:
    """A progress callback (stage, done, total) that writes to stderr, or does nothing.

    Meanwhile warnings of the package are written to stderr too, a line each.
    """
    handler = _Warnings()
    logging.getLogger("parfocal").addHandler(handler)
    try:
        if quiet:
            yield lambda stage, done, total: None
        elif sys.stderr.isatty():
            with _bars() as progress:
                yield progress
        else:
            yield _lines()
    finally:
        logging.getLogger("parfocal").removeHandler(handler)


class _Warnings(logging.Handler):
    """Prints where stderr is at the time, so that bars move out of the way."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"{record.levelname.lower()}: {record.getMessage()}", file=sys.stderr)


def _lines() -> Progress:
    """Now and then a line on how far the particles are, for logs."""
    began: dict[str, tuple[int, float]] = {}  # stage -> particles done when it began, and when
    told = time.monotonic()

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal told
        if total <= 1:
            return
        now = time.monotonic()
        first, started = began.setdefault(stage, (done, now))
        if done > first and (done == total or now - told > EVERY):
            told, rate = now, (done - first) / max(now - started, 1e-9)
            left = "" if done == total else f", {(total - done) / rate:.0f} s left"
            what = "" if stage == "particles" else f"{stage}: "
            unit = "" if stage in OTHERS else " particles"
            print(f"{what}{done} of {total}{unit}, {rate:.0f}/s{left}", file=sys.stderr)

    return progress


@contextmanager
def _bars() -> Iterator[Progress]:
    """A bar for each stage, gone at the end."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """Particles a second, over all of this run's own."""

        def render(self, task):
            kept, started = task.fields["kept"], task.fields["started"]
            done, spent = task.completed - kept, time.monotonic() - started
            return Text(f"{done / spent:.0f}/s" if done and (task.total or 0) > 1 else "")

    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks = {}

        def progress(stage: str, done: int, total: int) -> None:
            for name, task in tasks.items():
                if name != stage:
                    bar.update(task, completed=bar.tasks[task].total)
            if stage == "done":
                return
            if stage not in tasks:
                tasks[stage] = bar.add_task(
                    stage, total=total, completed=done, kept=done, started=time.monotonic()
                )
            bar.update(tasks[stage], completed=done, total=total)

        yield progress


def machine_or_person(run, as_json: bool) -> None:
    """The run's result on stdout: run.json, or a few lines."""
    if as_json:
        json.dump(run.info, sys.stdout, indent=2, default=str, allow_nan=False)
        print()
        return
    for name, facts in run.info["methods"].items():
        counts = ", ".join(f"{n} {label}" for label, n in facts["counts"].items() if n)
        print(f"{name}: {counts}")
        if facts["median_error"] is not None:
            print(
                f"  median error {facts['median_error']:.0f} Å, spread of the change "
                f"{facts['change_sd']:.0f} Å"
            )
        print(f"  {run.info['verdict'][name]['text']}")
    print(f"took       {run.info['timings']['wall_s']:.0f} s")
    print(f"look at    {run.page_file(next(iter(run.results)))}")
    for name in run.results:
        if run.info["verdict"][name]["helps"] is False:
            print(f"next job   {run.info['inputs']['particles']} (the input: {name} does not help)")
        else:
            print(f"next job   {run.particles_file(name)}")


def study_told(run) -> None:
    """The result of a study on stdout, in a few lines."""
    for line in (*run.info["verdict"], *run.info["warnings"]):
        print(line)
    print(f"took       {run.info['timings']['wall_s']:.0f} s")
    print(f"look at    {run.out / 'report.html'}")
    print(f"next job   {run.best}")
