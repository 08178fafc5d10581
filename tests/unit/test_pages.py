"""Memory of large arrays, and that of Fourier sums beyond what images reach."""

import numpy as np
import pytest

from parfocal import pages
from parfocal.insertion import FourierSums, give_back_corners


def test_what_holds_0_alone_is_given_back_and_reads_as_before():
    data = pages.zeros((64, 64, 64))
    assert data.dtype == np.float32
    assert not data.any()
    data[20:30] = 3.0
    before = data.copy()
    plane = 64 * 64
    given = pages.give_back(
        data, [(0, 20 * plane), (10 * plane, 25 * plane), (30 * plane, data.size)]
    )
    assert given == 4 * (20 + 34) * plane  # the second span holds more than 0: it stays whole
    np.testing.assert_array_equal(data, before)
    data[0] += 1.0  # it can be used as before
    assert data[0].all()


def test_only_whole_pages_are_given_back():
    data = pages.zeros((4, pages.SMALL // 4))
    data[0, :8] = data[2, -8:] = 1.0
    before = data.copy()
    assert pages.give_back(data, [(8, 3 * pages.SMALL // 4 - 8)]) == pages.SMALL
    np.testing.assert_array_equal(data, before)


def test_arrays_of_other_memory_are_left_alone():
    data = np.zeros((64, 64))
    assert pages.give_back(data, [(0, data.size)]) == 0


@pytest.mark.parametrize("k_max", [np.inf, 0.1])
def test_beyond_the_sphere_a_fifth_is_given_back(k_max):
    sums = FourierSums.zeros(96, 2.0, k_max=k_max)
    edge = len(sums.data)
    at = np.arange(edge) - edge // 2
    x = np.arange(sums.data.shape[2])
    radius = np.sqrt(at[:, None, None] ** 2 + at[:, None] ** 2 + x**2)
    sums.data[radius < sums.k_max / sums.spacing + 1] = 1.0  # where images reach, and a neighbour
    before = sums.data.copy()
    share = give_back_corners(sums) / sums.data.nbytes
    assert 0.1 < share < 1 - np.pi / 4
    np.testing.assert_array_equal(sums.data, before)
