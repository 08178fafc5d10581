"""The table of methods: every method on every hard scene, against the truth.

    python benchmarks/methods.py --structure 6z6u.pdb [--methods bayes,relion] [--scenes hard,tilted]
                                 [--particles 600] [--on-images 120] [--readme] [--store FOLDER]

Scenes: box 192, SNR 0.01, B 100, coloured noise, 2.1-2.5 µm, exact map, and what makes each hard.
Columns: rms error and that over the Cramér-Rao bound, bias, slope of estimate against truth, sd of
pulls and coverage of the 68 % interval, all over every particle, ok or not, as a user gets them; CPU
ms a particle beyond the pass. Methods that look at the images again run on the first --on-images
particles, whole micrographs of them. With --readme the tables replace those in README.md and
docs/methods/README.md. Seeds are of this benchmark alone: no threshold was tuned on its sets.
"""

import argparse
import datetime
import json
import platform
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from parfocal.estimators import ESTIMATORS, Bayes
from parfocal.evidence import gather
from parfocal.execution import threads
from parfocal.reference import map_reference
from parfocal.simulate import Scene, simulate

ROOT = Path(__file__).parents[1]
TEXTS = (ROOT / "README.md", ROOT / "docs" / "methods" / "README.md")
HARD = {
    "box": 192,
    "pixel_size": 1.0,
    "snr": 0.01,
    "b_factor": 100.0,
    "noise": "coloured",
    "defocus": (21_000.0, 25_000.0),
    "ice_tilt": 0.0,
    "height_scatter": 120.0,
}
SCENES = {
    "hard": {},
    "tilted": {"ice_tilt": 10.0, "height_scatter": 80.0},
    "two sheets": {"sheets": 2, "ice_thickness": 400.0, "height_scatter": 30.0},
    "wrong": {"wrong": 0.15},
    "small": {"structure": None, "residues": 1800, "snr": 0.005, "pixel_size": 1.0},
    "pose errors": {"pose_error": 1.0, "shift_error": 0.5},
    "nothing": {"ice_tilt": 0.0, "height_scatter": 5.0, "defocus_error": 5.0},
}
PLANE = Bayes(rung="plane", name="bayes-plane")  # what its own plane alone gives
METHODS = {"bayes": ESTIMATORS["bayes"], PLANE.name: PLANE, **ESTIMATORS}
SEED = 4000
LOOKS_AGAIN = ("xmipp", "xmipp-cc", "highres")  # at the images: slow
COLUMNS = ("rms", "over_bound", "bias", "slope", "pull_sd", "coverage", "ok", "cpu_ms")


def scene_of(name, structure, particles):
    settings = {"structure": structure, **HARD, **SCENES[name]}
    return Scene(particles=particles, micrographs=max(4, particles // 100), **settings)


def score(change, error, low, high, truth, prior):
    """Columns of one method on one scene. `truth.wrong` particles count in rms, as a user has them."""
    true = truth.defocus - prior
    wrong = change - true
    bound = truth.cramer_rao[np.isfinite(truth.cramer_rao)]
    out = {
        "rms": np.sqrt(np.mean(wrong**2)),
        "over_bound": np.sqrt(np.mean(wrong**2)) / np.sqrt(np.mean(bound**2)),
        "bias": wrong.mean(),
        "bias_error": wrong.std() / np.sqrt(len(wrong)),
        "slope": np.polyfit(true, change, 1)[0] if true.std() > 20 else np.nan,
        "pull_sd": np.nan,
        "coverage": np.nan,
    }
    if error is not None:
        with np.errstate(all="ignore"):
            pull = wrong / error
            out["pull_sd"] = np.sqrt(np.nanmean(pull**2))
            out["coverage"] = np.nanmean((true >= low) & (true <= high))
    return {key: float(value) for key, value in out.items()}


def solve(name, structure, particles, methods, on_images):
    """Method -> columns, of one scene."""
    seed = SEED + list(SCENES).index(name)
    simulation = simulate(scene_of(name, structure, particles), np.random.default_rng(seed))
    reference = map_reference(simulation.map, pixel_size=simulation.scene.pixel_size)
    known, truth = simulation.particles, simulation.truth
    start = time.process_time()
    evidence = gather(known, simulation.images, reference, astigmatism=True, run=threads(2))
    cpu = 1e3 * (time.process_time() - start) / len(known)
    zero = np.zeros(len(known))
    rows = {"input": {**score(zero, None, None, None, truth, known.defocus), "cpu_ms": 0.0}}
    rows["(the pass)"] = {"cpu_ms": cpu}
    few = np.flatnonzero(np.arange(len(known)) < on_images)
    for method in methods:
        here, using = known, evidence
        if method in LOOKS_AGAIN and len(few) < len(known):
            here = known.take(few)
            using = gather(here, simulation.images, reference, run=threads(2))
        start = time.process_time()
        found = METHODS[method].estimate(here, using)
        cpu = 1e3 * (time.process_time() - start) / len(here)
        columns = (found.defocus_change, found.defocus_error, found.change_low, found.change_high)
        part = replace(
            truth, **{k: v[: len(here)] for k, v in vars(truth).items() if np.ndim(v) == 1}
        )
        rows[method] = score(*columns, part, here.defocus)
        rows[method] |= {"cpu_ms": cpu, "ok": found.ok().mean(), "n": len(here)}
        print(f"  {name} {method}: {rows[method]['rms']:.1f} Å", flush=True)
        if len(here) < len(known):
            same = score(zero[few], None, None, None, part, here.defocus)
            rows[method]["input_rms_there"] = same["rms"]
    return rows


def table(results):
    """Markdown: rms error / Cramér-Rao of each method on each scene; then the details."""
    methods = [m for m in next(iter(results.values())) if m != "(the pass)"]
    lines = ["| method | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
    for method in methods:
        cells = []
        for rows in results.values():
            row = rows.get(method)
            mark = "*" if row and "input_rms_there" in row else ""
            cells.append(f"{row['rms']:.0f} ({row['over_bound']:.2f}){mark}" if row else "–")
        lines.append(f"| `{method}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def details(results):
    head = (
        "scene",
        "method",
        "rms Å",
        "/ bound",
        "bias Å",
        "slope",
        "pulls",
        "covered",
        "ok",
        "CPU ms",
    )
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for scene, rows in results.items():
        for method, row in rows.items():
            if "rms" not in row:
                lines.append(f"| {scene} | {method} |" + " |" * 7 + f" {row['cpu_ms']:.1f} |")
                continue
            values = [f"{row['rms']:.1f}", f"{row['over_bound']:.2f}"]
            values += [f"{row['bias']:+.1f} ± {row['bias_error']:.1f}", _or(row["slope"], ".2f")]
            values += [_or(row["pull_sd"], ".2f"), _or(100 * row["coverage"], ".0f", " %")]
            values += [_or(100 * row.get("ok", np.nan), ".0f", " %"), f"{row['cpu_ms']:.2f}"]
            lines.append(f"| {scene} | `{method}` | " + " | ".join(values) + " |")
    return "\n".join(lines)


def _or(value, form, unit=""):
    return f"{value:{form}}{unit}" if np.isfinite(value) else "–"


def write(text, name, path):
    """Replace what stands between the marks of `name` in a Markdown file."""
    whole = path.read_text()
    marks = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(marks[0])}.*?{re.escape(marks[1])}", re.DOTALL)
    if not pattern.search(whole):
        raise SystemExit(f"no marks {marks[0]} in {path}")
    path.write_text(pattern.sub(lambda _: f"{marks[0]}\n{text}\n{marks[1]}", whole))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--structure", type=Path, required=True)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--scenes", default=",".join(SCENES))
    parser.add_argument("--particles", type=int, default=600)
    parser.add_argument("--on-images", type=int, default=120)
    parser.add_argument(
        "--store", type=Path, help="folder of results, one file a scene; kept ones are reused"
    )
    parser.add_argument("--readme", action="store_true")
    asked = parser.parse_args()
    methods, results = asked.methods.split(","), {}
    for name in asked.scenes.split(","):
        kept = asked.store / f"{name.replace(' ', '_')}.json" if asked.store else None
        rows = json.loads(kept.read_text()) if kept and kept.exists() else {}
        missing = [m for m in methods if m not in rows]
        if missing or not rows:
            found = solve(name, asked.structure, asked.particles, missing, asked.on_images)
            rows = {**found, **rows, **{m: found[m] for m in ("input", "(the pass)")}}
            if kept:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(rows, indent=1))
        order = ["input", "(the pass)", *[m for m in METHODS if m in rows]]
        results[name] = {m: rows[m] for m in order}
    made = (
        f"Made by `python benchmarks/methods.py --structure 6z6u.pdb --readme` on "
        f"{datetime.date.today()}, {platform.machine()}, {asked.particles} particles a scene"
        f" (* {asked.on_images} of them)."
    )
    print(table(results), details(results), sep="\n\n")
    if asked.readme:
        write(f"{table(results)}\n\n{made}", "table of methods", TEXTS[0])
        write(f"{table(results)}\n\n{details(results)}\n\n{made}", "table of methods", TEXTS[1])


if __name__ == "__main__":
    main()
