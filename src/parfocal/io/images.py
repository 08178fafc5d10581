"""Images of particles, read from their stacks one at a time by any number of threads."""

import os
import threading
from collections import OrderedDict

import numpy as np

from parfocal.errors import InputError
from parfocal.io.mrc import Header, parse_header, read_header
from parfocal.io.records import distinct
from parfocal.particles import ImageError, Particles

HALF = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)


def decode(pixels: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` (float32) with `pixels` of any type, both of one shape."""
    if pixels.dtype == np.float16:  # by table: half the time of numpy's own conversion
        np.take(HALF, pixels.view(np.uint16), out=out, mode="clip")
    else:
        np.copyto(out, pixels, casting="unsafe")


class StackImages:
    """Images of a particle set (`parfocal.particles.Images`), read from MRC stacks.

    Safe to share between threads, and to send to another process. At most `open_stacks` files
    stay open; the least recently used is closed.
    """

    def __init__(self, particles: Particles, open_stacks: int = 64) -> None:
        self._origin = particles, open_stacks
        self._paths, self._stack = distinct(particles.stack.tolist())
        self._index = particles.image_index
        sizes = np.array([optics.image_size for optics in particles.optics])
        self._box = sizes[particles.optics_group]
        self._open: OrderedDict[int, _Stack] = OrderedDict()
        self._lock = threading.Lock()
        self._thread = threading.local()

    def __reduce__(self):
        return StackImages, self._origin

    def read_into(self, row: int, out: np.ndarray) -> None:
        """Fill `out`, float32 of shape (box, box), with the image of particle `row`.

        ImageError if the stack is missing, truncated, too short for the particle's index, or of
        another box size. Pixels that are not finite are left to the caller.
        """
        stack = self._opened(int(self._stack[row]))
        stack.check(int(self._index[row]), int(self._box[row]))
        if stack.is_native and out.flags.c_contiguous and out.dtype == np.float32:
            stack.read(int(self._index[row]), out.data.cast("B"))
            return
        buffer = self._buffer(stack.header.section_bytes)
        stack.read(int(self._index[row]), buffer)
        decode(np.frombuffer(buffer, stack.header.dtype).reshape(out.shape), out)

    def _buffer(self, size: int) -> memoryview:
        """The thread's own bytes, kept from image to image."""
        held = getattr(self._thread, "buffer", b"")
        if len(held) < size:
            held = self._thread.buffer = bytearray(size)
        return memoryview(held)[:size]

    def _opened(self, number: int) -> "_Stack":
        with self._lock:
            if number in self._open:
                self._open.move_to_end(number)
                return self._open[number]
        stack = _Stack(self._paths[number])  # not under the lock: a slow disk would stop all
        with self._lock:
            self._open[number] = stack
            if len(self._open) > self._origin[1]:
                self._open.popitem(last=False)
        return stack


class _Stack:
    """An open stack. Its file is closed when the last thread that reads from it lets go of it."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._file = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise ImageError(f"{path}: {error.strerror}") from None
        try:
            self.header: Header = parse_header(os.pread(self._file, 1024, 0), path)
        except (InputError, OSError) as error:
            raise ImageError(str(error)) from None
        self.is_native = self.header.dtype == np.float32

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def check(self, index: int, box: int) -> None:
        count, *shape = self.header.shape
        if not 0 <= index < count:
            raise ImageError(f"{self.path}: no image {index + 1}, the stack holds {count}")
        if shape != [box, box]:
            found = " × ".join(map(str, reversed(shape)))
            raise ImageError(f"{self.path}: images are {found} px, the particles' box is {box} px")

    def read(self, index: int, into: memoryview) -> None:
        offset = self.header.offset + index * self.header.section_bytes
        try:
            got = os.preadv(self._file, [into], offset)
        except OSError as error:
            raise ImageError(f"{self.path}: {error.strerror}") from None
        if got < len(into):
            raise ImageError(f"{self.path}: truncated, image {index + 1} is not whole")


def check_stacks(particles: Particles) -> list[str]:
    """One line for each stack that cannot give all of its particles, with the number it cannot.

    Looks at headers and file sizes only. An empty list means that no problem was found.
    """
    paths, stack = distinct(particles.stack.tolist())
    boxes = np.array([optics.image_size for optics in particles.optics])[particles.optics_group]
    rows = np.split(np.argsort(stack, kind="stable"), np.cumsum(np.bincount(stack))[:-1])
    problems = []
    for path, mine in zip(paths, rows, strict=True):
        what, lost = _stack_problem(path, particles.image_index[mine], boxes[mine])
        if lost:
            problems.append(f"{what}: {lost} of {mine.size} particles")
    return problems


def _stack_problem(path: str, indices: np.ndarray, boxes: np.ndarray) -> tuple[str, int]:
    """What is wrong with a stack, and how many of its particles are lost by that."""
    try:
        header = read_header(path)
        size = os.path.getsize(path)
    except (InputError, OSError) as error:
        return str(error), indices.size
    other_box = (boxes != header.shape[1]) | (boxes != header.shape[2])
    if other_box.any():
        box = int(boxes[other_box][0])
        return f"{path}: {header.shape[2]} px, not the box of {box} px", int(other_box.sum())
    whole = min(header.shape[0], (size - header.offset) // header.section_bytes)
    kind = "truncated" if size < header.file_bytes else "too short"
    return f"{path}: {kind}, holds {whole} images", int((indices >= whole).sum())
