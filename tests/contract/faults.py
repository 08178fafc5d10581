"""Faults of a user's input: how each is made in a good project's folder, and what must be said of it."""

import bz2
import gzip
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from parfocal.io import read_map, write_map

from .conftest import HALVES, SCENE, with_columns, with_two_groups

PARTICLES, HALF, MASK, FSC = Path("particles.star"), Path("half1.mrc"), Path("mask.mrc"), "fsc.star"
WITH_FSC = (*HALVES, "--fsc", FSC)
MAP = ("--map", "map.mrc")
PIXEL = SCENE.pixel_size


class Case(NamedTuple):
    """A fault: what is spoilt in the project's folder, and what must be said of it."""

    name: str
    where: str  # the file, or other thing, that the message names
    says: str  # regular expression
    spoil: Callable[[], object] = lambda: None
    arguments: tuple[str, ...] = HALVES
    particles: str = "particles.star"


def of_particles(**columns):
    return lambda: with_columns(PARTICLES, **columns)


def of_optics(**columns):
    return lambda: with_columns(PARTICLES, "optics", **columns)


def of_map(path, change, *, pixel_size=PIXEL):
    """Rewrite a map as `change` of what it was."""

    def rewrite():
        with warnings.catch_warnings(action="ignore"):  # mrcfile's, of nan
            write_map(path, change(read_map(path)[0]), pixel_size)

    return rewrite


def in_bytes(path, change):
    """Rewrite a file as `change` of its bytes."""
    path = Path(path)
    return lambda: path.write_bytes(change(path.read_bytes()))


def both(*spoils):
    return lambda: [spoil() for spoil in spoils]


def smaller(density):
    return density[4:-4, 4:-4, 4:-4]


def with_nan(density):
    return np.where(density == density.max(), np.nan, density)


def fsc_file(values, column="rlnFourierShellCorrelationCorrected"):
    text = "data_fsc\n\nloop_\n_rlnSpectralIndex\n_" + column + "\n"
    rows = "".join(f"{shell} {value}\n" for shell, value in enumerate(values))
    return lambda: Path(FSC).write_text(text + rows)


def images(change):
    """Rewrite all stacks as `change` of their bytes."""
    return both(*(in_bytes(f"particles/mic_{n:04d}.mrcs", change) for n in (1, 2, 3)))


def cs_file(**fields):
    """A .cs of two particles with what is asked for."""
    records = np.zeros(2, [(name.replace("__", "/"), *kind) for name, (kind, _) in fields.items()])
    for name, (_, value) in fields.items():
        records[name.replace("__", "/")] = value

    def write():
        with open("particles.cs", "wb") as file:
            np.save(file, records)

    return write


CS = {
    "uid": (("<u8",), [7, 9]),
    "blob__path": (("S40",), b"particles/mic_0001.mrcs"),
    "blob__idx": (("<u4",), [0, 1]),
    "blob__shape": (("<u4", (2,)), SCENE.box),
    "blob__psize_A": (("<f4",), PIXEL),
    "ctf__accel_kv": (("<f4",), 300),
    "ctf__cs_mm": (("<f4",), 2.7),
    "ctf__amp_contrast": (("<f4",), 0.1),
    "ctf__df1_A": (("<f4",), 1e4),
    "ctf__df2_A": (("<f4",), 1e4),
}
POSE = {
    "alignments3D__pose": (("<f4", (3,)), [1, 0, 0]),
    "alignments3D__shift": (("<f4", (2,)), 0),
    "alignments3D__psize_A": (("<f4",), PIXEL),
}

PARTICLE_FILES = (
    Case("missing", "nope.star", "No such file", particles="nope.star"),
    Case("a folder", "particles:", "Is a directory", particles="particles"),
    Case(
        "gzipped",
        "p.star.gz",
        "compressed",
        lambda: Path("p.star.gz").write_bytes(gzip.compress(PARTICLES.read_bytes())),
        particles="p.star.gz",
    ),
    Case("of unknown format", "map.mrc", "not a particle file", particles="map.mrc"),
    Case(
        "not a STAR file",
        "particles.star",
        "not a readable STAR",
        in_bytes(PARTICLES, lambda b: b[40:]),
    ),
    Case(
        "cut off in a row",
        "particles.star",
        "not a readable STAR",
        in_bytes(PARTICLES, lambda b: b[:-20]),
    ),
    Case("empty", "particles.star", "no particles", in_bytes(PARTICLES, lambda b: b"")),
    Case(
        "without particles",
        "particles.star",
        "no particles",
        in_bytes(PARTICLES, lambda b: b[: b.index(b"000001@")]),
    ),
    Case(
        "without defocus",
        "particles.star: data_particles",
        "no column _rlnDefocusU",
        of_particles(rlnDefocusU=None),
    ),
    Case(
        "without images",
        "particles.star",
        "no column _rlnImageName|no particles",
        of_particles(rlnImageName=None),
    ),
    Case(
        "without voltage",
        "particles.star: data_optics",
        "no column _rlnVoltage",
        of_optics(rlnVoltage=None),
    ),
    Case(
        "defocus no number",
        "particles.star: data_particles, _rlnDefocusU, row 1",
        "'high' is not a number",
        of_particles(rlnDefocusU="high"),
    ),
    Case(
        "defocus nan",
        "particles.star: data_particles, _rlnDefocusV, row 1",
        "nan is not a value",
        of_particles(rlnDefocusV="nan"),
    ),
    Case(
        "image name",
        "particles.star: data_particles, _rlnImageName, row 1",
        "'0@a' is not of the form",
        of_particles(rlnImageName="0@a"),
    ),
    Case(
        "unknown optics group",
        "particles.star: data_particles, _rlnOpticsGroup, row 1",
        "optics group 5 is not in",
        of_particles(rlnOpticsGroup="5"),
    ),
    Case("odd box", "particles.star: data_optics", "image_size", of_optics(rlnImageSize="47")),
    Case("3D", "particles.star: data_optics", "not 2D", of_optics(rlnImageDimensionality="3")),
    Case(
        "premultiplied",
        "particles.star: data_optics",
        "multiplied by the CTF",
        of_optics(rlnCtfDataAreCtfPremultiplied="1"),
    ),
    Case(
        "phase-flipped",
        "particles.star: data_optics",
        "phases are already flipped",
        of_optics(rlnCtfDataArePhaseFlipped="1"),
    ),
    Case(
        "without poses",
        "particles.star",
        "no particle has a pose",
        of_particles(rlnAngleRot=None, rlnAngleTilt=None, rlnAnglePsi=None),
    ),
    Case(
        "of 2D classes",
        "particles.star",
        "rot and tilt are 0",
        of_particles(rlnAngleRot="0", rlnAngleTilt="0"),
    ),
    Case(
        "without half-sets",
        "particles.star",
        "72 of 72 particles have no half-set",
        of_particles(rlnRandomSubset=None),
    ),
    Case(
        "some without half-set",
        "particles.star",
        "1 of 72 particles have no half-set",
        of_particles(rlnRandomSubset=["0"] + ["1"] * 71),
    ),
    Case(
        "strange half-set",
        "particles.star: data_particles, _rlnRandomSubset, row 1",
        "3 is not a half-set",
        of_particles(rlnRandomSubset="3"),
    ),
    Case(
        "all stacks missing",
        "particles.star",
        "none of 72 particles can be used: 72 particles: stack cannot be read: No such file",
        lambda: shutil.rmtree("particles"),
    ),
    Case(
        "all stacks truncated",
        "particles.star",
        "72 particles: stack truncated",
        images(lambda b: b[:2000]),
    ),
    Case(
        "stacks too short",
        "particles.star",
        "72 particles: no such image",
        of_particles(rlnImageName="99@particles/mic_0001.mrcs"),
    ),
    Case(
        "stacks of another box",
        "particles.star",
        "72 particles: image of 48 × 48 px where the box is 50",
        both(of_optics(rlnImageSize="50"), of_map("map.mrc", lambda m: np.pad(m, 1))),
        MAP,
    ),
    Case(
        "all shifted out of the box",
        "particles.star",
        "none of 72 particles can be used: 72 particles: shifted out of its box",
        of_particles(rlnOriginXAngst="500"),
    ),
    Case(
        "without CTF",
        "particles.star",
        "defocus is 0 in all particles",
        of_particles(rlnDefocusU="0", rlnDefocusV="0.0"),
    ),
    Case(
        "magnification nan",
        "particles.star: data_optics",
        "magnification = .nan, .* is not possible",
        of_optics(rlnMagMat00="nan"),
    ),
    Case(
        "constant images only",
        "particles.star",
        "none of 72 particles can be used: 72 particles: constant",
        images(lambda b: b[:1024] + bytes(len(b) - 1024)),
        (*HALVES, "--json"),
    ),
    Case(
        "nan images only",
        "particles.star",
        "none of 72 particles can be used: 72 particles: NaN",
        images(lambda b: b[:1024] + b"\xff" * (len(b) - 1024)),
        (*HALVES, "--json"),
    ),
    Case(
        "cs of unknown version",
        "particles.cs",
        "CSDAT",
        lambda: Path("particles.cs").write_bytes(b"\x94CSDAT" + bytes(99)),
        particles="particles.cs",
    ),
    Case(
        "cs without pose",
        "particles.cs",
        "no particle has a pose",
        cs_file(**CS),
        MAP,
        "particles.cs",
    ),
    Case(
        "cs without ctf",
        "particles.cs",
        "no field ctf/df1_A and ctf/df2_A",
        cs_file(uid=CS["uid"], **POSE),
        MAP,
        "particles.cs",
    ),
    Case(
        "cs without half-sets",
        "particles.cs",
        "2 of 2 particles have no half-set",
        cs_file(**CS, **POSE),
        particles="particles.cs",
    ),
    Case(
        "cs with beam tilt",
        "particles.cs",
        "ctf/tilt_A not zero",
        cs_file(**CS, **POSE, ctf__tilt_A=(("<f4", (2,)), 0.1)),
        MAP,
        "particles.cs",
    ),
    Case(
        "cs, ignoring nonsense",
        "particles.cs",
        "ctf/tilt cannot be ignored",
        cs_file(**CS, **POSE),
        (*MAP, "--ignore", "ctf/tilt"),
        "particles.cs",
    ),
    Case(
        "cs with a strange passthrough",
        "map.mrc",
        "not a cryoSPARC file",
        cs_file(**CS),
        (*MAP, "--passthrough", "map.mrc"),
        "particles.cs",
    ),
    Case(
        "csg",
        "p.csg",
        "list of cryoSPARC files",
        lambda: Path("p.csg").write_text("metafile: '>a.cs'"),
        particles="p.csg",
    ),
    Case(
        "star with passthrough",
        "particles.star",
        "passthrough",
        arguments=(*HALVES, "--passthrough", "map.mrc"),
    ),
)

MAP_FILES = (
    Case("half-map missing", "half1.mrc", "No such file", HALF.unlink),
    Case(
        "half-map a folder",
        "particles:",
        "Is a directory",
        arguments=("--half-maps", "particles", "half2.mrc"),
    ),
    Case("half-map gzipped", "half1.mrc", "compressed", in_bytes(HALF, gzip.compress)),
    Case("half-map bzipped", "half1.mrc", "compressed", in_bytes(HALF, bz2.compress)),
    Case(
        "half-map no MRC",
        "particles.star",
        "not an MRC file",
        arguments=("--half-maps", "half1.mrc", "particles.star"),
    ),
    Case("half-map truncated", "half1.mrc", "truncated", in_bytes(HALF, lambda b: b[:-100])),
    Case(
        "half-maps of two boxes",
        "half1.mrc",
        "box 40 at 2.2 Å/px, but the particles have box 48",
        of_map(HALF, smaller),
    ),
    Case(
        "half-maps of two pixel sizes",
        "half1.mrc",
        "box 48 at 2.3 Å/px, but the particles have",
        of_map(HALF, lambda m: m, pixel_size=2.3),
    ),
    Case(
        "half-maps of two optics groups",
        "half2.mrc",
        "box 48 at 2.3 Å/px, but half1.mrc has box 48 at 2.2",
        both(
            lambda: with_two_groups(PARTICLES, rlnImagePixelSize="2.3"),
            of_map("half2.mrc", lambda m: m, pixel_size=2.3),
        ),
    ),
    Case(
        "half-maps of another box",
        "half1.mrc",
        "box 40 at",
        both(of_map(HALF, smaller), of_map("half2.mrc", smaller), of_map(MASK, smaller)),
    ),
    Case("half-map with nan", "half1.mrc", "NaN", of_map(HALF, with_nan)),
    Case("half-map constant", "half2.mrc", "is constant", of_map("half2.mrc", np.ones_like)),
    Case(
        "half-map no cube",
        "half1.mrc",
        "48 × 48 × 40 voxels are not a cube",
        of_map(HALF, lambda m: m[4:-4]),
    ),
    Case(
        "half-maps without signal",
        "half1.mrc, half2.mrc",
        "FSC .* nowhere above zero",
        both(
            of_map(HALF, np.negative),
            lambda: shutil.copy("map.mrc", "half2.mrc"),
            lambda: shutil.copy("map.mrc", HALF),
            of_map(HALF, np.negative),
        ),
        ("--half-maps", "half1.mrc", "half2.mrc"),
    ),
    Case("mask of another box", "mask.mrc", "box 40", of_map(MASK, smaller)),
    Case(
        "mask of another pixel size",
        "mask.mrc",
        "at 2.3 Å/px",
        of_map(MASK, lambda m: m, pixel_size=2.3),
    ),
    Case("mask zero", "mask.mrc", "zero everywhere", of_map(MASK, np.zeros_like)),
    Case("mask with nan", "mask.mrc", "not finite", of_map(MASK, with_nan)),
    Case(
        "mask not in [0, 1]",
        "mask.mrc",
        r"values lie in \[0, 255\]",
        of_map(MASK, lambda m: 255 * m),
    ),
    Case("map missing", "nope.mrc", "No such file", arguments=("--map", "nope.mrc")),
    Case("map with nan", "map.mrc", "NaN", of_map("map.mrc", with_nan), MAP),
    Case("map constant", "map.mrc", "constant", of_map("map.mrc", np.zeros_like), MAP),
    Case("map no cube", "map.mrc", "not a cube", of_map("map.mrc", lambda m: m[:, 4:-4]), MAP),
    Case("map of another box", "map.mrc", "box 40", of_map("map.mrc", smaller), MAP),
    Case("FSC missing", "fsc.star", "No such file", arguments=WITH_FSC),
    Case("FSC a folder", "particles:", "Is a directory", arguments=(*HALVES, "--fsc", "particles")),
    Case("FSC no STAR", "map.mrc", "not a readable STAR", arguments=(*HALVES, "--fsc", "map.mrc")),
    Case(
        "FSC without column",
        "fsc.star",
        "no column _rlnFourierShellCorrelationCorrected",
        fsc_file(np.ones(25), "rlnOther"),
        WITH_FSC,
    ),
    Case("FSC too short", "fsc.star", "FSC of 20 shells.* 25", fsc_file(np.ones(20)), WITH_FSC),
    Case("FSC too long", "fsc.star", "FSC of 33 shells.* 25", fsc_file(np.ones(33)), WITH_FSC),
    Case(
        "FSC with nan",
        "fsc.star: data_fsc, _rlnFourierShellCorrelationCorrected, row 4",
        "nan",
        fsc_file([1, 1, 1, "nan"] + [0] * 21),
        WITH_FSC,
    ),
    Case("FSC zero", "fsc.star", "nowhere above zero", fsc_file(np.zeros(25)), WITH_FSC),
)

ARGUMENTS = (
    Case("no reference", "", "no reference", arguments=()),
    Case("two references", "", "two are too many", arguments=(*HALVES, *MAP)),
    Case("mask alone", "", "no reference", arguments=("--mask", "mask.mrc")),
    Case(
        "FSC with a map",
        "",
        "FSC belongs to half-maps",
        fsc_file(np.ones(25)),
        (*MAP, "--fsc", FSC),
    ),
    Case(
        "resolution with half-maps",
        "",
        "belongs to --map",
        arguments=(*HALVES, "--resolution", "4"),
    ),
    Case("resolution", "", "resolution of -4", arguments=(*MAP, "--resolution", "-4")),
    Case("method", "", "unknown method nope", arguments=(*HALVES, "--method", "profile,nope")),
    Case("no method", "", "unknown method", arguments=(*HALVES, "--method", ",")),
    Case("range", "", "search range of 10 Å", arguments=(*HALVES, "--range", "10")),
    Case("range nan", "", "search range of nan", arguments=(*HALVES, "--range", "nan")),
    Case("padding", "", "padding of 0.5", arguments=(*HALVES, "--padding", "0.5")),
    Case("padding large", "", "padding of 9", arguments=(*HALVES, "--padding", "9")),
    Case("jobs", "", "0 jobs", arguments=(*HALVES, "--jobs", "0")),
)

FAULTS = {
    f"{kind}: {case.name}": case
    for kind, cases in (
        ("particles", PARTICLE_FILES),
        ("maps", MAP_FILES),
        ("arguments", ARGUMENTS),
    )
    for case in cases
}
