"""Boxes: cut from a micrograph, made smaller in Fourier space, brought to one scale."""

import numpy as np
import scipy.fft


def cut_box(micrograph, centre: tuple[int, int], box: int) -> tuple[np.ndarray, float]:
    """The box around `centre` (y, x) [px], float32 (box, box), and the share of it that is inside.

    The centre has index box // 2. Beyond the edge of the micrograph its nearest pixel is repeated, as
    RELION does; where nothing at all is inside the share is 0 and the box means nothing.
    """
    at, share = [], 1.0
    for place, length in zip(centre, micrograph.shape, strict=True):
        index = np.arange(box) + place - box // 2
        share *= np.mean((index >= 0) & (index < length))
        at.append(np.clip(index, 0, length - 1))
    return micrograph[np.ix_(*at)].astype(np.float32), float(share)


def rescale(image, size: int) -> np.ndarray:
    """`image` (n, n) at `size` px, both even, by cropping its transform: pixel values keep their unit.

    The pixel n // 2 stays the centre. As in RELION, the new Nyquist frequency is that of one side.
    """
    n = len(image)
    if size == n:
        return image
    half = size // 2
    spectrum = scipy.fft.rfft2(image)
    cropped = np.zeros((size, half + 1), dtype=spectrum.dtype)
    cropped[: half + 1] = spectrum[: half + 1, : half + 1]
    cropped[1 - half :] = spectrum[1 - half :, : half + 1]
    return scipy.fft.irfft2(cropped * np.float32((size / n) ** 2), s=(size, size))


def background_pixels(box: int, radius: float) -> np.ndarray:
    """(box, box) mask of the pixels farther than `radius` [px] from the centre."""
    place = np.arange(box) - box // 2
    return np.hypot(place, place[:, None]) > radius


def normalised(image, outside) -> np.ndarray:
    """`image` less the plane fitted to its pixels `outside`, over their standard deviation.

    An image that is constant there is left undivided.
    """
    box = len(image)
    place = np.arange(box, dtype=float) - box // 2
    x, y = np.broadcast_to(place, (box, box)), np.broadcast_to(place[:, None], (box, box))
    design = np.stack([np.ones(outside.sum()), x[outside], y[outside]], axis=1)
    level, slope_x, slope_y = np.linalg.lstsq(design, image[outside].astype(float))[0]
    flat = image - (level + slope_x * x + slope_y * y)
    spread = flat[outside].std()
    return (flat / spread if spread > 0 else flat).astype(np.float32)
