"""The vectors hold what the oracle says, and the oracle has the properties that users rely on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import chdtrc

from klero.v1.decision_pb2 import Context, DecisionReason
from klero.v1.experiment_pb2 import Experiment, Override
from tests import make_vectors, oracle
from tests.oracle import Ramp

VECTORS = Path(__file__).parent / "vectors"
SPLIT = json.loads((VECTORS / "split.json").read_text(encoding="utf-8"))
MAX_FILE_BYTES = 200_000

entity_ids = st.text(min_size=1, max_size=20)
percentages = st.floats(min_value=0, max_value=100)
weights = st.floats(min_value=0.001, max_value=100)


def read(*names: str) -> list[dict[str, Any]]:
    """Cases of files, one behind the other."""
    return [case for name in names for case in json.loads((VECTORS / name).read_text(encoding="utf-8"))]


def cases(*names: str) -> pytest.MarkDecorator:
    """Cases of files as parameters, with their names as test ids."""
    return named(read(*names))


def named(content: list[dict[str, Any]]) -> pytest.MarkDecorator:
    """One test per case."""
    return pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in content])


@cases("hash.json")
def test_hash(case: dict[str, Any]) -> None:
    """Implementations in other languages compare the hash before anything else."""
    found = oracle.hash64(case["salt"], case["purpose"], case["entityId"])

    assert case["hash"] == f"{found:016x}"


@named(SPLIT["traffic"])
def test_traffic(case: dict[str, Any]) -> None:
    """An upgrade of any implementation must enrol the same entities at the same time."""
    ramp = case["ramp"] and Ramp(case["ramp"]["startedAtMs"], case["ramp"]["periodMs"])
    found = [
        oracle.admits(case["salt"], case["percentage"], ramp, entity_id=entity_id, now_ms=case["nowMs"])
        for entity_id in SPLIT["entities"]
    ]

    assert case["admitted"] == found


@named(SPLIT["variants"])
def test_variant(case: dict[str, Any]) -> None:
    """An upgrade of any implementation must leave every entity in its variant."""
    found = [oracle.choose(case["salt"], dict(case["weights"]), entity_id) for entity_id in SPLIT["entities"]]

    assert case["chosen"] == found


@cases("decide.json", "override.json", "sticky.json")
def test_decide(case: dict[str, Any]) -> None:
    """Agents rely on variant and reason, the analysis on who is enrolled and randomized."""
    definition = json_format.ParseDict(case["definition"], Experiment())
    context = json_format.ParseDict(case["context"], Context())
    overrides = [json_format.ParseDict(each, Override()) for each in case.get("overrides", [])]
    found = oracle.decide(definition, context, case["nowMs"], overrides, prior=case.get("prior"))

    expected = dict(case["decision"])
    assert expected.pop("propensity") == pytest.approx(found.propensity, abs=1e-12)
    assert expected == {
        "variantId": found.variant_id,
        "reason": DecisionReason.Name(found.reason),
        "enrolled": found.enrolled,
        "randomized": found.randomized,
        "enabled": found.enabled,
        "entityId": found.entity_id,
    }


@pytest.mark.parametrize(("name", "text"), make_vectors.contents().items(), ids=make_vectors.contents())
def test_files_are_what_the_generator_writes(name: str, text: str) -> None:
    """Whoever adds a case regenerates all: a line that changes in the diff is then a broken promise."""
    assert (VECTORS / name).read_text(encoding="utf-8") == text
    assert len(text.encode()) <= MAX_FILE_BYTES


@pytest.mark.parametrize("name", ["hash.json", "decide.json", "override.json", "sticky.json"])
def test_names_are_unique(name: str) -> None:
    """A failure names its case, so two cases must not share a name."""
    names = Counter(case["name"] for case in read(name))

    assert [] == [case for case, count in names.items() if count > 1]


def test_cases_reach_both_sides_of_every_gate() -> None:
    """Vectors that admit nobody, or choose one variant only, would prove nothing."""
    decisions = [case["decision"] for case in read("decide.json", "override.json", "sticky.json")]
    reasons = {decision["reason"].removeprefix("DECISION_REASON_") for decision in decisions}
    rare = next(case for case in SPLIT["traffic"] if case["percentage"] == pytest.approx(1e-6, rel=1e-9))

    assert reasons == {
        "SPLIT", "NOT_STARTED", "PAUSED", "STOPPED", "SHIPPED", "NOT_IN_TRAFFIC", "ENTITY_MISSING",
        "ENTITY_OVERRIDE", "EXPERIMENT_OVERRIDE", "STICKY", "STICKY_UNAVAILABLE",
    }  # fmt: skip
    assert sum(rare["admitted"]) == 1


@given(entity_ids, percentages, percentages)
def test_more_traffic_never_removes_an_entity(entity_id: str, one: float, other: float) -> None:
    """Experimenters raise traffic and keep whom they have."""
    low, high = sorted((one, other))

    few = oracle.admits("exp", low, None, entity_id=entity_id, now_ms=0)
    many = oracle.admits("exp", high, None, entity_id=entity_id, now_ms=0)

    assert many or not few


@given(entity_ids, percentages, st.integers(-10, 2000), st.integers(0, 2000))
def test_a_ramp_never_removes_an_entity(entity_id: str, percentage: float, early_ms: int, wait_ms: int) -> None:
    """An entity that is in stays in, or its outcomes would belong to nobody."""
    ramp = Ramp(started_at_ms=0, period_ms=1000)

    early = oracle.admits("exp", percentage, ramp, entity_id=entity_id, now_ms=early_ms)
    later = oracle.admits("exp", percentage, ramp, entity_id=entity_id, now_ms=early_ms + wait_ms)

    assert later or not early


@given(entity_ids, st.lists(weights, min_size=3, max_size=5), st.integers(0, 4))
def test_removing_a_variant_moves_only_its_entities(entity_id: str, shares: list[float], removed: int) -> None:
    """Experimenters drop a losing variant and keep the outcomes of the others."""
    arms = {f"v{index}": share for index, share in enumerate(shares)}
    gone = f"v{removed % len(shares)}"
    before = oracle.choose("exp", arms, entity_id)
    after = oracle.choose("exp", {arm: share for arm, share in arms.items() if arm != gone}, entity_id)

    assert before in {after, gone}


@given(entity_ids, weights, weights, weights)
def test_a_changed_weight_moves_entities_only_to_or_from_its_variant(
    entity_id: str, old: float, new: float, rest: float
) -> None:
    """A ramp by weights disturbs nobody but those it is about."""
    before = oracle.choose("exp", {"a": old, "b": rest, "c": rest}, entity_id)
    after = oracle.choose("exp", {"a": new, "b": rest, "c": rest}, entity_id)

    assert before == after or (after if new > old else before) == "a"


@pytest.mark.parametrize(
    "shares",
    [{"a": 50.0, "b": 50.0}, {"a": 10.0, "b": 90.0}, {"a": 5.0, "b": 15.0, "c": 30.0, "d": 50.0}],
    ids=str,
)
def test_shares_follow_weights(shares: dict[str, float]) -> None:
    """The sample ratio test would raise false alarms over a skewed split. Source: Pearson (1900)."""
    entities = 20_000
    counts = Counter(oracle.choose("shares", shares, f"user-{index}") for index in range(entities))
    statistic = sum(
        (counts[arm] - entities * share / 100) ** 2 / (entities * share / 100) for arm, share in shares.items()
    )

    assert chdtrc(len(shares) - 1, statistic) > 0.001


def test_traffic_and_variant_are_independent() -> None:
    """Were they not, a small experiment would give nearly everyone the same variant."""
    entities = [f"user-{index}" for index in range(20_000)]
    enrolled = [e for e in entities if oracle.admits("both", 10.0, None, entity_id=e, now_ms=0)]
    share = sum(oracle.choose("both", {"a": 50.0, "b": 50.0}, e) == "a" for e in enrolled) / len(enrolled)

    # About 2000 are enrolled: four standard deviations of their share are .045.
    assert share == pytest.approx(0.5, abs=0.045)
