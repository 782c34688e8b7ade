"""Definitions survive the way through text, and what is wrong is said all at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given, settings
from hypothesis import strategies as st

from klero import definition
from klero.errors import InvalidFieldError
from klero.v1 import decision_pb2, decision_service_pb2, events_pb2, experiment_pb2, results_pb2
from klero.words import duration_text, enum_number, enum_word, parse_duration

if TYPE_CHECKING:
    from google.protobuf.descriptor import EnumDescriptor


FILES = (decision_pb2, decision_service_pb2, events_pb2, experiment_pb2, results_pb2)
ENUMS = [enum for file in FILES for enum in file.DESCRIPTOR.enum_types_by_name.values()]
EXAMPLE = """
id: checkout
type: ab_test
control: {id: "off"}
variants: [{id: on, weight: 50, config: {model: large, limit: 3, deep: [1, 2.5, null, true]}}]
metrics: [{name: paid, type: METRIC_TYPE_CONVERSION, goal: increase, primary: true, window: 36h}]
config:
  duration: 7d
  minSampleSize: 1000
  traffic_percentage: 20
  guardrails: [{metric: errors, operator: ">", threshold: 0.02, action: stop}]
schedule: {startAt: 2026-01-31T09:00:00Z}
"""


def faults(text: str) -> dict[str, str]:
    """Descriptions by path."""
    with pytest.raises(InvalidFieldError) as caught:
        definition.parse(text, source_name="a.yaml")
    return {each.field: each.description for each in caught.value.violations}


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.name)
def test_every_enum_has_words_that_read_back(enum: EnumDescriptor) -> None:
    """Authors write words, programs write names of the contract."""
    for value in enum.values:
        if value.number:
            assert value.number == enum_number(enum, enum_word(enum, value.number))
            assert value.number == enum_number(enum, value.name)


def test_example_reads_as_written() -> None:
    """`on` is a variant's id, not a boolean; both spellings of names and enums are read."""
    read = definition.parse(EXAMPLE, source_name="a.yaml")

    assert ("off", "on") == (read.control.id, read.variants[0].id)
    assert 50 == read.variants[0].weight
    assert 7 * 86400 == read.config.duration.seconds
    assert 20 == read.config.traffic_percentage
    assert experiment_pb2.METRIC_TYPE_CONVERSION == read.metrics[0].type
    assert experiment_pb2.GUARDRAIL_OPERATOR_GREATER_THAN == read.config.guardrails[0].operator


METRIC = """
metrics:
  - name: slow
    type: quantile
    goal: decrease
    event: answer_ms
    aggregation: last
    quantile: 0.95
    window: 36h
    missing: fail
    cap: 0
    lowerBound: 0
    upperBound: 1e4
    covariates: [prompt_tokens, returning]
  - {name: share, type: ratio, denominatorEvent: calls, missing: exclude}
analysisPlan: {dimensions: [country, "model version"]}
"""


def test_a_metric_reads_as_written() -> None:
    """A bound of 0 is a bound, and stays one on the way back."""
    read = definition.parse(METRIC, source_name="a.yaml")
    slow, share = read.metrics

    assert (
        experiment_pb2.Metric(
            name="slow",
            type=experiment_pb2.METRIC_TYPE_QUANTILE,
            goal=experiment_pb2.METRIC_GOAL_DECREASE,
            event="answer_ms",
            aggregation=experiment_pb2.AGGREGATION_LAST,
            quantile=0.95,
            window=Duration(seconds=36 * 3600),
            missing=experiment_pb2.MISSING_POLICY_FAIL,
            cap=0,
            lower_bound=0,
            upper_bound=10_000,
            covariates=["prompt_tokens", "returning"],
        )
        == slow
    )
    assert ("calls", experiment_pb2.MISSING_POLICY_EXCLUDE) == (share.denominator_event, share.missing)
    assert not share.HasField("cap")
    assert ["country", "model version"] == read.analysis_plan.dimensions
    assert read == definition.parse(definition.to_yaml(read), source_name="a.yaml")


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        ("nam: x", "nam", "did you mean `name`"),
        ("type: ab_tst", "type", "did you mean `ab_test`"),
        ("config: {duration: 7}", "config.duration", "write `7d`, `36h` or `90s`"),
        ("variants: [{id: a}, {weight: x}]", "variants[1].weight", "the text `x`"),
        ("id: 7", "id", '"7"'),
        ("metrics: [{window: 3600}]", "metrics[0].window", "write `7d`, `36h` or `90s`"),
        ("metrics: [{aggregation: mean, missing: failure}]", "metrics[0].missing", "did you mean `fail`"),
        ("metrics: [{aggregation: average}]", "metrics[0].aggregation", "sum, mean, max, last, count"),
        ("config: {autoStop: yes}", "config.autoStop", "true or false"),
        ("control: {config: {n: 9007199254740993}}", "control.config.n", "2^53"),
        ("control: {weight: .nan}", "control.weight", "finite"),
        ("config: {minSampleSize: 1.5}", "config.minSampleSize", "whole number"),
        ("schedule: {startAt: tomorrow}", "schedule.startAt", "RFC 3339"),
        ("labels: {a: 1}", "labels.a", "text"),
        ("variants: {}", "variants", "list"),
        ("bandit: {}\ncanary: {}", "canary", "beside `bandit`"),
        ("entityType: a\nentity_type: b", "entity_type", "twice"),
        ("id: a\nid: b", "", "a.yaml:2:1: `id` is given twice"),
        ('{"id": "a", "id": "b"}', "", "given twice"),
        ("a: &x 1\nb: *x", "", "anchors"),
        ("a: " + "[" * 100, "", "deeper"),
        ("- a", "", "mapping"),
        ("a: [", "", "a.yaml:1:5"),
        ("id: " + "x" * 2**20, "", "at most 1048576"),
    ],
)
def test_fault_is_named_with_its_path(text: str, path: str, says: str) -> None:
    """Authors fix a definition from the message alone."""
    assert says in faults(text)[path]


def test_all_faults_come_at_once() -> None:
    """One run shows everything that is to fix."""
    assert {"nam", "type", "config.duration"} == set(faults("nam: x\ntype: y\nconfig: {duration: 7}"))


@pytest.mark.parametrize("text", ["7d", "36h", "90m", "1h30m", "90s", "250ms", "1us", "0s", "-2h"])
def test_durations_keep_their_length(text: str) -> None:
    """A window shown by `klero show` can be pasted into a definition."""
    read = parse_duration(text)

    assert read is not None
    assert read == parse_duration(duration_text(read))


@pytest.mark.parametrize("text", ["", "7", "d", "7 d", "7w", "0.5ns", "1h 30m", "999999999999999d", "7d-1h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Nothing is guessed about time."""
    assert parse_duration(text) is None


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(config=st.dictionaries(st.text(), PLAIN, max_size=4), name=st.text(), seconds=st.integers(0, 10**9))
def test_round_trip(config: dict[str, object], name: str, seconds: int) -> None:
    """What `show` prints is what was applied."""
    made = definition.parse(EXAMPLE, source_name="a.yaml")
    made.name = name
    made.config.duration.seconds = seconds
    made.control.config.update(cast("Any", config))

    assert made == definition.parse(definition.to_yaml(made), source_name="a.yaml")
    assert made == definition.parse(definition.to_json(made), source_name="a.json")


def test_large_integers_survive_readers_with_doubles() -> None:
    """A digest above 2^53 is text in JSON."""
    made = experiment_pb2.Variant(id="a", config_digest=2**64 - 1)
    mapping = definition.to_mapping(made)

    assert str(2**64 - 1) == mapping["configDigest"]
    assert made == definition.message_from_mapping(json.loads(json.dumps(mapping)), experiment_pb2.Variant)


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_deep_nesting_is_refused_before_it_is_walked(suffix: str) -> None:
    """A hostile file must not exhaust the stack."""
    text = '{"config": ' + "[" * 900 + "]" * 900 + "}"

    with pytest.raises(InvalidFieldError, match="deeper than 32 levels"):
        definition.parse(text, source_name=f"a.{suffix}")
