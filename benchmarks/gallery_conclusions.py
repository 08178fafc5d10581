"""The conclusions of the paper, each judged by the numbers of the gallery."""

from collections.abc import Iterator
from typing import NamedTuple

from gallery_truth import HOLDS, MARGIN, SAME, SLOPE, about, above, judged, tells

PROGRAMS = ("relion", "cryosparc", "xmipp", "gctf")
LARGE = 50.0  # Å, the paper's, of an error that matters
BIAS = 10.0  # Å
WITHIN_ONE_SD = 0.6827
PAPER_LIMITS = {"50": 1.4, "100": 2.0, "200": 3.3}  # Å error: Å resolution at 300 kV
UNSEEN = "not seen here"
FEW = 0.01


class Conclusion(NamedTuple):
    """What the paper says, where, whether it holds here, and why."""

    where: str
    text: str
    verdict: str
    why: str


def conclusions(n: dict) -> Iterator[Conclusion]:
    """Every conclusion of the paper that the gallery can judge, from its numbers."""
    for judge in (
        shapes,
        random_estimates,
        correlations,
        agreement,
        against_global,
        half_the_ice,
        stability,
        unbiased,
        median,
        mad_as_error,
        mad_as_filter,
        limits,
        not_always,
    ):
        yield judge(n)


def pm(found, digits: int = 0, unit: str = "") -> str:
    """A value and its standard error, or – where there is none."""
    if found is None or None in found:
        return "–"
    return f"{found[0]:.{digits}f} ± {found[1]:.{digits}f}{unit}"


def percent(found, digits: int = 0) -> str:
    return pm([100 * v for v in found], digits, " %")


def ends(values, digits: int = 0) -> str:
    """From the least to the most."""
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"


def shapes(n: dict) -> Conclusion:
    planes = {name: n["planes"][name] for name in PROGRAMS}
    true = n["planes"]["truth"]["scatter"][0]
    scatter = [p["scatter"][0] for p in planes.values()]
    error = [p["error"][0] for p in planes.values()]
    parts = {
        "the scatter": any(abs(s - true) > SAME * true for s in scatter),
        "the planes": any(above(p["error"], LARGE) for p in planes.values()),
    }
    why = (
        f"planes are within {ends(error)} Å (rms) of the ice's, those of the true defoci within "
        f"{n['planes']['truth']['error'][0]:.0f} Å; but particles scatter about them by "
        f"{ends(scatter)} Å where the truth has {true:.0f} Å"
    )
    text = "Plane and scatter about it differ with the method, which may question its accuracy"
    return Conclusion("Fig. 5", text, judged(parts), why)


def random_estimates(n: dict) -> Conclusion:
    found = {name: n["sets"][name]["truth"] for name in PROGRAMS}
    parts = {name: not above(r) for name, r in found.items()}
    why = "correlation with the true heights and tilt: " + ", ".join(
        f"{name} {pm(r, 2)}" for name, r in found.items()
    )
    text = "Estimates of different methods are independent, as of a random estimation"
    return Conclusion("Fig. 6", text, judged(parts), why)


def correlations(n: dict) -> Conclusion:
    pairs = {key: n["pairs"][key] for key in pairs_of(PROGRAMS)}
    parts = {key: not above(pair["beyond"], MARGIN) for key, pair in pairs.items()}
    most = max(pairs, key=lambda key: pairs[key]["pooled"][0])
    least = min(pairs, key=lambda key: pairs[key]["pooled"][0])
    best, worst = pairs[most], pairs[least]
    why = (
        f"{most} agree most, r = {pm(best['pooled'], 3)}, of which true defocus makes "
        f"{pm(best['height'], 2)}: the rest is noise that both see in the same pixels; {least} agree "
        f"least, r = {pm(worst['pooled'], 2)}, and true defocus makes {pm(worst['height'], 2)}"
    )
    text = "How far methods correlate is how far their local defoci agree on what is there"
    return Conclusion("Table 1", text, judged(parts), why)


def agreement(n: dict) -> Conclusion:
    pairs = {key: n["pairs"][key]["closer"] for key in pairs_of(PROGRAMS)}
    parts = {key: above([1 - ratio[0], ratio[1]]) for key, ratio in pairs.items()}
    why = (
        "error of the half of the particles on which the two agree more, over the other half's: "
        + ", ".join(f"{key} {pm(ratio, 2)}" for key, ratio in pairs.items())
    )
    text = "If two results agree, it is likelier that they are right"
    return Conclusion("3.2", text, judged(parts), why)


def against_global(n: dict) -> Conclusion:
    found = n["global"]["correlation"]
    own, dealt = found["relion"], found["relion, shuffled"]
    gap = own[0] - dealt[0], (own[1] ** 2 + dealt[1] ** 2) ** 0.5
    why = (
        f"r = {own[0]:.4f} with the global defocus; after the defoci of each micrograph are dealt to "
        f"its particles by chance, {dealt[0]:.4f}: it tells micrographs apart, not particles"
    )
    text = "All correlate well with the global defocus, so none is completely erroneous"
    return Conclusion("Fig. S-1", text, judged({"relion": above(gap)}), why)


def half_the_ice(n: dict) -> Conclusion:
    found = n["global"]
    far, right = found["beyond_half_ice"], found["beyond_of_right"]
    why = (
        f"{percent(far)} of the particles truly lie so far from the global defocus on file, "
        f"{percent(right, 1)} from their micrograph's true mean: the rest is the "
        f"error of the global value. The limit leaves out {percent(found['left_out'])} by relion's "
        f"values, and {percent(found['left_out_but_there'])} of these truly lie beyond it"
    )
    parts = {"a right global defocus": right[0] <= FEW, "this one": far[0] <= FEW}
    text = "A local defocus more than half the ice's thickness from the global one is erroneous"
    return Conclusion("3.2", text, judged(parts), why)


def stability(n: dict) -> Conclusion:
    found = n["stability"]
    parts = {name: tells(found[name]["again"], found[name]["true"]) for name in PROGRAMS}
    why = "a second run strays by, and the truth is away by: " + ", ".join(
        f"{name} {found[name]['again'][0]:.0f} and {found[name]['true'][0]:.0f} Å"
        for name in PROGRAMS
    )
    text = "Stability between two runs is a measure of reliability"
    return Conclusion("Fig. 7", text, judged(parts), why)


def unbiased(n: dict) -> Conclusion:
    parts = {
        name: about(n["sets"][name]["bias"], 0.0, BIAS)
        and about(n["sets"][name]["slope"], 1.0, SLOPE)
        for name in PROGRAMS
    }
    why = "slope on the true heights and tilt: " + ", ".join(
        f"{name} {pm(n['sets'][name]['slope'], 2)}" for name in PROGRAMS
    )
    text = "Estimates fluctuate about the truth without bias"
    return Conclusion("Fig. 8", text, judged(parts), why)


def median(n: dict) -> Conclusion:
    found, sets = n["median"], n["sets"]
    less = [-found["less_than_best"][0], found["less_than_best"][1]]
    change, more = found["three_less_than_best"], found["combined_less_than_median"]
    why = (
        f"{sets['median of four']['error'][0]:.0f} Å, {pm(less, 1)} Å less than {found['best']} "
        f"alone; but {pm([-change[0], change[1]], 1)} Å less without gctf, as the other three share "
        f"their noise; weights by what the sets themselves show give "
        f"{sets['four combined']['error'][0]:.0f} Å, {pm([-more[0], more[1]], 1)} Å less than the "
        "median"
    )
    text = "The average or median has less noise than any of the estimates"
    parts = {
        "the four": above(less),
        "three that see the same pixels": above([-change[0], change[1]]),
    }
    return Conclusion("Fig. 8, 3.2", text, judged(parts), why)


def mad_as_error(n: dict) -> Conclusion:
    found = n["mad"]
    why = (
        f"the MAD is within 50 Å for {percent(found['within'])} of the particles, the error of the "
        f"median for {percent(found['error_within'])}; 1.4826 MAD covers {percent(found['covered'])} "
        f"where 68 % would be right: the error is {pm(found['ratio'], 2)} times as large"
    )
    text = "Most local defoci are known to 50 Å, as their MAD says"
    part = about(found["covered"], WITHIN_ONE_SD, MARGIN)
    return Conclusion("Fig. 9", text, judged({"the MAD": part}), why)


def mad_as_filter(n: dict) -> Conclusion:
    found = n["mad"]
    gain = [1 - found["halves"][0], found["halves"][1]]
    why = (
        f"the half with the smaller MAD errs {pm(found['halves'], 2)} times as much as the other; "
        f"with the smaller error bar of the combination {pm(found['halves_by_error_bar'], 2)} times"
    )
    text = "The MAD can be used to filter out particles whose defocus is uncertain"
    verdict = HOLDS if above(gain) else UNSEEN
    return Conclusion("Fig. 9", text, verdict, why)


def limits(n: dict) -> Conclusion:
    found = {error: values[0] for error, values in n["limits"].items()}
    parts = {f"{e} Å": abs(found[e] - told) < 0.05 for e, told in PAPER_LIMITS.items()}
    why = "its Eq. 2 and 3 give " + ", ".join(
        f"{found[e]:.2f} Å (told: {told:g}) for {e} Å" for e, told in PAPER_LIMITS.items()
    )
    text = "Errors of 50, 100 and 200 Å turn the CTF by π/2 at 1.4, 2 and 3.3 Å"
    return Conclusion("Fig. 10, S-2", text, judged(parts), why)


def not_always(n: dict) -> Conclusion:
    spread = n["sets"]["input"]["within"]
    worse = [
        name
        for name in PROGRAMS
        if not above(
            (
                spread[0] - n["sets"][name]["within"][0],
                (spread[1] ** 2 + n["sets"][name]["within"][1] ** 2) ** 0.5,
            )
        )
    ]
    why = (
        f"within micrographs, one value for all errs by {pm(spread)} Å, "
        + ", ".join(f"{name} by {pm(n['sets'][name]['within'])} Å" for name in PROGRAMS)
        + "; bayes, which weighs each image against the ice, by "
        + f"{pm(n['sets']['bayes']['within'])} Å"
    )
    text = "Local refinement does not always help"
    return Conclusion("3.3", text, judged({"one": bool(worse)}), why)


def pairs_of(names) -> list[str]:
    """The keys of pairs, in their order."""
    return [f"{a} – {b}" for i, a in enumerate(names) for b in names[i + 1 :]]
