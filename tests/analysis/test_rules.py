"""Defaults of the plan."""

from __future__ import annotations

import pytest

from klero.analysis.rules import rules_of
from klero.analysis.sequence import mixing_rate
from klero.v1.experiment_pb2 import Correction, Experiment, ExperimentConfig, InferenceMethod
from tests.analysis.known import FIXED, definition


def test_an_empty_definition_has_every_default() -> None:
    """Results show the plan that was applied, with nothing left unspecified."""
    rules = rules_of(Experiment())

    assert InferenceMethod.INFERENCE_METHOD_SEQUENTIAL == rules.plan.method
    assert Correction.CORRECTION_HOLM == rules.plan.correction
    assert (0.8, 0.001, 0.95, 100) == (
        rules.plan.power,
        rules.plan.srm_alpha,
        rules.confidence_level,
        rules.min_entities,
    )
    assert mixing_rate(1 - 0.95, 5_000) == rules.mixing_rate


@pytest.mark.parametrize(
    ("planned", "largest", "tuned"), [(0, 0, 5_000), (0, 800, 800), (20_000, 800, 20_000)], ids=["none", "max", "plan"]
)
def test_sequences_are_tightest_where_the_experiment_should_end(planned: int, largest: int, tuned: int) -> None:
    """Whoever plans a size gets the narrowest interval there."""
    experiment = definition("t", planned=planned)
    experiment.config.max_sample_size = largest

    assert mixing_rate(1 - 0.95, tuned) == rules_of(experiment).mixing_rate


@pytest.mark.parametrize(("asked", "sequential", "fixed"), [(0, 100, 100), (30, 100, 30), (400, 400, 400)])
def test_minimum_sample(asked: int, sequential: int, fixed: int) -> None:
    """A smaller minimum is the author's choice where the test is good for it; sequences need 100."""
    for method, expected in ((InferenceMethod.INFERENCE_METHOD_SEQUENTIAL, sequential), (FIXED, fixed)):
        experiment = definition("t", method=method)
        experiment.config.CopyFrom(ExperimentConfig(min_sample_size=asked))
        assert expected == rules_of(experiment).min_entities
