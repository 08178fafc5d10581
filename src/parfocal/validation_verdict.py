"""What a validation says in words: which set to use, and when not to believe a row."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from parfocal.chance import HELD_OUT
from parfocal.negative_controls import KINDS
from parfocal.optics import wavelength
from parfocal.validation import LEVEL, SetQuality, Value

SMALL = 0.35  # rad: changes that turn the CTF by less at the resolution cost 6 % of the amplitude


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What is known of the sets beside their maps."""

    base: str  # name of the input's own set
    whole_micrographs: bool  # whether blocks are whole micrographs
    was_split: bool  # whether half-sets were drawn at random
    voltage: float  # kV
    change: Mapping[str, float]  # Å, root mean square of a set's change from the input
    astigmatism: frozenset[str] = field(default_factory=frozenset)  # sets that change it too
    dependent: frozenset[str] = field(default_factory=frozenset)  # sets whose halves met each other


def is_control(name: str) -> bool:
    """Whether a set is a negative control, or made of the folds of another: no set to use."""
    return any(name.endswith(f"-{kind}") for kind in (*KINDS, HELD_OUT))


def is_unproven(one: SetQuality, tests: int) -> bool:
    """Whether a set seems to help, and nothing tells whether chance does it."""
    return one.chance.by == "unknown" and one.worth.value > 0 and one.worth.sure(tests)


def ranked(found: Sequence[SetQuality]) -> tuple[SetQuality, ...]:
    """Best first, by what a set is worth; what is not known comes last."""
    return tuple(sorted(found, key=lambda q: -np.nan_to_num(q.worth.value, nan=-np.inf)))


def percent(value: Value) -> str:
    """A worth with its error, in percent of the particles."""
    digits = 0 if abs(100 * value.error) >= 0.95 or not np.isfinite(value.error) else 1
    return f"{100 * value.value:+.{digits}f} ± {100 * value.error:.{digits}f} %"


def verdict(found: Sequence[SetQuality], about: Circumstances) -> tuple[str, ...]:
    """Sentences, the answer first."""
    base = next(q for q in found if q.name == about.base)
    tried = [q for q in ranked(found) if q.name != about.base and not is_control(q.name)]
    if not np.isfinite(base.resolution):
        return (f"The half-maps agree nowhere (FSC below {LEVEL:g}): nothing can be judged.",)
    if not tried:
        return (f"No set to judge: the input alone reaches {base.resolution:.2f} Å.",)
    sentences = [_answer(tried, base)]
    best = tried[0]
    alike = [q for q in tried[1:] if q.worth.sure(len(tried)) and _alike(q, best)]
    if best.worth.sure(len(tried)) and best.worth.value > 0 and alike:
        names = ", ".join(f"{q.name} ({percent(q.worth)})" for q in alike)
        sentences.append(f"Near it: {names}.")
    worse = [q for q in tried if q.worth.value < 0 and q.worth.sure(len(tried))]
    if worse:
        told = ", ".join(f"{q.name} ({percent(q.worth)})" for q in worse)
        sentences.append(f"Worse than the input: {told}.")
    sentences += _of_controls(found, about)
    return tuple(sentences)


def best_set(found: Sequence[SetQuality], about: Circumstances) -> str:
    """Name of the set to use: the best one that surely helps, else the input's."""
    tried = [q for q in ranked(found) if q.name != about.base and not is_control(q.name)]
    sure = [q for q in tried if q.worth.value > 0 and q.worth.sure(len(tried))]
    proven = [q for q in sure if not is_unproven(q, len(tried))]
    return proven[0].name if proven else about.base


def _answer(tried: Sequence[SetQuality], base: SetQuality) -> str:
    best, tests = tried[0], len(tried)
    sizes = f"{base.resolution:.2f} Å → {best.resolution:.2f} Å"
    finer = f"{sizes}, finer by {best.gain:.2f} ± {best.gain_error:.2f} Å"
    if is_unproven(best, tests):
        return (
            f"Not proven: the maps of {best.name} agree better, worth {percent(best.worth)} of the "
            f"particles, {sizes}, but its defoci were fitted to these images, which lifts the FSC by "
            "noise as by what is true. Keep the input, or judge it beside a run of parfocal estimate "
            "(its folder or estimates.star), whose folds tell chance from truth."
        )
    if best.worth.sure(tests) and best.worth.value > 0:
        return (
            f"{best.name} makes the better map: worth {percent(best.worth)} of the particles, "
            f"{finer}{_freed(best)}."
        )
    if best.worth.sure(tests):
        return f"Keep the input: the best set, {best.name}, is worth {percent(best.worth)}."
    return (
        f"No difference is shown: the best set, {best.name}, is worth {percent(best.worth)} of the "
        f"particles, {sizes}{_freed(best)}. Keep the input."
    )


def _freed(one: SetQuality) -> str:
    if one.chance.by not in ("folds", "another"):
        return ""
    return f" ({percent(one.seen)} with what chance lifts the FSC by)"


def _alike(one: SetQuality, best: SetQuality) -> bool:
    apart = best.worth.value - one.worth.value
    return apart < 2 * max(one.worth.error, best.worth.error) and one.worth.value > 0


def _of_controls(found: Sequence[SetQuality], about: Circumstances) -> Iterator[str]:
    controls = [q for q in found if is_control(q.name) and not q.name.endswith(HELD_OUT)]
    if controls:
        told = ", ".join(f"{q.name} {percent(q.worth)}" for q in controls)
        yield f"Negative controls: {told}."


def doubts(one: SetQuality, about: Circumstances) -> tuple[str, ...]:
    """When not to believe the row of a set; empty if nothing speaks against it."""
    return tuple(_doubts(one, about))


def _doubts(one: SetQuality, about: Circumstances) -> Iterator[str]:
    if one.name == about.base:
        if about.was_split:
            yield "half-sets were drawn after the refinement: all FSCs are upper bounds"
        return
    if is_control(one.name):
        if one.worth.value > 0 and one.worth.sure() and not one.name.endswith(HELD_OUT):
            yield f"a control that beats the input: {_meaning(one.name)}"
        return
    if one.chance.by == "unknown":
        yield "its defoci were fitted to these images: by how much chance lifts its FSC is not known"
    elif one.chance.by == "another":
        yield f"it has no folds: it is taken to be lifted by chance as {one.chance.of} is"
    if not about.change[one.name] > 0:
        yield "it is the input: none of its particles are trusted, or none was changed"
    elif not one.worth.sure():
        yield "the difference is within its error"
        turn = np.pi * wavelength(about.voltage) * about.change[one.name] / one.resolution**2
        if turn < SMALL:
            yield (
                f"its changes, {about.change[one.name]:.0f} Å rms, turn the CTF by "
                f"{np.degrees(turn):.0f}° only at {one.resolution:.1f} Å"
            )
    shuffled = one.over_shuffled
    if shuffled is not None and shuffled.error == 0:
        yield "it has one change for each micrograph: shuffling within them says nothing of it"
    elif shuffled is not None and one.worth.value > 0 and one.worth.sure() and not shuffled.sure():
        yield "its changes shuffled within micrographs do as well: the gain is not of single heights"
    if one.curves.reaches_nyquist(LEVEL):
        yield "the FSC is above 0.143 at Nyquist: the pixel size is the limit"
    if one.name in about.dependent:
        yield "its particles met the other half's map, so its half-maps are not independent"
    if one.name in about.astigmatism:
        yield "it changes astigmatism too: the difference is not of defocus alone"
    if not about.whole_micrographs:
        yield "few micrographs: the error leaves out what particles of one share"


def _meaning(name: str) -> str:
    if name.endswith("twice"):
        return "the set's corrections fall short"
    if name.endswith("reversed"):
        return "the sign of the set's corrections is in doubt"
    return "it is micrographs as a whole that gain"
