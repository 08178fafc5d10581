"""A simulated set as files: what a user of RELION has after a refinement, and the truth."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import numpy as np

from parfocal.conventions import DEGREE
from parfocal.io.micrographs import write_micrograph
from parfocal.io.mrc import write_map, write_stack
from parfocal.io.star import read_star, write_star
from parfocal.optics import IDENTITY, Optics
from parfocal.particles import Particles
from parfocal.simulate.simulation import Simulation
from parfocal.simulate.specimen import Truth

ANGLES = ("defocus_angle", "rot", "tilt", "psi")  # of the truth; degrees in its file
FLAGS = ("wrong", "empty")  # 0 or 1 in its file


def write_dataset(simulation: Simulation, folder, *, workers: int = 2) -> None:
    """Write particles.star with its stacks, map.mrc, half1.mrc, half2.mrc, mask.mrc and truth.star.

    The STAR file is RELION 3.1's; it names the stacks, one for each micrograph, relative to the
    folder. One stack at a time is held in memory, and filled by `workers` threads. Where the scene
    has whole micrographs they are written too, as the STAR file names them, float32.
    """
    folder, particles = Path(folder), simulation.particles
    optics = particles.optics[0]
    for stack in np.unique(particles.stack):
        rows = np.flatnonzero(particles.stack == stack)
        images = np.empty((len(rows), optics.image_size, optics.image_size), dtype=np.float32)
        if simulation.micrographs is None:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(simulation.images.read_into, rows.tolist(), images))
        else:
            number = int(simulation.truth.micrograph[rows[0]])
            drawn = simulation.micrographs.draw(number, workers=workers)
            write_micrograph(folder / particles.micrograph[rows[0]], drawn, optics.pixel_size)
            for row, image in zip(rows.tolist(), images, strict=True):
                image[...] = simulation.micrographs.cut(drawn, row)
        write_stack(folder / stack, images, optics.pixel_size)
    maps = (simulation.map, *simulation.half_maps, simulation.mask)
    for name, volume in zip(("map", "half1", "half2", "mask"), maps, strict=True):
        write_map(folder / f"{name}.mrc", volume, optics.pixel_size)
    micrograph_pixel = simulation.scene.micrograph_pixel_size
    blocks = {
        "optics": _optics_block(optics, micrograph_pixel),
        "particles": _particles_block(particles, micrograph_pixel),
    }
    write_star(folder / "particles.star", blocks)
    write_star(folder / "truth.star", {"truth": _truth_block(simulation)})


def read_truth(path) -> Truth:
    """The truth.star of `write_dataset`; one without wrong particles needs not say so. InputError."""
    table = read_star(path)["truth"]
    columns = {
        f.name: table.numbers(_truth_name(f.name), 0.0 if f.name in FLAGS else None)
        for f in fields(Truth)
    }
    for name in FLAGS:
        columns[name] = columns[name] != 0
    for name in ANGLES:
        columns[name] = columns[name] * DEGREE
    columns["micrograph"] = columns["micrograph"].astype(np.int64)
    return Truth(**columns)


def _optics_block(optics: Optics, micrograph_pixel: float) -> dict[str, list[str]]:
    values = {
        "rlnOpticsGroupName": optics.name,
        "rlnOpticsGroup": "1",
        "rlnMicrographOriginalPixelSize": _number(micrograph_pixel),
        "rlnVoltage": _number(optics.voltage),
        "rlnSphericalAberration": _number(optics.spherical_aberration),
        "rlnAmplitudeContrast": _number(optics.amplitude_contrast),
        "rlnImagePixelSize": _number(optics.pixel_size),
        "rlnImageSize": str(optics.image_size),
        "rlnImageDimensionality": "2",
    }
    if any(optics.beam_tilt):
        values |= dict(
            zip(("rlnBeamTiltX", "rlnBeamTiltY"), map(_number, optics.beam_tilt), strict=True)
        )
    for name, zernike in (("Odd", optics.odd_zernike), ("Even", optics.even_zernike)):
        if zernike:
            values[f"rln{name}Zernike"] = f"[{','.join(map(_number, zernike))}]"
    if optics.magnification != IDENTITY:
        for place, value in zip(("00", "01", "10", "11"), optics.magnification, strict=True):
            values[f"rlnMagMat{place}"] = _number(value)
    return {name: [value] for name, value in values.items()}


def _particles_block(particles: Particles, micrograph_pixel: float) -> dict[str, list[str]]:
    numbers = {
        "rlnCoordinateX": particles.coordinate_x / micrograph_pixel,
        "rlnCoordinateY": particles.coordinate_y / micrograph_pixel,
        "rlnDefocusU": particles.defocus_u,
        "rlnDefocusV": particles.defocus_v,
        "rlnDefocusAngle": particles.defocus_angle / DEGREE,
        "rlnPhaseShift": particles.phase_shift / DEGREE,
        "rlnAngleRot": particles.rot / DEGREE,
        "rlnAngleTilt": particles.tilt / DEGREE,
        "rlnAnglePsi": particles.psi / DEGREE,
        "rlnOriginXAngst": particles.origin_x,
        "rlnOriginYAngst": particles.origin_y,
    }
    if not particles.phase_shift.any():
        del numbers["rlnPhaseShift"]
    return {
        "rlnImageName": particles.particle_id.tolist(),
        "rlnMicrographName": particles.micrograph.tolist(),
        "rlnOpticsGroup": [str(group + 1) for group in particles.optics_group],
        **{name: list(map(_number, column)) for name, column in numbers.items()},
        "rlnRandomSubset": list(map(str, particles.half_set)),
    }


def _truth_block(simulation: Simulation) -> dict[str, list[str]]:
    columns = {"parfocalParticleId": simulation.particles.particle_id.tolist()}
    for name, column in vars(simulation.truth).items():
        values = column / DEGREE if name in ANGLES else column
        columns[_truth_name(name)] = list(map(_number, values.astype(float)))
    return columns


def _truth_name(field: str) -> str:
    return "parfocalTrue" + "".join(word.capitalize() for word in field.split("_"))


def _number(value: float) -> str:
    return f"{value:.12g}"
