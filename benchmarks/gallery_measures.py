"""All numbers of the gallery: a dict that JSON can hold, (value, standard error) as lists of two."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from gallery_truth import (
    at_particles,
    average_correlation,
    correlation,
    difference,
    due_to_height,
    halves,
    mean,
    ratio,
    root_mean_square,
    shuffled,
    slope_on_truth,
)

from parfocal.against_global import against_global, prior_varies
from parfocal.agreement import bare_column, columns_of, sd_within
from parfocal.compare import compare
from parfocal.consensus import Consensus, consensus
from parfocal.conventions import DEGREE
from parfocal.grouped import MAD_TO_SD, Groups, groups_of
from parfocal.join import Joined
from parfocal.limits import limiting_resolution, phase_offset
from parfocal.planes_of_sets import Planes, fit_all
from parfocal.simulate.specimen import Truth
from parfocal.stability import fold_stability, repeat

VOLTAGE = 300.0
KEPT_AT = 3.0  # Å
HALF_ICE = 200.0  # Å
LIMIT = 50.0  # Å, the paper's of its Fig. 9
SAME_PIXELS = ("relion", "cryosparc", "xmipp")  # what these see; gctf looks at the ice around


@dataclass(frozen=True)
class Gallery:
    """What was estimated, and the truth, all rows in the order of the input file."""

    all: Joined  # four programs' styles, and bayes
    four: Joined
    runs: Joined  # of each of the four: first, again, half 1, half 2
    truth: Truth

    @cached_property
    def groups(self) -> Groups:
        return groups_of(self.all.base.micrograph)

    @cached_property
    def values(self) -> dict[str, np.ndarray]:
        """Set -> (n,) Å, nan where it does not trust itself."""
        trusted = np.where(self.all.ok, self.all.defocus, np.nan)
        return dict(zip(self.all.names, trusted.T, strict=True))

    @cached_property
    def median(self) -> Consensus:
        """Of the four programs, the median of which is the paper's; with it their combination."""
        return consensus(self.four)

    @cached_property
    def combined(self) -> Consensus:
        """Of all five."""
        return consensus(self.all)

    @cached_property
    def results(self) -> dict[str, np.ndarray]:
        """All that a user could take, the input first."""
        return {
            "input": self.all.prior,
            **self.values,
            "median of four": self.median.median,
            "median of three": np.nanmedian([self.values[name] for name in SAME_PIXELS], axis=0),
            "mean of four": np.nanmean(np.where(self.four.ok, self.four.defocus, np.nan), axis=1),
            "four combined": self.median.defocus,
            "all combined": self.combined.defocus,
        }

    @cached_property
    def planes(self) -> dict[str, Planes]:
        """Set -> its planes; the truth's are of the true defoci of the particles."""
        base = self.all.base
        named = {**self.values, "truth": self.truth.defocus}
        return {
            name: fit_all(self.groups, base.coordinate_x, base.coordinate_y, values, name)
            for name, values in named.items()
        }

    @cached_property
    def micrograph(self) -> int:
        """The number of that of the median true tilt, which the paper's Fig. 5 to 7 are drawn of."""
        tilt = self.planes["truth"].tilt
        return int(np.argsort(tilt)[len(tilt) // 2])

    def shuffled(self, rng: np.random.Generator) -> np.ndarray:
        """The defoci of relion, dealt out anew within each micrograph."""
        return shuffled(self.groups, self.values["relion"], rng)


def measure(gallery: Gallery, dealt: np.ndarray) -> dict:
    """Every number that the words rest on; `dealt` are the shuffled defoci of relion."""
    return {
        "data": _data(gallery),
        "sets": _sets(gallery),
        "planes": _planes(gallery),
        "pairs": _pairs(gallery),
        "global": _globals(gallery, dealt),
        "stability": _stability(gallery),
        "median": _median(gallery),
        "mad": _mad(gallery),
        "limits": _limits(),
    }


def _two(found) -> list[float | None]:
    return [round(float(v), 4) if np.isfinite(v) else None for v in found]


def _data(g: Gallery) -> dict:
    truth = g.truth
    here = bare_column(g.groups, "truth", truth.defocus)
    return {
        "bound": float(np.sqrt(np.mean(truth.cramer_rao**2))),
        "heights": float(truth.height.std()),
        "within": _two(sd_within(g.groups, here.defocus)),
        "micrograph": g.groups.names[g.micrograph],
        "drawn": int(np.sum(g.groups.index == g.micrograph)),
    }


def _sets(g: Gallery) -> dict:
    """Of each set, and of what can be made of them, against the truth."""
    found, truth, groups = {}, g.truth.defocus, g.groups
    for name, values in g.results.items():
        error = values - truth
        found[name] = {
            "trusted": float(np.isfinite(values).mean()),
            "error": _two(root_mean_square(groups, error)),
            "within": _two(sd_within(groups, error)),
            "bias": _two(mean(groups, error)),
            "slope": _two(slope_on_truth(groups, values, truth)),
            "truth": _two(correlation(groups, values, truth)),
            "kept": _two(mean(groups, np.cos(phase_offset(error, KEPT_AT, VOLTAGE)))),
        }
    return found


def _planes(g: Gallery) -> dict:
    base, groups, one = g.all.base, g.groups, g.micrograph
    ice = g.truth.defocus - g.truth.height
    place = base.coordinate_x, base.coordinate_y
    found = {}
    for name, planes in g.planes.items():
        plane = at_particles(planes, groups, *place)
        values = g.truth.defocus if name == "truth" else g.values[name]
        found[name] = {
            "error": _two(root_mean_square(groups, plane - ice)),
            "scatter": _two(root_mean_square(groups, values - plane)),
            "tilt": [float(planes.tilt[one] / DEGREE), float(planes.tilt_error[one] / DEGREE)],
            "axis": [
                float(planes.tilt_axis[one] / DEGREE),
                float(planes.tilt_axis_error[one] / DEGREE),
            ],
            "r_squared": float(planes.r_squared[one]),
            "spread": float(planes.spread[one]),
        }
    return found


def _pairs(g: Gallery) -> dict:
    compared, truth, groups = compare(g.all), g.truth.defocus, g.groups
    found = {}
    for pair, expected in zip(compared.pairs, compared.expected, strict=True):
        a, b = (g.values[name] for name in pair.names)
        part, beyond = due_to_height(groups, a, b, truth)
        found[" – ".join(pair.names)] = {
            "average": _two(average_correlation(groups, a, b)),
            "pooled": _two(correlation(groups, a, b)),
            "height": _two(part),
            "beyond": _two(beyond),
            "unshared": _two(expected.unshared),
            "closer": _two(halves(groups, (a + b) / 2 - truth, np.abs(a - b))),
            "words": str(expected.verdict.value),
        }
    for name, values in g.values.items():
        found[f"{name} – truth"] = {"average": _two(average_correlation(groups, values, truth))}
    return found


def _globals(g: Gallery, dealt: np.ndarray) -> dict:
    groups, prior = g.groups, g.all.prior
    varies = prior_varies(groups, prior)
    named = {**g.values, "relion, shuffled": dealt, "truth": g.truth.defocus}
    found = {}
    for name, values in named.items():
        against = against_global(groups, prior, bare_column(groups, name, values), varies)
        found[name] = _two(against.correlation)
    far = np.abs(g.truth.defocus - prior) > HALF_ICE
    far_of_right = np.abs(groups.centred(g.truth.defocus)) > HALF_ICE
    out = np.abs(g.values["relion"] - prior) > HALF_ICE
    return {
        "correlation": found,
        "beyond_half_ice": _two(mean(groups, far)),
        "beyond_of_right": _two(mean(groups, far_of_right)),
        "left_out": _two(mean(groups, out)),
        "left_out_but_there": _two(mean(groups, np.where(out, far, np.nan))),
    }


def _stability(g: Gallery) -> dict:
    groups, truth = g.groups, g.truth.defocus
    columns = {column.name: column for column in columns_of(g.runs, groups)}
    found = {}
    for name in g.four.names:
        first = columns[f"{name} first"]
        again = repeat(groups, first, columns[f"{name} again"])
        half = repeat(groups, columns[f"{name} half 1"], columns[f"{name} half 2"])
        rows = np.isfinite(first.folds).all(axis=1)
        folds = fold_stability(groups, first).implied_error if rows.any() else (np.nan, np.nan)
        found[name] = {
            "r_again": _two(again.agreement.pooled),
            "again": _two(again.implied_error),
            "r_half": _two(half.pooled),
            "half": _two(np.divide(half.implied_error, np.sqrt(2))),  # of the whole dose
            "folds": _two(folds),
            "true": _two(sd_within(groups, first.defocus - truth)),
        }
    return found


def _median(g: Gallery) -> dict:
    groups, truth = g.groups, g.truth.defocus
    errors = {name: values - truth for name, values in g.results.items()}
    best = min(g.four.names, key=lambda name: root_mean_square(groups, errors[name]).value)
    middle = errors["median of four"]
    spread = {
        name: _two(ratio(groups, g.values[name] - g.median.median, errors[name]))
        for name in g.four.names
    }
    return {
        "best": best,
        "less_than_best": _two(difference(groups, middle, errors[best])),
        "three_less_than_best": _two(difference(groups, errors["median of three"], errors[best])),
        "mean_less_than_best": _two(difference(groups, errors["mean of four"], errors[best])),
        "combined_less_than_best": _two(difference(groups, errors["four combined"], errors[best])),
        "combined_less_than_median": _two(difference(groups, errors["four combined"], middle)),
        "all_less_than_bayes": _two(difference(groups, errors["all combined"], errors["bayes"])),
        "spread_over_error": spread,
        "covered": {
            "four combined": _two(mean(groups, np.abs(errors["four combined"]) < g.median.error)),
            "all combined": _two(mean(groups, np.abs(errors["all combined"]) < g.combined.error)),
        },
    }


def _mad(g: Gallery) -> dict:
    groups, mad = g.groups, g.median.mad
    error = g.median.median - g.truth.defocus
    combined = g.median.defocus - g.truth.defocus
    return {
        "within": _two(mean(groups, mad / MAD_TO_SD < LIMIT)),
        "error_within": _two(mean(groups, np.abs(error) < LIMIT)),
        "typical": float(np.median(mad)),
        "typical_error": float(MAD_TO_SD * np.median(np.abs(error))),
        "ratio": _two(ratio(groups, error, mad)),
        "covered": _two(mean(groups, np.abs(error) < mad)),
        "halves": _two(halves(groups, error, mad)),
        "halves_by_error_bar": _two(halves(groups, combined, g.median.error)),
    }


def _limits() -> dict:
    return {
        str(error): [float(limiting_resolution(error, v)) for v in (300.0, 200.0)]
        for error in (50, 100, 200)
    }
