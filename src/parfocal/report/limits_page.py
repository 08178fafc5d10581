"""The page of `parfocal limits`: the paper's Fig. 10 and Fig. S-2, and the signal that is lost."""

from parfocal import __version__
from parfocal.conventions import DEGREE
from parfocal.limits import (
    KEPT,
    PAPER_NOTE,
    WAVELENGTH_NOTE,
    LimitSettings,
    Table,
    largest_spread,
    limiting_resolution,
)
from parfocal.optics import wavelength
from parfocal.report.limits_figures import (
    needed_figure,
    offset_figure,
    reach_figure,
    signal_figure,
)
from parfocal.report.page import Page
from parfocal.report.sections import (
    Column,
    FigureSection,
    SettingsSection,
    TableSection,
    TextSection,
)

FOOTER = (
    "Eq. 2 and 3, Fig. 10 and Fig. S-2 are those of Fernandez-Gimenez, Carazo and Sorzano, J. Struct. "
    "Biol. 2023, doi 10.1016/j.jsb.2023.108030. This page needs no network."
)
HEADINGS = {  # column -> heading, name in the CSV file, digits
    "voltage": ("voltage [kV]", "voltage_kV", 0),
    "phase": ("turn of the phase [°]", "phase_deg", 1),
    "defocus_error": ("defocus error [Å]", "defocus_error_A", 1),
    "resolution": ("resolution [Å]", "resolution_A", 2),
    "spread": ("sd of the errors [Å]", "spread_A", 1),
    "signal_kept": ("signal kept [%]", "signal_kept_percent", 1),
    "times_particles": ("particles needed [times]", "times_particles", 2),
    "spread_keeping_90": ("sd that keeps 90 % [Å]", "spread_keeping_90_A", 1),
    "spread_keeping_50": ("sd that keeps 50 % [Å]", "spread_keeping_50_A", 1),
}
SCALES = {"phase": 1 / DEGREE, "signal_kept": 100.0}


def limits_page(settings: LimitSettings, tables: dict[str, Table]) -> Page:
    """The page on `tables`, as `limit_tables` gives them for `settings`."""
    return Page(
        title="What a defocus error costs",
        under=f"Limits of resolution and loss of signal, parfocal {__version__}",
        verdict=_verdict(settings),
        sections=(
            FigureSection(
                id="reach",
                title="Resolution that an error allows",
                short="Resolution",
                caption="The resolution at which a defocus error turns the phase of the CTF by "
                f"{_listed(p / DEGREE for p in settings.phases)}°: the paper's Fig. 10. Beyond a "
                "quarter of a turn (90°) the correction of the CTF takes signal away.",
                figure=reach_figure(settings),
            ),
            FigureSection(
                id="phase",
                title="Phase that an error turns",
                short="Phase",
                caption="Offset of the phase of the CTF against resolution, for each error: the "
                "paper's Fig. S-2. It depends neither on the defocus nor on Cs. Dashed: "
                f"{_listed(p / DEGREE for p in settings.phases)}°.",
                figure=offset_figure(settings),
            ),
            FigureSection(
                id="signal",
                title="Signal that is left",
                short="Signal",
                caption="Fraction of the amplitude of the signal that is left when the particles' "
                "defocus errors are Gaussian with the standard deviation of the line. It falls with "
                "the fourth power of frequency, so no B-factor restores it; particles make up for it "
                "by their number: 1 / fraction² times as many.",
                figure=signal_figure(settings),
            ),
            FigureSection(
                id="needed",
                title="How small errors must be",
                short="Needed",
                caption="For each resolution, the error that turns the phase by "
                f"{settings.phases[0] / DEGREE:g}° (solid), and the standard deviations of Gaussian "
                f"errors that keep {_listed(100 * k for k in KEPT)} % of the signal.",
                figure=needed_figure(settings),
            ),
            _table("limits", "Table 1", "Resolution for each error", tables["limits"]),
            _table("offsets", "Table 2", "Phase that each error turns", tables["offsets"]),
            _table("errors", "Table 3", "Errors for each resolution", tables["needed"]),
            _table("kept", "Table 4", "Signal kept", tables["signal"]),
            TextSection(
                id="differs",
                title="Where this differs from the paper",
                short="The paper",
                paragraphs=(PAPER_NOTE, WAVELENGTH_NOTE),
            ),
            TextSection(
                id="methods",
                title="For the methods section of a paper",
                short="Methods",
                paragraphs=(_methods(settings),),
                copy=True,
            ),
            SettingsSection(
                values={
                    "Settings": {
                        "voltages [kV]": _listed(settings.voltages),
                        "errors [Å]": _listed(settings.errors),
                        "phases [°]": _listed(p / DEGREE for p in settings.phases),
                        "sd of errors [Å]": _listed(settings.spreads),
                        "resolutions [Å]": _listed(settings.resolutions),
                    },
                    "Wavelengths [Å]": {
                        f"{voltage:g} kV": f"{wavelength(voltage):.6f}"
                        for voltage in settings.voltages
                    },
                }
            ),
        ),
        footer=FOOTER,
    )


def _verdict(settings: LimitSettings) -> tuple[str, ...]:
    voltage, phase = settings.voltages[0], settings.phases[0]
    reached = [limiting_resolution(error, voltage, phase) for error in settings.errors]
    finest = min(settings.resolutions, key=lambda r: abs(r - 2))
    return (
        f"At {voltage:g} kV, defocus errors of {_listed(settings.errors)} Å turn the phase of the CTF "
        f"by {phase / DEGREE:g}° at {_listed(f'{r:.2f}' for r in reached)} Å.",
        f"To keep {100 * KEPT[0]:.0f} % of the signal at {finest:g} Å, the standard deviation of the "
        f"errors must be below {largest_spread(KEPT[0], finest, voltage):.0f} Å, and to keep half of "
        f"it below {largest_spread(0.5, finest, voltage):.0f} Å.",
        PAPER_NOTE,
    )


def _methods(settings: LimitSettings) -> str:
    return (
        f"Limits set by errors of defocus were computed with parfocal {__version__} from the phase "
        "Δχ = π λ Δz / R² that an error Δz turns at resolution R (Fernandez-Gimenez et al., 2023, "
        "Eq. 2), with the relativistic wavelength λ of "
        f"{_listed(f'{wavelength(v):.5f} Å at {v:g} kV' for v in settings.voltages)}; the fraction of "
        "the signal's amplitude that is left under Gaussian errors of standard deviation σ is "
        "exp(−(π λ σ / R²)² / 2)."
    )


def _listed(values) -> str:
    *first, last = [v if isinstance(v, str) else f"{v:g}" for v in values]
    return f"{', '.join(first)} and {last}" if first else last


def _table(name: str, short: str, title: str, table: Table) -> TableSection:
    columns = []
    for key, values in table.items():
        heading, csv_name, digits = HEADINGS[key]
        values = values * SCALES.get(key, 1.0)
        columns.append(Column(heading=heading, name=csv_name, values=values, digits=digits))
    return TableSection(id=name, title=title, short=short, columns=tuple(columns))
