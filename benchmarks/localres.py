"""Local resolution against a truth that is known by construction, and what it costs.

    python benchmarks/localres.py [--box 160] [--residues 4000] [--cost 128 256]

A protein-like map, one half of it filtered sharply at 3 Å and the other at 6 Å (a soft step 8 Å wide
between), and white noise in both half-maps. SNR is signal over noise power of the mean of the halves
per Fourier voxel, just below 3 Å, in the mask; at 6 Å it is higher, as told. Medians are of voxels
more than a window's radius from the step. With --cost: CPU seconds on one thread and peak memory of
either method in a process of its own, for a sphere of 0.6 boxes across.
"""

import argparse
import datetime
import platform
import resource
import subprocess
import sys
import time

import numpy as np
import scipy.fft

from parfocal.local_resolution import frequency_axes, radius_of
from parfocal.masks import make_mask
from parfocal.monores import Sweep, monores
from parfocal.optics import Optics
from parfocal.simulate import protein_like
from parfocal.simulate.project import density
from parfocal.windowed_fsc import Window, windowed_fsc

PIXEL = 1.0  # Å
FINE, COARSE = 3.0, 6.0  # Å
AWAY = 12.5  # Å from the step
SNRS = (1, 3, 10, 30, 100)
METHODS = {
    "MonoRes": lambda *maps: monores(*maps, pixel_size=PIXEL),
    "MonoRes, --min 2 (as published)": lambda *maps: monores(
        *maps, pixel_size=PIXEL, sweep=Sweep(finest=2.0)
    ),
    "FSC 0.5": lambda *maps: windowed_fsc(*maps, pixel_size=PIXEL),
    "FSC 0.143": lambda *maps: windowed_fsc(*maps, pixel_size=PIXEL, window=Window(level=0.143)),
}


def low_passed(volume, resolution):
    """`volume` with nothing beyond `resolution` [Å]."""
    radius = radius_of(frequency_axes(volume.shape)) / PIXEL
    kept = scipy.fft.rfftn(volume) * (radius <= 1 / resolution)
    return scipy.fft.irfftn(kept, s=volume.shape)


def two_parts(volume):
    """The map whose parts end at COARSE (x < 0) and FINE (x > 0), and x [Å]."""
    x = (np.arange(len(volume)) - len(volume) // 2) * PIXEL
    step = 0.5 - 0.5 * np.cos(np.pi * np.clip(0.5 + x / 8, 0, 1))
    fine, coarse = (low_passed(volume, r) for r in (FINE, COARSE))
    return (step * fine + (1 - step) * coarse).astype(np.float32), x


def noise_power(volume, mask, resolution):
    """Signal power per Fourier voxel over the mask's volume, in the tenth below `resolution`."""
    radius = radius_of(frequency_axes(volume.shape)) / PIXEL
    band = (radius <= 1 / resolution) & (radius > 0.9 / resolution)
    share = 2 * band.sum() / volume.size  # of the white noise's variance that is in the band
    held = scipy.fft.irfftn(scipy.fft.rfftn(volume) * band, s=volume.shape)
    return float(np.mean(held[mask] ** 2)) / share


def accuracy(box, residues):
    """Print a table of medians [Å] of both parts."""
    optics = Optics(
        name="map",
        voltage=300.0,
        spherical_aberration=2.7,
        amplitude_contrast=0.1,
        pixel_size=PIXEL,
        image_size=box,
    )
    volume = density(
        protein_like(np.random.default_rng(1), residues=residues), optics=optics, b_factor=40.0
    )
    mask = make_mask(volume, PIXEL, lowpass=10.0, extend=0.0, edge=3.0)
    inside = mask > 0.5
    truth, x = two_parts(volume)
    power = [noise_power(volume, inside, r) for r in (FINE, COARSE)]
    parts = [inside & (x > AWAY), inside & (x < -AWAY)]
    print(f"box {box}, {residues} residues, mask {100 * inside.mean():.0f} % of it")
    print(f"| SNR at {FINE:g} Å | at {COARSE:g} Å | " + " | ".join(METHODS) + " |")
    print("|" + "---|" * (len(METHODS) + 2))
    for snr in SNRS:
        rng, sd = np.random.default_rng(5), np.sqrt(2 * power[0] / snr)
        halves = [truth + rng.normal(0, sd, truth.shape).astype(np.float32) for _ in range(2)]
        told = []
        for method in METHODS.values():
            found = method(*halves, mask).resolution
            told.append(" / ".join(f"{np.median(found[part]):.2f}" for part in parts))
        told = [f"{snr}", f"{snr * power[1] / power[0]:.0f}", *told]
        print("| " + " | ".join(told) + " |", flush=True)


def cost(box, method):
    """CPU seconds and peak memory [GB] of one method on noise with a weak map in it."""
    rng = np.random.default_rng(0)
    x = np.arange(box) - box // 2
    ball = np.sqrt(x[:, None, None] ** 2 + x[None, :, None] ** 2 + x**2) < 0.3 * box
    signal = low_passed(rng.normal(size=ball.shape).astype(np.float32), FINE) * ball
    halves = [signal + rng.normal(size=ball.shape).astype(np.float32) for _ in range(2)]
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    METHODS[method](*halves, ball.astype(np.float32))
    cpu = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{method}, box {box}: {cpu:.0f} s CPU, peak {peak / 2**20:.2f} GB", end="")
    print(f" ({before / 2**20:.2f} before)", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--box", type=int, default=160)
    parser.add_argument("--residues", type=int, default=4000)
    parser.add_argument("--cost", type=int, nargs="*")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        cost(int(options.one[0]), options.one[1])
        return
    print(f"{datetime.date.today()}, {platform.processor() or platform.machine()}")
    if options.cost is None:
        accuracy(options.box, options.residues)
    for box in options.cost or ():
        for method in ("MonoRes", "FSC 0.5"):
            subprocess.run([sys.executable, __file__, "--one", str(box), method], check=True)


if __name__ == "__main__":
    main()
