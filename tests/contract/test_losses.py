"""What can be carried on is carried on: every particle has a row, and is counted, told and kept."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from parfocal.estimates import Status
from parfocal.io import read_estimates, read_particles, read_star
from parfocal.io.mrc import read_header
from parfocal.losses import TOLD, losses_of, told

from .conftest import HALVES, SCENE, parfocal, with_columns

STACKS = [f"particles/mic_{n:04d}.mrcs" for n in (1, 2, 3)]
EACH = SCENE.particles // SCENE.micrographs
FAULTY = {  # row -> status, reason; rows of one micrograph lie together, as in its stack
    2: (Status.NON_FINITE, "NaN or infinite pixels"),
    5: (Status.NON_FINITE, "NaN or infinite pixels"),
    7: (Status.NON_FINITE, "constant image"),
    9: (Status.NON_FINITE, "pose, shift or CTF is not a number"),
    11: (Status.NON_FINITE, "pose, shift or CTF is not a number"),
    12: (Status.NON_FINITE, "pixels too large to be squared"),
    14: (Status.NON_FINITE, "defocus beyond 20 µm"),
    15: (Status.NON_FINITE, "shifted out of its box"),
    **dict.fromkeys(
        range(2 * EACH - 4, 2 * EACH), (Status.NOT_READ, "stack truncated before the image")
    ),
    **dict.fromkeys(
        range(2 * EACH, 3 * EACH),
        (Status.NOT_READ, "stack cannot be read: No such file or directory"),
    ),
}


def fill(path: str, index: int, pixels) -> None:
    """Overwrite an image of a stack, or a part of it."""
    header = read_header(path)
    with open(path, "r+b") as file:
        file.seek(header.offset + index * header.section_bytes)
        file.write(np.asarray(pixels, dtype="<f4").tobytes())


def spoil() -> None:
    fill(STACKS[0], 2, np.nan)
    fill(STACKS[0], 5, [np.inf, 1, -np.inf])
    fill(STACKS[0], 7, np.full((SCENE.box, SCENE.box), 0.1))
    fill(STACKS[0], 12, [3e18])
    table = read_star("particles.star")["particles"]
    angles, origin = table.text("rlnAngleTilt"), table.text("rlnOriginYAngst")
    defocus = table.text("rlnDefocusU")
    angles[9], origin[11], defocus[14], origin[15] = "nan", "nan", "999999", "-60"
    columns = {"rlnAngleTilt": angles, "rlnOriginYAngst": origin, "rlnDefocusU": defocus}
    with_columns(Path("particles.star"), **columns)
    os.truncate(STACKS[1], os.path.getsize(STACKS[1]) - 4 * read_header(STACKS[1]).section_bytes)
    os.unlink(STACKS[2])


@pytest.fixture
def said(project):
    spoil()
    return parfocal("estimate", "particles.star", *HALVES, "--out", "run")


def counts() -> dict[str, int]:
    """Reason -> number of particles that must have it."""
    reasons = [reason for _, reason in FAULTY.values()]
    return {reason: reasons.count(reason) for reason in sorted(set(reasons))}


def test_all_that_can_go_on_goes_on(said):
    assert said.code == 0, said.err
    estimates = read_estimates("run/bayes/estimates.star")
    assert len(estimates) == SCENE.particles
    expected = np.zeros(SCENE.particles, dtype=int)
    for row, (status, _) in FAULTY.items():
        expected[row] = status
    failed = np.isin(estimates.status, (Status.NON_FINITE, Status.NOT_READ))
    assert (np.where(failed, estimates.status, 0) == expected).all()
    good = ~failed
    assert np.isfinite(estimates.defocus_error[good]).all()
    assert estimates.ok().sum() > 0.5 * good.sum()


def test_a_failed_particle_keeps_its_prior(said):
    estimates = read_estimates("run/bayes/estimates.star")
    rows = list(FAULTY)
    assert (estimates.defocus_change[rows] == 0).all()
    assert np.isnan(estimates.defocus_error[rows]).all()
    before, after = (read_particles(f) for f in ("particles.star", "run/bayes/particles.star"))
    moved = np.flatnonzero(after.defocus_u != before.defocus_u)
    assert moved.tolist() == np.flatnonzero(estimates.ok()).tolist()


def test_failures_are_counted_with_their_reasons_in_run_json(said):
    info = json.loads(Path("run/run.json").read_text())
    status = [status for status, _ in FAULTY.values()]
    assert info["methods"]["bayes"]["counts"]["non_finite"] == status.count(Status.NON_FINITE)
    assert info["methods"]["bayes"]["counts"]["not_read"] == status.count(Status.NOT_READ)
    found = {loss["reason"]: loss["particles"] for loss in info["not_used"]}
    assert found == counts()
    assert all(loss["stacks"] == 1 for loss in info["not_used"])
    assert info["not_used"][0]["first_stack"].endswith(STACKS[2])  # the most frequent first
    assert len(info["warnings"]) == len(counts())


def test_they_are_told_once_in_the_terminal_and_on_the_page(said):
    lines = [line for line in said.err.splitlines() if line.startswith("warning: ")]
    assert len(lines) == len(set(lines)) == len(counts())
    page = Path("run/report.html").read_text()
    for reason, number in counts().items():
        particles = "particle" if number == 1 else "particles"
        told_as = f"{number} {particles}: {reason} (in "
        assert sum(told_as in line for line in lines) == 1
        assert told_as in page
    assert f"{len(counts())} warnings" in page
    assert re.search(r"bayes: \d+ ok, .*8 non_finite, 28 not_read", said.out)


def test_what_headers_tell_is_told_before_the_work(said):
    before, _, after = said.err.partition(" of 72 particles, ")
    assert "24 particles: stack cannot be read" in before
    assert "4 particles: stack truncated" in before
    assert "2 particles: pose, shift or CTF" in before
    assert "1 particle: constant image" in after


def test_json_is_alone_on_stdout_although_there_are_warnings(project):
    spoil()
    said = parfocal("estimate", "particles.star", *HALVES, "--out", "run", "--json")
    assert json.loads(said.out) == json.loads(Path("run/run.json").read_text())
    assert said.err.count("warning: ") == said.err.count("\n") == len(counts())


def test_the_others_estimates_do_not_depend_on_a_broken_one(project):
    """Unreadable particles take no part in the noise model or in anything else."""
    fill(STACKS[0], 2, np.nan)
    parfocal("estimate", "particles.star", *HALVES, "--out", "broken")
    blocks = Path("particles.star").read_text().splitlines()
    (mine,) = [n for n, line in enumerate(blocks) if line.startswith(f"000003@{STACKS[0]} ")]
    Path("fewer.star").write_text("\n".join(blocks[:mine] + blocks[mine + 1 :]) + "\n")
    parfocal("estimate", "fewer.star", *HALVES, "--out", "fewer")
    with_it, without = (
        read_estimates(f"{run}/bayes/estimates.star") for run in ("broken", "fewer")
    )
    assert len(without) == len(with_it) - 1
    kept = np.delete(with_it.defocus, 2)
    np.testing.assert_allclose(kept, without.defocus, atol=1e-3)


@pytest.mark.parametrize("factor", [1e-3, 1e3, 1e6])
def test_an_image_that_was_never_normalised_does_not_spoil_the_others(project, finished, factor):
    header = read_header(STACKS[0])
    pixels = np.fromfile(STACKS[0], "<f4", SCENE.box**2, offset=header.offset)
    fill(STACKS[0], 0, pixels * factor)
    assert parfocal("estimate", "particles.star", *HALVES, "--out", "run").code == 0
    found, expected = (
        read_estimates(f"{run}/bayes/estimates.star") for run in ("run", finished[0])
    )
    others = slice(1, None)
    assert (found.status[others] == expected.status[others]).all()
    difference = (found.defocus - expected.defocus)[others] / expected.defocus_error[others]
    assert np.abs(difference).max() < 0.2


def test_rare_faults_beyond_a_few_are_told_together(simulation):
    particles = simulation.particles
    reason = np.full(len(particles), "", dtype=object)
    reason[:30] = [f"fault {n}" for n in range(30)]
    reason[30:35] = "fault 3"
    losses = losses_of(particles, reason)
    assert (losses[0].reason, losses[0].particles) == ("fault 3", 6)
    assert sum(loss.particles for loss in losses) == 35
    lines = told(losses)
    assert len(lines) == TOLD + 1
    assert lines[-1] == "10 particles: 10 other faults, all in run.json"
    assert losses_of(particles, np.full(len(particles), "")) == ()


def test_overfocus_is_told_because_signs_differ_between_programs(project):
    table = read_star("particles.star")["particles"]
    minus = {name: [f"-{d}" for d in table.text(name)] for name in ("rlnDefocusU", "rlnDefocusV")}
    with_columns(Path("particles.star"), **minus)
    said = parfocal("estimate", "particles.star", *HALVES, "--out", "run")
    assert said.code == 0
    assert "warning: defocus is negative in 72 particles: underfocus is positive here" in said.err
