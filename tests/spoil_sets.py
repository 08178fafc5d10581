"""Sets of defoci of one data set, as healthy as real ones are; and ways to spoil a set, by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from parfocal.defocus_set import DefocusSet

WIDTH = 4000.0  # Å, of a micrograph


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """What is true of n particles, and what the input says of them."""

    micrograph: np.ndarray
    number: np.ndarray  # (n,) int, of the micrograph
    x: np.ndarray
    y: np.ndarray
    prior: np.ndarray
    truth: np.ndarray
    half_difference: np.ndarray
    angle: np.ndarray


def specimen(rng, *, micrographs=20, particles=1500, height=100.0, prior_error=100.0, tilt=0.03):
    """Micrographs of thousands of Å apart, their ice tilted and thick, the prior a little wrong."""
    number = np.sort(rng.integers(0, micrographs, particles))
    x, y = rng.uniform(0, WIDTH, (2, particles))
    prior = rng.uniform(8_000, 20_000, micrographs)[number]
    slope = rng.normal(0, tilt, (2, micrographs))[:, number]
    truth = (
        prior + rng.normal(0, prior_error, micrographs)[number] + rng.normal(0, height, particles)
    )
    truth += slope[0] * (x - WIDTH / 2) + slope[1] * (y - WIDTH / 2)
    return Specimen(
        micrograph=np.array([f"mics/m{i:04d}.mrc" for i in range(micrographs)], dtype=object)[
            number
        ],
        number=number,
        x=x,
        y=y,
        prior=prior,
        truth=truth,
        half_difference=rng.gamma(4, 50, micrographs)[number],
        angle=rng.uniform(0, np.pi, micrographs)[number],
    )


def made(scene: Specimen, name: str, defocus, **columns) -> DefocusSet:
    """A set of all particles of a specimen, in its order."""
    n = len(scene.x)
    nan = np.full(n, np.nan)
    index = np.array([f"{i + 1:06d}@stack.mrcs" for i in range(n)], dtype=object)
    usual = {
        "source": None,
        "particle_id": index,
        "micrograph": scene.micrograph,
        "coordinate_x": scene.x,
        "coordinate_y": scene.y,
        "defocus": defocus,
        "half_difference": scene.half_difference,
        "angle": scene.angle,
        "astigmatism_change": np.full((n, 2), np.nan),
        "prior": nan,
        "error": nan,
        "fold_1": nan,
        "fold_2": nan,
        "ok": np.isfinite(defocus),
        "stack": np.full(n, "", dtype=object),
        "image_index": np.arange(n),
    }
    return DefocusSet(name=name, **(usual | columns))


def healthy(rng, scene: Specimen, name: str, *, noise=150.0, shared=None, wild=0.05, **columns):
    """What a method gives: offset of a few Å, heavy-tailed noise, and some values anywhere.

    Correlations of two such sets within micrographs are those of the paper's Table 1. The astigmatism
    is the input's, or the method's own with a few degrees of noise.
    """
    n, m = len(scene.x), scene.number.max() + 1
    own = noise * rng.standard_t(4, n) / np.sqrt(2) + rng.normal(0, 30, m)[scene.number]
    change = scene.truth - scene.prior + own + rng.normal(0, 4)
    if shared is not None:
        change = change + 0.5 * shared
    lost = rng.random(n) < wild
    change = np.where(lost, rng.uniform(-1000, 1000, n), change)
    if rng.random() < 0.5:
        turned = scene.angle + rng.normal(0, 0.1, m)[scene.number]
        columns = {"angle": turned} | columns
    return made(scene, name, scene.prior + change, **columns)


def healthy_sets(rng, scene: Specimen, count: int, *, noise=150.0) -> list[DefocusSet]:
    """Sets of several methods, one of them poorer than the others, with image noise in common."""
    shared = rng.normal(0, noise, len(scene.x))
    return [
        healthy(rng, scene, name, noise=noise * (1.5 if i == 1 else 1.0), shared=shared)
        for i, name in enumerate("ABCDEF"[:count])
    ]


def given(scene: Specimen) -> DefocusSet:
    """The input file."""
    return made(scene, "input", scene.prior)


def taken(one: DefocusSet, rows) -> DefocusSet:
    """The rows of a set, in that order."""
    columns = {k: v[rows] for k, v in vars(one).items() if isinstance(v, np.ndarray)}
    return replace(one, **columns)


def some(one: DefocusSet, rng, share=0.1) -> np.ndarray:
    return rng.choice(len(one), size=round(share * len(one)), replace=False)


def shifted(one, rng, by=300.0):
    return replace(one, defocus=one.defocus + by)


def partly_shifted(one, rng, by=500.0, share=0.1):
    out = one.defocus.copy()
    out[some(one, rng, share)] += by
    return replace(one, defocus=out)


def shifted_micrographs(one, rng, by=500.0, share=0.15):
    names = np.unique(one.micrograph.astype(str))
    chosen = rng.choice(names, size=max(1, round(share * len(names))), replace=False)
    return replace(one, defocus=one.defocus + by * np.isin(one.micrograph.astype(str), chosen))


def shuffled(one, rng):
    return replace(one, defocus=rng.permutation(one.defocus))


def partly_shuffled(one, rng, share=0.1):
    rows, out = some(one, rng, share), one.defocus.copy()
    out[rows] = out[rng.permutation(rows)]
    return replace(one, defocus=out)


def shuffled_within(one, rng, share=1.0):
    rows = np.sort(some(one, rng, share))
    keys = np.unique(one.micrograph.astype(str), return_inverse=True)[1][rows]
    mixed = rows[np.lexsort((rng.random(len(rows)), keys))]
    out = one.defocus.copy()
    out[rows[np.argsort(keys, kind="stable")]] = out[mixed]
    return replace(one, defocus=out)


def swapped(one, rng):
    return replace(one, half_difference=-one.half_difference)


def quarter_turned(one, rng):
    return replace(one, angle=one.angle + np.pi / 2)


def in_degrees(one, rng):
    return replace(one, angle=one.angle * 180 / np.pi)


def in_radians(one, rng):
    return replace(one, angle=one.angle * np.pi / 180)


def without_angle(one, rng):
    return replace(one, angle=np.zeros(len(one)))


def mirrored_angle(one, rng):
    return replace(one, angle=-one.angle)


def from_y(one, rng):
    return replace(one, angle=np.pi / 2 - one.angle)


def mirrored_coordinates(one, rng):
    return replace(one, coordinate_y=WIDTH - one.coordinate_y)


def mirrored_x(one, rng):
    return replace(one, coordinate_x=WIDTH - one.coordinate_x)


def swapped_coordinates(one, rng):
    return replace(one, coordinate_x=one.coordinate_y, coordinate_y=one.coordinate_x)


def mirrored_planes(one, rng, axis="coordinate_y"):
    """The planes that a program finds which reads y from the other edge."""
    numbers = np.unique(one.micrograph.astype(str), return_inverse=True)[1]
    out = one.defocus.copy()
    for i in range(numbers.max() + 1):
        rows = np.flatnonzero(numbers == i)
        if len(rows) < 4:
            continue
        place = getattr(one, axis)[rows] - getattr(one, axis)[rows].mean()
        out[rows] -= 2 * place * (place @ one.defocus[rows]) / (place @ place)
    return replace(one, defocus=out)


def missing(one, rng, share=0.1):
    return taken(one, np.sort(rng.permutation(len(one))[round(share * len(one)) :]))


def without_numbers(one, rng, share=0.1):
    out = one.defocus.copy()
    out[some(one, rng, share)] = np.nan
    return replace(one, defocus=out, ok=np.isfinite(out))


def missing_micrographs(one, rng):
    return taken(one, one.micrograph != one.micrograph[0])


def re_sorted(one, rng):
    return taken(one, rng.permutation(len(one)))


def pasted(one, rng):
    """Rows in another order, the defoci in the old one."""
    return replace(re_sorted(one, rng), defocus=one.defocus)


def pasted_within(one, rng):
    """The same, but the rows of a micrograph stay together."""
    keys = np.unique(one.micrograph.astype(str), return_inverse=True)[1]
    order = np.lexsort((rng.random(len(one)), keys))
    return replace(taken(one, order), defocus=one.defocus)


def one_row_off(one, rng):
    return replace(one, defocus=np.roll(one.defocus, 1))


def negative(one, rng):
    return replace(one, defocus=-one.defocus)


def in_micrometres(one, rng):
    return replace(one, defocus=one.defocus / 1e4)


def in_nanometres(one, rng):
    return replace(one, defocus=one.defocus / 10)


def turned(scene: Specimen) -> Callable:
    """The sign of the change, for which the input is needed."""
    return lambda one, rng: replace(one, defocus=2 * scene.prior - one.defocus)


def doubled(scene: Specimen) -> Callable:
    return lambda one, rng: replace(one, defocus=2 * one.defocus - scene.prior)


def stuck(scene: Specimen, by=1000.0, share=0.05) -> Callable:
    def spoil(one, rng):
        out = np.clip(one.defocus - scene.prior, -by, by)
        out[some(one, rng, share)] = by
        return replace(one, defocus=scene.prior + out)

    return spoil


def one_value(scene: Specimen) -> Callable:
    def spoil(one, rng):
        count = np.bincount(scene.number)
        mean = np.bincount(scene.number, weights=one.defocus) / np.maximum(count, 1)
        return replace(one, defocus=mean[scene.number])

    return spoil
