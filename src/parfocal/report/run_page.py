"""The page of a run: picks what to show of it and hands that to the page."""

import os
from pathlib import Path

import numpy as np

from parfocal.curves import scaled_curves
from parfocal.estimates import Status
from parfocal.evidence import Evidence
from parfocal.grid import Fold
from parfocal.particles import Particles
from parfocal.report.content import CurveExample, MethodSummary, OpticsSpectrum, PageContent
from parfocal.report.method_page import method_page
from parfocal.report.page import render_page
from parfocal.run import MethodResult, Run

FINE = 401  # points of a curve that is drawn


def run_page(run: Run, name: str) -> str:
    """HTML of a run's report on method `name`."""
    result, info = run.results[name], run.info
    source = run.inputs.particles.source
    sections = {
        "Settings": {**info["settings"], **result.estimates.settings},
        "Inputs": info["inputs"],
        "SHA-256 of the inputs": info["input_sha256"],
        "Versions": {key: info[key] for key in ("parfocal", "python", "numpy")},
        "Timings [s]": info["timings"],
    }
    content = PageContent(
        title=f"Defocus of {source.name if source else 'particles'}",
        summary=(info["verdict"][name]["text"], _plane_sentence(result), _common_sentence(run)),
        estimates=result.estimates,
        planes=result.planes,
        curves=_examples(run.inputs.particles, run.evidence, result),
        spectra=_spectra(run.inputs.particles, run.evidence),
        methods=_methods(run, name),
        warnings=tuple(info["warnings"]),
        calibration_factor=info["methods"][name].get("error_factor"),
        cpu_seconds=info["timings"]["cpu_s"],
        run=sections,
    )
    return render_page(method_page(content))


def _methods(run: Run, here: str) -> tuple[MethodSummary, ...]:
    folder = run.page_file(here).parent
    summaries = []
    for name, facts in run.info["methods"].items():
        link = Path(os.path.relpath(run.page_file(name), folder)).as_posix()
        summaries.append(
            MethodSummary(
                name=name,
                link="" if name == here else link,
                ok=facts["counts"]["ok"],
                median_error=facts["median_error"],
                change_sd=facts["change_sd"],
                verdict=run.info["verdict"][name]["text"],
            )
        )
    return tuple(summaries)


def _plane_sentence(result: MethodResult) -> str:
    tilts = np.degrees([p.tilt for p in result.planes.values() if p.kind == "plane"])
    if not len(tilts):
        return "No micrograph has a plane: too few trusted particles, or no coordinates."
    return (
        f"{len(tilts)} of {len(result.planes)} micrographs have a fitted plane; "
        f"their median tilt is {np.median(tilts):.1f}°."
    )


def _common_sentence(run: Run) -> str:
    changes = np.array([(m.change, m.error) for m in run.micrographs.values()])
    changes = changes[np.isfinite(changes).all(axis=1)]
    if not len(changes):
        return "No micrograph has a best common change."
    return (
        f"The change that suits a whole micrograph best is {np.median(changes[:, 0]):+.0f} Å in the "
        f"median, from {changes[:, 0].min():+.0f} to {changes[:, 0].max():+.0f} Å, each known to "
        f"about {np.median(changes[:, 1]):.0f} Å."
    )


def _examples(particles: Particles, evidence: Evidence, result: MethodResult):
    """Curves of a good, a typical and a bad particle, by the size of the error."""
    estimates = result.estimates
    seen = np.flatnonzero(np.isfinite(estimates.defocus_error))
    ranked = seen[np.argsort(estimates.defocus_error[seen], kind="stable")]
    if not len(ranked):
        return ()
    failed = ranked[estimates.status[ranked] != Status.OK]
    places = {
        "good": ranked[len(ranked) // 20],
        "typical": ranked[len(ranked) // 2],
        "bad": failed[len(failed) // 2] if len(failed) else ranked[-1],
    }
    return tuple(_example(label, row, particles, evidence, result) for label, row in places.items())


def _spectra_of(row, evidence: Evidence):
    """((1, 3, bins, 8) spectra of the particle in `row`, its noise model)."""
    for rows, spectra, model in evidence.batches():
        place = np.flatnonzero(rows == row)
        if len(place):
            return spectra.sums[place], model
    raise LookupError(f"particle in row {row} is in no chunk")


def _example(label, row, particles, evidence, result):
    estimates = result.estimates
    sums, model = _spectra_of(row, evidence)
    change = np.linspace(-evidence.change_max, evidence.change_max, FINE)
    curve = scaled_curves(sums.sum(axis=1), particles.defocus[[row]], model, change)
    folds = (curve.of(sums[:, fold]).on_grid()[0] for fold in (Fold.FIRST, Fold.SECOND))
    status = Status(estimates.status[row])
    return CurveExample(
        label=label if status == Status.OK else f"{label} ({status.label})",
        particle_id=str(particles.particle_id[row]),
        change=change,
        log_likelihood=curve.on_grid()[0],
        folds=tuple(folds),
        estimate=float(estimates.defocus_change[row]),
        error=float(estimates.defocus_error[row]),
    )


def _spectra(particles: Particles, evidence: Evidence):
    """Signal and noise power of each optics group, the signal from its first particles."""
    found = {}
    for _, spectra, model in evidence.batches():
        grid = model.grid
        good = spectra.status == Status.OK
        if grid.optics.name in found or not good.any():
            continue
        n = np.maximum(grid.n.sum(axis=0), 1e-9)
        template = spectra.sums[good].sum(axis=1)[..., 6].mean(axis=0) / n / 2  # mean CTF² is 1/2
        found[grid.optics.name] = OpticsSpectrum(
            optics_group=grid.optics.name,
            frequency=grid.k,
            signal=model.amplitude**2 * template,
            noise=model.noise,
        )
    return tuple(found.values())
