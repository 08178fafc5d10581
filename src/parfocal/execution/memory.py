"""How much memory there is for a run."""

import os
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("sys/fs/cgroup")


def available_memory(root: Path = Path("/")) -> int:
    """Bytes that a run may still take: what the machine has free, or the limit that it runs under.

    Limits are those of control groups, by which batch systems and containers set them.
    """
    return min(_free(root), *_limits(root))


def _free(root: Path) -> int:
    """What Linux tells to be available; elsewhere all that the machine has."""
    told = root / "proc/meminfo"
    if told.exists():
        for line in told.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _limits(root: Path) -> Iterator[int]:
    """Of the control groups of this process, and those that they are in; versions 2 and 1."""
    yield 2**63 - 1
    told = root / "proc/self/cgroup"
    for line in told.read_text().splitlines() if told.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        base = root / GROUPS / controllers
        inner = base / path.strip("/")
        for group in (inner, *inner.parents):
            if not group.is_relative_to(base):
                break
            try:
                yield int((group / name).read_text())
            except (OSError, ValueError):  # no such file, or "max"
                continue
