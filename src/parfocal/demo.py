"""The demo's data and its verdict: a small simulated set, truth against estimate."""

from pathlib import Path

import numpy as np

from parfocal.estimates import DefocusEstimates
from parfocal.io.files import check_free
from parfocal.simulate import Scene, Truth, simulate, write_dataset

SHOWN = 8  # particles listed one by one


def make_data(folder: Path, *, particles: int, seed: int) -> tuple[Path, Truth]:
    """Simulate a made-up protein in tilted ice into `folder`; returns it and the truth."""
    check_free(folder)
    scene = Scene(
        particles=particles,
        micrographs=12,
        box=112,
        pixel_size=1.3,
        snr=0.2,
        b_factor=30.0,
        ice_tilt=8.0,
        defocus_error=150.0,
        height_scatter=100.0,
        half_map_resolution=3.0,
    )
    simulation = simulate(scene, np.random.default_rng(seed))
    write_dataset(simulation, folder)
    return folder, simulation.truth


def demo_table(estimates: DefocusEstimates, truth: Truth) -> str:
    """Truth against estimate, in words and for a few particles. Å."""
    ok = estimates.ok()
    wrong_before = estimates.defocus_prior - truth.defocus
    wrong_after = estimates.defocus - truth.defocus
    pull = (wrong_after / estimates.defocus_error)[ok]
    lines = [
        f"{'particle':<34}{'input':>8}{'estimate':>10}{'error':>7}{'truth':>8}{'pull':>7}",
        *(
            f"{estimates.particle_id[i]:<34}{estimates.defocus_prior[i]:>8.0f}"
            f"{estimates.defocus[i]:>10.0f}{estimates.defocus_error[i]:>7.0f}"
            f"{truth.defocus[i]:>8.0f}{wrong_after[i] / estimates.defocus_error[i]:>+7.1f}"
            for i in np.linspace(0, len(estimates) - 1, SHOWN).astype(int)
        ),
        f"root mean square error, {ok.sum()} particles with status ok [Å]:",
        f"  input defocus      {_rms(wrong_before[ok]):6.1f}",
        f"  {estimates.method:<18} {_rms(wrong_after[ok]):6.1f}",
        f"  Cramér-Rao bound   {_rms(truth.cramer_rao[ok]):6.1f}   the least that is possible",
        f"pulls (estimate - truth) / error: sd {pull.std():.2f}, "
        f"{100 * np.mean(np.abs(pull) < 1):.0f} % within one error bar (68 % wanted)",
    ]
    return "\n".join(lines)


def _rms(values) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
