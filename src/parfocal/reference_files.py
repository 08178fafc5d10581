"""What a user says of the reference: which files, or how to make it of the particles."""

from dataclasses import dataclass
from pathlib import Path

from parfocal.errors import InputError
from parfocal.symmetry import rotations

MEETS = ("own", "opposite", "full")
AUTO, NONE = "auto", "none"  # masks that are no file


@dataclass(frozen=True, kw_only=True)
class Own:
    """How to make half-maps from the particles themselves."""

    symmetry: str = "C1"
    split: int | None = None  # seed of half-sets, where the particles have none

    def __post_init__(self) -> None:
        rotations(self.symmetry)
        if self.split is not None and self.split < 0:
            raise InputError(f"--split {self.split}", mend="give a whole number from 0 on")


@dataclass(frozen=True, kw_only=True)
class ReferenceFiles:
    """Two half-maps (with mask and FSC if at hand), one outside map, or how to make half-maps."""

    half_maps: tuple[Path, Path] | None = None
    map: Path | None = None
    own: Own | None = None
    mask: Path | str | None = None  # a file, AUTO or NONE; None: AUTO for `own`, else NONE
    fsc: Path | None = None
    resolution: float | None = None  # Å, up to which `map` is trusted
    meets: str = "own"  # which of the half-maps a particle is compared with, see Reference

    def __post_init__(self) -> None:
        given = sum(found is not None for found in (self.half_maps, self.map, self.own))
        if given != 1:
            raise InputError(
                "one reference is needed, two are too many" if given else "no reference",
                mend="give --half-maps H1 H2 from the refinement, --map for an outside map, or "
                "--own-reference to reconstruct it from the particles",
            )
        if self.fsc is not None and self.half_maps is None:
            mend = "leave --fsc away" + (
                ", and say with --resolution how far --map can be trusted" if self.map else ""
            )
            raise InputError("an FSC belongs to half-maps given with --half-maps", mend=mend)
        if self.resolution is not None and self.map is None:
            mend = "leave --resolution away: the FSC of the half-maps says how far they go"
            raise InputError("--resolution belongs to --map", mend=mend)
        if self.resolution is not None and not 0 < self.resolution < 1000:
            what = f"a resolution of {self.resolution:g} Å"
            raise InputError(what, mend="give that of --map in Å, such as 3")
        if self.meets not in MEETS:
            raise InputError(f"no reference {self.meets!r}", mend=f"choose {', '.join(MEETS)}")

    @property
    def masked(self) -> str:
        """AUTO, NONE, or the path of the mask."""
        chosen = (AUTO if self.own else NONE) if self.mask is None else str(self.mask)
        return chosen.lower() if chosen.lower() in (AUTO, NONE) else chosen

    def paths(self) -> dict[str, Path]:
        """Role -> path of every file named."""
        halves = self.half_maps or (None, None)
        mask = None if self.masked in (AUTO, NONE) else self.masked
        named = zip(
            ("half_map_1", "half_map_2", "map", "mask", "fsc"),
            (*halves, self.map, mask, self.fsc),
            strict=True,
        )
        return {role: Path(path) for role, path in named if path is not None}


def own_of(asked: bool, symmetry: str | None, split: int | None) -> Own | None:
    """`Own` from a command's options; InputError if they are given and it is not asked for."""
    if asked:
        return Own(symmetry=symmetry or "C1", split=split)
    for name, value in (("--sym", symmetry), ("--split", split)):
        if value is not None:
            what = f"{name} is for maps made of the particles"
            raise InputError(what, mend=f"add --own-reference, or leave {name} away")
    return None
