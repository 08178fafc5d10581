"""Images of particles: the right pixels, from any thread, or a reason why not."""

import gc
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from parfocal.io.images import StackImages, check_stacks
from parfocal.io.mrc import DATA_TYPES, write_stack
from parfocal.io.relion import read_relion
from parfocal.optics import Optics
from parfocal.particles import FLOAT_COLUMNS, ImageError, Particles

BOX = 16


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, BOX, BOX)).astype(np.float32)


def particles_of(*places: tuple[Path, int], box: int = BOX) -> Particles:
    n = len(places)
    optics = Optics(
        name="x",
        voltage=300,
        spherical_aberration=2.7,
        amplitude_contrast=0.1,
        pixel_size=1.0,
        image_size=box,
    )
    return Particles(
        optics=(optics,),
        optics_group=np.zeros(n, int),
        particle_id=np.array([f"{row}" for row in range(n)]),
        stack=np.array([str(path) for path, _ in places]),
        image_index=np.array([index for _, index in places]),
        micrograph=np.array(["m"] * n),
        half_set=np.zeros(n, int),
        **{name: np.zeros(n) for name in FLOAT_COLUMNS},
    )


def read(source: StackImages, row: int, box: int = BOX) -> np.ndarray:
    out = np.full((box, box), np.nan, np.float32)
    source.read_into(row, out)
    return out


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("mode", DATA_TYPES)
def test_every_kind_of_pixel_is_read(tmp_path, mode, order):
    dtype = np.dtype(DATA_TYPES[mode]).newbyteorder(order)
    data = (images(3) * 40).clip(0, 100).astype(dtype)
    with mrcfile.new(tmp_path / "s.mrcs") as mrc:
        mrc.set_data(data)
    assert mrcfile.open(tmp_path / "s.mrcs", header_only=True).header.mode == mode
    source = StackImages(particles_of((tmp_path / "s.mrcs", 2), (tmp_path / "s.mrcs", 0)))
    assert_array_equal(read(source, 0), data[2].astype(np.float32))
    assert_array_equal(read(source, 1), data[0].astype(np.float32))


def test_half_precision_keeps_all_its_values(tmp_path):
    data = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(-1, BOX, BOX)
    write_stack(tmp_path / "s.mrcs", np.nan_to_num(data, nan=0.0, posinf=1.0, neginf=1.0), 1.0)
    with open(tmp_path / "s.mrcs", "r+b") as file:
        file.seek(1024)
        file.write(data.tobytes())
    source = StackImages(particles_of(*((tmp_path / "s.mrcs", i) for i in range(len(data)))))
    for row, expected in enumerate(data):
        assert_array_equal(read(source, row), expected.astype(np.float32))


def test_a_strided_target_is_filled_too(tmp_path):
    write_stack(tmp_path / "s.mrcs", images(2), 1.0)
    padded = np.zeros((2 * BOX, 2 * BOX), np.float32)
    StackImages(particles_of((tmp_path / "s.mrcs", 1))).read_into(0, padded[:BOX, :BOX])
    assert_array_equal(padded[:BOX, :BOX], images(2)[1])
    assert not padded[BOX:].any()
    assert not padded[:, BOX:].any()


def test_pixels_that_are_not_finite_are_left_to_the_caller(tmp_path):
    data = images(1)
    data[0, 3, 4] = np.nan
    with mrcfile.new(tmp_path / "s.mrcs") as mrc:
        with pytest.warns(RuntimeWarning):  # mrcfile warns of the nan
            mrc.set_data(data)
        mrc.header.dmin, mrc.header.dmax, mrc.header.dmean, mrc.header.rms = 0, 0, 0, 0
    assert_array_equal(read(StackImages(particles_of((tmp_path / "s.mrcs", 0))), 0), data[0])


def cut(path: Path, size: int) -> None:
    os.truncate(path, path.stat().st_size - size)


@pytest.mark.parametrize(
    ("spoil", "index", "box", "says"),
    [
        (lambda path: path.unlink(), 0, BOX, "stack cannot be read: No such file or directory"),
        (lambda path: path.write_bytes(b"text"), 0, BOX, "stack cannot be read: not an MRC file"),
        (lambda path: None, 3, BOX, "no such image in the stack"),
        (lambda path: None, -1, BOX, "no such image in the stack"),
        (lambda path: None, 0, 2 * BOX, "image of 16 × 16 px where the box is 32 px"),
        (lambda path: cut(path, 1), 2, BOX, "stack truncated before the image"),
        (lambda path: cut(path, 2 * BOX * BOX * 4), 1, BOX, "stack truncated before the image"),
    ],
)
def test_an_image_that_cannot_be_had_is_an_image_error(tmp_path, spoil, index, box, says):
    path = tmp_path / "s.mrcs"
    write_stack(path, images(3), 1.0)
    spoil(path)
    particles = particles_of((path, index), box=box)
    with pytest.raises(ImageError, match=f"^{says}") as found:
        read(StackImages(particles), 0, box)
    assert check_stacks(particles).tolist() == [str(found.value)]  # known before, by the header


def test_the_whole_images_of_a_truncated_stack_are_read(tmp_path):
    write_stack(tmp_path / "s.mrcs", images(3), 1.0)
    cut(tmp_path / "s.mrcs", 1)
    source = StackImages(particles_of(*((tmp_path / "s.mrcs", i) for i in range(3))))
    assert_array_equal(read(source, 1), images(3)[1])


def test_few_files_stay_open_and_threads_do_not_mix_images(tmp_path):
    stacks = [tmp_path / f"{i}.mrcs" for i in range(12)]
    for i, path in enumerate(stacks):
        write_stack(path, images(5, seed=i).astype(np.float16 if i % 2 else np.float32), 1.0)
    places = [(path, index) for index in range(5) for path in stacks]
    gc.collect()  # or files that an earlier test left to the collector would be counted
    before = len(os.listdir("/proc/self/fd"))
    opened = _read_from_threads(StackImages(particles_of(*places), open_stacks=3), places)
    assert 0 < opened - before <= 3
    assert len(os.listdir("/proc/self/fd")) == before


def _read_from_threads(source: StackImages, places) -> int:
    """Check every image in many threads; the number of files that are open at the end."""

    def is_right(row: int) -> bool:
        path, index = places[row]
        stack = int(path.stem)
        kind = np.float16 if stack % 2 else np.float32
        return bool((read(source, row) == images(5, seed=stack)[index].astype(kind)).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(is_right, list(range(60)) * 5))
    return len(os.listdir("/proc/self/fd"))


def test_images_can_be_sent_to_another_process(tmp_path):
    write_stack(tmp_path / "s.mrcs", images(2), 1.0)
    source = StackImages(particles_of((tmp_path / "s.mrcs", 1)))
    read(source, 0)
    assert_array_equal(read(pickle.loads(pickle.dumps(source)), 0), images(2)[1])


def test_check_stacks_tells_of_each_particle(tmp_path):
    good, cut_off, gone = (tmp_path / f"{n}.mrcs" for n in "abc")
    for path in (good, cut_off):
        write_stack(path, images(3), 1.0)
    cut(cut_off, 1)
    places = [(good, 0), (cut_off, 0), (cut_off, 2), (gone, 0), (good, 3), (good, 2)]
    truncated, missing = "stack truncated before the image", "stack cannot be read: No such file"
    says = ["", "", truncated, f"{missing} or directory", "no such image in the stack", ""]
    assert check_stacks(particles_of(*places)).tolist() == says


def test_real_images_are_what_mrcfile_reads(data):
    particles = read_relion(data / "empiar10204" / "particles.star")
    assert not any(check_stacks(particles))
    source = StackImages(particles)
    for row in range(0, len(particles), 100):
        with mrcfile.open(particles.stack[row]) as mrc:
            expected = mrc.data[particles.image_index[row]].astype(np.float32)
        assert_array_equal(read(source, row, 64), expected)
