"""Particles that cannot be used: the same fault told once, with how many particles have it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from parfocal.particles import Particles

TOLD = 20  # lines; a missing disk can have hundreds of faults


@dataclass(frozen=True, kw_only=True)
class Loss:
    """One fault, and the particles that it costs. They keep their prior defocus."""

    reason: str
    particles: int
    stacks: int  # that these particles lie in
    first_stack: str

    def __str__(self) -> str:
        particles = "particle" if self.particles == 1 else "particles"
        stacks = "in" if self.stacks == 1 else f"in {self.stacks} stacks, first"
        return f"{self.particles} {particles}: {self.reason} ({stacks} {self.first_stack})"


def losses_of(particles: Particles, reason: np.ndarray) -> tuple[Loss, ...]:
    """The faults in `reason` (n,) str, empty where there is none; the most frequent first."""
    stacks: dict[str, dict[str, int]] = {}
    for row in np.flatnonzero(reason != "").tolist():
        counts = stacks.setdefault(str(reason[row]), {})
        stack = str(particles.stack[row])
        counts[stack] = counts.get(stack, 0) + 1
    losses = (
        Loss(
            reason=what,
            particles=sum(counts.values()),
            stacks=len(counts),
            first_stack=next(iter(counts)),
        )
        for what, counts in stacks.items()
    )
    return tuple(sorted(losses, key=lambda loss: -loss.particles))


def told(losses: Sequence[Loss]) -> tuple[str, ...]:
    """A line for each of `losses`, the many rare ones together in one."""
    lines = tuple(str(loss) for loss in losses[:TOLD])
    rest = losses[TOLD:]
    if not rest:
        return lines
    number = sum(loss.particles for loss in rest)
    return (*lines, f"{number} particles: {len(rest)} other faults, all in run.json")
