"""Settings of methods given as text."""

import pytest

from parfocal.errors import InputError
from parfocal.estimators import ESTIMATORS
from parfocal.estimators.options import with_options


def test_a_setting_is_set_and_nothing_else():
    table = with_options(ESTIMATORS, ["bayes.stage_tilt=30", "bayes.tilt_axis=-12.5"])
    assert (table["bayes"].stage_tilt, table["bayes"].tilt_axis) == (30.0, -12.5)
    assert {name: m for name, m in table.items() if name != "bayes"} == {
        name: m for name, m in ESTIMATORS.items() if name != "bayes"
    }
    assert ESTIMATORS["bayes"].stage_tilt == 0.0


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("stage_tilt=30", "sets nothing"),
        ("bayes.stage_tilt", "sets nothing"),
        ("nobody.stage_tilt=1", "sets nothing"),
        ("bayes.colour=1", "no setting 'colour'"),
        ("bayes.name=other", "no setting 'name'"),
        ("bayes.stage_tilt=steep", "cannot be bayes's stage_tilt"),
    ],
)
def test_what_cannot_be_set_is_told(option, says):
    with pytest.raises(InputError, match=says):
        with_options(ESTIMATORS, [option])
