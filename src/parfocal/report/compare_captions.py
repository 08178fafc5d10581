"""What the page of a comparison says beside its figures."""

TABLE_1 = {
    "id": "table-1",
    "title": "Who agrees with whom",
    "short": "Agreement",
    "caption": "The paper's Table 1: Pearson correlation between the defoci of two sets on one "
    "micrograph, averaged over micrographs, with its standard error over micrographs. The last row "
    "is the input's own defocus; it is blank where that is one number for a micrograph, which "
    "cannot correlate with anything on it. Low numbers alone say little: see the next figure.",
}
EXPECTED = {
    "id": "expected",
    "title": "How far they should agree",
    "short": "Expected",
    "caption": "Dots: the correlation seen. Bars: what would be seen if every set were right within "
    "its errors, from independent noise (left end) to noise that both share because they saw the "
    "same images (right end). A dot on a bar far to the left is no quarrel: the heights of the "
    "particles scatter by less than the errors. Left of its bar, a pair disagrees beyond its errors; "
    "right of it, error bars are too wide. At the right end of a bar that begins near 0, the two "
    "agree on noise.",
}
SCATTER = {
    "id": "scatter",
    "title": "Particle by particle",
    "short": "Scatter",
    "caption": "The paper's Fig. 6, over all micrographs: defocus less the median of its micrograph, by "
    "one set against another. Dotted: equal. Colour is the logarithm of the number of particles "
    "where there are many. A line of values apart from the others is a fault, or a search bound.",
}
GLOBAL = {
    "id": "global",
    "title": "Against the global defocus",
    "short": "Global",
    "caption": "The paper's Fig. S-1: every set correlates with the input over micrographs of "
    "different defocus, unless it is wrong altogether.",
}
PLANES = {
    "id": "planes",
    "title": "One micrograph, by each set",
    "short": "One micrograph",
    "caption": "The paper's Fig. 5, on common axes: each particle at its place, with its defocus as "
    "height, and the plane fitted to it. Panels turn together, and a particle that is pointed at is "
    "marked in all. {} of {} micrographs can be chosen, evenly over the range of tilts.",
}
STABILITY = {
    "id": "stability",
    "title": "How stable each method is",
    "short": "Stability",
    "caption": "The paper's Fig. 7: defocus less the median of its micrograph. Two runs on the same "
    "images share their noise, so they show what a program does by chance, not its error. The two "
    "folds of a parfocal method share no pixels: what they have in common is height, and their "
    "difference tells the error, or more than it where a third of the pixels is too few for a "
    "particle.",
}
METHODS = {"id": "methods-text", "title": "For the methods part of a paper", "short": "Text"}
