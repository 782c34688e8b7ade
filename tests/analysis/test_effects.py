"""Effect sizes and practical significance."""

from __future__ import annotations

import math

import pytest

from klero.analysis.bounds import Bounds
from klero.analysis.effects import cohens_d, cohens_h, practical, size_label
from klero.analysis.moments import Moments
from klero.v1.results_pb2 import EffectSize, PracticalEffect
from tests.analysis.known import revenue, values


def test_known_answers() -> None:
    """Both measures against their closed forms."""
    baseline, variant = revenue()
    expected = values("effect_size")

    assert pytest.approx(expected["welch_revenue_d"]) == cohens_d(variant.mean - baseline.mean, [baseline, variant])
    assert pytest.approx(expected["prop_10k_h"]) == cohens_h(0.05, 0.056)


def test_nothing_varies_nothing_is_standardized() -> None:
    """Without a scale there is no size."""
    assert cohens_d(1.0, [Moments(9, 1.0, 0.0), Moments(9, 2.0, 0.0)]) is None
    assert cohens_h(0.0, 0.0) is None
    assert cohens_h(1.0, 1.0) is None
    assert pytest.approx(math.pi) == cohens_h(0.0, 1.0 + 1e-16)


@pytest.mark.parametrize(
    ("standardized", "label"),
    [
        (None, EffectSize.EFFECT_SIZE_UNSPECIFIED),
        (0.19, EffectSize.EFFECT_SIZE_NEGLIGIBLE),
        (-0.2, EffectSize.EFFECT_SIZE_SMALL),
        (0.5, EffectSize.EFFECT_SIZE_MEDIUM),
        (-0.8, EffectSize.EFFECT_SIZE_LARGE),
    ],
)
def test_labels_begin_at_cohens_thresholds(standardized: float | None, label: EffectSize.ValueType) -> None:
    """The contract gives the thresholds."""
    assert label == size_label(standardized)


@pytest.mark.parametrize(
    ("bounds", "min_effect", "expected"),
    [
        (Bounds(0.1, 0.2), 0.0, PracticalEffect.PRACTICAL_EFFECT_UNSPECIFIED),
        (Bounds(-0.04, 0.04), 0.05, PracticalEffect.PRACTICAL_EFFECT_BELOW_MINIMUM),
        (Bounds(-0.04, 0.05), 0.05, PracticalEffect.PRACTICAL_EFFECT_UNDECIDED),
        (Bounds(0.05, None), 0.05, PracticalEffect.PRACTICAL_EFFECT_AT_LEAST_MINIMUM),
        (Bounds(-0.3, -0.05), 0.05, PracticalEffect.PRACTICAL_EFFECT_AT_LEAST_MINIMUM),
        (Bounds(None, None), 0.05, PracticalEffect.PRACTICAL_EFFECT_UNDECIDED),
        (None, 0.05, PracticalEffect.PRACTICAL_EFFECT_UNDECIDED),
    ],
)
def test_practical(bounds: Bounds | None, min_effect: float, expected: PracticalEffect.ValueType) -> None:
    """Verdicts rest on where the whole interval lies, not on the estimate."""
    assert expected == practical(bounds, min_effect)
