"""Images of particles, read from their stacks one at a time by any number of threads."""

import os
import threading
from collections import OrderedDict

import numpy as np

from parfocal.errors import InputError
from parfocal.io.mrc import Header, parse_header, read_header
from parfocal.io.records import distinct
from parfocal.particles import ImageError, Particles

TRUNCATED = "stack truncated before the image"
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
        if fault := _fault(stack.header, stack.size, int(self._index[row]), int(self._box[row])):
            raise ImageError(fault)
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
        try:
            self._file = os.open(path, os.O_RDONLY)
            self.header: Header = parse_header(os.pread(self._file, 1024, 0), path)
            self.size = os.fstat(self._file).st_size
        except (OSError, InputError) as error:
            raise ImageError(_unread(error)) from None
        self.is_native = self.header.dtype == np.float32

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def read(self, index: int, into: memoryview) -> None:
        offset = self.header.offset + index * self.header.section_bytes
        try:
            got = os.preadv(self._file, [into], offset)
        except OSError as error:
            raise ImageError(_unread(error)) from None
        if got < len(into):
            raise ImageError(TRUNCATED)


def _unread(error: OSError | InputError) -> str:
    what = error.what if isinstance(error, InputError) else error.strerror
    return f"stack cannot be read: {what}"


def _fault(header: Header, size: int, index: int, box: int) -> str:
    """Why image `index` of a stack of `size` bytes cannot be had; empty if it can."""
    count, rows, columns = header.shape
    if not 0 <= index < count:
        return "no such image in the stack"
    if (rows, columns) != (box, box):
        return f"image of {columns} × {rows} px where the box is {box} px"
    if header.offset + (index + 1) * header.section_bytes > size:
        return TRUNCATED
    return ""


def check_stacks(particles: Particles) -> np.ndarray:
    """(n,) why each particle's image cannot be had; empty where nothing speaks against it.

    Looks at headers and file sizes only.
    """
    paths, stack = distinct(particles.stack.tolist())
    boxes = np.array([optics.image_size for optics in particles.optics])[particles.optics_group]
    seen = [_seen(path) for path in paths]
    reason = np.full(len(particles), "", dtype=object)
    places = zip(stack.tolist(), particles.image_index.tolist(), boxes.tolist(), strict=True)
    for row, (number, index, box) in enumerate(places):
        header, size, unread = seen[number]
        reason[row] = _fault(header, size, index, box) if header else unread
    return reason


def _seen(path: str) -> tuple[Header | None, int, str]:
    """Header and size of a stack, or why it cannot be read."""
    try:
        return read_header(path), os.path.getsize(path), ""
    except (InputError, OSError) as error:
        return None, 0, _unread(error)
