"""Electron optics: wavelength, aberration phase, CTF and its limits, in formulas checkable by hand."""

import math
from dataclasses import dataclass

import numpy as np

from parfocal.conventions import KILOVOLT, MM

IDENTITY = (1.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Optics:
    """Microscope and camera settings shared by one optics group."""

    name: str
    voltage: float  # kV
    spherical_aberration: float  # mm; a refined one may come out below 0
    amplitude_contrast: float  # fraction in [0, 1]
    pixel_size: float  # Å, of the particle image
    image_size: int  # px, the box
    beam_tilt: tuple[float, float] = (0.0, 0.0)  # mrad, along x and y
    odd_zernike: tuple[float, ...] = ()  # rad, RELION's order
    even_zernike: tuple[float, ...] = ()  # rad, RELION's order and sign
    magnification: tuple[float, float, float, float] = IDENTITY  # m00 m01 m10 m11

    def __post_init__(self) -> None:
        cs, box = self.spherical_aberration, self.image_size
        zernike = (*self.odd_zernike, *self.even_zernike)
        stretch = np.subtract(self.magnification, IDENTITY)
        rules = (  # a value that is not a number breaks them too
            ("voltage [kV]", self.voltage, 10 <= self.voltage <= 3000),
            ("spherical_aberration [mm]", cs, abs(cs) < 100),
            ("amplitude_contrast", self.amplitude_contrast, 0 <= self.amplitude_contrast <= 1),
            ("pixel_size [Å]", self.pixel_size, 0.05 < self.pixel_size < 100),
            ("image_size [px]", box, 8 <= box < 65536 and box % 2 == 0),
            ("beam_tilt [mrad]", self.beam_tilt, (np.abs(self.beam_tilt) < 100).all()),
            ("Zernike coefficients", zernike, np.isfinite(zernike).all()),
            ("magnification", self.magnification, (np.abs(stretch) < 0.5).all()),
        )
        for name, value, holds in rules:
            if not holds:
                raise ValueError(f"{name} = {value} is not possible in optics group {self.name!r}")

    @property
    def wavelength(self) -> float:
        """Å."""
        return wavelength(self.voltage)

    @property
    def nyquist(self) -> float:
        """Å⁻¹."""
        return 0.5 / self.pixel_size


def wavelength(voltage: float) -> float:
    """Relativistic electron wavelength [Å] at `voltage` [kV]; RELION's constants."""
    volts = voltage * KILOVOLT
    return 12.2643247 / math.sqrt(volts * (1.0 + 0.978466e-6 * volts))


def defocus_along(azimuth, *, defocus_u, defocus_v, defocus_angle):
    """Defocus [Å] seen at `azimuth` [rad]; equals `defocus_u` at `defocus_angle`."""
    mean, half_difference = (defocus_u + defocus_v) / 2, (defocus_u - defocus_v) / 2
    return mean + half_difference * np.cos(2 * (azimuth - defocus_angle))


def defocus_phase(s, defocus, optics: Optics):
    """π λ z s [rad] at squared frequency `s` [Å⁻²] and defocus z [Å]."""
    return np.pi * optics.wavelength * defocus * s


def fixed_phase(s, optics: Optics):
    """Part of χ [rad] at squared frequency `s` [Å⁻²] that no defocus changes, Zernikes apart."""
    cs = optics.spherical_aberration * MM
    return math.asin(optics.amplitude_contrast) - np.pi / 2 * cs * optics.wavelength**3 * s**2


def ctf(chi):
    """CTF in our sign: sin χ, +amplitude_contrast at zero frequency, protein bright."""
    return np.sin(chi)


def delocalisation(k, defocus, optics: Optics):
    """Distance [Å] by which a wave of frequency `k` [Å⁻¹] is displaced: |dχ/dk| / 2π."""
    cs = optics.spherical_aberration * MM
    return np.abs(optics.wavelength * defocus * k - cs * optics.wavelength**3 * k**3)


def resolution_limit(defocus_error, optics: Optics, phase=np.pi / 2):
    """Resolution [Å] at which a defocus error [Å] turns χ by `phase` [rad] (the paper's Eq. 2)."""
    return np.sqrt(np.pi * optics.wavelength * np.abs(defocus_error) / phase)


def effective_frequency(kx, ky, optics: Optics):
    """Frequency M k [Å⁻¹] that the specimen was seen at, with anisotropic magnification M."""
    m00, m01, m10, m11 = optics.magnification
    return m00 * kx + m01 * ky, m10 * kx + m11 * ky


def even_phase(kx, ky, optics: Optics):
    """Symmetric aberrations beyond Cs [rad], to be added to χ; (kx, ky) [Å⁻¹] are effective.

    RELION adds its even Zernike sum to γ = -χ, hence the minus.
    """
    phase = np.zeros(np.broadcast(kx, ky).shape)
    for index, coefficient in enumerate(optics.even_zernike):
        k = math.isqrt(index)
        phase -= coefficient * zernike(2 * (index - k * k - k), 2 * k, kx, ky)
    return phase


def odd_phase(kx, ky, optics: Optics):
    """Antisymmetric aberrations [rad]: the image's transform is multiplied by exp(i phase).

    Beam tilt t [mrad]: -2π·10⁻³ Cs λ² |k|² (t·k), as RELION has it; plus RELION's odd Zernikes.
    """
    cs = optics.spherical_aberration * MM
    tilt_x, tilt_y = optics.beam_tilt
    s = kx**2 + ky**2
    phase = -2e-3 * np.pi * cs * optics.wavelength**2 * s * (tilt_x * kx + tilt_y * ky)
    for index, coefficient in enumerate(optics.odd_zernike):
        k = (math.isqrt(1 + 4 * index) - 1) // 2
        n = 2 * k + 1
        phase = phase + coefficient * zernike(2 * (index - k * (k + 1)) - n, n, kx, ky)
    return phase


def zernike(m: int, n: int, x, y):
    """Zernike polynomial Z_n^m, not normalised, at Cartesian (x, y) [Å⁻¹, not scaled to a disc]."""
    rho, azimuth, order = np.hypot(x, y), np.arctan2(y, x), abs(m)
    radial = np.zeros(np.shape(rho))
    for k in range((n - order) // 2 + 1):
        top = (-1) ** k * math.factorial(n - k)
        bottom = (
            math.factorial(k)
            * math.factorial((n + order) // 2 - k)
            * math.factorial((n - order) // 2 - k)
        )
        radial = radial + top / bottom * rho ** (n - 2 * k)
    return radial * (np.cos(m * azimuth) if m >= 0 else np.sin(order * azimuth))
