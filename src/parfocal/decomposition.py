"""Defoci of K sets, taken apart micrograph by micrograph: level, slopes, and heights about them."""

from dataclasses import dataclass

import numpy as np

LEAST_FOR_PLANE = 6  # particles that count; with fewer a micrograph has a level only
LEAST_LENGTH = 1e-3  # of the other axis' length, below which particles lie on a line


@dataclass(frozen=True, kw_only=True)
class Field:
    """Where n particles lie in M micrographs, each centred on its own mean coordinate."""

    micrograph: np.ndarray  # (n,) int from 0
    place: np.ndarray  # (n, 3): 1, x and y from the mean, over `length`
    length: float  # Å, root mean square of x and y; 1 without coordinates
    names: tuple[str, ...]  # (M,)

    @property
    def counts(self) -> np.ndarray:
        """(M,) particles."""
        return np.bincount(self.micrograph, minlength=len(self.names))


def field_of(micrograph, coordinate_x, coordinate_y) -> Field:
    """The field of n particles; those without coordinates (nan) lie at the centre."""
    names, number = np.unique(np.asarray(micrograph).astype(str), return_inverse=True)
    place = np.ones((len(number), 3))
    for axis, values in enumerate((coordinate_x, coordinate_y), start=1):
        known = np.isfinite(values)
        total = np.bincount(number[known], values[known], len(names))
        count = np.bincount(number[known], minlength=len(names))
        place[:, axis] = np.where(known, values - (total / np.maximum(count, 1))[number], 0.0)
    length = float(np.sqrt(np.mean(place[:, 1:] ** 2))) or 1.0
    place[:, 1:] /= length
    return Field(micrograph=number, place=place, length=length, names=tuple(names.tolist()))


@dataclass(frozen=True, kw_only=True)
class Surfaces:
    """Least-squares planes of K sets over M micrographs, and what is left of each value."""

    level: np.ndarray  # (M, K) at the centre; nan where no value counts
    slope: np.ndarray  # (M, K, 2) along x and y, over `Field.length`; nan without a plane
    weight: np.ndarray  # (M, K) number of values that count
    residual: np.ndarray  # (n, K), made larger for what was fitted; nan of fewer than that many


def surfaces(field: Field, values, weight) -> Surfaces:
    """Fit a plane to the values (n, K) of each set on each micrograph, `weight` (n, K) 0 if missing."""
    n_micrographs, number, place = len(field.names), field.micrograph, field.place
    used = np.where(np.isfinite(values), weight, 0.0)
    values = np.where(used > 0, values, 0.0)

    def total(columns):  # (n, K) -> (M, K)
        sums = [np.bincount(number, column, n_micrographs) for column in columns.T]
        return np.stack(sums, axis=1)

    normal = np.empty((n_micrographs, values.shape[1], 3, 3))
    right = np.empty((n_micrographs, values.shape[1], 3))
    for i in range(3):
        weighted = used * place[:, i, None]
        right[..., i] = total(weighted * values)
        for j in range(i, 3):
            normal[..., i, j] = normal[..., j, i] = total(weighted * place[:, j, None])
    count = normal[..., 0, 0].copy()
    flat = (count < LEAST_FOR_PLANE) | _on_a_line(normal)
    normal[flat] = np.eye(3)
    coefficients = np.linalg.solve(normal, right[..., None])[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = right[..., 0] / count
    level = np.where(flat, mean, coefficients[..., 0])
    slope = np.where(flat[..., None], np.nan, coefficients[..., 1:])
    fitted = np.stack([level, *np.moveaxis(np.nan_to_num(slope), -1, 0)], axis=-1)
    residual = values - np.einsum("nki,ni->nk", fitted[number], place)
    parameters = np.where(flat, 1, 3)
    free = np.sqrt(count / np.maximum(count - parameters, 0.5))
    enough = (used > 0) & (count >= LEAST_FOR_PLANE)[number]
    residual = np.where(enough, residual * free[number], np.nan)
    return Surfaces(level=level, slope=slope, weight=count, residual=residual)


def _on_a_line(normal) -> np.ndarray:
    """(M, K) whether the places do not span a plane."""
    count = np.maximum(normal[..., 0, 0], 1e-12)
    spread = normal / count[..., None, None]
    mean = spread[..., 0, 1:]
    scatter = spread[..., 1:, 1:] - mean[..., :, None] * mean[..., None, :]
    trace = scatter[..., 0, 0] + scatter[..., 1, 1]
    determinant = scatter[..., 0, 0] * scatter[..., 1, 1] - scatter[..., 0, 1] ** 2
    return determinant <= (LEAST_LENGTH * trace) ** 2 + 1e-12
