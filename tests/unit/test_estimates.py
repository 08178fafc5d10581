"""The record of estimates: what is filled in when a method does not say."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.unit.test_ice import made_up


def test_without_an_interval_it_is_one_error_either_side():
    made = made_up(["a", "a"], [0, 1], [0, 1], [9000.0, 9100.0], error=20.0)
    assert_array_equal(made.defocus_low, [8980.0, 9080.0])
    assert_array_equal(made.defocus_high, [9020.0, 9120.0])
    assert np.isnan(made.sheet_probability).all()


def test_an_interval_that_is_given_stays():
    made = made_up(["a", "a"], [0, 1], [0, 1], [9000.0, 9100.0], error=20.0)
    skew = replace(made, change_low=np.array([-5.0, -6.0]), change_high=np.array([40.0, 50.0]))
    assert_array_equal(skew.defocus_low, [8995.0, 9094.0])
    assert_array_equal(skew.defocus_high, [9040.0, 9150.0])


def test_the_astigmatism_does_not_change_unless_a_method_says_so():
    made = made_up(["a", "a"], [0, 1], [0, 1], [9000.0, 9100.0])
    assert_array_equal(made.astigmatism_change_x, [0, 0])
    assert_array_equal(made.astigmatism_change_y, [0, 0])


def test_a_method_without_folds_has_no_defocus_from_them():
    made = made_up(["a", "a"], [0, 1], [0, 1], [9000.0, 9100.0])
    assert np.isnan([made.change_of_fold_1, made.change_of_fold_2]).all()
    assert np.isnan([made.defocus_of_fold_1, made.defocus_of_fold_2]).all()


def test_the_folds_defoci_are_the_prior_with_their_changes():
    made = made_up(["a", "a"], [0, 1], [0, 1], [9000.0, 9100.0])
    ones, twos = np.array([30.0, np.nan]), np.array([-50.0, 70.0])
    made = replace(made, change_of_fold_1=ones, change_of_fold_2=twos)
    assert_array_equal(made.defocus_of_fold_1, [9030.0, np.nan])
    assert_array_equal(made.defocus_of_fold_2, [8950.0, 9170.0])
    with pytest.raises(ValueError, match="change_of_fold_2 has shape"):
        replace(made, change_of_fold_2=np.zeros(3))


@pytest.mark.parametrize("name", ["defocus_change", "astigmatism_change_x", "astigmatism_change_y"])
def test_a_change_that_is_not_a_number_is_refused(name):
    made = made_up(["a", "a"], [0, 1], [0, 1], [9000.0, 9100.0])
    with pytest.raises(ValueError, match=f"{name} must be finite"):
        replace(made, **{name: np.array([0.0, np.nan])})
