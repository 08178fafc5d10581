"""What one run of `localres` found: records, and their summary in numbers and in words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from parfocal.local_resolution import LocalDifference, LocalResolution
from parfocal.masks import TIGHT

MOSTLY_SOLVENT = 0.05  # share of voxels never seen, from which the mask is suspected
TIGHT_MASK = " ".join(("parfocal mask", *(f"--{name} {value:g}" for name, value in TIGHT.items())))
SURE = 2.0  # standard errors, from which a difference is told as one
COLOURED = (0.02, 0.98)  # quantiles at the ends of the colours


class Difference(NamedTuple):
    """How much finer a pair of half-maps is than the first one, by one method."""

    name: str
    first: str
    method: str
    found: LocalDifference


@dataclass(frozen=True, kw_only=True)
class LocalRun:
    """Local resolutions of pairs of half-maps on one mask: pair -> method -> map."""

    out: Path
    results: Mapping[str, Mapping[str, LocalResolution]]
    density: Mapping[str, np.ndarray]  # (n, n, n) by pair, the mean of its halves
    mask: np.ndarray  # (n, n, n) in [0, 1]
    differences: tuple[Difference, ...]
    info: Mapping[str, Any] = field(default_factory=dict)  # as in run.json

    def items(self) -> dict[str, tuple[str, LocalResolution]]:
        """Every map by what it is called: label -> (pair, map)."""
        several = len(self.results) > 1
        return {
            f"{name}, {method}" if several else method: (name, found)
            for name, by_method in self.results.items()
            for method, found in by_method.items()
        }

    def colours(self, method: str) -> tuple[float, float]:
        """Resolutions [Å] at the ends of the colours: the same for all pairs, so that they compare."""
        ends = [found[method].quantiles(COLOURED) for found in self.results.values()]
        low, high = float(np.min(ends)), float(np.max(ends))
        return low, max(high, low + 0.1)

    def folder(self, name: str) -> Path:
        """Where the maps of a pair are written."""
        return self.out / name if len(self.results) > 1 else self.out


def difference_sentence(d: Difference) -> str:
    """Whether a pair of half-maps is finer or coarser than the first one, and how sure that is."""
    found, pairs = d.found, f"{d.name} against {d.first} ({d.method})"
    what = f"{'finer' if found.mean > 0 else 'coarser'} by {abs(found.mean):.3f}"
    if not np.isfinite(found.mean_error):
        return f"{pairs}: {what} Å in the mean; the mask is too small for an error."
    if found.mean == found.mean_error == 0:
        return f"{pairs}: the same in every voxel."
    shown = abs(found.mean) > SURE * found.mean_error
    told = f"{what} ± {found.mean_error:.3f} Å in the mean"
    return f"{pairs}: {told}{'' if shown else ', so no difference is shown'}."


def summary(run: LocalRun) -> dict[str, Any]:
    """Medians, quartiles, differences and warnings: strings, numbers, lists and dicts only."""
    return {
        "pixel_size": round(next(iter(run.items().values()))[1].pixel_size, 4),
        "voxels": int(np.sum(next(iter(run.items().values()))[1].inside)),
        "results": {
            name: {method: _numbers(found) for method, found in by_method.items()}
            for name, by_method in run.results.items()
        },
        "differences": [
            {"name": d.name, "from": d.first, "method": d.method}
            | {k: _rounded(v) for k, v in d.found._asdict().items()}
            for d in run.differences
        ],
        "warnings": list(_warnings(run)),
    }


def _numbers(found: LocalResolution) -> dict[str, Any]:
    low, median, high = found.quantiles()
    return {
        "median": _rounded(median),
        "quartiles": [_rounded(low), _rounded(high)],
        "limits": [_rounded(limit) for limit in found.limits],
        "unseen": _rounded(found.unseen),
        "settings": dict(found.settings),
    }


def _rounded(value):
    if isinstance(value, int):
        return value
    return round(float(value), 4) if np.isfinite(value) else None


def _warnings(run: LocalRun):
    for label, (_, found) in run.items().items():
        if found.method == "monores" and found.unseen > MOSTLY_SOLVENT:
            yield (
                f"{label}: {100 * found.unseen:.0f} % of the voxels show nothing even at "
                f"{found.limits[1]:.3g} Å: is there solvent in the mask? It counts as poor "
                f"molecule. Give a tight mask, such as {TIGHT_MASK} makes, or a coarser --max."
            )
        if np.mean(found.values < found.limits[0] * 1.02) > 0.5:
            yield (
                f"{label}: more than half of the voxels are at the finest value that could be "
                f"given, {found.limits[0]:.3g} Å: the pixel size, or --min, is the limit."
            )
    for d in run.differences:
        if not np.isfinite(d.found.mean_error):
            yield (
                f"{d.name} against {d.first}, {d.method}: {d.found.voxels} voxels are too few to tell "
                "an error of the difference."
            )
