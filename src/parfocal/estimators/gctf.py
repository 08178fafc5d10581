"""Method `gctf`: Thon rings of each particle's neighbourhood, without reference and poses.

After the local refinement of Gctf (Zhang, J. Struct. Biol. 193 (2016) 1), from its public description.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from parfocal.curves import scaled_curves
from parfocal.errors import InputError
from parfocal.estimates import DefocusEstimates, Status
from parfocal.estimators.draft import Draft
from parfocal.estimators.height_spread import HeightSpread
from parfocal.estimators.neighbourhood import WEIGHTINGS, Neighbourhood, Seen
from parfocal.estimators.profile import SHARP, error_factor, judge
from parfocal.estimators.ring_sources import in_images, in_micrograph, places
from parfocal.estimators.style import Piece, pieces
from parfocal.estimators.thon import BEYOND, Band, band_of
from parfocal.evidence import Evidence
from parfocal.grid import Fold, spectra_grid
from parfocal.io.micrographs import read_micrograph
from parfocal.likelihood import Peaks
from parfocal.optics import Optics
from parfocal.particles import Particles

LOG = logging.getLogger("parfocal")


@dataclass(frozen=True, kw_only=True)
class Gctf:
    """Cross-correlate |CTF|² with power spectra of the neighbourhood; one height a particle.

    With `micrographs` (folder they are in, or under which their names lead to them) the spectra are
    those of overlapping tiles, or else those of the particle's and its neighbours' own images.

    It sees the ice around a particle, tilt and bending, not its height over its neighbours: that is
    why the spread of such heights is part of every error, `height_spread` or more if the particles'
    own images say so. At the edge of a micrograph, whose neighbourhoods are one-sided, it sees less
    tilt than there is. It cannot tell underfocus from overfocus.
    """

    micrographs: str | None = None
    micrograph_pixel_size: float = 0.0  # Å; 0: as their headers say
    low: float = 15.0  # Å, the band
    high: float = 5.0  # Å
    box: int = 512  # px, of the tiles
    overlap: float = 0.5  # of neighbouring tiles
    radius: float = 1024.0  # px of the micrographs, or else of the images: of the neighbourhood
    weighting: str = "distance+frequency"
    height_spread: float = 100.0  # Å, standard deviation
    name: str = "gctf"

    def __post_init__(self) -> None:
        rules = (
            ("weighting", self.weighting in WEIGHTINGS, f"choose {', '.join(WEIGHTINGS)}"),
            ("low", self.low > self.high > 0, "give the lower resolution first"),
            ("box", self.box >= 32 and self.box % 2 == 0, "give an even number from 32"),
            ("overlap", 0 <= self.overlap < 0.95, "choose 0 to 0.95"),
            ("radius", self.radius > 0, "choose a number above 0"),
            ("height_spread", self.height_spread >= 0, "choose 0 Å or more"),
            ("micrograph_pixel_size", self.micrograph_pixel_size >= 0, "choose 0 Å or more"),
        )
        for name, holds, mend in rules:
            if not holds:
                raise InputError(f"gctf: {name} = {getattr(self, name)} is not possible", mend=mend)

    def estimate(self, particles: Particles, evidence: Evidence) -> DefocusEstimates:
        """Estimates of all `particles`, in their order. Raises InputError."""
        draft, pulls = Draft(self, particles, evidence), [np.zeros(0)]
        change = evidence.change() if evidence.models else np.zeros(1)
        heights = HeightSpread(self.height_spread)
        bands: dict[Optics, Band] = {}
        lost: dict[str, str] = {}  # micrograph -> why it cannot be used, empty if it can
        for piece in pieces(particles, evidence, whole=True):
            band = band_of(piece.model.grid, low=self.low, high=self.high)
            here = particles.micrograph[piece.rows]
            for name in dict.fromkeys(here.tolist()):
                mine = piece.take(here == name)
                try:
                    own = seen = in_images(particles, mine, band)
                    if self.micrographs is not None:
                        seen = self._in_micrograph(particles, mine, bands)
                    seen.check()
                except InputError as error:
                    draft.status[mine.rows], lost[name] = Status.NOT_READ, str(error)
                    continue
                lost.setdefault(name, "")
                pulls.append(self._fill(draft, mine, (own, seen), heights, change))
        _tell(lost)
        factor, factor_error = error_factor(np.concatenate(pulls))
        spread = heights.value()
        for column in (draft.error, draft.error_at_prior):
            column[:] = np.hypot(column * factor, spread)
        return draft.finish(
            error_factor=round(factor, 4),
            error_factor_error=round(factor_error, 4),
            height_spread_used=round(spread, 1),
        )

    def _in_micrograph(self, particles: Particles, piece: Piece, bands) -> Seen:
        """What the tiles of a whole micrograph show. InputError where it cannot be used."""
        name, used = str(particles.micrograph[piece.rows[0]]), piece.model.grid
        image, pixel, path = self._read(name)
        optics = replace(used.optics, image_size=self.box, pixel_size=pixel)
        if optics not in bands:
            grid = spectra_grid(
                optics, padded=self.box, change_max=used.change_max, k_max=BEYOND / self.high
            )
            bands[optics] = band_of(grid, low=self.low, high=self.high)
        x, y = (c[piece.rows] / pixel for c in (particles.coordinate_x, particles.coordinate_y))
        outside = (x < 0) | (y < 0) | (x > image.shape[1]) | (y > image.shape[0])
        if outside.mean() > 0.5:
            raise InputError(
                f"{outside.sum()} of {len(x)} particles lie outside of it, at {pixel:g} Å/px",
                where=path,
                mend="set gctf.micrograph_pixel_size",
            )
        return in_micrograph(particles, piece, image, bands[optics], overlap=self.overlap)

    def _read(self, name: str) -> tuple[np.ndarray, float, Path]:
        """A micrograph, its pixel size [Å], and where it was found. InputError."""
        folder = Path(self.micrographs or ".")
        tries = [folder / name, folder / Path(name).name]
        path = next((path for path in tries if path.is_file()), tries[0])
        image, pixel = read_micrograph(path)
        pixel = self.micrograph_pixel_size or pixel
        if not 0.05 < pixel < 100:
            what = f"a pixel size of {pixel:g} Å in the header"
            raise InputError(what, where=path, mend="set gctf.micrograph_pixel_size")
        return image, pixel, path

    def _fill(self, draft: Draft, piece: Piece, seen, heights, change) -> np.ndarray:
        """Fill the rows of one micrograph; returns the pulls between the folds' estimates.

        seen: what the particles' own images show, and the sources around them (the same, or tiles).
        How far the former are from the latter goes to `heights`.
        """
        (own, sources), rows = seen, piece.rows
        prior, place = draft.particles.defocus[rows], places(draft.particles, rows)
        pixel = sources.band.grid.optics.pixel_size
        near = Neighbourhood(weighting=self.weighting, radius=self.radius * pixel)
        whole, ones, twos = (c.peaks(change) for c in sources.around(place, prior, near))
        draft.change[rows], draft.error[rows] = whole.change, whole.error
        draft.error_at_prior[rows] = whole.error_at_prior
        draft.status[rows] = judge(whole, change[-1])
        draft.gain[rows] = _gain(piece, prior, change, (ones.change, twos.change))
        if own.band.usable:
            centre = whole
            if sources is own:
                centre = own.around(place, prior, near, others=True)[0].peaks(change)
            sharp = _sharp(centre, change)
            curves = own.alone(prior).on_grid(change)
            heights.see(curves[sharp], change, centre.change[sharp], centre.error[sharp])
        told = _sharp(ones, change) & _sharp(twos, change)
        return ((ones.change - twos.change) / np.hypot(ones.error, twos.error))[told]


def _sharp(peaks: Peaks, change) -> np.ndarray:
    """(m,) mask of the peaks that the ends of `change` do not bend."""
    return ~peaks.edge & (peaks.error < SHARP * change[-1])


def _gain(piece: Piece, prior, change, found) -> np.ndarray:
    """(m,) nats: the changes `found` by either fold, scored by the other's likelihood."""
    curves = scaled_curves(piece.sums.sum(axis=1), prior, piece.model, change)
    first, second = (curves.of(piece.sums[:, fold]) for fold in (Fold.FIRST, Fold.SECOND))
    return first.gain(found[1]) + second.gain(found[0])


def _tell(lost: dict[str, str]) -> None:
    """Say which micrographs could not be used. InputError if none could."""
    reasons = [reason for reason in lost.values() if reason]
    if reasons and len(reasons) == len(lost):
        what = f"gctf: none of {len(lost)} micrographs can be used: {reasons[0]}"
        raise InputError(what, mend="mend that, or leave the method away")
    if reasons:
        LOG.warning(
            "gctf: %d of %d micrographs cannot be used: %s", len(reasons), len(lost), reasons[0]
        )
