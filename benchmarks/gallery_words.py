"""The parts of docs/gallery/README.md between marks, from the numbers of the gallery."""

from collections.abc import Iterable, Sequence

from gallery_conclusions import PROGRAMS, conclusions, pairs_of, percent, pm

METHODS = (*PROGRAMS, "bayes")


def words(n: dict) -> dict[str, str]:
    """Mark -> Markdown."""
    return {
        "data": _data(n),
        "figure 5": _planes(n),
        "table 1": _pairs(n),
        "figure s-1": _globals(n),
        "figure 7": _stability(n),
        "figure 8": _results(n),
        "figure 9": _mad(n),
        "figure 10": _limits(n),
        "conclusions": table(
            ("where", "the paper's conclusion", "here", "why"),
            ((c.where, c.text, f"**{c.verdict}**", c.why) for c in conclusions(n)),
        ),
    }


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _data(n: dict) -> str:
    d, s = n["data"], n["data"]["scene"]
    return (
        f"{s['particles']} particles of a made-up protein on {s['micrographs']} whole micrographs of "
        f"{s['size'][0]} × {s['size'][1]} px, cut in boxes of {s['box']} px of {s['pixel_size']:g} Å; "
        f"{s['voltage']:g} kV, SNR {s['snr']:g}, B {s['b_factor']:g} Å², amorphous ice behind them; "
        f"micrographs at {s['defocus'][0] / 1e4:g} to {s['defocus'][1] / 1e4:g} µm, their global "
        f"defocus wrong by {s['defocus_error']:g} Å (sd); ice tilted by up to {s['ice_tilt']:g}°, "
        f"particles anywhere in {s['ice_thickness']:g} Å of height (sd {d['heights']:.0f} Å), which "
        "is what the centres of 12 nm particles have in the paper's 40 nm of ice. Poses are wrong by "
        f"{s['pose_error']:g}° and {s['shift_error']:g} Å (sd); the map is exact, and trusted to "
        f"{s['resolution']:g} Å. One image alone cannot tell its defocus better than to "
        f"{d['bound']:.0f} Å (Cramér-Rao bound). Within a micrograph defoci spread by "
        f"{pm(d['within'])} Å. The micrograph drawn is {d['micrograph'].split('/')[-1]}, that of the "
        f"median tilt, with {d['drawn']} particles. Seed {s['seed']}."
    )


def _planes(n: dict) -> str:
    def row(name):
        p = n["planes"][name]
        one = f"{pm(p['tilt'], 2)}", f"{pm(p['axis'])}", f"{p['r_squared']:.2f}"
        return name, *one, f"{p['spread']:.0f}", pm(p["error"]), pm(p["scatter"])

    heads = ("set", "tilt, °", "axis, °", "R²", "scatter, Å")
    heads += ("plane from the ice's, all micrographs, Å", "scatter, all micrographs, Å")
    return table(heads, map(row, (*METHODS, "truth")))


def _pairs(n: dict) -> str:
    def row(key):
        p = n["pairs"][key]
        r = (pm(p[name], 3) for name in ("average", "pooled"))
        return key, *r, *(pm(p[name], 2) for name in ("height", "unshared", "closer")), p["words"]

    heads = ("pair", "r, mean of micrographs", "r, pooled", "of it true defocus")
    heads += ("of it, say the folds", "error of the closer half over the other's", "`compare` says")
    return table(heads, map(row, pairs_of(METHODS)))


def _globals(n: dict) -> str:
    found = n["global"]["correlation"]
    return table(
        ("set", "r with the global defocus"), ((name, pm(r, 4)) for name, r in found.items())
    )


def _stability(n: dict) -> str:
    def row(name):
        s = n["stability"][name]
        cells = (pm(s["r_again"], 3), pm(s["again"], 1), pm(s["r_half"], 2), pm(s["half"]))
        return name, *cells, pm(s["folds"]), pm(s["true"])

    heads = ("set", "r of two runs", "error that they imply, Å", "r of two half-doses")
    heads += ("error that they imply, Å", "that two folds imply, Å", "true error, Å")
    return table(heads, map(row, PROGRAMS))


def _results(n: dict) -> str:
    def row(name):
        s = n["sets"][name]
        slope = "0" if name == "input" else pm(s["slope"], 2)
        within = f"{100 * s['trusted']:.0f} %", pm(s["error"], 1), pm(s["within"], 1)
        return name, *within, pm(s["bias"], 1), slope, percent(s["kept"], 1)

    heads = ("set", "trusted", "rms error, Å", "within micrographs, Å", "bias, Å")
    heads += ("slope on truth", "signal kept at 3 Å")
    m = n["median"]
    after = (
        "Spread about the median over the true error: "
        + ", ".join(f"{name} {pm(r, 2)}" for name, r in m["spread_over_error"].items())
        + f". The error bars of the four combined cover {percent(m['covered']['four combined'])} of "
        f"the truth, of all combined {percent(m['covered']['all combined'])} (68 % is right). With "
        f"`bayes` among the sets the combination differs from `bayes` alone by "
        f"{pm(m['all_less_than_bayes'], 2)} Å."
    )
    return f"{table(heads, map(row, n['sets']))}\n\n{after}"


def _mad(n: dict) -> str:
    m = n["mad"]
    rows = (
        ("particles with less than 50 Å", percent(m["within"]), percent(m["error_within"])),
        ("median, as a standard deviation", f"{m['typical']:.0f} Å", f"{m['typical_error']:.0f} Å"),
    )
    heads = ("", "MAD of the four", "true error of their median")
    return table(heads, rows)


def _limits(n: dict) -> str:
    rows = ((f"{e} Å", f"{v[0]:.2f} Å", f"{v[1]:.2f} Å") for e, v in n["limits"].items())
    return table(("defocus error", "π/2 at 300 kV", "π/2 at 200 kV"), rows)
