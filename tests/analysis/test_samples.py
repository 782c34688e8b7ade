"""Samples of every kind, and their pooling."""

from __future__ import annotations

import numpy as np
import pytest

from klero.analysis.quantiles import Sketch
from klero.analysis.samples import EMPTY, Sample, pool
from tests.analysis.known import amounts, conversions, pairs


@pytest.mark.parametrize("converted", [0, 98])
def test_a_rate_without_variance_is_still_uncertain(converted: int) -> None:
    """A variant that never converts must be comparable, and not with an error of 0."""
    estimate = conversions(converted, 98).rate_estimate

    assert pytest.approx(0.01 * 0.99 / 98) == estimate.variance
    assert converted / 98 == estimate.value


def test_pooling_keeps_the_kind_and_adds_every_count() -> None:
    """A variant without entities in one epoch is no reason to lose those of the others."""
    rows = np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 4.0]])
    sketch = Sketch(0.5, 0.01, {1.0: 2, 3.0: 1})
    parts = [Sample(pairs(rows[:1]), 1, 1, 2, 3), EMPTY, Sample(pairs(rows[1:]), 2, 2, 1, 1)]
    pooled = pool(parts)

    assert (3, 3, 3, 3, 4) == (pooled.n, pooled.converted, pooled.events, pooled.missing, pooled.unsettled)
    assert pytest.approx(8 / 11) == pooled.values.value
    assert sketch == pool([EMPTY, Sample(sketch, 3, 3)]).values
    assert 5 == pool([amounts(2, 1.0, 1.0), amounts(3, 2.0, 1.0)]).n
    assert EMPTY == pool([]) == pool([EMPTY])
