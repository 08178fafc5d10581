"""The table of micrographs: plane, tilt and counts of each, per method, as micrographs.star has it."""

from collections.abc import Mapping

import numpy as np

from parfocal.conventions import DEGREE
from parfocal.estimates import DefocusEstimates, Status
from parfocal.estimators.micrograph import MicrographChange
from parfocal.ice import PlaneFit, rows_by_micrograph
from parfocal.ladder import ladder_of

GAINS = {  # rung of the ladder -> its column
    "micrograph shift": "GainOfShift",
    "plane": "GainOfPlane",
    "plane + particle": "GainOfParticle",
}


def micrograph_columns(
    estimates: DefocusEstimates,
    planes: Mapping[str, PlaneFit],
    changes: Mapping[str, MicrographChange],
) -> dict[str, list[str]]:
    """Column -> tokens, a row per micrograph in order of first appearance. Å, degrees.

    Plane: defocus = C + A y + B x (the paper's Eq. 1), robust, over particles that are ok. The last
    columns are the change that suits all particles of the micrograph at once, and two random halves;
    and the median change of the astigmatism vector of those that are ok.
    """
    columns: dict[str, list[str]] = {}

    def add(name, text):
        columns.setdefault(f"parfocal{name}", []).append(text)

    for name, rows in rows_by_micrograph(estimates.micrograph).items():
        plane, change = planes[name], changes.get(name)
        astigmatism = _median(estimates, rows, "astigmatism_change_x", "astigmatism_change_y")
        add("Method", estimates.method)
        add("Micrograph", name)
        add("PlaneKind", plane.kind)
        for label, value, decimals in (
            ("PlaneC", plane.c, 2),
            ("PlaneCError", plane.c_error, 2),
            ("PlaneA", plane.a, 7),
            ("PlaneAError", plane.a_error, 7),
            ("PlaneB", plane.b, 7),
            ("PlaneBError", plane.b_error, 7),
            ("TiltAngle", plane.tilt / DEGREE, 3),
            ("TiltAngleError", plane.tilt_error / DEGREE, 3),
            ("TiltAxis", plane.tilt_axis / DEGREE, 2),
            ("PlaneRSquared", plane.r_squared, 4),
            ("Spread", plane.spread, 2),
            ("CommonChange", change.change if change else np.nan, 2),
            ("CommonChangeError", change.error if change else np.nan, 2),
            ("CommonChangeHalf1", change.half_change[0] if change else np.nan, 2),
            ("CommonChangeHalf2", change.half_change[1] if change else np.nan, 2),
            ("AstigmatismChangeX", astigmatism[0], 2),
            ("AstigmatismChangeY", astigmatism[1], 2),
        ):
            add(label, f"{value:.{decimals}f}")
        ladder = ladder_of(estimates, rows)
        for rung, label in GAINS.items():
            gain, error = ladder.gain[rung] if ladder else (np.nan, np.nan)
            add(label, f"{gain:.4f}")
            add(f"{label}Error", f"{error:.4f}")
        add("BestModel", ladder.best.replace(" ", "_") if ladder else "none")
        add("Outliers", str(plane.n_outliers))
        for status in Status:
            label = "".join(word.capitalize() for word in status.label.split("_"))
            add(f"Count{label}", str(int((estimates.status[rows] == status).sum())))
    return columns


def _median(estimates: DefocusEstimates, rows, *names: str) -> list[float]:
    """Medians of columns over the particles of `rows` that are ok; nan without any."""
    ok = rows[estimates.ok()[rows]]
    return [float(np.median(getattr(estimates, name)[ok])) if len(ok) else np.nan for name in names]
