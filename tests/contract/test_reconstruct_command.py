"""`parfocal reconstruct` on files: what is written, what is joined and split, what is refused."""

import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.fft

from parfocal.fsc import shell_correlation
from parfocal.inputs import read_fsc
from parfocal.io import read_map, read_particles, read_star, write_map
from parfocal.io.half_sets import write_half_sets
from parfocal.reconstruct import reconstruct as reconstruct_maps
from parfocal.reconstruct_run import ReconstructSettings, needed_memory

from . import test_cli
from .conftest import SCENE, Outcome, parfocal, with_columns
from .test_bad_input import assert_one_plain_line
from .test_sets import text_of

PARTICLES, MAPS = Path("particles.star"), ("half1.mrc", "half2.mrc", "map.mrc")
WRITTEN = {*MAPS, "fsc.star", "run.json"}
N = SCENE.particles


def run(*words, out="maps"):
    return parfocal("reconstruct", PARTICLES, *words, "--out", out)


def fine(*words, out="maps") -> Outcome:
    said = run(*words, out=out)
    assert said.code == 0, said.err
    return said


def info(folder="maps") -> dict:
    return json.loads(Path(folder, "run.json").read_text())


def maps(folder="maps") -> list[np.ndarray]:
    return [read_map(Path(folder, name))[0] for name in MAPS]


def moved(path, by, *, rows=None, source=PARTICLES):
    """A copy of the particle file, its defoci moved by Å, with some of its rows in that order."""
    columns = text_of(source)
    rows = range(N) if rows is None else rows
    for name in ("rlnDefocusU", "rlnDefocusV"):
        columns[name] = [f"{float(value) + by:.6f}" for value in columns[name]]
    Path(path).write_bytes(source.read_bytes())
    picked = {name: [values[row] for row in rows] for name, values in columns.items()}
    with_columns(Path(path), "particles", **picked)


def test_maps_are_those_of_the_library_and_close_to_the_truth(project, simulation):
    said = fine("--mask", "mask.mrc")
    assert {path.name for path in Path("maps").iterdir()} == WRITTEN
    found = reconstruct_maps(simulation.particles, simulation.images)
    half1, half2, full = maps()
    # simulated images differ from those on disk by rounding to float16
    np.testing.assert_allclose(half1, found.half_map(1), atol=2e-3 * np.abs(half1).max())
    np.testing.assert_allclose(half2, found.half_map(2), atol=2e-3 * np.abs(half2).max())
    curve = shell_correlation(*(scipy.fft.rfftn(x) for x in (full, simulation.map)))
    alone = shell_correlation(*(scipy.fft.rfftn(x) for x in (half1, simulation.map)))
    assert curve[2:12].min() > 0.8
    assert curve[2:16].mean() > alone[2:16].mean()
    assert read_map("maps/map.mrc")[1] == pytest.approx(SCENE.pixel_size)
    half = np.bincount(simulation.particles.half_set)
    assert f"{half[1]} and {half[2]} particles in the half-maps" in said.out
    assert info()["half_sets"] == {"1": half[1], "2": half[2]}


def test_the_fsc_is_of_the_halves_and_estimate_reads_it(project):
    fine("--mask", "mask.mrc")
    half1, half2, _ = maps()
    unmasked = read_star("maps/fsc.star")["fsc"].numbers("rlnFourierShellCorrelationUnmaskedMaps")
    np.testing.assert_allclose(
        unmasked, shell_correlation(*map(scipy.fft.rfftn, (half1, half2))), atol=1e-4
    )
    assert len(read_fsc("maps/fsc.star", SCENE.box)) == SCENE.box // 2 + 1
    words = ("--half-maps", "maps/half1.mrc", "maps/half2.mrc", "--mask", "mask.mrc")
    said = parfocal("estimate", PARTICLES, *words, "--fsc", "maps/fsc.star", "--out", "run")
    assert said.code == 0, said.err


def test_json_is_run_json_and_nothing_else(project):
    said = fine("--json")
    assert said.err == ""
    assert json.loads(said.out) == info()


def test_every_set_has_maps_of_its_own_and_the_inputs_stay_the_same(project):
    """Joined by key: rows in another order, and by the defocus that the set tells."""
    moved("far.star", 700.0, rows=np.random.default_rng(0).permutation(N))
    moved("same.star", 0.0)
    fine("far=far.star", "same=same.star", "-j", "2")
    alone = fine(out="alone")
    assert {path.name for path in Path("maps").iterdir()} == WRITTEN | {"far", "same"}
    for folder in ("far", "same"):
        assert {path.name for path in Path("maps", folder).iterdir()} == WRITTEN - {"run.json"}
    for one, other, same in zip(maps(), maps("alone"), maps("maps/same"), strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, same)
    PARTICLES.rename("base.star")
    moved(PARTICLES, 700.0, source=Path("base.star"))
    fine(out="directly")
    for one, other in zip(maps("maps/far"), maps("directly"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(one).max())
    assert not np.allclose(maps("maps/far")[2], maps()[2], atol=0.02 * np.abs(maps()[2]).max())
    assert any("72 of 72 particles joined" in line for line in info()["joined"])
    assert "input" in alone.out


def test_particles_that_a_set_lacks_are_refused_by_name_or_left_out_of_all(project):
    moved("few.star", 0.0, rows=range(2, N))
    first = read_particles(PARTICLES).particle_id[0]
    assert_one_plain_line(run("few=few.star"), "few (few.star)", f"2 of 72 .* such as {first}")
    assert not Path("maps").exists()
    said = fine("few=few.star", "--common")
    assert "2 of 72 particles are left out of all sets" in said.out
    assert sum(info()["half_sets"].values()) == N - 2
    for one, other in zip(maps(), maps("maps/few"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_half_sets_are_drawn_where_there_are_none_and_written(project):
    with_columns(PARTICLES, rlnRandomSubset=None)
    assert_one_plain_line(run(), "particles.star", "72 of 72 particles have no half-set")
    said = fine("--split", "4")
    assert "were drawn at random, balanced in every micrograph (seed 4)" in said.out
    written = read_particles("maps/particles.star")
    assert info()["half_sets"] == {"1": N // 2, "2": N // 2}
    for name in np.unique(written.micrograph):
        counts = np.bincount(written.half_set[written.micrograph == name], minlength=3)
        assert abs(counts[1] - counts[2]) <= 1
    PARTICLES.unlink()
    Path("maps/particles.star").rename(PARTICLES)
    fine(out="again")
    for one, other in zip(maps(), maps("again"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert_one_plain_line(run("--split", "4", out="x"), "particles.star", "have half-sets")


def test_a_cryosparc_file_gets_its_half_sets(tmp_path):
    """As a field, whether it is there already or not; nothing else differs."""
    fields = [("uid", "<u8"), ("blob/path", "S9"), ("blob/idx", "<u4"), ("blob/shape", "<u4", (2,))]
    fields += [(f"blob/{name}", "<f4") for name in ("psize_A",)]
    fields += [
        (f"ctf/{name}", "<f4")
        for name in ("df1_A", "df2_A", "df_angle_rad", "accel_kv", "cs_mm", "amp_contrast")
    ]
    records = np.zeros(5, dtype=fields)
    records["uid"], records["blob/path"] = np.arange(5) + 7, b"stack.mrc"
    records["blob/shape"], records["blob/psize_A"], records["ctf/accel_kv"] = 48, 1.0, 300
    records["ctf/df1_A"] = records["ctf/df2_A"] = 9000.0
    for source, half in (("one.cs", [1, 2, 2, 1, 1]), ("two.cs", [2, 2, 1, 1, 2])):
        path, out = tmp_path / source, tmp_path / "two.cs"
        if source == "one.cs":
            with path.open("wb") as file:
                np.save(file, records)
        particles = replace(read_particles(path), half_set=np.array(half))
        write_half_sets(particles, tmp_path / "next.cs")
        (tmp_path / "next.cs").rename(out)
        assert read_particles(out).half_set.tolist() == half
        written = np.load(out)
        for name in records.dtype.names or ():
            np.testing.assert_array_equal(written[name], records[name])


def test_images_in_both_half_sets_are_warned_of(project):
    fine(out="apart")
    assert info("apart")["warnings"] == []
    columns = text_of(PARTICLES)
    doubled = {name: values + values[:3] for name, values in columns.items()}
    doubled["rlnRandomSubset"][-3:] = [str(3 - int(h)) for h in columns["rlnRandomSubset"][:3]]
    with_columns(PARTICLES, "particles", **doubled)
    said = fine()
    assert "3 images are in both half-sets" in said.out


def test_a_lower_resolution_takes_a_smaller_grid_and_says_no_more(project):
    fine("--max-resolution", "9", "--padding", "1.5")
    curve = read_star("maps/fsc.star")["fsc"]
    beyond = curve.numbers("rlnResolution") > 1 / 9
    assert not curve.numbers("rlnFourierShellCorrelationCorrected")[beyond].any()
    assert curve.numbers("rlnFourierShellCorrelationCorrected")[~beyond].min() > 0.5
    optics = SCENE.optics()
    assert info()["resolution"]["input"]["0.143"] >= 9.0
    assert "where the maps end" in info()["warnings"][0]
    small = needed_memory(optics, 1, ReconstructSettings(resolution=9.0, padding=1.5))
    assert small < needed_memory(optics, 1, ReconstructSettings())


def test_the_ewald_sphere_changes_the_maps_one_way_or_the_other(project):
    for words, out in (((), "flat"), (("--reverse-curvature",), "reverse")):
        fine(*(("--ewald", "2000") if out != "flat" else ()), *words, out=out)
    fine("--ewald", "2000", out="bent")
    flat, bent, reverse = maps("flat")[2], maps("bent")[2], maps("reverse")[2]
    assert np.abs(bent - flat).max() > 1e-3 * np.abs(flat).max()
    assert np.abs(bent - reverse).max() > 1e-3 * np.abs(flat).max()
    assert info("bent")["settings"]["ewald"] == {"diameter": 2000.0, "sign": -1}
    assert info("reverse")["settings"]["ewald"]["sign"] == 1


def smaller_mask():
    write_map("mask.mrc", read_map("mask.mrc")[0][4:-4, 4:-4, 4:-4], SCENE.pixel_size)


def other_mask(change, pixel_size=SCENE.pixel_size):
    return lambda: write_map("mask.mrc", change(read_map("mask.mrc")[0]), pixel_size)


def of_set(**columns):
    def write():
        moved("other.star", 0.0)
        with_columns(Path("other.star"), **columns)

    return write


SET = ("other=other.star",)
MASK = ("--mask", "mask.mrc")
BAD = {
    "mask of another box": (smaller_mask, MASK, "mask.mrc", "box 40 .* box 48"),
    "mask of another pixel": (other_mask(lambda m: m, 2.4), MASK, "mask.mrc", "at 2.4 Å"),
    "mask of 0": (other_mask(np.zeros_like), MASK, "mask.mrc", "zero everywhere"),
    "mask to 255": (other_mask(lambda m: 255 * m), MASK, "mask.mrc", "expected .0, 1."),
    "other particles": (
        of_set(rlnImageName=[f"{i + 1}@elsewhere.mrcs" for i in range(N)], rlnCoordinateX=None),
        SET,
        "other.star",
        "no particle of other is one of input's",
    ),
    "other half-sets": (
        of_set(rlnRandomSubset=["1"] * N),
        SET,
        "other (other.star)",
        "36 of 72 particles are in the other half-set",
    ),
    "no particle in half 2": (
        lambda: with_columns(PARTICLES, rlnRandomSubset=["1"] * N),
        (),
        "particles.star",
        "all 72 particles are in half-set 1",
    ),
    "no poses": (
        lambda: with_columns(PARTICLES, rlnAngleRot=None, rlnAngleTilt=None),
        (),
        "particles.star",
        "no particle has a pose",
    ),
    "poses of a 2D class": (
        lambda: with_columns(PARTICLES, rlnAngleRot="0", rlnAngleTilt="0"),
        (),
        "particles.star",
        "rot and tilt are 0 in all",
    ),
    "stacks missing": (
        lambda: Path("particles").rename("elsewhere"),
        (),
        "particles.star",
        "none of 72 particles can be used: .*No such file",
    ),
    "no such group": (lambda: None, ("--sym", "I9"), "", "symmetry 'I9' is not known"),
    "padding": (lambda: None, ("--padding", "0.5"), "", "a padding of 0.5"),
    "resolution": (lambda: None, ("--max-resolution", "-3"), "", "max-resolution of -3 Å"),
    "coarser than the box": (lambda: None, ("--max-resolution", "900"), "", "next to nothing"),
    "jobs": (lambda: None, ("-j", "0"), "", "0 jobs"),
    "Ewald": (lambda: None, ("--ewald", "0"), "", "a particle of 0 Å"),
    "curvature": (lambda: None, ("--reverse-curvature",), "", "--reverse-curvature alone"),
    "a set's name": (lambda: moved("b.star", 0), ("../b=b.star",), "", "cannot be called '../b'"),
    "a later name": (
        lambda: moved("b.star", 0),
        ("particles.star=b.star",),
        "",
        "cannot be called",
    ),
    "a taken name": (lambda: moved("b.star", 0), ("run.json=b.star",), "", "cannot be called"),
    "set missing": (lambda: None, ("a=nope.star",), "nope.star", "No such file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_in_one_line_and_nothing_is_written(project, case):
    spoil, words, where, says = BAD[case]
    spoil()
    assert_one_plain_line(run(*words), where, says)
    assert not Path("maps").exists()


def test_an_out_folder_with_something_in_it_is_left_alone(project):
    Path("maps").mkdir()
    Path("maps/precious").write_text("data")
    assert_one_plain_line(run(), "maps", "not empty")
    assert [p.name for p in Path("maps").iterdir()] == ["precious"]


def test_a_run_that_cannot_fit_is_refused_before_it_begins(project, monkeypatch):
    monkeypatch.setattr("parfocal.reconstruct_run.available_memory", lambda: 10**8)
    assert_one_plain_line(run(), "", r"maps of box 48 for 1 set take .* GB of memory, 0\.1 GB are")
    assert not Path("maps").exists()


def test_needed_memory_is_that_of_the_sums():
    """Two accumulators a set: of box 256 at padding 2 0.8 GB each."""
    optics = replace(SCENE.optics(), image_size=256, pixel_size=1.0)
    one, two = (needed_memory(optics, sets, ReconstructSettings()) for sets in (1, 2))
    assert two - one == pytest.approx(1.65e9, rel=0.02)


def test_particles_without_an_image_are_told_and_the_rest_is_used(project):
    Path("particles/mic_0002.mrcs").unlink()
    said = fine()
    assert "particles: stack cannot be read: No such file" in said.out
    lost = info()["not_used"][0]["particles"]
    assert sum(info()["half_sets"].values()) == N - lost
    assert 0 < lost < N


DIES = """
import os, signal
import mrcfile.mrcfile
def half(self, data):
    self._iostream.write(data.tobytes()[:10_000])
    self._iostream.flush()
    os.kill(os.getpid(), signal.SIGKILL)
whole, done = mrcfile.mrcfile.MrcFile.set_data, []
def second(self, data):
    done.append(1)
    whole(self, data) if len(done) < 2 else half(self, data)
mrcfile.mrcfile.MrcFile.set_data = second
"""


def in_a_process(code="", more=(), **options):
    words = ["parfocal", "reconstruct", "particles.star", "--out", "maps", "--json", *more]
    command = f"import sys\n{code}\nfrom parfocal.cli.app import main\nsys.argv = {words}\nmain()"
    return subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=False, **options
    )


INTERRUPTED = """
import os, signal, threading, time
from parfocal.io.images import StackImages
real, seen = StackImages.read_into, []
def slow(self, row, out):
    seen.append(row)
    if len(seen) == 6:
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)
    real(self, row, out)
    print(row, flush=True)
StackImages.read_into = slow
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupt_ends_the_pass_at_once(project, jobs):
    """On one thread and on two: of 72 slow images few more are read once Ctrl-C has come."""
    ended = in_a_process(INTERRUPTED, ("-j", jobs))
    assert ended.returncode == 130, ended.stderr
    assert len(ended.stdout.splitlines()) < 12
    assert "interrupted" in ended.stderr
    assert not Path("maps").exists()


def whole_maps():
    """Names of the maps in the folder, each of which must be whole."""
    found = {path.name for path in Path("maps").iterdir() if not path.name.startswith(".")}
    for name in found & set(MAPS):
        assert read_map(Path("maps", name))[0].shape == (SCENE.box,) * 3
    return found


def test_a_kill_amid_a_map_leaves_no_part_of_it(project):
    """SIGKILL once 10 kB of the second map are on disk: the first is whole, the second not there."""
    ended = in_a_process(DIES)
    assert ended.returncode == -9, ended.stderr
    assert whole_maps() == {"half1.mrc"}
    parts = [path.stat().st_size for path in Path("maps").glob(".half2.mrc.*")]
    assert parts
    assert parts[0] < SCENE.box**3 * 4


def test_a_full_disk_is_told_and_leaves_no_part_of_a_map(project):
    """Files may not grow beyond 300 kB, a map has 440."""
    ended = in_a_process(
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    )
    said = Outcome(ended.returncode, ended.stdout, ended.stderr)
    assert_one_plain_line(said, "maps/half1.mrc", "File too large")
    assert not list(Path("maps").iterdir())


def test_a_disk_that_is_full_in_the_end_leaves_no_run_json(project, monkeypatch):
    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("parfocal.reconstruct_run.write_fsc_star", refuse)
    assert_one_plain_line(run("--json"), "", "No space left")
    assert whole_maps() == set(MAPS)


def test_the_help_teaches_by_examples_and_explains_every_option():
    test_cli.test_help_teaches_by_examples_whose_options_exist("reconstruct")
    test_cli.test_every_option_is_explained("reconstruct")
