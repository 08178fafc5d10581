"""Scene: everything that is settled before a simulation draws its first random number."""

import math
from dataclasses import dataclass
from pathlib import Path

from parfocal.errors import InputError
from parfocal.optics import IDENTITY, Optics


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Settings of a simulated data set, in the units of a lab book: Å, degrees, kV, mm, mrad.

    What is called an error is by how much the particle file is wrong: it holds, for all particles
    of a micrograph, one defocus, which is the micrograph's plus its `defocus_error`. The true
    defocus of a particle is the micrograph's, plus that of the plane of the ice, plus its height.
    Raises InputError.
    """

    structure: Path | str | None = None  # PDB or mmCIF file; None: a made-up protein
    residues: int = 2000  # of the made-up protein
    b_factor: float = 60.0  # Å², damps the map and with it all images

    particles: int = 300
    micrographs: int = 3
    box: int = 128  # px
    pixel_size: float = 1.5  # Å, of the particle images
    snr: float = 0.05  # variance of the signal over that of the noise, mean over the set
    noise: str = "white"  # or "coloured"

    voltage: float = 300.0
    spherical_aberration: float = 2.7
    amplitude_contrast: float = 0.1
    phase_shift: float = 0.0  # °
    beam_tilt: tuple[float, float] = (0.0, 0.0)
    odd_zernike: tuple[float, ...] = ()
    even_zernike: tuple[float, ...] = ()
    magnification: tuple[float, float, float, float] = IDENTITY

    defocus: tuple[float, float] = (10_000.0, 20_000.0)  # of micrographs, from and to
    astigmatism: float = 200.0  # standard deviation of (U-V) cos 2φ and of (U-V) sin 2φ
    defocus_error: float = 100.0  # standard deviation over micrographs
    ice_tilt: float = 5.0  # °, largest slope of the ice, its direction being any
    sheets: int = 1  # 1: Gaussian; 2: one at each face of the ice; 0: heights spread evenly over it
    ice_thickness: float = 400.0  # of no meaning to one sheet
    height_scatter: float = 100.0  # standard deviation of heights about their sheet

    micrograph_size: tuple[int, int] = (4096, 4096)  # px, x and y
    micrograph_pixel_size: float = 1.0  # Å
    whole_micrographs: bool = False  # particle images are cut from micrographs, neighbours included
    amorphous: float = 0.0  # variance of the ice behind them before the CTF; the noise's is 1
    shift: float = 3.0  # standard deviation of a particle from the box centre, along x and y
    shift_error: float = 0.0  # standard deviation along x and y
    pose_error: float = 0.0  # °, standard deviation about each of three axes
    wrong: float = 0.0  # share of particles whose image holds none, or one in a pose not on file
    half_map_resolution: float = 4.0  # where the FSC under the mask falls to 0.143

    def __post_init__(self) -> None:
        not_negative = (
            "b_factor astigmatism defocus_error height_scatter shift shift_error pose_error "
            "ice_thickness amorphous"
        )
        positive = "particles micrographs residues snr micrograph_pixel_size half_map_resolution"
        for name in (*not_negative.split(), *positive.split()):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0 or (value == 0 and name in positive.split()):
                what = f"{name} = {value} is not possible"
                least = "above 0" if name in positive.split() else "0 or more"
                raise InputError(what, where="scene", mend=f"choose a number {least}")
        field = min(self.micrograph_size) * self.micrograph_pixel_size
        rules = (
            ("sheets", self.sheets in (0, 1, 2), "choose 0, 1 or 2"),
            ("wrong", 0 <= self.wrong < 1, "choose a share from 0 to below 1"),
            ("ice_tilt", 0 <= self.ice_tilt < 80, "choose 0 to 80 degrees"),
            ("defocus", self.defocus[0] <= self.defocus[1], "give the lower defocus first"),
            ("micrographs", self.micrographs <= self.particles, "ask for more particles"),
            (
                "micrograph_pixel_size",
                not self.whole_micrographs or self.micrograph_pixel_size == self.pixel_size,
                "whole micrographs have the particles' pixel_size",
            ),
            ("amorphous", self.whole_micrographs or not self.amorphous, "set whole_micrographs"),
            ("micrograph_size", field > self.box * self.pixel_size, "it must hold a box"),
        )
        for name, holds, mend in rules:
            if not holds:
                raise InputError(
                    f"{name} = {getattr(self, name)} is not possible", where="scene", mend=mend
                )
        self.optics()

    def optics(self) -> Optics:
        """The one optics group of the scene."""
        try:
            return Optics(
                name="opticsGroup1",
                voltage=self.voltage,
                spherical_aberration=self.spherical_aberration,
                amplitude_contrast=self.amplitude_contrast,
                pixel_size=self.pixel_size,
                image_size=self.box,
                beam_tilt=self.beam_tilt,
                odd_zernike=self.odd_zernike,
                even_zernike=self.even_zernike,
                magnification=self.magnification,
            )
        except ValueError as error:
            raise InputError(str(error), where="scene", mend="choose another value") from error
