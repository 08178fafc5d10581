"""All that can be said of several sets of defoci of the same particles without knowing the truth."""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from itertools import combinations

import numpy as np

from parfocal.against_global import GLOBAL, AgainstGlobal, against_global, prior_varies
from parfocal.agreement import Average, Column, Measured, PairAgreement, agree, columns_of
from parfocal.chunks import one_by_one
from parfocal.conventions import DEGREE
from parfocal.expected import Expected, SetQuality, common_heights, expect, quality_of
from parfocal.grouped import groups_of
from parfocal.join import Joined, Joint
from parfocal.planes_of_sets import AxisAgreement, Planes, axes_agree, planes_of

EXPECTATIONS = ("observed", "unshared", "independent", "shared")
PER_MICROGRAPH = ("by_micrograph", "micrographs")  # long; left out of a summary


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """K sets of n particles on m micrographs. Pairs are in the order of combinations of the sets."""

    names: tuple[str, ...]
    particles: int  # of the base
    common: int  # that all sets trust
    micrographs: tuple[str, ...]  # (m,) to which the arrays by micrograph are aligned
    prior_varies: int  # micrographs on which the prior differs between particles
    joints: tuple[Joint, ...]
    sets: tuple[SetQuality, ...]
    heights: Measured  # Å², variance of true heights within micrographs, the sets' median
    pairs: tuple[PairAgreement, ...]
    expected: tuple[Expected, ...]  # of each pair
    globals: tuple[AgainstGlobal, ...]  # of each set
    planes: tuple[Planes, ...]
    axes: tuple[AxisAgreement, ...]  # of each pair

    def pair(self, a: str, b: str) -> tuple[PairAgreement, Expected, AxisAgreement]:
        """What is known of two sets by name; differences are those of the later set less the first."""
        wanted = {a, b}
        for found in zip(self.pairs, self.expected, self.axes, strict=True):
            if set(found[0].names) == wanted:
                return found
        raise KeyError(f"no pair {a}, {b} in {', '.join(self.names)}")

    def matrix(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(values, standard errors), each (K, K), of a field of the pairs or their expectations.

        Correlations and `spread` are symmetric; `bias` [i, j] is set j less set i; `slope` and
        `slope_on` [i, j] are those of set j on set i. The error is nan where the field has none.
        """
        source = self.expected if name in EXPECTATIONS else self.pairs
        found = [_both_ways(getattr(one, name), name) for one in source]
        own = 0.0 if name in ("bias", "median_bias", "spread", "spread_total") else 1.0
        values, errors = np.diag([own] * len(self.names)), np.zeros((len(self.names),) * 2)
        for (i, j), ways in zip(combinations(range(len(self.names)), 2), found, strict=True):
            (values[i, j], errors[i, j]), (values[j, i], errors[j, i]) = ways
        return values, errors

    def plain(self, *, by_micrograph: bool = False) -> dict[str, object]:
        """For JSON: numbers, text, lists and dicts; None for what is not known. Å and degrees.

        `by_micrograph` adds the lists of m values.
        """
        table = table_1(self)
        told: dict[str, object] = {
            field.name: plain(getattr(self, field.name), by_micrograph)
            for field in fields(self)
            if field.name != "planes" and (by_micrograph or field.name not in PER_MICROGRAPH)
        }
        told["planes"] = [plane_summary(p) for p in self.planes]
        told["axes"] = [
            plain(replace(a, turn=_degrees(a.turn), median=_degrees(a.median))) for a in self.axes
        ]
        told["table_1"] = {"names": list(table[0])} | {
            key: plain(values, True)
            for key, values in zip(("value", "error", "micrographs"), table[1:], strict=True)
        }
        if by_micrograph:
            told["planes_by_micrograph"] = [
                {
                    "tilt": plain(p.tilt / DEGREE),
                    "tilt_axis": plain(p.tilt_axis / DEGREE),
                    "r_squared": plain(p.r_squared),
                    "spread": plain(p.spread),
                }
                for p in self.planes
            ]
        return told


def compare(
    joined: Joined,
    progress: Callable[[int, int], None] | None = None,
    *,
    columns: tuple[Column, ...] | None = None,
    run: Callable = one_by_one,
) -> Comparison:
    """Compare all sets with each other and with the prior. `progress`(done, all) counts pairs.

    `columns` are those of `columns_of`, if they are there already; `run` maps a function over sets and
    pairs, as execution.threads does.
    """
    groups = groups_of(joined.base.micrograph)
    columns = columns_of(joined, groups) if columns is None else columns
    qualities = tuple(quality_of(groups, column) for column in columns)
    heights = common_heights(qualities)
    planes = planes_of(joined, groups, columns, run)
    varies = prior_varies(groups, joined.prior)
    every = list(combinations(columns, 2))

    def work(number):
        a, b = every[number]
        return agree(groups, a, b), expect(groups, a, b, heights)

    found = {}
    for number, result in run(work, range(len(every))):
        if progress:
            progress(len(found), len(every))
        found[number] = result
    pairs, expected = (
        zip(*(found[i] for i in range(len(every))), strict=True) if every else ((), ())
    )
    return Comparison(
        names=joined.names,
        particles=len(joined),
        common=int(joined.ok.all(axis=1).sum()),
        micrographs=groups.names,
        prior_varies=int(varies.sum()),
        joints=joined.joints,
        sets=qualities,
        heights=heights,
        pairs=pairs,
        expected=expected,
        globals=tuple(against_global(groups, joined.prior, column, varies) for column in columns),
        planes=planes,
        axes=tuple(axes_agree(a, b) for a, b in combinations(planes, 2)),
    )


def table_1(comparison: Comparison, kind: str = "pearson"):
    """The paper's Table 1 with a row for the prior: (names, values, standard errors, micrographs).

    Correlations of `kind` pearson, spearman or robust, averaged over micrographs; arrays are
    (K + 1, K + 1). The prior's are nan where it is one number for a micrograph.
    """
    size = len(comparison.names) + 1
    values, errors = np.eye(size), np.zeros((size, size))
    counts = np.full((size, size), len(comparison.micrographs))
    found = dict(zip(combinations(range(size - 1), 2), comparison.pairs, strict=True))
    found |= {(k, size - 1): one.within for k, one in enumerate(comparison.globals)}
    for (i, j), pair in found.items():
        average = getattr(pair, kind) if pair else (np.nan, np.nan, 0)
        for place in ((i, j), (j, i)):
            values[place], errors[place], counts[place] = average
    return (*comparison.names, GLOBAL), values, errors, counts


def plane_summary(planes: Planes) -> dict[str, object]:
    """One set's planes in a few numbers: counts, medians over micrographs, the tilts' common axis.

    Degrees. `axis_resultant` is 1 if all significant tilts have one axis, near 0 if any.
    """
    found, tilted = planes.found(), planes.tilted()
    mean = np.mean(np.exp(2j * planes.tilt_axis[tilted])) if tilted.any() else np.nan

    def middle(values, of):
        return plain(float(np.median(values[of]))) if of.any() else None

    return {
        "name": planes.name,
        "micrographs": int(found.sum()),
        "tilted": int(tilted.sum()),
        "tilt": middle(planes.tilt / DEGREE, found),
        "tilt_of_tilted": middle(planes.tilt / DEGREE, tilted),
        "tilt_error": middle(planes.tilt_error / DEGREE, found),
        "axis": plain(float(np.mod(np.angle(mean) / 2, np.pi) / DEGREE)),
        "axis_resultant": plain(float(np.abs(mean))),
        "r_squared": middle(planes.r_squared, found),
        "spread": middle(planes.spread, found),
    }


def _degrees(angle: Measured) -> Measured:
    return Measured(angle.value / DEGREE, angle.error / DEGREE)


def _both_ways(value, name: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """(value, error) of the second set on the first, and of the first on the second."""
    if name == "slope_on":
        return tuple(value[0]), tuple(value[1])
    there = (value.value, value.error) if hasattr(value, "error") else (value, np.nan)
    if name in ("bias", "median_bias"):
        return there, (-there[0], there[1])
    if name == "slope":
        return there, (1 / there[0], there[1] / there[0] ** 2) if there[0] else (np.nan, np.nan)
    return there, there


def plain(value, by_micrograph: bool = False):
    """A record as JSON has it; nan becomes None, and arrays by micrograph are left out."""
    if is_dataclass(value):
        named = {field.name: getattr(value, field.name) for field in fields(value)}
        kept = {k: v for k, v in named.items() if by_micrograph or k not in PER_MICROGRAPH}
        return {k: plain(v, by_micrograph) for k, v in kept.items()}
    if isinstance(value, Measured | Average):
        return {k: plain(v) for k, v in value._asdict().items()}
    if isinstance(value, tuple | list):
        return [plain(v, by_micrograph) for v in value]
    if isinstance(value, np.ndarray):
        if value.ndim != 1:
            return [plain(row) for row in value]
        found = value.tolist()
        for i in np.flatnonzero(~np.isfinite(value)):
            found[i] = None
        return found
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
