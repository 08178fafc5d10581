"""DefocusSet: the defoci that one method or program gave a set of particles, whatever file held them."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from parfocal.conventions import astigmatism_vector
from parfocal.estimates import DefocusEstimates, Status
from parfocal.particles import FARTHEST_DEFOCUS, Particles

POSTERIOR = "posterior"  # setting of a method whose values are means over a prior: drawn towards it
FOLD_SHARE = 0.35  # of the Fourier pixels, that either fold holds; guards take the rest
IMPORT_NUMBER = re.compile(r"^\d{18,}_")  # that cryoSPARC puts before an imported file's name
ADDED = re.compile(r"(_patch_aligned|_rigid_aligned)?(_doseweighted|_DW)?(_particles)?$")
ENDING = re.compile(r"\.(mrcs?|tiff?|eer|hdf5?|spi|stk|st|img)$", re.IGNORECASE)
REPEAT = re.compile(r"~\d+$")  # what `unique_ids` adds to the name of an image of several particles


@dataclass(frozen=True, kw_only=True)
class DefocusSet:
    """Defoci of n particles in the order of their file, with all that can tell the particles apart."""

    name: str
    source: Path | None
    particle_id: np.ndarray  # (n,) str, unique
    micrograph: np.ndarray  # (n,) str
    coordinate_x: np.ndarray  # (n,) Å; nan where unknown, as y
    coordinate_y: np.ndarray
    defocus: np.ndarray  # (n,) Å, mean
    half_difference: np.ndarray  # (n,) Å, (U-V)/2, signed; nan where the file has none, as angle
    angle: np.ndarray  # (n,) rad, from +x to U
    astigmatism_change: np.ndarray  # (n, 2) Å, of the vector, from the prior; nan unless it is told
    prior: np.ndarray  # (n,) Å, mean defocus before; nan where the file does not tell
    error: np.ndarray  # (n,) Å, one standard deviation; nan where the file has none
    fold_1: np.ndarray  # (n,) Å, defocus from the first fold of the pixels alone; nan as above
    fold_2: np.ndarray
    ok: np.ndarray  # (n,) bool, to be trusted
    stack: np.ndarray  # (n,) str; empty where only the id may name the image
    image_index: np.ndarray  # (n,) int, from 0, within the stack
    posterior: bool = False  # values are means over a prior, drawn towards it

    def __post_init__(self) -> None:
        n = len(self.particle_id)
        if not n:
            raise ValueError("no particles")
        for name, column in vars(self).items():
            if isinstance(column, np.ndarray):
                if len(column) != n:
                    raise ValueError(f"column {name} has {len(column)} rows, expected {n}")
                column.setflags(write=False)
        if len(set(self.particle_id.tolist())) != n:
            raise ValueError("particle_id is not unique")
        if not np.isfinite(self.defocus[self.ok]).all():
            raise ValueError("a particle to be trusted needs a finite defocus")

    def __len__(self) -> int:
        return len(self.particle_id)

    @property
    def astigmatism(self) -> np.ndarray:
        """(n, 2) Å: (U-V)/2 times the cosine and the sine of twice the angle; nan where unknown."""
        _, x, y = astigmatism_vector(self.half_difference, -self.half_difference, self.angle)
        return np.stack([x, y], axis=1)

    def image_keys(self) -> list[str]:
        """(n,) index and stack of the image, the stack without folder and ending: as in any project.

        Particles of one image have one key. Empty where the image is not known.
        """
        index, stacks = (self.image_index + 1).tolist(), self.stack.tolist()
        if not any(stacks):
            index, stacks = zip(*map(_image, self.particle_id.tolist()), strict=True)
        names = _short(stacks, _without_folder)
        places = zip(index, names, strict=True)
        return [f"{number}@{name}" if name else "" for number, name in places]

    def micrograph_keys(self) -> list[str]:
        """(n,) names of the micrographs without folder, ending, and what programs add to them."""
        return _short(self.micrograph.tolist(), _plain_name)


def _image(particle_id: str) -> tuple[str, str]:
    """Index, and stack; empty if the id is a number. An id without index is a file of one image."""
    name = REPEAT.sub("", particle_id)
    index, at, stack = name.partition("@")
    if at:
        return index.lstrip("0"), stack
    return ("", "") if name.isdecimal() else ("1", name)


def _without_folder(name: str) -> str:
    return ENDING.sub("", PurePosixPath(name).name)


def _plain_name(name: str) -> str:
    return ADDED.sub("", IMPORT_NUMBER.sub("", _without_folder(name)))


def _short(names: Sequence[str], shorten: Callable[[str], str]) -> list[str]:
    """`names` made short, but for those that would then be called as another one is."""
    short = {name: shorten(name) for name in dict.fromkeys(names)}
    count = Counter(short.values())
    own = {name: brief if count[brief] == 1 else name for name, brief in short.items()}
    return [own[name] for name in names]


def set_of_estimates(estimates: DefocusEstimates, name: str = "", source=None) -> DefocusSet:
    """What a method of ours gave."""
    nan = np.full(len(estimates), np.nan)
    change = np.stack([estimates.astigmatism_change_x, estimates.astigmatism_change_y], axis=1)
    return DefocusSet(
        name=name or estimates.method,
        source=source,
        particle_id=estimates.particle_id,
        micrograph=estimates.micrograph,
        coordinate_x=estimates.coordinate_x,
        coordinate_y=estimates.coordinate_y,
        defocus=estimates.defocus,
        half_difference=nan,
        angle=nan,
        astigmatism_change=change,
        prior=estimates.defocus_prior,
        error=estimates.defocus_error,
        fold_1=estimates.defocus_of_fold_1,
        fold_2=estimates.defocus_of_fold_2,
        ok=estimates.status == Status.OK,
        stack=np.full(len(estimates), "", dtype=object),
        image_index=np.zeros(len(estimates), dtype=int),
        posterior=bool(estimates.settings.get(POSTERIOR, False)),
    )


def set_of_particles(particles: Particles, name: str) -> DefocusSet:
    """What a particle file says. To be trusted is a defocus that is a number, and not absurd."""
    nan = np.full(len(particles), np.nan)
    return DefocusSet(
        name=name,
        source=particles.source,
        particle_id=particles.particle_id,
        micrograph=particles.micrograph,
        coordinate_x=particles.coordinate_x,
        coordinate_y=particles.coordinate_y,
        defocus=particles.defocus,
        half_difference=(particles.defocus_u - particles.defocus_v) / 2,
        angle=particles.defocus_angle,
        astigmatism_change=np.full((len(particles), 2), np.nan),
        prior=nan,
        error=nan,
        fold_1=nan,
        fold_2=nan,
        ok=np.abs(particles.defocus) <= FARTHEST_DEFOCUS,
        stack=particles.stack,
        image_index=particles.image_index,
    )
