"""Scenes with known truth: particles, images and maps that are simulated from atoms."""

from parfocal.simulate.dataset import read_truth, write_dataset
from parfocal.simulate.protein import protein_like
from parfocal.simulate.scene import Scene
from parfocal.simulate.simulation import SimulatedImages, Simulation, simulate
from parfocal.simulate.specimen import Specimen, Truth
from parfocal.simulate.structure import Atoms, read_structure

__all__ = [
    "Atoms",
    "Scene",
    "SimulatedImages",
    "Simulation",
    "Specimen",
    "Truth",
    "protein_like",
    "read_structure",
    "read_truth",
    "simulate",
    "write_dataset",
]
