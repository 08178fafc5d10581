"""Reading sets of defoci by name, one at a time, and joining them to what they have in common."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from parfocal.defocus_set import DefocusSet, set_of_particles
from parfocal.errors import InputError
from parfocal.io.defocus_sets import read_any_particles, read_defocus_set
from parfocal.io.estimates import holds_estimates
from parfocal.join import TOLERANCE, Joined, join
from parfocal.particles import Particles

OURS = {"input", "global", "plane", "combination"}  # what stands beside the sets in results
AHEAD = 2  # files that are read at a time
Told = Callable[[str, int, int], None]


class SetInputs(NamedTuple):
    """Sets joined to their base, and the particle file that can carry their defoci on, if any."""

    joined: Joined
    template: Particles | None


def read_sets(
    files: Mapping[str, str | Path],
    *,
    input_file: str | Path | None = None,
    passthrough: Iterable[Path] = (),
    tolerance: float = TOLERANCE,
    progress: Told = lambda stage, done, total: None,
) -> SetInputs:
    """Read `files` (name -> file) and join them. Raises InputError.

    `input_file` is what all sets began from: its particles are the base, its defocus the prior.
    Without it the first set is the base. `passthrough` and `tolerance` [Å] are as in
    `read_defocus_set` and `join`. Two sets are read at a time, and only what is compared stays in
    memory.
    """
    files = {name: Path(path) for name, path in files.items()}
    input_file = None if input_file is None else Path(input_file)
    if not 0 < tolerance < math.inf:
        raise InputError(f"--tolerance {tolerance:g}", mend="give a number of Å above 0")
    for name in OURS & files.keys():
        mend = "give it another name, as in NAME=FILE, or with --input if it is the input"
        raise InputError(f"a set called {name!r}: we call one so too", mend=mend)
    template = None
    if input_file is not None and holds_estimates(input_file):
        what = "not a particle file: our own estimates, of which the input is one"
        raise InputError(what, where=input_file, mend="give the particle file they were made from")
    if input_file is not None:
        template = read_any_particles(input_file, passthrough)
    else:
        first = next(iter(files.values()), None)
        if first is not None and not holds_estimates(first):
            template = read_any_particles(first, passthrough)
    base = None
    if input_file is not None and template is not None:
        base = set_of_particles(template, "input")
    return SetInputs(join(_read(files, passthrough, progress), base, tolerance=tolerance), template)


def _read(files, passthrough, progress: Told) -> Iterator[DefocusSet]:
    """The sets in their order, two being read at a time: numbers are found without the GIL."""
    with ThreadPoolExecutor(AHEAD) as pool:
        waiting = deque(files.items())
        under_way: deque[Future[DefocusSet]] = deque()
        try:
            while waiting or under_way:
                while waiting and len(under_way) < AHEAD:
                    name, path = waiting.popleft()
                    progress(f"reading {name}", 0, 1)
                    under_way.append(pool.submit(read_defocus_set, path, name, passthrough))
                yield under_way.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
