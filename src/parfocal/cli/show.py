"""What a person sees in the terminal: progress with rate and time left, and the result in short."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def announce(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A progress callback (stage, done, total) that draws on stderr, or does nothing."""
    if quiet:
        yield lambda stage, done, total: None
        return
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
    with Progress(*columns, console=Console(stderr=True)) as bar:
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
        json.dump(run.info, sys.stdout, indent=2, default=str)
        print()
        return
    for warning in run.inputs.warnings:
        print(f"warning: {warning}")
    for name, facts in run.info["methods"].items():
        counts = ", ".join(f"{n} {label}" for label, n in facts["counts"].items() if n)
        print(f"{name}: {counts}")
        if facts["median_error"] is not None:
            print(
                f"  median error {facts['median_error']:.0f} Å, spread of the change "
                f"{facts['change_sd']:.0f} Å"
            )
        print(f"  {run.info['verdict'][name]['text']}")
    print(f"look at    {run.out / 'report.html'}")
    for name in run.results:
        if run.info["verdict"][name]["helps"] is False:
            print(f"next job   {run.info['inputs']['particles']} (the input: {name} does not help)")
            continue
        suffix = Path(run.info["inputs"]["particles"]).suffix
        print(f"next job   {run.out / name / f'particles{suffix}'}")
