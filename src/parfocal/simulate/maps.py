"""What a refinement of a simulated set would have written: half-maps and a mask."""

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.special

from parfocal.fsc import shell_index

FALL = 0.12  # width of the FSC's fall, over the frequency at which it is 0.143
LIMIT = 10.0  # of the noise power beyond the resolution, over that at the resolution
SMOOTHING = 5.0  # Å, of the density before the mask is cut from it
NEAR, FAR = 6.0, 12.0  # Å outside of the particle's surface: from where to where the mask falls


def target_fsc(k, resolution: float) -> np.ndarray:
    """FSC at frequency `k` [Å⁻¹]: a logistic fall that passes 0.143 at `resolution` [Å]."""
    width = FALL / resolution
    middle = 1 / resolution - width * np.log(1 / 0.143 - 1)
    return 1 / (1 + np.exp((np.asarray(k) - middle) / width))


def half_maps(
    density, mask, *, pixel_size: float, resolution: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Two copies of a map, float32 (n, n, n), with independent noise everywhere in the box.

    Its power in each shell is what gives `target_fsc` under `mask`, as a user measures it; without
    a mask the FSC is lower. A mask blurs the noise over shells, so where its power rises steeply
    (a particle small in its box, a sharp map) the FSC falls short, by 0.13 at 60 Å across. Beyond
    `resolution` the power is limited, and outside of the map's band there is none.
    """
    n = density.shape[0]
    shells = shell_index(n)
    signal = scipy.fft.rfftn(density)
    count = np.bincount(shells.ravel())
    power = np.bincount(shells.ravel(), weights=np.abs(signal).ravel() ** 2) / count
    k = np.arange(len(power)) / (n * pixel_size)
    noise_power = power * (1 / target_fsc(k, resolution) - 1) / np.mean(np.square(mask))
    limit = LIMIT * np.interp(1 / resolution, k, noise_power)
    noise_power = np.where(k > 1 / resolution, np.minimum(noise_power, limit), noise_power)
    amplitude = np.sqrt(noise_power / n**3).astype(np.float32)[shells]

    def half():
        noise = scipy.fft.rfftn(rng.standard_normal(density.shape, dtype=np.float32))
        noise *= amplitude
        return density + scipy.fft.irfftn(noise, s=density.shape, overwrite_x=True)

    return half(), half()


def soft_mask(density, *, pixel_size: float) -> np.ndarray:
    """Mask, float32 (n, n, n) in [0, 1]: falls from 6 to 12 Å outside of the particle's surface.

    A raised cosine between two levels of the map smoothed by a Gaussian, which falls through half
    of its maximum at the surface of a particle that is large and of even density.
    """
    smooth = scipy.ndimage.gaussian_filter(density, SMOOTHING / pixel_size, mode="constant")
    inner, outer = (smooth.max() * scipy.special.ndtr(-d / SMOOTHING) for d in (NEAR, FAR))
    fall = np.clip((inner - smooth) / (inner - outer), 0, 1)
    return (0.5 + 0.5 * np.cos(np.pi * fall)).astype(np.float32)
