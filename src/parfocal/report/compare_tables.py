"""Tables of a comparison: faults, pairs, sets, micrographs, stability."""

from collections.abc import Mapping, Sequence

import numpy as np

from parfocal.agreement import PairAgreement
from parfocal.compare import Comparison
from parfocal.conventions import DEGREE
from parfocal.faults import Fault
from parfocal.report.sections import Column, TableSection
from parfocal.stability import FoldStability, Repeat


def fault_table(faults: Sequence[Fault]) -> TableSection:
    """What is wrong with the sets, worst first."""
    return TableSection(
        id="faults",
        title="Faults and notes",
        noun="faults",
        caption="Found by comparing the sets with each other and with the input.",
        muted=[row for row, fault in enumerate(faults) if fault.severity != "fault"],
        columns=(
            Column(heading="set", name="set", values=[f.name for f in faults]),
            Column(heading="fault", name="kind", values=[f.kind for f in faults]),
            Column(
                heading="particles",
                name="particles",
                values=[f.particles for f in faults],
                digits=0,
            ),
            Column(heading="what", name="text", values=[f.text for f in faults]),
            Column(heading="how to mend it", name="mend", values=[f.mend for f in faults]),
        ),
    )


def pair_table(found: Comparison) -> TableSection:
    """How each pair of sets correlates, and what that says."""
    pairs = found.pairs
    return TableSection(
        id="pairs",
        title="Every pair",
        noun="pairs",
        caption="Correlations are means over micrographs; pooled: over all particles, less the means "
        "of their micrographs.",
        columns=(
            Column(heading="first", name="set_a", values=[p.names[0] for p in pairs]),
            Column(heading="second", name="set_b", values=[p.names[1] for p in pairs]),
            Column(heading="what it says", name="words", values=[e.words for e in found.expected]),
            Column(
                heading="particles", name="particles", values=[p.particles for p in pairs], digits=0
            ),
            _measured(pairs, "Pearson", "pearson", 3),
            _measured(pairs, "Spearman", "spearman", 3),
            _measured(pairs, "robust", "robust", 3),
            _measured(pairs, "pooled", "pooled", 3),
        ),
    )


def _measured(pairs: Sequence[PairAgreement], heading: str, name: str, digits: int) -> Column:
    values = [getattr(p, name) for p in pairs]
    return Column(
        heading=heading,
        name=name,
        values=[v.value for v in values],
        errors=[v.error for v in values],
        digits=digits,
    )


def difference_table(found: Comparison) -> TableSection:
    """How the values of each pair of sets differ."""
    pairs = found.pairs
    return TableSection(
        id="differences",
        title="Differences of each pair",
        short="Differences",
        noun="pairs",
        caption="Bias is second less first; spread is about the micrograph's median; slope is that of "
        "the reduced major axis, which takes noise in both for granted.",
        columns=(
            Column(heading="first", name="set_a", values=[p.names[0] for p in pairs]),
            Column(heading="second", name="set_b", values=[p.names[1] for p in pairs]),
            _measured(pairs, "bias [Å]", "bias", 1),
            Column(heading="spread [Å]", name="spread", values=[p.spread for p in pairs], digits=0),
            _measured(pairs, "slope", "slope", 3),
            Column(
                heading="tilt axes [°]",
                name="tilt_axes_deg",
                values=[a.median.value / DEGREE for a in found.axes],
                errors=[a.median.error / DEGREE for a in found.axes],
                digits=1,
                note="median difference, of micrographs that both see tilted; 45 by chance",
            ),
        ),
    )


def set_table(found: Comparison) -> TableSection:
    """Every set: what it claims, what its folds show, how it lies to the input."""
    sets, against = found.sets, found.globals
    return TableSection(
        id="sets",
        title="Every set",
        noun="sets",
        caption="Spread: about the micrograph's median, outliers apart. Claimed: root mean square "
        "of the error bars. Measured: from the two folds. Signal: the share of the variance that is "
        "height, below 0 where error bars are wider than the spread. Change: mean against the input.",
        columns=(
            Column(heading="set", name="set", values=[s.name for s in sets]),
            Column(
                heading="trusted", name="particles", values=[s.particles for s in sets], digits=0
            ),
            Column(heading="spread [Å]", name="spread", values=[s.spread for s in sets], digits=0),
            Column(
                heading="claimed error [Å]",
                name="claimed_error",
                values=[s.claimed_error for s in sets],
                digits=0,
            ),
            Column(
                heading="measured error [Å]",
                name="measured_error",
                values=[s.measured_error.value for s in sets],
                errors=[s.measured_error.error for s in sets],
                digits=0,
            ),
            Column(
                heading="signal",
                name="signal_share",
                values=[s.signal_share.value for s in sets],
                errors=[s.signal_share.error for s in sets],
                digits=2,
            ),
            Column(heading="known by", name="source", values=[str(s.source.value) for s in sets]),
            Column(
                heading="change [Å]",
                name="bias",
                values=[g.bias.value for g in against],
                errors=[g.bias.error for g in against],
                digits=1,
            ),
        ),
    )


def micrograph_table(found: Comparison) -> TableSection:
    """Tilt and R² of every micrograph by every set."""
    columns = [
        Column(heading="micrograph", name="micrograph", values=list(found.micrographs), path=True)
    ]
    for planes in found.planes:
        columns += [
            Column(
                heading=f"tilt, {planes.name} [°]",
                name=f"tilt_deg_{planes.name}",
                values=planes.tilt / DEGREE,
                errors=planes.tilt_error / DEGREE,
                digits=2,
            ),
            Column(
                heading=f"R², {planes.name}",
                name=f"r_squared_{planes.name}",
                values=planes.r_squared,
                digits=2,
            ),
        ]
    agreement = [p.by_micrograph.pearson for p in found.pairs]
    if agreement:
        known = np.isfinite(agreement)
        total = np.where(known, agreement, 0).sum(axis=0)
        mean = np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)
        columns.append(Column(heading="mean correlation", name="mean_r", values=mean, digits=2))
    return TableSection(
        id="micrographs",
        title="Micrographs",
        noun="micrographs",
        caption="± is one standard error."
        if any(planes.found().any() for planes in found.planes)
        else "No planes: the sets have no coordinates, or too few particles a micrograph. "
        "Coordinates may be in the file that --input takes, or --passthrough.",
        columns=tuple(columns),
    )


def stability_table(folds: Mapping[str, FoldStability], repeats: Sequence[Repeat]) -> TableSection:
    """What the folds, and second runs, say of each error."""
    both = [*repeats, *folds.values()]
    names = [" and ".join(r.agreement.names) for r in repeats] + list(folds)
    return TableSection(
        id="stability-table",
        title="Stability in numbers",
        short="Its numbers",
        noun="rows",
        caption="Implied error: of one run, from the difference of two; of the whole estimate, from "
        "that of its folds. Pull: the difference over what the error bars claim of it, 1 if they are "
        "right; below 1 between runs that share noise. Folds of a posterior mean are drawn to the "
        "same prior, so they show less than its error.",
        columns=(
            Column(heading="set", name="set", values=names),
            Column(
                heading="from",
                name="kind",
                values=["two runs"] * len(repeats) + ["two folds"] * len(folds),
            ),
            Column(
                heading="correlation",
                name="correlation",
                values=[one.pooled.value for one in both],
                errors=[one.pooled.error for one in both],
                digits=2,
            ),
            Column(
                heading="implied error [Å]",
                name="implied_error",
                values=[one.implied_error.value for one in both],
                errors=[one.implied_error.error for one in both],
                digits=1,
            ),
            Column(
                heading="claimed error [Å]",
                name="claimed_error",
                values=[one.claimed_error for one in both],
                digits=1,
            ),
            Column(
                heading="pull",
                name="pull",
                values=[one.pull.value for one in both],
                errors=[one.pull.error for one in both],
                digits=2,
            ),
        ),
    )
