"""What a definition says about judging, with every default filled in."""

from __future__ import annotations

from dataclasses import dataclass

from klero.analysis.sequence import DEFAULT_PLANNED_ENTITIES, MIN_ENTITIES, mixing_rate
from klero.v1.experiment_pb2 import AnalysisPlan, Correction, Experiment, InferenceMethod

DEFAULT_CONFIDENCE_LEVEL = 0.95
DEFAULT_POWER = 0.8
DEFAULT_SAMPLE_RATIO_ALPHA = 0.001
DEFAULT_MIN_ENTITIES = 100
"""Entities that each compared variant needs before any claim, if the definition sets none."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How one iteration is judged."""

    plan: AnalysisPlan
    """The plan with nothing left unspecified."""

    confidence_level: float
    min_entities: int
    """Per compared variant before any claim; sequences need `sequence.MIN_ENTITIES` in any case."""

    mixing_rate: float
    """Of confidence sequences; see `sequence.mixing_rate`."""

    last_entity: int
    """Entities in all after which no more can decide. 0: no such number."""

    @property
    def alpha(self) -> float:
        """Chance of a false claim."""
        return 1 - self.confidence_level

    @property
    def sequential(self) -> bool:
        """Whether results hold at every look."""
        return self.plan.method == InferenceMethod.INFERENCE_METHOD_SEQUENTIAL

    @property
    def corrects(self) -> bool:
        """Whether several comparisons are corrected for."""
        return self.plan.correction != Correction.CORRECTION_NONE


def rules_of(definition: Experiment) -> Rules:
    """Rules of a definition whose method is SEQUENTIAL, FIXED_HORIZON or unspecified.

    Confidence sequences are tightest at the planned sample size, else at `max_sample_size`, else at
    `DEFAULT_PLANNED_ENTITIES`.
    """
    config = definition.config
    plan = AnalysisPlan()
    plan.CopyFrom(definition.analysis_plan)
    plan.method = plan.method or InferenceMethod.INFERENCE_METHOD_SEQUENTIAL
    plan.correction = plan.correction or Correction.CORRECTION_HOLM
    plan.power = plan.power if plan.HasField("power") else DEFAULT_POWER
    plan.srm_alpha = plan.srm_alpha if plan.HasField("srm_alpha") else DEFAULT_SAMPLE_RATIO_ALPHA
    level = config.confidence_level if config.HasField("confidence_level") else DEFAULT_CONFIDENCE_LEVEL
    sequential = plan.method == InferenceMethod.INFERENCE_METHOD_SEQUENTIAL
    min_entities = config.min_sample_size or DEFAULT_MIN_ENTITIES
    planned = plan.planned_sample_size or config.max_sample_size or DEFAULT_PLANNED_ENTITIES
    return Rules(
        plan=plan,
        confidence_level=level,
        min_entities=max(min_entities, MIN_ENTITIES) if sequential else min_entities,
        mixing_rate=mixing_rate(1 - level, planned),
        last_entity=config.max_sample_size if sequential else plan.planned_sample_size or config.max_sample_size,
    )
