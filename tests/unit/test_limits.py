"""What a defocus error costs: cases worked by hand, the average by Monte Carlo, and the inverses."""

import json
import math
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from parfocal.cli.app import app
from parfocal.conventions import DEGREE
from parfocal.errors import InputError
from parfocal.io import read_star
from parfocal.limits import (
    PAPER_NOTE,
    LimitSettings,
    finest_resolution,
    largest_spread,
    limit_tables,
    limiting_error,
    limiting_resolution,
    paper_wavelength,
    phase_offset,
    signal_kept,
)
from parfocal.optics import wavelength
from parfocal.report.limits_figures import offset_figure, reach_figure, signal_figure
from parfocal.report.limits_page import limits_page
from parfocal.report.page import render_page

VOLTAGE = st.floats(100, 1000)
LENGTH = st.floats(0.5, 500)
PHASE = st.floats(0.01, 2 * math.pi)


@pytest.mark.parametrize(
    ("error", "voltage", "resolution"),
    # √(2 λ d): λ = 0.0196876 Å at 300 kV, 0.0250795 Å at 200 kV
    [(50, 300, 1.403), (100, 300, 1.984), (200, 300, 2.806), (50, 200, 1.584), (200, 200, 3.167)],
)
def test_the_equation_by_hand(error, voltage, resolution):
    assert limiting_resolution(error, voltage) == pytest.approx(resolution, abs=5e-4)
    assert phase_offset(error, resolution, voltage) == pytest.approx(math.pi / 2, rel=1e-3)


def test_the_papers_caption_is_not_its_equation():
    assert limiting_resolution(200, 300) == pytest.approx(2.81, abs=0.005)
    assert limiting_resolution(200, 300) != pytest.approx(3.3, abs=0.1)


@pytest.mark.parametrize(("voltage", "percent"), [(300, 0.041), (200, 0.111), (100, 0.193)])
def test_the_papers_wavelength_is_a_little_longer(voltage, percent):
    excess = paper_wavelength(voltage) / wavelength(voltage) - 1
    assert 100 * excess == pytest.approx(percent, abs=5e-4)


@pytest.mark.parametrize("voltage", [100.0, 120.0, 200.0, 300.0, 1000.0])
def test_the_wavelength_is_that_of_a_relativistic_electron(voltage):
    """h / √(2 m e V (1 + e V / 2 m c²)), with the constants of CODATA."""
    from scipy.constants import c, e, h, m_e

    volts = 1e3 * voltage
    meters = h / math.sqrt(2 * m_e * e * volts * (1 + e * volts / (2 * m_e * c**2)))
    assert wavelength(voltage) == pytest.approx(1e10 * meters, rel=1e-5)


@given(error=LENGTH, voltage=VOLTAGE, phase=PHASE)
def test_the_limit_is_where_the_error_turns_that_phase(error, voltage, phase):
    resolution = limiting_resolution(error, voltage, phase)
    assert phase_offset(error, resolution, voltage) == pytest.approx(phase, rel=1e-12)
    assert phase_offset(-error, resolution, voltage) == pytest.approx(phase, rel=1e-12)
    assert limiting_error(resolution, voltage, phase) == pytest.approx(error, rel=1e-12)


@given(kept=st.floats(0.01, 0.99), resolution=st.floats(1, 10), voltage=VOLTAGE)
def test_the_spread_that_is_allowed_keeps_what_was_asked(kept, resolution, voltage):
    spread = largest_spread(kept, resolution, voltage)
    assert signal_kept(spread, resolution, voltage) == pytest.approx(kept, rel=1e-12)
    assert finest_resolution(kept, spread, voltage) == pytest.approx(resolution, rel=1e-12)


def by_drawing(spread, resolution, voltage, n=400_000):
    """Mean of cos χ over drawn errors, with its standard error."""
    errors = np.random.default_rng(3).normal(0, spread, n)
    turned = np.cos(phase_offset(errors, resolution, voltage))
    return turned.mean(), turned.std(ddof=1) / math.sqrt(n)


@pytest.mark.parametrize(("spread", "resolution"), [(65, 2.0), (30, 1.5), (15, 1.2), (20, 3.0)])
@pytest.mark.parametrize("voltage", [300.0, 100.0])
def test_the_signal_that_is_kept_is_the_mean_cosine(spread, resolution, voltage):
    mean, error = by_drawing(spread, resolution, voltage)
    assert abs(signal_kept(spread, resolution, voltage) - mean) < 4 * error
    # and that of another spread is told from it
    assert abs(signal_kept(1.02 * spread, resolution, voltage) - mean) > 4 * error


def test_the_average_over_the_ctf_is_that_cosine():
    """What correction with the wrong CTF keeps: ⟨sin χ sin(χ + Δ)⟩ / ⟨sin² χ⟩ over many rings."""
    chi, turn = np.linspace(0, 200 * np.pi, 200_001)[:-1], phase_offset(65, 2.0, 300)
    kept = np.mean(np.sin(chi) * np.sin(chi + turn)) / np.mean(np.sin(chi) ** 2)
    assert kept == pytest.approx(math.cos(turn), abs=1e-9)


def test_65_angstrom_at_2_angstrom():
    """π · 0.0196876 · 65 / 4 = 1.00507 rad = 57.6°; exp(-1.00507²/2) = 0.6035."""
    assert phase_offset(65, 2, 300) / DEGREE == pytest.approx(57.585, abs=0.01)
    assert signal_kept(65, 2, 300) == pytest.approx(0.6035, abs=1e-4)


def test_tables_have_every_combination():
    settings = LimitSettings(phases=(math.pi / 2, math.pi / 4))
    tables = limit_tables(settings)
    sizes = {name: {len(column) for column in table.values()} for name, table in tables.items()}
    assert sizes == {"limits": {20}, "offsets": {70}, "needed": {14}, "signal": {42}}
    for row in zip(*tables["limits"].values(), strict=True):
        voltage, phase, error, resolution = row
        assert limiting_resolution(error, voltage, phase) == resolution
    assert len(set(zip(*tables["limits"].values(), strict=True))) == 20
    needed = tables["needed"]
    np.testing.assert_allclose(
        [
            signal_kept(s, r, v)
            for v, r, s in zip(
                needed["voltage"], needed["resolution"], needed["spread_keeping_90"], strict=True
            )
        ],
        0.9,
    )
    signal = tables["signal"]
    np.testing.assert_allclose(signal["times_particles"], signal["signal_kept"] ** -2.0)


def test_nothing_left_needs_endless_particles():
    settings = LimitSettings(spreads=(1e5,), resolutions=(1.0,))
    signal = limit_tables(settings)["signal"]
    assert list(signal["signal_kept"]) == [0, 0]
    assert list(signal["times_particles"]) == [np.inf, np.inf]


@pytest.mark.parametrize("value", [0.0, -5.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["voltages", "errors", "phases", "spreads", "resolutions"])
def test_what_cannot_be_is_refused(name, value):
    with pytest.raises(InputError, match="choose one"):
        replace(LimitSettings(), **{name: (value,)})


# --- the command ------------------------------------------------------------------------------


def limits(*words: object):
    return CliRunner().invoke(app, ["limits", *map(str, words)])


def test_the_command_prints_the_papers_cases():
    said = limits()
    assert said.exit_code == 0
    assert "200 2.81 3.17" in " ".join(said.output.split())
    assert PAPER_NOTE in said.output


def test_json_has_the_tables_in_degrees():
    said = limits("--json", "--voltage", 300, "--error", 65, "--spread", 65, "--resolution", 2)
    found = json.loads(said.stdout)
    assert found["limits"][0]["phase"] == pytest.approx(90)
    assert found["offsets"][0]["phase"] == pytest.approx(57.585, abs=0.01)
    assert found["signal"][0]["signal_kept"] == pytest.approx(0.6035, abs=1e-4)
    assert PAPER_NOTE in found["notes"]
    endless = json.loads(limits("--json", "--spread", 1e5, "--resolution", 1).stdout)
    assert endless["signal"][0]["times_particles"] is None


def test_out_has_the_page_and_the_tables(tmp_path):
    out = tmp_path / "limits"
    words = ("--voltage", 1000, "--voltage", 100, "--phase", 45, "--error", 80, "--out", out)
    said = limits(*words)
    assert said.exit_code == 0
    assert str(out / "report.html") in said.output
    assert sorted(path.name for path in out.iterdir()) == ["limits.star", "report.html"]
    table = read_star(out / "limits.star")["limits"]
    assert table.text("parfocalVoltage") == ["1000", "100"]
    assert [float(value) for value in table.text("parfocalPhase")] == [45, 45]
    wanted = [limiting_resolution(80, voltage, math.pi / 4) for voltage in (1000, 100)]
    found = [float(value) for value in table.text("parfocalResolution")]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    again = limits(*words)
    assert again.exit_code == 2
    assert "not empty" in again.stderr


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--voltage", "nan"), "a voltage of nan kV"),
        (("--voltage", 0), "a voltage of 0 kV"),
        (("--error", -5), "a defocus error of -5 Å"),
        (("--error", 0), "a defocus error of 0 Å"),
        (("--phase", "nan"), "a phase of nan°"),
        (("--phase", 400), "a phase of 400°"),
        (("--spread", "inf"), "a spread of inf Å"),
        (("--resolution", 0), "a resolution of 0 Å"),
    ],
)
def test_bad_input_is_one_line(words, what):
    said = limits(*words)
    assert said.exit_code == 2
    assert said.stderr.startswith(f"parfocal: {what} - choose one")
    assert said.stderr.count("\n") == 1


# --- the page ---------------------------------------------------------------------------------


def test_figures_are_the_functions():
    settings = LimitSettings(phases=(math.pi / 2, math.pi / 4))
    reach = {trace.name: trace for trace in reach_figure(settings).data}
    assert list(reach) == ["300 kV, 90°", "300 kV, 45°", "200 kV, 90°", "200 kV, 45°"]
    trace = reach["200 kV, 45°"]
    np.testing.assert_allclose(trace.y, limiting_resolution(trace.x, 200, math.pi / 4), rtol=1e-5)
    for figure, of, scale, values in (
        (offset_figure(settings), phase_offset, 1 / DEGREE, settings.errors),
        (signal_figure(settings), signal_kept, 100, settings.spreads),
    ):
        traces = {trace.meta["series"]: trace for trace in figure.data}
        assert len(traces) == 2 * len(values)
        trace = traces["200 kV, 100 Å"]
        wanted = scale * of(100, 1 / trace.x, 200)
        np.testing.assert_allclose(trace.y, wanted, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(trace.customdata, 1 / trace.x, rtol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        LimitSettings(),
        LimitSettings(voltages=(100.0,), errors=(65.0,), spreads=(65.0,), resolutions=(2.0,)),
        LimitSettings(voltages=(100.0, 200.0, 300.0, 1000.0), resolutions=(25.0,)),
    ],
)
def test_the_page_says_what_was_asked(settings):
    page = limits_page(settings, limit_tables(settings))
    reached = limiting_resolution(settings.errors[-1], settings.voltages[0])
    assert f"{reached:.2f} Å" in page.verdict[0]
    assert PAPER_NOTE in unescape(render_page(page))
