"""What a defocus error costs: the phase it turns, the resolution it allows and the signal it loses.

Fernandez-Gimenez, Carazo and Sorzano, J. Struct. Biol. 2023, Eq. 2 and 3, Fig. 10 and Fig. S-2. An
error d turns the phase of the CTF by π λ d / R² at resolution R, whatever the defocus or Cs. Data
that are corrected with the CTF at the wrong phase keep cos(π λ d / R²) of the signal's amplitude.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from parfocal.conventions import DEGREE, KILOVOLT
from parfocal.errors import InputError
from parfocal.optics import Optics, resolution_limit, wavelength

KEPT = (0.9, 0.5)  # fractions of the signal that the table of what is needed asks for
PAPER_NOTE = (
    "The caption of the paper's Fig. S-2 says 3.3 Å for an error of 200 Å at 300 kV; its own Eq. 2 "
    "and 3 give 2.81 Å. The equation is followed here."
)
WAVELENGTH_NOTE = (
    "Eq. 3 of the paper gives metres, and rounds the relativistic constants: its wavelength is 0.04 % "
    "longer than this one at 300 kV, and 0.11 % at 200 kV."
)

Table = dict[str, np.ndarray]  # columns by name, of one length


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """Voltages [kV], errors [Å], phases [rad] and resolutions [Å] to tabulate; all above zero."""

    voltages: tuple[float, ...] = (300.0, 200.0)
    errors: tuple[float, ...] = (25.0, 50.0, 100.0, 150.0, 200.0)
    phases: tuple[float, ...] = (math.pi / 2,)
    spreads: tuple[float, ...] = (25.0, 50.0, 100.0)  # standard deviations of Gaussian errors
    resolutions: tuple[float, ...] = (1.2, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)

    def __post_init__(self) -> None:
        for name, values, highest in (
            ("defocus error", self.errors, 1e6),
            ("phase", self.phases, 2 * math.pi),
            ("spread", self.spreads, 1e6),
            ("resolution", self.resolutions, 1e3),
        ):
            unit, scale = ("°", DEGREE) if name == "phase" else (" Å", 1.0)
            for value in values:
                if not 0 < value <= highest:  # not a number breaks this too
                    mend = f"choose one above 0, up to {highest / scale:,.0f}{unit}"
                    raise InputError(f"a {name} of {value / scale:g}{unit}", mend=mend)
        for voltage in self.voltages:
            _optics(voltage)


def phase_offset(defocus_error, resolution, voltage: float):
    """Phase [rad] by which a defocus error [Å] turns the CTF at `resolution` [Å] (Eq. 2)."""
    return np.pi * wavelength(voltage) * np.abs(defocus_error) / np.square(resolution)


def limiting_resolution(defocus_error, voltage: float, phase=np.pi / 2):
    """Resolution [Å] at which a defocus error [Å] turns the CTF by `phase` [rad] (Fig. 10)."""
    return resolution_limit(defocus_error, _optics(voltage), phase)


def limiting_error(resolution, voltage: float, phase=np.pi / 2):
    """Defocus error [Å] that turns the CTF by `phase` [rad] at `resolution` [Å]."""
    return phase * np.square(resolution) / (np.pi * wavelength(voltage))


def signal_kept(spread, resolution, voltage: float):
    """Fraction of the signal's amplitude that is left at `resolution` [Å], on average over particles.

    Their defocus errors are Gaussian about zero with standard deviation `spread` [Å]:
    E[cos(π λ d / R²)] = exp(-(π λ spread / R²)²/2). It falls with the fourth power of frequency, so
    no B-factor restores it. Wrong where a few large errors make the tails: those lose more at low
    and less at high resolution than a Gaussian of their standard deviation.
    """
    return np.exp(-(phase_offset(spread, resolution, voltage) ** 2) / 2)


def largest_spread(kept, resolution, voltage: float):
    """Standard deviation [Å] of errors that leaves the fraction `kept` of the signal, in (0, 1)."""
    return limiting_error(resolution, voltage, phase=np.sqrt(-2 * np.log(kept)))


def finest_resolution(kept, spread, voltage: float):
    """Resolution [Å] down to which errors of `spread` [Å] leave the fraction `kept`, in (0, 1)."""
    return limiting_resolution(spread, voltage, phase=np.sqrt(-2 * np.log(kept)))


def paper_wavelength(voltage: float) -> float:
    """The paper's Eq. 3 [Å] at `voltage` [kV], whose rounded constants are not ours."""
    volts = voltage * KILOVOLT
    return 12.3 / math.sqrt(volts + 1e-6 * volts**2)


def limit_tables(settings: LimitSettings) -> dict[str, Table]:
    """Four tables of columns; every combination of the settings is a row.

    `limits`: resolution [Å] for each voltage [kV], phase [rad] and error [Å]. `offsets`: the phase
    that each error turns at each resolution. `needed`: for each voltage and resolution, the error
    that turns the CTF by the first phase, and the spreads that keep the fractions KEPT of the
    signal. `signal`: the fraction of the amplitude that is kept for
    each voltage, spread and resolution, and how many times more particles make up for that.
    """
    s = settings
    limits = [
        (v, p, d, limiting_resolution(d, v, p))
        for v, p, d in product(s.voltages, s.phases, s.errors)
    ]
    needed = [
        (v, r, limiting_error(r, v, s.phases[0]), *(largest_spread(kept, r, v) for kept in KEPT))
        for v, r in product(s.voltages, s.resolutions)
    ]
    signal = [
        (v, sd, r, signal_kept(sd, r, v))
        for v, sd, r in product(s.voltages, s.spreads, s.resolutions)
    ]
    offsets = [
        (v, d, r, phase_offset(d, r, v)) for v, d, r in product(s.voltages, s.errors, s.resolutions)
    ]
    keeping = (f"spread_keeping_{100 * kept:.0f}" for kept in KEPT)
    tables = {
        "limits": _table(("voltage", "phase", "defocus_error", "resolution"), limits),
        "offsets": _table(("voltage", "defocus_error", "resolution", "phase"), offsets),
        "needed": _table(("voltage", "resolution", "defocus_error", *keeping), needed),
        "signal": _table(("voltage", "spread", "resolution", "signal_kept"), signal),
    }
    with np.errstate(divide="ignore", over="ignore"):  # where nothing is left: infinitely many
        tables["signal"]["times_particles"] = tables["signal"]["signal_kept"] ** -2.0
    return tables


def _table(names: Sequence[str], rows: Sequence[tuple]) -> Table:
    columns = np.array(rows, float).reshape(-1, len(names)).T
    return dict(zip(names, columns, strict=True))


def _optics(voltage: float) -> Optics:
    """Of a microscope of `voltage` [kV]; nothing else of it matters to a change of defocus."""
    try:
        return Optics(
            name="limits",
            voltage=voltage,
            spherical_aberration=2.7,
            amplitude_contrast=0.1,
            pixel_size=1.0,
            image_size=64,
        )
    except ValueError:
        mend = "choose one from 10 to 3000 kV"
        raise InputError(f"a voltage of {voltage:g} kV", mend=mend) from None
