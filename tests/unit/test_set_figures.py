"""Figures of sets: what is drawn of many particles, and its numbers."""

import numpy as np
import pytest

from parfocal.report.set_figures import POINTS, Panel, panels_figure


@pytest.mark.parametrize("size", [POINTS, POINTS + 1])
def test_the_numbers_of_a_panel_hold_every_particle(size):
    """Points as they are; of a density its cells, so that a file saved of it is not empty."""
    x = np.random.default_rng(2).normal(0, 100, size)
    figure = panels_figure([Panel("", np.append(x, np.nan), np.append(-x, 0.0), "a [Å]", "b [Å]")])
    (saved,) = (trace for trace in figure.data if trace.meta)
    assert (saved.meta["columns"]["x"], saved.meta["columns"]["y"]) == ("a [Å]", "b [Å]")
    times = np.ones(size) if saved.customdata is None else np.array(saved.customdata)
    assert times.sum() == size
    width = 20.0  # Å, of a cell and more
    assert np.average(saved.x, weights=times) == pytest.approx(x.mean(), abs=width)
    correlation = np.cov(saved.x, saved.y, fweights=times.astype(int))[0, 1]
    assert correlation == pytest.approx(-np.var(x), rel=0.1)
