"""Updates: what is named, what opens an epoch, and what is no change."""

from __future__ import annotations

import pytest

from klero import lifecycle
from klero.errors import FieldImmutableError, InvalidFieldError
from klero.v1.experiment_pb2 import (
    Allocation,
    AssignmentSource,
    ExperimentStatus,
    Metric,
    MetricGoal,
    MetricType,
    MissingPolicy,
    Variant,
)
from tests.lifecycle.made import ALLOCATION, at, base, camel, changed, copied, in_status, running, updated

NOW = at(40)


def test_every_fixed_field_is_named_at_once() -> None:
    """Who must put five fields back should not have to try five times."""
    stored = in_status(lifecycle.RUNNING, base())
    wanted = copied(stored)
    for path in ("type", "entity_type", "control.id", "variants[0].id", "metrics[0].cap", "analysis_plan.dimensions"):
        wanted = changed(wanted, path)

    with pytest.raises(FieldImmutableError) as caught:
        updated(stored, wanted)
    assert ["type", "entityType", "control.id", "variants", "metrics[0].cap", "analysisPlan.dimensions"] == [
        violation.field for violation in caught.value.violations
    ]


@pytest.mark.parametrize("name", ["cap", "lower_bound", "upper_bound"])
def test_a_limit_of_zero_is_a_limit(name: str) -> None:
    """The fold would go on without it, and nobody would know."""
    stored = in_status(lifecycle.RUNNING, base())
    limited = copied(stored)
    setattr(limited.metrics[0], name, 0)

    for before, after in ((stored, limited), (limited, stored)):
        with pytest.raises(FieldImmutableError, match=rf"metrics\[0\]\.{camel(name)} of"):
            updated(before, after)


@pytest.mark.parametrize(
    ("name", "value", "fields"),
    [
        ("goal", MetricGoal.METRIC_GOAL_DECREASE, ["goal"]),
        ("lower_bound", -2.0, ["lowerBound"]),
        ("missing", MissingPolicy.MISSING_POLICY_ZERO, ["missing"]),
        # What missing means follows from the type, but it is not what somebody changed.
        ("type", MetricType.METRIC_TYPE_QUANTILE, ["type"]),
        ("min_effect", 0.5, []),
    ],
)
def test_only_what_somebody_changed_is_named(name: str, value: float, fields: list[str]) -> None:
    """A failure counts as the worse bound, so that goal and bounds decide together what is measured."""
    made = base()
    made.metrics[0].MergeFrom(
        Metric(
            goal=MetricGoal.METRIC_GOAL_INCREASE,
            missing=MissingPolicy.MISSING_POLICY_FAIL,
            lower_bound=-1,
            upper_bound=5,
        )
    )
    stored = in_status(lifecycle.RUNNING, made)
    wanted = copied(stored)
    setattr(wanted.metrics[0], name, value)

    found: list[str] = []
    try:
        updated(stored, wanted)
    except FieldImmutableError as error:
        found = [violation.field for violation in error.violations]
    assert [f"metrics[0].{field}" for field in fields] == found


def test_order_is_no_content() -> None:
    """Metrics, variants and covariates may be sorted: they are known by name."""
    made = base()
    made.variants.add(id="c", weight=0)
    made.metrics[0].covariates.append("age")
    made.metrics.add(name="score", type=MetricType.METRIC_TYPE_CONTINUOUS, covariates=["vip"])
    stored = in_status(lifecycle.RUNNING, made)
    wanted = copied(stored)
    wanted.variants.reverse()
    wanted.metrics.reverse()

    assert 1 == lifecycle.update(stored, wanted, allocation=stored.allocation, now=NOW).allocation.epoch


def test_what_says_the_same_is_no_change() -> None:
    """A file may write out a default: nobody moves, nothing is frozen."""
    stored = in_status(lifecycle.RUNNING, base())
    wanted = copied(stored)
    wanted.hashing.scheme, wanted.hashing.salt = "klero.v1", "exp"
    wanted.assignment_source = AssignmentSource.ASSIGNMENT_SOURCE_KLERO
    wanted.metrics[0].missing = MissingPolicy.MISSING_POLICY_ZERO

    assert stored.allocation == updated(stored, wanted).allocation
    wanted.assignment_source = AssignmentSource.ASSIGNMENT_SOURCE_EXTERNAL
    with pytest.raises(FieldImmutableError, match="assignmentSource of"):
        updated(stored, wanted)


def test_nothing_changed_is_the_stored_experiment_itself() -> None:
    """Applying a file twice leaves no revision and no line in the audit trail."""
    stored = in_status(lifecycle.RUNNING, base())

    assert updated(stored, copied(stored)) is stored


def test_weights_and_traffic_in_one_change_open_one_epoch() -> None:
    """The cause names all of them."""
    stored = in_status(lifecycle.RUNNING, base())
    wanted = copied(stored)
    wanted.control.weight, wanted.variants[0].weight, wanted.config.traffic_percentage = 40, 60, 30
    after = updated(stored, wanted).allocation

    assert (2, {"a": 40, "b": 60}, 30) == (after.epoch, dict(after.weights), after.traffic_percentage)
    assert "changed: control.weight, variants[0].weight, config.trafficPercentage" == after.cause


def test_the_traffic_of_a_flag_is_its_weights() -> None:
    """More of a flag gives entities another variant, so that it cannot be pooled."""
    stored = running()
    wanted = copied(stored)
    wanted.config.traffic_percentage = 90
    grown = Allocation(weights={"a": 10, "b": 90}, traffic_percentage=100)
    after = lifecycle.update(stored, wanted, allocation=grown, now=NOW)

    assert (2, "changed: config.trafficPercentage") == (after.allocation.epoch, after.allocation.cause)


@pytest.mark.parametrize(("shipped", "kept"), [("b", False), ("", True), ("a", True)])
def test_what_everyone_gets_stays_among_the_variants(shipped: str, *, kept: bool) -> None:
    """Until the next start decisions name it."""
    stored = lifecycle.stop(running(), ship_variant_id=shipped, now=at(20))
    wanted = copied(stored)
    wanted.variants[0].CopyFrom(Variant(id="c"))

    if kept:
        assert "c" == updated(stored, wanted).variants[0].id
    else:
        with pytest.raises(InvalidFieldError, match="`b` must stay: everyone gets it until the next start"):
            updated(stored, wanted)


@pytest.mark.parametrize(
    ("status", "end_s", "duration_s", "refused"),
    [
        (lifecycle.RUNNING, 40, 0, "schedule.endAt"),
        (lifecycle.RUNNING, 41, 0, None),
        (lifecycle.PAUSED, None, 30, "config.duration"),
        (lifecycle.PAUSED, None, 31, None),
        (lifecycle.SCHEDULED, 40, 0, "schedule.endAt"),
        (lifecycle.SCHEDULED, 2000, 30, None),
        (lifecycle.STOPPED, 40, 30, None),
        (lifecycle.DRAFT, 40, 30, None),
    ],
)
def test_a_new_end_must_lie_ahead(
    status: ExperimentStatus.ValueType, end_s: int | None, duration_s: int, refused: str | None
) -> None:
    """Stop ends at once; what has ended or not begun may name any time."""
    stored = in_status(status, base())
    wanted = copied(stored)
    if end_s is not None:
        wanted.schedule.end_at.CopyFrom(at(end_s))
    if duration_s:
        wanted.config.duration.FromSeconds(duration_s)

    if refused is None:
        after = updated(stored, wanted)
        # An end that has come since is the controller's to act on; until then everything else may change.
        assert "new" == lifecycle.update(after, changed(after, "name"), allocation=ALLOCATION, now=at(99)).name
        return
    with pytest.raises(InvalidFieldError) as caught:
        updated(stored, wanted)
    assert [refused] == [violation.field for violation in caught.value.violations]


@pytest.mark.parametrize(
    ("start_s", "reason"),
    [(500, "scheduled, begins at 1970-01-01T00:08:20Z"), (None, "scheduled, begins at once")],
)
def test_a_planned_start_that_moves_is_told(start_s: int | None, reason: str) -> None:
    """People read from the status when it begins."""
    stored = in_status(lifecycle.SCHEDULED, base())
    wanted = copied(stored)
    wanted.schedule.ClearField("start_at")
    if start_s is not None:
        wanted.schedule.start_at.CopyFrom(at(start_s))

    assert reason == updated(stored, wanted).status_reason


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metrics[0].min_effect", True),
        ("analysis_plan.power", True),
        ("config.confidence_level", True),
        ("metrics[0].unit", False),
        ("config.duration", False),
        ("name", False),
    ],
)
def test_another_way_to_judge_is_told(path: str, *, expected: bool) -> None:
    """Results become exploratory from the change on; what is not under way has no results yet."""
    stored = in_status(lifecycle.RUNNING, base())
    wanted = changed(stored, path)
    draft = in_status(lifecycle.DRAFT, base())

    assert expected == lifecycle.plan_changed(stored, wanted) == lifecycle.is_exploratory(updated(stored, wanted))
    assert not lifecycle.plan_changed(draft, changed(draft, path))
