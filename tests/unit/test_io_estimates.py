"""estimates.star: every row comes back, to the printed precision."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from parfocal.errors import InputError
from parfocal.estimates import DefocusEstimates, Status
from parfocal.io.estimates import holds_estimates, read_estimates, write_estimates
from parfocal.io.star import read_star, write_star

ABSOLUTE = {  # half of the last printed digit
    "coordinate_x": 5e-4,
    "coordinate_y": 5e-4,
    "defocus_prior": 5e-5,
    "defocus_change": 1e-4,
    "defocus_error": 5e-5,
    "change_low": 1e-4,
    "change_high": 1e-4,
    "change_of_fold_1": 1e-4,
    "change_of_fold_2": 1e-4,
    "astigmatism_change_x": 5e-5,
    "astigmatism_change_y": 5e-5,
    "sheet_probability": 5e-5,
    "ice_height": 5e-5,
    "gain_of_shift": 5e-7,
    "gain_of_plane": 5e-7,
    "held_out_gain": 5e-7,
}


def estimates(n: int = 6, seed: int = 0, **changes) -> DefocusEstimates:
    rng = np.random.default_rng(seed)
    status = np.arange(n) % len(Status)
    columns = {
        "method": "bayes",
        "version": "0.1.0",
        "settings": {"search_range": 1000.0, "reference": 'it\'s "own" half', "bins": [1, 2]},
        "particle_id": np.array([f"{row + 1:06d}@Extract/job #3/a b.mrcs" for row in range(n)]),
        "micrograph": np.array(["mics/é.mrc"] * n),
        "coordinate_x": rng.uniform(0, 5000, n),
        "coordinate_y": np.full(n, np.nan),
        "defocus_prior": rng.uniform(5e3, 3e4, n),
        "defocus_change": np.where(status == Status.OK, rng.normal(0, 300, n), 0.0),
        "defocus_error": rng.uniform(1, 300, n),
        "change_low": rng.normal(-300, 10, n),
        "change_high": rng.normal(300, 10, n),
        "change_of_fold_1": np.where(status == Status.OK, rng.normal(0, 300, n), np.nan),
        "change_of_fold_2": np.where(status == Status.OK, rng.normal(0, 300, n), np.nan),
        "astigmatism_change_x": rng.normal(0, 50, n),
        "astigmatism_change_y": rng.normal(0, 50, n),
        "sheet_probability": rng.random(n),
        "ice_height": rng.normal(0, 100, n),
        "gain_of_shift": rng.normal(0, 2, n),
        "gain_of_plane": rng.normal(0, 2, n),
        "held_out_gain": rng.normal(0, 2, n),
        "status": status,
    }
    return DefocusEstimates(**(columns | changes))


def test_a_brief_reading_leaves_out_what_is_beside_the_defocus(tmp_path):
    path = tmp_path / "estimates.star"
    write_estimates(path, estimates())
    whole, brief = read_estimates(path), read_estimates(path, brief=True)
    left_out = {
        "sheet_probability",
        "ice_height",
        "gain_of_shift",
        "gain_of_plane",
        "held_out_gain",
    }
    for name, column in whole.columns().items():
        if name in left_out:
            assert np.isfinite(column).all()
            assert np.isnan(getattr(brief, name)).all()
        elif name not in ("change_low", "change_high"):
            assert_array_equal(getattr(brief, name), column)
    assert_allclose(brief.change_high, brief.defocus_change + brief.defocus_error)
    assert np.abs(brief.change_high - whole.change_high).max() > 1


@given(st.integers(1, 20), st.integers(0, 1000))
def test_estimates_come_back(tmp_path_factory, n, seed):
    path = tmp_path_factory.mktemp("e") / "estimates.star"
    before = estimates(n, seed)
    write_estimates(path, before)
    after = read_estimates(path)
    for name in ("method", "version", "settings"):
        assert getattr(after, name) == getattr(before, name)
    for name in ("particle_id", "micrograph", "status"):
        assert_array_equal(getattr(after, name), getattr(before, name))
    for name, half in ABSOLUTE.items():
        assert_allclose(getattr(after, name), getattr(before, name), atol=half * 1.001, rtol=0)
    assert (after.defocus_change[~after.ok()] == 0).all()
    again = path.with_name("again.star")
    write_estimates(again, after)
    assert again.read_bytes() == path.read_bytes()


def test_the_columns_are_those_of_the_conventions(tmp_path):
    write_estimates(tmp_path / "e.star", estimates())
    blocks = read_star(tmp_path / "e.star")
    assert set(blocks) == {"parfocal_run", "estimates"}
    assert list(blocks["estimates"].columns) == [
        f"parfocal{name}"
        for name in (
            "ParticleId",
            "Micrograph",
            "CoordinateX",
            "CoordinateY",
            "DefocusPrior",
            "Defocus",
            "DefocusError",
            "DefocusLow",
            "DefocusHigh",
            "DefocusFold1",
            "DefocusFold2",
            "AstigmatismChangeX",
            "AstigmatismChangeY",
            "SheetProbability",
            "IceHeight",
            "GainOfShift",
            "GainOfPlane",
            "HeldOutGain",
            "Status",
        )
    ]
    assert blocks["estimates"].text("parfocalStatus") == [
        "ok",
        "at_bound",
        "flat",
        "multimodal",
        "non_finite",
        "not_read",
    ]
    assert blocks["estimates"].text("parfocalCoordinateY")[0] == "nan"
    assert list(blocks["parfocal_run"].columns) == [
        "parfocalMethod",
        "parfocalVersion",
        "parfocalSettings",
    ]


@pytest.mark.parametrize(
    ("word", "columns", "default"),
    [
        ("Astigmatism", ("astigmatism_change_x", "astigmatism_change_y"), 0.0),
        ("Fold", ("change_of_fold_1", "change_of_fold_2"), np.nan),
    ],
)
def test_a_file_of_an_older_version_lacks_what_came_later(tmp_path, word, columns, default):
    path = tmp_path / "estimates.star"
    write_estimates(path, estimates())
    table = read_star(path)
    tokens = {name: table["estimates"].text(name) for name in table["estimates"].columns}
    run = {name: table["parfocal_run"].text(name)[0] for name in table["parfocal_run"].columns}
    older = {name: column for name, column in tokens.items() if word not in name}
    assert len(older) == len(tokens) - 2
    write_star(path, {"parfocal_run": run, "estimates": older})
    found = read_estimates(path)
    for name in columns:
        assert_array_equal(getattr(found, name), np.full(len(found), default))
    assert_allclose(found.defocus_change, estimates().defocus_change, atol=1e-4)


def test_a_file_is_known_by_its_first_block(tmp_path):
    write_estimates(tmp_path / "estimates.star", estimates())
    assert holds_estimates(tmp_path / "estimates.star")
    write_star(tmp_path / "particles.star", {"particles": {"rlnImageName": ["1@data_run.mrcs"]}})
    assert not holds_estimates(tmp_path / "particles.star")
    with pytest.raises(InputError, match=r"none\.star"):
        holds_estimates(tmp_path / "none.star")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (" ok", " lost", r"data_estimates, _parfocalStatus, row 1: 'lost' is not a status"),
        ("000002@", "000001@", r"particle 000001@.* is in row 1 and again in row 2"),
        ("not_read", "lost", r"data_estimates, _parfocalStatus, row 6: 'lost' is not a status"),
        ("parfocalIceHeight", "parfocalHeight", "data_estimates: no column _parfocalIceHeight"),
        ("data_parfocal_run", "data_run", "no blocks data_parfocal_run and data_estimates"),
        ("search_range", '"', "write it again"),
        (" at_bound", " ok", "positive defocus_error"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, old, new, says):
    error = np.array([10.0, 0.0, 1, 1, 1, 1])
    path = tmp_path / "estimates.star"
    write_estimates(path, estimates(defocus_error=error))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=says) as refused:
        read_estimates(path)
    assert "estimates.star" in str(refused.value)
