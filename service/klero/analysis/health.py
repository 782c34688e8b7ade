"""Whether an experiment can be believed at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.analysis import sample_ratio, windows, words
from klero.v1.experiment_pb2 import AssignmentSource
from klero.v1.results_pb2 import HealthCheck, HealthState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from klero.analysis.basis import Basis
    from klero.analysis.tallied import Tallied
    from klero.storage.v1.tally_pb2 import IterationTally
    from klero.v1.experiment_pb2 import Experiment, Metric

MAX_CONFLICTING = 0.01
"""Share of entities with a second variant above which no winner is named."""

MAX_BEFORE_EXPOSURE = 0.01
"""Share of outcomes from before their entity's exposure above which something is wired wrongly."""

EXPECTED_OUTCOMES_FROM = 100
"""Entities from which a metric without any outcome draws a warning."""

OK, WARNING, FAILED, UNKNOWN = (
    HealthState.HEALTH_STATE_OK,
    HealthState.HEALTH_STATE_WARNING,
    HealthState.HEALTH_STATE_FAILED,
    HealthState.HEALTH_STATE_UNSPECIFIED,
)


def check(
    tally: IterationTally, settled: Tallied, *, weights: Mapping[int, Mapping[str, float]], basis: Basis
) -> list[HealthCheck]:
    """Every check that applies, in a fixed order.

    Args:
        tally: Counts of the iteration.
        settled: The same by epoch and variant.
        weights: Percent by epoch and variant id; an epoch without is not tested.
        basis: What the iteration is judged by.

    """
    definition = basis.definition
    variant_ids = [variant.id for variant in (definition.control, *definition.variants)]
    enrolled = sum(settled.enrolled(variant_id) for variant_id in variant_ids)
    outcomes = _outcomes(definition.metrics, settled, variant_ids)
    checks = [
        _sample_ratio(definition, settled, variant_ids=variant_ids, weights=weights, alpha=basis.rules.plan.srm_alpha),
        _multi_exposed(tally.conflicting, enrolled),
        _missing_outcomes(definition.metrics, settled, variant_ids=variant_ids, enrolled=enrolled),
        _before_exposure(tally.before_exposure, outcomes),
    ]
    if any(metric.HasField("window") for metric in definition.metrics):
        closed = sum(settled.settled(variant_id) for variant_id in variant_ids)
        checks += [windows.late_outcomes(tally.late, outcomes), windows.ripeness(closed, enrolled)]
    if any(settled.pooled(each, metric.name).missing for each in variant_ids for metric in definition.metrics):
        checks.append(windows.missing_values(basis.doubts))
    if tally.paused:
        checks.append(windows.pauses(tally.paused))
    return checks


def _sample_ratio(
    definition: Experiment,
    tallied: Tallied,
    *,
    variant_ids: Sequence[str],
    weights: Mapping[int, Mapping[str, float]],
    alpha: float,
) -> HealthCheck:
    """Test the split of each epoch against its weights; the evidence of epochs adds up.

    Where another system assigns and the author states no weights, nobody said what split to expect:
    an uneven one would be no fault, so that nothing is tested.
    """
    name = "sample_ratio"
    external = definition.assignment_source == AssignmentSource.ASSIGNMENT_SOURCE_EXTERNAL
    if external and not any(variant.HasField("weight") for variant in (definition.control, *definition.variants)):
        message = "Not tested: another system assigns and the definition states no weights; set them to have it tested."
        return HealthCheck(name=name, state=UNKNOWN, message=message)
    evidence, tested, expected = 0.0, dict.fromkeys(variant_ids, 0), dict.fromkeys(variant_ids, 0.0)
    for epoch in tallied.epochs:
        shares = [weights.get(epoch, {}).get(variant_id, 0.0) for variant_id in variant_ids]
        counts = [tallied.enrolled(variant_id, epoch) for variant_id in variant_ids]
        total = sum(count for count, share in zip(counts, shares, strict=True) if share > 0)
        if total == 0:
            continue
        evidence += sample_ratio.log_evidence(counts, shares)
        for variant_id, count, share in zip(variant_ids, counts, shares, strict=True):
            if share > 0:
                tested[variant_id] += count
                expected[variant_id] += total * share / sum(shares)
    if not any(expected.values()):
        return HealthCheck(name=name, state=UNKNOWN, message="Not tested: no entities of a variant with a weight yet.")
    p_value = sample_ratio.p_value(evidence)
    found = words.listed(
        [
            f"{tested[variant_id]:,} `{variant_id}` ({expected[variant_id]:,.0f} expected)"
            for variant_id in variant_ids
            if expected[variant_id] > 0
        ]
    )
    if p_value <= alpha:
        advice = "look for exposures that are lost, or recorded late, for one variant"
        message = f"The split is not the configured one: {found}, {words.probability(p_value)}; {advice}."
        return HealthCheck(name=name, state=FAILED, message=message, p_value=p_value)
    message = f"The split is as configured: {found}, {words.probability(p_value)}."
    return HealthCheck(name=name, state=OK, message=message, p_value=p_value)


def _multi_exposed(conflicting: int, enrolled: int) -> HealthCheck:
    name = "multi_exposed"
    if enrolled == 0:
        return HealthCheck(name=name, state=UNKNOWN, message="No entities yet.")
    share = conflicting / enrolled
    found = f"{conflicting:,} of {enrolled:,} entities ({words.percent(share)}) were exposed to a second variant"
    if share > MAX_CONFLICTING:
        limit = words.percent(MAX_CONFLICTING)
        message = f"{found}, more than {limit}; look for ids that change or for variants kept in two places."
        return HealthCheck(name=name, state=FAILED, message=message)
    return HealthCheck(name=name, state=OK, message=f"{found}.")


def _missing_outcomes(
    metrics: Sequence[Metric], tallied: Tallied, *, variant_ids: Sequence[str], enrolled: int
) -> HealthCheck:
    name = "missing_outcomes"
    if enrolled < EXPECTED_OUTCOMES_FROM:
        message = f"{enrolled:,} entities, too few to expect outcomes of every metric."
        return HealthCheck(name=name, state=UNKNOWN, message=message)
    silent = [
        f"`{metric.name}` (event `{metric.event or metric.name}`)"
        for metric in metrics
        if _events(metric, tallied, variant_ids) == 0
    ]
    if silent:
        found = f"No outcome for {words.listed(silent)} from {enrolled:,} entities"
        message = f"{found}; look whether the event is recorded under this name and with the same entity ids."
        return HealthCheck(name=name, state=WARNING, message=message)
    return HealthCheck(name=name, state=OK, message="Every metric has outcomes.")


def _before_exposure(before: int, outcomes: int) -> HealthCheck:
    name = "before_exposure"
    if before + outcomes == 0:
        return HealthCheck(name=name, state=UNKNOWN, message="No outcomes yet.")
    share = before / (before + outcomes)
    found = f"{before:,} of {before + outcomes:,} outcomes ({words.percent(share)}) came from before their exposure"
    if share > MAX_BEFORE_EXPOSURE:
        message = f"{found} and do not count; look for clocks that differ or exposures that are sent late."
        return HealthCheck(name=name, state=WARNING, message=message)
    return HealthCheck(name=name, state=OK, message=f"{found}.")


def _outcomes(metrics: Sequence[Metric], tallied: Tallied, variant_ids: Sequence[str]) -> int:
    """Outcomes that count; those read by several metrics once."""
    by_event = {metric.event or metric.name: _events(metric, tallied, variant_ids) for metric in metrics}
    return sum(by_event.values())


def _events(metric: Metric, tallied: Tallied, variant_ids: Sequence[str]) -> int:
    return sum(tallied.pooled(variant_id, metric.name).events for variant_id in variant_ids)
