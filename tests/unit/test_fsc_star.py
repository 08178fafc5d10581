"""fsc.star holds what relion_postprocess's would, and is read by what reads that."""

import numpy as np
import pytest

from parfocal.fsc_star import write_fsc_star
from parfocal.guinier import guinier
from parfocal.inputs import read_fsc
from parfocal.io import read_star

from .test_fsc import noise
from .test_fsc_curves import curves_of


@pytest.fixture
def written(tmp_path):
    """(path, curves): box 40, with a Guinier plot."""
    curves = curves_of(np.linspace(1, -0.05, 21), pixel_size=1.5, box=40)
    line = guinier(noise(1), curves.corrected, pixel_size=1.5, resolution=4.0)
    path = tmp_path / "fsc.star"
    write_fsc_star(path, curves, guinier=line, general={"rlnMaskName": "my mask.mrc"})
    return path, curves


def test_estimate_reads_the_corrected_curve(written):
    path, curves = written
    np.testing.assert_allclose(read_fsc(path, 40)[1:], curves.corrected[1:], atol=1e-6)


def test_blocks_and_numbers(written):
    path, curves = written
    tables = read_star(path)
    assert list(tables) == ["general", "fsc", "guinier"]
    assert tables["general"].text("rlnMaskName") == ["my mask.mrc"]
    final = float(tables["general"].text("rlnFinalResolution")[0])
    assert final == pytest.approx(curves.resolution(), abs=1e-5)
    assert "rlnRandomiseFrom" not in tables["general"]  # nothing was made random
    fsc = tables["fsc"]
    np.testing.assert_array_equal(fsc.integers("rlnSpectralIndex"), np.arange(21))
    np.testing.assert_allclose(
        fsc.numbers("rlnAngstromResolution")[1:], 60 / np.arange(1, 21), 1e-6
    )
    np.testing.assert_allclose(fsc.numbers("rlnResolution")[1:], curves.k[1:], atol=1e-6)
    assert fsc.numbers("rlnFourierShellCorrelationCorrected")[0] == 1
    assert np.isfinite(tables["guinier"].finite("rlnLogAmplitudesWeighted")).all()
