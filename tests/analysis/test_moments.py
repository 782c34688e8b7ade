"""Moments and their merge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from klero.analysis.moments import EMPTY, Moments, from_proto, merge, to_proto
from klero.v1 import results_pb2
from tests.analysis.known import moments

samples = st.lists(st.floats(-1e6, 1e6), max_size=30)


@given(st.lists(samples, max_size=5))
def test_merged_parts_are_the_whole(parts: list[list[float]]) -> None:
    """Epochs are merged into the numbers of a variant without another look at its entities."""
    everything = [value for part in parts for value in part]
    expected = moments(everything) if everything else EMPTY

    found = merge(moments(part) if part else EMPTY for part in parts)

    scale = max(map(abs, everything), default=1.0) + 1e-9
    assert expected.n == found.n
    assert pytest.approx(expected.mean, abs=1e-12 * scale) == found.mean
    assert pytest.approx(expected.m2, rel=1e-9, abs=1e-11 * scale * scale) == found.m2


def test_large_offsets_keep_their_variance() -> None:
    """Amounts in cents of large balances differ in their last digits only."""
    data = np.array([1e9 + offset for offset in (4.0, 7.0, 13.0, 16.0)])

    assert pytest.approx(30.0, rel=1e-12) == merge([moments(data[:1]), moments(data[1:])]).variance


def test_variances_divide_by_n_less_one() -> None:
    """Every standard error is built on the unbiased variance."""
    found = Moments(4, 2.5, 5.0)

    assert (5 / 3, 5 / 12) == (found.variance, found.variance_of_mean)


def test_messages_round_trip() -> None:
    """The fold's moments arrive as they were sent; an empty message has no lists to read."""
    assert Moments(3, 1.5, 2.5) == from_proto(to_proto(Moments(3, 1.5, 2.5)))
    assert EMPTY == from_proto(results_pb2.Moments())
