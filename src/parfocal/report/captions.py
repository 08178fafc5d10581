"""Titles and captions of the sections of a method's page. HTML where there are tags."""

from typing import NotRequired, TypedDict

from markupsafe import Markup


class Words(TypedDict):
    """What a section is called, and its caption."""

    id: str
    title: str
    short: NotRequired[str]
    caption: NotRequired[str]


PLANES = (
    "Planes are Eq. 1 of Fernandez-Gimenez, Carazo and Sorzano, J. Struct. Biol. 2023, "
    "doi 10.1016/j.jsb.2023.108030."
)
METHODS = Markup("""This page is on <code>{}</code>; the others have a page each.
Errors and spread are of the particles that are ok.""")

STATUS: Words = {
    "id": "status",
    "title": "What became of each particle",
    "short": "Status",
    "caption": """Only particles that are ok got a new defocus. All others keep that of the input
and are still in the output files.""",
}
LADDER: Words = {
    "id": "ladder",
    "title": "Does local defocus help? What held-out data say",
    "short": "Does it help",
    "caption": """Each model of the ice was fitted on half of every particle's Fourier pixels and
scored on the other half, against the input's defocus. The data support the model in bold, and it is
what was written: it must gain two standard errors, the particles' own heights one over their plane,
and each step 0.002 nats in any case, which stand for 5 % of the error. A point below the line
predicts worse than the input. Right: the same question put to each micrograph alone, where few
particles seldom show more than a shift.""",
}
HISTOGRAMS: Words = {
    "id": "histograms",
    "title": "How much defocus changed, and how sure that is",
    "short": "Changes",
    "caption": """Left: estimate minus the defocus of the input, of the particles that are ok. A width
well above the error in the middle panel is real: tilt, and heights in the ice. A width close to the
error is mostly noise, and a mean away from zero is an error of the micrographs' defocus. Right: what
is left after each micrograph's plane, which is the heights in the ice, widened by the error; two
peaks are particles at the two air-water interfaces. The first and last bars hold all that lies
beyond.""",
}
CURVES: Words = {
    "id": "curves",
    "title": "What single particles say",
    "short": "Examples",
    "caption": Markup("""The log-likelihood of one particle for every trial defocus. The sharper the
peak, the smaller the error: half a nat below the top is one standard deviation away. The dashed grey
line is the input, the orange one the estimate with its error. The two thin lines each use half of the
Fourier pixels and no pixel in common, so noise cannot make them agree. Side peaks about as high as the
main one are what <code>multimodal</code> means, and a flat curve carries no information. Scales
differ, but reach at least 3 nats down."""),
}
OVERVIEW: Words = {
    "id": "overview",
    "title": "Every micrograph",
    "short": "Overview",
    "caption": """Above: the mean change of each micrograph's particles, a correction of its global
defocus. A step or a drift points to a change during the session; a lone point far off, to a micrograph
whose global defocus was wrong. Below: the tilt of its ice. It cannot be negative, so flat micrographs
scatter at about the size of their error bars, and not about zero. Bars are one standard error.""",
}
MICROGRAPH = Markup("""Particles at their place in the micrograph, with defocus as height, and the plane
defocus = c + a·y + b·x fitted through them. Heights are drawn on a scale of their own: real ice is far
flatter. Right: the same from above, as the micrograph is displayed, with the tilt axis dashed. A
particle that is pointed at is marked in both. Grey diamonds are particles that failed, at their prior.
A trend that the plane follows is tilt, a bowl is bent ice, and neighbours that differ by more than
their errors (hover) are at different heights. {some} At most {most} particles of a micrograph are
drawn.""")
SOME_DRAWN = Markup("""<b>{} of {:,} micrographs can be chosen</b>, evenly over the ranges of tilt and
of spread; all are in the table.""")
SPECTRA: Words = {
    "id": "spectra",
    "title": "Signal and noise",
    "short": "Spectra",
    "caption": """Power of the noise (solid) and of the reference as it is in the particles (dashed),
by optics group. What a particle says about its defocus is the ratio of the two, times the number of
Fourier pixels there, times the square of the phase that a change of defocus makes, which grows as the
fourth power of frequency. That is why a signal far below the noise still counts at high
resolution.""",
}
TABLE: Words = {
    "id": "micrographs",
    "title": "Micrographs",
    "short": "Table",
    "caption": """Click a heading to sort. ± is one standard error; the tilt axis is counted from +x
towards +y, and spread is the standard deviation about the plane. Without four particles off one line
there is no plane.""",
}
METHODS_TEXT: Words = {
    "id": "paper",
    "title": "For the methods section of a paper",
    "short": "Paper",
}
