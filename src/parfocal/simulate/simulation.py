"""simulate: from a scene to particles, images, maps and the truth about them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from parfocal.conventions import DEGREE
from parfocal.errors import InputError
from parfocal.optics import ctf
from parfocal.particles import Particles
from parfocal.simulate.maps import half_maps, soft_mask
from parfocal.simulate.micrograph import MicrographImages, Micrographs, all_images
from parfocal.simulate.noise import Noise
from parfocal.simulate.project import AtomProjector, ImageFormation, density, padded_size
from parfocal.simulate.protein import protein_like
from parfocal.simulate.scene import Scene
from parfocal.simulate.specimen import Specimen, Truth, draw_specimen
from parfocal.simulate.structure import Atoms, read_structure


class Camera:
    """Images of the particles of a specimen, without noise, in the unit of `density`."""

    def __init__(self, atoms: Atoms, scene: Scene, specimen: Specimen) -> None:
        optics = scene.optics()
        radius = atoms.radius + np.hypot(specimen.origin_x, specimen.origin_y).max()
        defocus = max(np.abs(specimen.defocus_u).max(), np.abs(specimen.defocus_v).max())
        size = padded_size(optics, radius=radius, defocus=defocus, keep_all=scene.whole_micrographs)
        self._specimen, self._phase_shift = specimen, scene.phase_shift * DEGREE
        self._project = AtomProjector(atoms, optics=optics, b_factor=scene.b_factor, size=size)
        self._formation = ImageFormation(optics, size=size)

    def image(self, row: int) -> np.ndarray:
        """Image of particle `row`, float32 (box, box)."""
        return self._formation.image(*self._exposure(row))

    def whole(self, row: int) -> np.ndarray:
        """That image with all that the defocus spreads beyond the box, float32 (m, m)."""
        projection, chi = self._exposure(row)
        return self._formation.whole(projection * ctf(chi).astype(np.float32))

    def image_and_derivative(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """That image and its derivative [Å⁻¹] with respect to the particle's mean defocus."""
        exposure = self._exposure(row)
        return self._formation.image(*exposure), self._formation.derivative(*exposure)

    def _exposure(self, row: int):
        true = self._specimen
        projection = self._project(
            (true.rot[row], true.tilt[row], true.psi[row]), (true.origin_x[row], true.origin_y[row])
        )
        if true.empty[row]:
            projection = np.zeros_like(projection)
        chi = self._formation.phase(
            true.defocus_u[row], true.defocus_v[row], true.defocus_angle[row], self._phase_shift
        )
        return projection, chi


@dataclass(frozen=True, kw_only=True)
class SimulatedImages:
    """Images drawn when they are asked for, row i always the same: `parfocal.particles.Images`."""

    camera: Camera
    scale: float  # from the camera's unit to that of the noise
    noise: Noise
    seed: int  # of the noise
    kept: np.ndarray | None = None  # (n, box, box) float32, the camera's images if in memory

    def clean(self, row: int) -> np.ndarray:
        """The image of `row` without its noise, float32 (box, box)."""
        image = self.camera.image(row) if self.kept is None else self.kept[row]
        return np.float32(self.scale) * image

    def read_into(self, row: int, out: np.ndarray) -> None:
        """Fill `out` (float32, (box, box)) with image `row`."""
        rng = np.random.default_rng((self.seed, row))
        np.add(self.clean(row), self.noise.draw(rng), out=out)


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """A data set and the truth about it, on one scale: image DFT = CTF times slice + noise."""

    scene: Scene
    particles: Particles
    images: SimulatedImages | MicrographImages
    truth: Truth
    map: np.ndarray  # float32 (box, box, box), without noise
    half_maps: tuple[np.ndarray, np.ndarray]
    mask: np.ndarray
    micrographs: Micrographs | None = None  # where the scene has whole ones


def simulate(
    scene: Scene, rng: np.random.Generator, *, keep_images: bool = True, workers: int = 2
) -> Simulation:
    """Draw a data set. The same scene and seed give the same set, whatever the other arguments.

    Every particle is imaged once, by `workers` threads, for its signal and its Cramér-Rao bound.
    With `keep_images` that image stays in memory (4 box² bytes a particle), or else it is made
    again whenever it is read. Raises InputError.
    """
    structure_rng, specimen_rng, noise_rng, map_rng = rng.spawn(4)
    if scene.structure is None:
        atoms = protein_like(structure_rng, residues=scene.residues)
    else:
        atoms = read_structure(scene.structure)
    _check_fit(atoms, scene)
    particles, specimen = draw_specimen(scene, specimen_rng)
    camera = Camera(atoms, scene, specimen)
    noise = Noise(kind=scene.noise, size=scene.box, pixel_size=scene.pixel_size)
    kept = np.empty((len(particles), scene.box, scene.box), np.float32) if keep_images else None
    variance, information = _measure(camera, noise, len(particles), kept, workers)
    scale = np.sqrt(scene.snr / variance[~specimen.wrong].mean())
    volume = np.float32(scale) * density(atoms, optics=scene.optics(), b_factor=scene.b_factor)
    mask = soft_mask(volume, pixel_size=scene.pixel_size)
    halves = half_maps(
        volume,
        mask,
        pixel_size=scene.pixel_size,
        resolution=scene.half_map_resolution,
        rng=map_rng,
    )
    seed = int(noise_rng.integers(2**63))
    images = SimulatedImages(camera=camera, scale=scale, noise=noise, seed=seed, kept=kept)
    micrographs = None
    if scene.whole_micrographs:
        micrographs = Micrographs(
            scene=scene,
            camera=camera,
            scale=scale,
            particles=particles,
            specimen=specimen,
            seed=seed,
        )
        cut = all_images(micrographs, workers) if keep_images else None
        images = MicrographImages(micrographs, images, cut)
    return Simulation(
        scene=scene,
        particles=particles,
        images=images,
        truth=Truth(
            **vars(specimen),
            signal_variance=scale**2 * variance,
            cramer_rao=_bound(scale * np.sqrt(information), specimen.wrong),
        ),
        map=volume,
        half_maps=halves,
        mask=mask,
        micrographs=micrographs,
    )


def _bound(root_information, wrong) -> np.ndarray:
    """Cramér-Rao bound [Å] from the root of the information [Å⁻¹]; inf where `wrong`."""
    bound = np.full(len(wrong), np.inf)
    bound[~wrong] = 1 / root_information[~wrong]
    return bound


def _check_fit(atoms: Atoms, scene: Scene) -> None:
    side = scene.box * scene.pixel_size
    if 2 * atoms.radius > side:
        raise InputError(
            f"a particle {2 * atoms.radius:.0f} Å across does not fit a box of {side:.0f} Å",
            where="scene",
            mend="raise box or pixel_size",
        )


def _measure(camera: Camera, noise: Noise, n: int, kept: np.ndarray | None, workers: int):
    """Variance of each image, and the information [Å⁻²] that it has of its defocus: (n,) each."""

    def measured(row: int) -> tuple[float, float]:
        image, derivative = camera.image_and_derivative(row)
        if kept is not None:
            kept[row] = image
        return float(image.var(dtype=float)), noise.energy(derivative)

    with ThreadPoolExecutor(workers) as pool:
        return np.array(list(pool.map(measured, range(n)))).T
