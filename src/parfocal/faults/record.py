"""Fault: one thing that is wrong with a set of defoci, told so that it can be mended."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["fault", "note"]

KINDS = (  # worst first: what spoils all that follows, down to what may be meant so
    "defocus negative",
    "in µm",
    "in nm",
    "in m",
    "shuffled",
    "rows re-sorted",
    "same values",
    "sign of the change turned",
    "wrong sign of y",
    "wrong sign of x",
    "x and y swapped",
    "degrees for radians",
    "radians for degrees",
    "swapped U and V",
    "angle from the wrong axis",
    "angle lost",
    "shifted",
    "stuck at a bound",
    "change doubled",
    "rows missing",
    "same as the input",
    "one value per micrograph",
    "astigmatism unlike the others",
    "rows beyond",
)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A named fault of one set; or of one of two, where nothing tells which: "A or B".

    A "fault" makes comparisons wrong, a "note" is true and may be as it should.
    """

    name: str  # of the set
    kind: str  # one of KINDS
    particles: int  # that it touches
    severity: Severity
    text: str  # what is wrong, by how much, with its error, and the likely cause
    mend: str  # what to do

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault is called {self.kind!r}")

    def __str__(self) -> str:
        kind = self.kind if self.severity == "fault" else f"{self.kind} (note)"
        return " ".join(f"{self.name}: {kind}: {self.text} - {self.mend}".split())


def fault_of(name, kind, particles, text, mend, *, note: bool = False) -> Fault:
    """A fault, or a note."""
    return Fault(
        name=name,
        kind=kind,
        particles=int(particles),
        severity="note" if note else "fault",
        text=text,
        mend=mend,
    )


def worst_first(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Faults before notes, then in the order of KINDS, then those of more particles."""
    return tuple(
        sorted(faults, key=lambda f: (f.severity == "note", KINDS.index(f.kind), -f.particles))
    )


def listed(names: Iterable[str]) -> str:
    """A, B and C."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def percent(share: float) -> str:
    """A share to two digits, such as 12 % or 0.34 %."""
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"
