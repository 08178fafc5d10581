"""What could be known at best: the posterior of one who knows the ice."""

import numpy as np

from parfocal.estimators.by_micrograph import by_micrograph, fine_grid
from parfocal.evidence import Evidence
from parfocal.simulate import Simulation


def rms(values) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def best_possible(simulation: Simulation, evidence: Evidence) -> np.ndarray:
    """Errors [Å] of the posterior mean when offset, plane and the law of heights are known.

    Wrong particles too: their curves are left out, as one who knows would.
    """
    truth, scene = simulation.truth, simulation.scene
    particles, grid = simulation.particles, fine_grid(evidence)
    wrong = np.empty(len(particles))
    for rows, curves in by_micrograph(particles, evidence, grid):
        centre = (truth.defocus - truth.height)[rows] - particles.defocus[rows]
        known = np.where(truth.wrong[rows, None], 0.0, curves[0])
        log_density = known + np.log(_heights(scene, grid - centre[:, None]) + 1e-300)
        density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
        density /= density.sum(axis=1, keepdims=True)
        wrong[rows] = density @ grid + particles.defocus[rows] - truth.defocus[rows]
    return wrong


def _heights(scene, z):
    """Density of heights in a scene, up to a factor; a sheet thinner than 5 Å is 5 Å thick here."""
    places = {
        0: np.linspace(-0.5, 0.5, 41) * scene.ice_thickness,
        1: np.zeros(1),
        2: np.array([-0.5, 0.5]) * scene.ice_thickness,
    }[scene.sheets]
    width = max(scene.height_scatter, 5.0)
    return sum(np.exp(-0.5 * ((z - place) / width) ** 2) for place in places)
