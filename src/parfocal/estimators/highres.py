"""Method `highres`: defocus together with shift and angles, as in Xmipp HighRes's local refinement."""

from dataclasses import dataclass, replace

import numpy as np

from parfocal.conventions import DEGREE, rotation_matrix
from parfocal.errors import InputError
from parfocal.estimates import DefocusEstimates
from parfocal.estimators.circle import anticorrelation
from parfocal.estimators.cost_error import Cost
from parfocal.estimators.draft import Draft
from parfocal.estimators.powell import OUTSIDE, Latest, Minimum, powell
from parfocal.estimators.xmipp import View, changed, check_limits, judge, searched
from parfocal.evidence import Evidence
from parfocal.particles import Particles
from parfocal.template import projection_of, shift_ramp, template

SHIFT_X, SHIFT_Y, ROT, TILT, PSI, U, V, ANGLE = range(8)
PLACE, POSE, DEFOCUS = slice(SHIFT_X, ROT), slice(ROT, U), slice(U, ANGLE + 1)


@dataclass(frozen=True, kw_only=True)
class HighRes:
    """Powell's method with minus the correlation over a circle, each particle against its own half.

    Variables in turn: shift (within `max_shift` of the box), rot, tilt and psi (each within
    `max_angle` [°]), and changes of defocus U and V (within `max_change` [Å]) and of the
    astigmatism's angle. All else is as in method `xmipp-cc`, but that the template is shifted and
    not the image: interpolation smooths noise away, so that the correlation would draw every
    particle to half a pixel. The images' scale, which HighRes can free too and by default does not,
    is fixed: it trades against defocus. Only the defocus is answered.
    """

    max_change: float = 200.0
    max_shift: float = 0.02
    max_angle: float = 5.0
    low_pass: float = 4.0
    name: str = "highres"

    def __post_init__(self) -> None:
        check_limits(self.max_change, self.low_pass)
        if min(self.max_shift, self.max_angle) < 0:
            raise InputError("a limit below 0", mend="give 0 to leave a variable alone")

    def estimate(self, particles: Particles, evidence: Evidence) -> DefocusEstimates:
        """Estimates of all `particles`, in their order."""
        limited = replace(self, max_change=min(self.max_change, evidence.change_max))
        draft = Draft(self, particles, evidence)
        found = searched(particles, evidence, self.low_pass, limited.search)
        cost = Cost(low_pass=self.low_pass, interpolated=False)
        judge(draft, evidence, dict(found), max_change=limited.max_change, cost=cost)
        return draft.finish()

    def search(self, view: View) -> Minimum:
        """The minimum for one particle; its place in the order SHIFT_X ... ANGLE, in px, ° and Å."""
        reach = self.max_shift * view.grid.optics.image_size
        walls = np.full(ANGLE + 1, np.inf)
        walls[[SHIFT_X, SHIFT_Y]] = reach
        walls[POSE] = self.max_angle
        walls[[U, V]] = self.max_change

        def posed(turn):
            angles = np.add(view.angles, np.multiply(turn, DEGREE))
            return projection_of(view.volume, rotation_matrix(*angles), view.grid)

        def placed(shift):
            return shift_ramp(np.subtract(shift, view.origin), view.grid)

        projection, ramp = Latest(posed), Latest(placed)
        seen = Latest(lambda values: projection(values[POSE]) * ramp(values[PLACE]))

        def cost(place):
            if (np.abs(place) > walls).any() or np.hypot(place[SHIFT_X], place[SHIFT_Y]) > reach:
                return OUTSIDE
            values = place.tolist()
            made = template(
                seen(values[:U]),
                changed(view.defocus, values[DEFOCUS]),
                view.phase_shift,
                view.grid,
            )
            return float(anticorrelation(made, view.image, view.grid.across))

        return powell(cost, np.zeros(ANGLE + 1), np.flatnonzero(walls > 0).tolist())
