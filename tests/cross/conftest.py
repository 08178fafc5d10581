"""RELION 3.1 beside us: a simulated set on disk, and a way to run RELION's programs on it."""

import shutil
import subprocess

import numpy as np
import pytest

from parfocal.io import write_star
from parfocal.simulate import Scene, simulate, write_dataset

from ..conftest import missing


@pytest.fixture(scope="session")
def relion():
    """run(program, *arguments, cwd=): a RELION program that must succeed."""
    if shutil.which("relion_ctf_refine") is None:
        missing("RELION is not installed (Debian: apt-get install relion)")

    def run(program, *arguments, cwd):
        done = subprocess.run(
            [program, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    return run


def write_flat_fsc(folder, box):
    """fsc.star with FSC 1 everywhere, as relion_ctf_refine wants it with --m1 and --m2."""
    shells = range(box // 2 + 1)
    columns = {
        "rlnSpectralIndex": [str(shell) for shell in shells],
        "rlnFourierShellCorrelationCorrected": ["1.0" for _ in shells],
    }
    write_star(folder / "fsc.star", {"fsc": columns})


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """(folder, simulation): 240 particles, box 128, exact map, astigmatism, shifts, tilted ice."""
    folder = tmp_path_factory.mktemp("relion")
    scene = Scene(
        particles=240,
        micrographs=4,
        box=128,
        pixel_size=1.2,
        snr=0.05,
        b_factor=50.0,
        astigmatism=300.0,
        defocus_error=150.0,
        height_scatter=120.0,
        half_map_resolution=3.0,
    )
    simulation = simulate(scene, np.random.default_rng(11))
    write_dataset(simulation, folder)
    write_flat_fsc(folder, scene.box)
    return folder, simulation
