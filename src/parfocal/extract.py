"""Extraction: particle images cut from micrographs at their coordinates, everything else kept."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import parfocal
from parfocal.boxes import background_pixels, cut_box, normalised, rescale
from parfocal.errors import InputError
from parfocal.execution import threads
from parfocal.io.coordinates import Picks, read_picks
from parfocal.io.files import check_free, replacing
from parfocal.io.micrographs import read_micrograph
from parfocal.io.mrc import write_stack
from parfocal.io.records import distinct
from parfocal.io.star import write_star

LOG = logging.getLogger("parfocal")
BACKGROUND = 0.375  # of the box: radius beyond which pixels are background, RELION's default


@dataclass(frozen=True, kw_only=True)
class ExtractSettings:
    """How boxes are cut and what is done to them. Raises InputError."""

    box: int  # px of the micrograph
    rescale: int | None = None  # px of the written images, by Fourier cropping; None: the box
    invert: bool = False  # dark particles become bright
    normalise: bool = False  # background to mean 0, without ramp, and standard deviation 1
    background_radius: float | None = None  # Å; None: 0.375 of the box
    recentre: bool = False  # move boxes by the whole pixels of the origins
    skip_edges: bool = False  # leave out boxes that reach over the edge of their micrograph

    def __post_init__(self) -> None:
        size = self.size
        if self.box < 8 or self.box % 2 or size < 8 or size % 2:
            raise InputError(f"a box of {self.box} px, written at {size}", mend="give even numbers")
        if size > self.box:
            raise InputError(f"{size} px from a box of {self.box}", mend="boxes only get smaller")
        if self.background_radius is not None and not self.background_radius > 0:
            raise InputError(
                f"a background radius of {self.background_radius}", mend="give it in Å, above 0"
            )

    @property
    def size(self) -> int:
        """px of the written images."""
        return self.box if self.rescale is None else self.rescale


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """What was written, and of which particles nothing was."""

    particles_file: Path
    info: dict  # as extract.json has it


def extract_particles(
    source: Path,
    out: Path,
    settings: ExtractSettings,
    *,
    micrographs: Path | None = None,
    coordinates: Path | None = None,
    jobs: int = 1,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Extracted:
    """Cut particles from their micrographs into stacks, one a micrograph, and write their STAR file.

    `source`: a RELION (3.1 or later) particle STAR with coordinates, or a micrographs STAR with the
    `coordinates` beside it (a folder with a STAR file a micrograph, or the file that lists them).
    `micrographs`: folder to look for them in, if they are not where the STAR file says. Poses,
    origins, half-sets and each particle's own defocus are kept; names of images, their size and
    pixel size change, and with `recentre` coordinates and origins.

    A box that reaches over the edge is filled with the nearest pixels, or left out if
    `skip_edges`; one with nothing of the micrograph in it is left out. Both are counted, logged and
    listed in extract.json. Writes OUT/particles/*.mrcs, OUT/extract.json, and last
    OUT/particles.star. Raises InputError, before anything is written, for what can be seen then.
    """
    source, out = Path(source), Path(out)
    check_free(out)
    progress("reading", 0, 1)
    picks = read_picks(source, coordinates=coordinates, micrographs=micrographs)
    centres, moved = _centres(picks, recentre=settings.recentre)
    names, of_particle = distinct(picks.micrograph.tolist())
    stacks = _stack_names(names, out)
    outside = {p: _background(settings, p) for p in np.unique(picks.pixel_size).tolist()}
    share = np.zeros(len(picks))
    index = np.zeros(len(picks), dtype=int)  # from 1; 0: left out
    notes: dict[int, str] = {}

    def work(number: int) -> int:
        rows = np.flatnonzero(of_particle == number)
        image, header_pixel = read_micrograph(names[number])
        pixel = float(picks.pixel_size[rows[0]])
        if abs(header_pixel / pixel - 1) > 0.01:  # nan says nothing
            notes[number] = f"{header_pixel:.4g} Å where the STAR file has {pixel:.4g}"
        boxes = []
        for row in rows:
            cut, share[row] = cut_box(image, (centres[1][row], centres[0][row]), settings.box)
            if share[row] == 1 or (share[row] > 0 and not settings.skip_edges):
                boxes.append(_finished(cut, settings, outside[pixel]))
                index[row] = len(boxes)
        if boxes:
            write_stack(stacks[number], np.array(boxes), pixel * settings.box / settings.size)
        return len(rows)

    done = 0
    progress("particles", 0, len(picks))
    for _, count in threads(jobs)(work, range(len(names))):
        done += int(count)  # pyright: ignore[reportArgumentType]
        progress("particles", done, len(picks))
    info = _info(picks, settings, share, index > 0)
    if notes:
        info["warnings"].append(
            f"pixel size in the header of {len(notes)} micrographs, such as {names[min(notes)]}: "
            f"{notes[min(notes)]}; the STAR file's was used"
        )
    for line in info["warnings"]:
        LOG.warning(line)
    if not index.any():
        raise InputError(
            "no particle lies inside of its micrograph", where=source, mend="check the coordinates"
        )
    image_names = [f"{i:06d}@{stacks[m]}" for i, m in zip(index, of_particle, strict=True)]
    kept = np.flatnonzero(index)
    columns = {"rlnImageName": image_names, **moved}
    with replacing(out / "extract.json") as file:
        file.write(json.dumps(info, indent=2, allow_nan=False).encode())
    write_star(
        out / "particles.star", picks.blocks(kept, columns, box=settings.box, size=settings.size)
    )
    progress("done", 1, 1)
    return Extracted(particles_file=out / "particles.star", info=info)


def _centres(picks: Picks, *, recentre: bool) -> tuple[np.ndarray, dict[str, list[str]]]:
    """(2, n) pixels (x, y) that boxes are cut around, and the columns that this changes.

    Coordinates lose their fraction, as in RELION: the origins of its files count from there.
    """
    centres = np.stack([np.trunc(c).astype(int) for c in (picks.x, picks.y)])
    if not recentre:
        return centres, {}
    moved: dict[str, list[str]] = {}
    for axis, origin in enumerate(picks.origins()):
        whole = np.rint(origin / picks.pixel_size).astype(int)  # the particle sits at -origin
        centres[axis] -= whole
        place = (picks.x, picks.y)[axis] - whole
        rest = origin - whole * picks.pixel_size
        moved[f"rlnCoordinate{'XY'[axis]}"] = [f"{c:.6f}" for c in place]
        moved[f"rlnOrigin{'XY'[axis]}Angst"] = [f"{o:.6f}" for o in rest]
    return centres, moved


def _background(settings: ExtractSettings, pixel_size: float) -> np.ndarray | None:
    """(size, size) mask of the pixels of the background, None where nothing is normalised."""
    if not settings.normalise:
        return None
    radius = BACKGROUND * settings.size
    if settings.background_radius is not None:
        radius = settings.background_radius / pixel_size * settings.size / settings.box
    if radius >= settings.size / 2:
        raise InputError(
            f"a background radius of {radius:.0f} px in a box of {settings.size}",
            mend="give a smaller --background-radius or a larger --box",
        )
    return background_pixels(settings.size, radius)


def _finished(image, settings: ExtractSettings, outside) -> np.ndarray:
    """A cut box, made smaller, inverted and normalised as asked for."""
    image = rescale(image, settings.size)
    if settings.invert:
        image = -image
    return image if outside is None else normalised(image, outside)


def _stack_names(micrographs: list[str], out: Path) -> list[Path]:
    """A stack for each micrograph, named after it; with a number where two have the same name."""
    stems = [Path(name).stem for name in micrographs]
    count = {stem: stems.count(stem) for stem in set(stems)}
    return [
        out / "particles" / (f"{stem}.mrcs" if count[stem] == 1 else f"{stem}_{number}.mrcs")
        for number, stem in enumerate(stems, 1)
    ]


def _info(picks: Picks, settings: ExtractSettings, share, kept) -> dict:
    """What extract.json says: settings, counts, warnings, and each particle that was left out."""
    edge = (share > 0) & (share < 1)
    counts = {
        "particles": len(picks),
        "written": int(kept.sum()),
        "over_the_edge": int(edge.sum()),
        "outside": int((share == 0).sum()),
    }
    warnings = list(_told(counts, settings))
    return {
        "parfocal": parfocal.__version__,
        "settings": asdict(settings),
        "counts": counts,
        "warnings": warnings,
        "left_out": [
            {
                "row": int(row) + 1,
                "micrograph": picks.micrograph[row],
                "x": float(picks.x[row]),
                "y": float(picks.y[row]),
                "why": "outside" if share[row] == 0 else "over_the_edge",
            }
            for row in np.flatnonzero(~kept)
        ],
    }


def _told(counts: dict[str, int], settings: ExtractSettings) -> Iterator[str]:
    if counts["over_the_edge"]:
        what = "left out" if settings.skip_edges else "filled with the nearest pixels"
        yield f"{counts['over_the_edge']} boxes reach over the edge of their micrograph: {what}"
    if counts["outside"]:
        yield f"{counts['outside']} boxes lie outside of their micrograph: left out"
