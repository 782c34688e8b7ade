"""Writes tests/vectors/*.json from the oracle: `python -m tests.make_vectors` from the root.

The files hold scheme `klero.v1` fixed for ever, so a changed answer is a broken promise. New cases
are welcome.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from klero.v1.decision_pb2 import Context, DecisionReason
from klero.v1.experiment_pb2 import Experiment, Override
from tests import oracle
from tests.oracle import Ramp

VECTORS = Path(__file__).parent / "vectors"
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
START = "2026-01-01T00:00:00Z"

ODD_ENTITIES = ["a", " ", "0", "ünïcødé", "用户-42", "🦀🐍", "a/b", "line\nbreak", "nul\0byte", "x" * 256, "e\u0301"]
# 1 in 10^8 entities passes a gate of a millionth of a percent: this one was searched for.
RARE_ENTITY = "u161913750"
ENTITIES = [*ODD_ENTITIES, RARE_ENTITY, *(f"user-{index}" for index in range(50))]

SALTS = ["checkout", "agent-prompt.v2", "A_b-c.9", "sälz"]
PURPOSES = ["traffic", "variant/control", "variant/treatment", "slot"]

RAMP = Ramp(started_at_ms=START_MS, period_ms=3_600_000)
TRAFFIC: list[tuple[str, float, Ramp | None, int]] = [
    ("nobody", 0.0, None, START_MS),
    ("one in a hundred million", 1e-6, None, START_MS),
    ("finer than a millionth rounds to even, here to nobody", 5e-7, None, START_MS),
    ("an eighth", 12.5, None, START_MS),
    ("a decimal that no double holds", 33.3, None, START_MS),
    ("all but a millionth", 99.999999, None, START_MS),
    ("everybody", 100.0, None, START_MS),
    ("ramp before its start", 100.0, RAMP, START_MS - 1),
    ("ramp at its start", 100.0, RAMP, START_MS),
    ("ramp after a millisecond", 100.0, RAMP, START_MS + 1),
    ("ramp at a third", 100.0, RAMP, START_MS + 1_200_000),
    ("ramp one millisecond before its end", 50.0, RAMP, START_MS + RAMP.period_ms - 1),
    ("ramp exactly at its end", 50.0, RAMP, START_MS + RAMP.period_ms),
    ("ramp long over", 50.0, RAMP, START_MS + 10 * RAMP.period_ms),
    ("ramp of one millisecond", 33.3, Ramp(START_MS, 1), START_MS + 1),
    ("ramp of nobody", 0.0, RAMP, START_MS + RAMP.period_ms),
]

VARIANTS: list[tuple[str, dict[str, float]]] = [
    ("one variant", {"a": 100.0}),
    ("two equal", {"a": 50.0, "b": 50.0}),
    ("two equal in the other order", {"b": 50.0, "a": 50.0}),
    ("ten to ninety", {"a": 10.0, "b": 90.0}),
    ("three thirds", {"a": 100 / 3, "b": 100 / 3, "c": 100 / 3}),
    ("three thirds without the last", {"a": 100 / 3, "b": 100 / 3}),
    ("five", {"a": 5.0, "b": 15.0, "c": 20.0, "d": 25.0, "e": 35.0}),
    ("one without weight", {"a": 0.0, "b": 40.0, "c": 60.0}),
    ("a tiny one", {"a": 1e-6, "b": 99.999999}),
    ("all tiny", {"a": 1e-300, "b": 1e-300}),
    ("nobody has weight", {"a": 0.0, "b": 0.0}),
    ("no variants", {}),
]

HALVES = {"control": {"id": "control"}, "variants": [{"id": "treatment"}]}
WEIGHTED = {
    "control": {"id": "control", "weight": 20.0},
    "variants": [{"id": "b", "weight": 30.0}, {"id": "c", "weight": 50.0}],
}
SHIPPING = {
    "control": {"id": "off", "enabled": True},
    "variants": [{"id": "on"}, {"id": "dark", "enabled": False}],
}

# Name, type, status, and what is beside them in the definition.
DEFINITIONS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("halves", "AB_TEST", "RUNNING", HALVES),
    ("weights", "AB_TEST", "RUNNING", WEIGHTED),
    ("a salt of its own", "AB_TEST", "RUNNING", {**WEIGHTED, "hashing": {"scheme": "klero.v1", "salt": "shared"}}),
    ("part of the traffic", "AB_TEST", "RUNNING", {**HALVES, "config": {"trafficPercentage": 30.0}}),
    ("no traffic", "AB_TEST", "RUNNING", {**HALVES, "config": {"trafficPercentage": 0.0}}),
    (
        "ramp",
        "AB_TEST",
        "RUNNING",
        {**HALVES, "startedAt": START, "config": {"trafficPercentage": 80.0, "rampUpPeriod": "7200s"}},
    ),
    (
        "allocation in force",
        "AB_TEST",
        "RUNNING",
        {
            **WEIGHTED,
            "config": {"trafficPercentage": 100.0},
            "allocation": {"epoch": "2", "weights": {"control": 90.0, "b": 10.0, "c": 0.0}, "trafficPercentage": 60.0},
        },
    ),
    ("draft", "AB_TEST", "DRAFT", HALVES),
    ("scheduled", "AB_TEST", "SCHEDULED", HALVES),
    ("paused", "AB_TEST", "PAUSED", HALVES),
    ("draining", "AB_TEST", "DRAINING", HALVES),
    ("stopped", "AB_TEST", "STOPPED", HALVES),
    ("rolled back", "AB_TEST", "ROLLED_BACK", HALVES),
    ("draining with a winner", "AB_TEST", "DRAINING", {**HALVES, "shippedVariantId": "treatment"}),
    ("scheduled again with a winner", "AB_TEST", "SCHEDULED", {**HALVES, "shippedVariantId": "treatment"}),
    ("shipped", "AB_TEST", "STOPPED", {**HALVES, "shippedVariantId": "treatment"}),
    ("rolled back to a variant", "AB_TEST", "ROLLED_BACK", {**HALVES, "shippedVariantId": "treatment"}),
    ("shipped control that is enabled", "AB_TEST", "STOPPED", {**SHIPPING, "shippedVariantId": "off"}),
    ("shipped variant that is not enabled", "AB_TEST", "STOPPED", {**SHIPPING, "shippedVariantId": "dark"}),
    ("enabled as written", "AB_TEST", "RUNNING", SHIPPING),
    ("enabled control of a draft", "AB_TEST", "DRAFT", SHIPPING),
    ("flag", "FEATURE_FLAG", "RUNNING", HALVES),
    ("flag for a fifth", "FEATURE_FLAG", "RUNNING", {**HALVES, "config": {"trafficPercentage": 20.0}}),
    ("flag for nobody", "FEATURE_FLAG", "RUNNING", {**HALVES, "config": {"trafficPercentage": 0.0}}),
    ("flag of three", "FEATURE_FLAG", "RUNNING", {**SHIPPING, "config": {"trafficPercentage": 40.0}}),
    ("flag with weights", "FEATURE_FLAG", "RUNNING", {**WEIGHTED, "config": {"trafficPercentage": 50.0}}),
    ("flag switched off", "FEATURE_FLAG", "PAUSED", HALVES),
]

# Name, context.
CONTEXTS: list[tuple[str, dict[str, Any]]] = [
    ("user-1", {"entityId": "user-1"}),
    ("user-2", {"entityId": "user-2"}),
    ("user-3", {"entityId": "user-3"}),
    ("non-ASCII", {"entityId": "用户-42"}),
    ("by type", {"entityId": "session-9", "entities": {"user": "user-4", "session": "session-9"}}),
    ("other types only", {"entityId": "user-6", "entities": {"session": "session-9"}}),
    ("no id", {}),
    ("empty id by type", {"entityId": "user-1", "entities": {"user": ""}}),
    ("longest id", {"entityId": "é" * 128}),
    ("id too long", {"entityId": "é" * 128 + "x"}),
]

# All of them are of halves.
OVERRIDDEN = ["halves", "no traffic", "draft", "paused", "shipped", "flag switched off"]
# Name, overrides of the experiment.
OVERRIDES: list[tuple[str, list[dict[str, Any]]]] = [
    ("everyone has the treatment", [{"variantId": "treatment"}]),
    ("everyone has the treatment until the start", [{"variantId": "treatment", "expiresAt": START}]),
    (
        "one of them has the treatment until the start",
        [{"variantId": "control"}, {"entityId": "user-1", "variantId": "treatment", "expiresAt": START}],
    ),
    ("another one has the treatment", [{"entityId": "nobody", "variantId": "treatment"}]),
    ("one of them has the control", [{"variantId": "treatment"}, {"entityId": "user-1", "variantId": "control"}]),
]
OVERRIDDEN_CONTEXTS = ["user-1", "user-2", "no id"]


WEIGHED_AGAIN: dict[str, Any] = {
    **WEIGHTED,
    "allocation": {
        "epoch": "3",
        "weights": {"control": 90.0, "b": 10.0, "c": 0.0},
        "trafficPercentage": 60.0,
        "weightsEpoch": "2",
    },
}
METRIC = {"name": "ok", "type": "METRIC_TYPE_CONVERSION"}
# As `DEFINITIONS`; weights have changed in the iteration, but for the last ones.
STICKY: list[tuple[str, str, str, dict[str, Any]]] = [
    ("keeps", "AB_TEST", "RUNNING", WEIGHED_AGAIN),
    ("keeps as said", "AB_TEST", "RUNNING", {**WEIGHED_AGAIN, "sticky": "STICKY_MODE_ENTITY"}),
    ("keeps nothing as said", "AB_TEST", "RUNNING", {**WEIGHED_AGAIN, "sticky": "STICKY_MODE_OFF"}),
    ("keeps nothing of runs", "AB_TEST", "RUNNING", {**WEIGHED_AGAIN, "entityType": "run"}),
    (
        "keeps variants of tasks as said",
        "AB_TEST",
        "RUNNING",
        {**WEIGHED_AGAIN, "entityType": "task", "sticky": "STICKY_MODE_ENTITY"},
    ),
    ("flag keeps nothing", "FEATURE_FLAG", "RUNNING", {**WEIGHED_AGAIN, "metrics": [METRIC]}),
    (
        "flag keeps as said",
        "FEATURE_FLAG",
        "RUNNING",
        {**WEIGHED_AGAIN, "metrics": [METRIC], "sticky": "STICKY_MODE_ENTITY"},
    ),
    ("keeps while paused", "AB_TEST", "PAUSED", WEIGHED_AGAIN),
    (
        "resumed with the weights of the start",
        "AB_TEST",
        "RUNNING",
        {
            **WEIGHTED,
            "sticky": "STICKY_MODE_ENTITY",
            "allocation": {**WEIGHED_AGAIN["allocation"], "weightsEpoch": "1"},
        },
    ),
]
# Name, variant of the first exposure.
PRIORS = [("new", None), ("first b", "b"), ("first c", "c"), ("first control", "control"), ("unknown", oracle.UNKNOWN)]
STICKY_CONTEXTS = ["user-1", "user-2", "user-3", "no id"]


def hash_cases() -> list[dict[str, Any]]:
    """Every salt and purpose with odd entities, and some plain ones."""
    return [
        {
            "name": f"{salt} {purpose} {entity_id[:20]!r}",
            "salt": salt,
            "purpose": purpose,
            "entityId": entity_id,
            "hash": f"{oracle.hash64(salt, purpose, entity_id):016x}",
        }
        for salt in SALTS
        for purpose in PURPOSES
        for entity_id in [*ODD_ENTITIES, "user-1", "0193e4a1-7c3e-7d1b-9f00-3a5b6c7d8e9f"]
    ]


def split_cases() -> dict[str, list[Any]]:
    """Traffic and variants of all `ENTITIES`, answers in their order."""
    return {
        "entities": ENTITIES,
        "traffic": [
            {
                "name": name,
                "salt": "split",
                "percentage": percentage,
                "ramp": None if ramp is None else {"startedAtMs": ramp.started_at_ms, "periodMs": ramp.period_ms},
                "nowMs": now_ms,
                "admitted": [
                    oracle.admits("split", percentage, ramp, entity_id=entity_id, now_ms=now_ms)
                    for entity_id in ENTITIES
                ],
            }
            for name, percentage, ramp, now_ms in TRAFFIC
        ],
        "variants": [
            {
                "name": name,
                "salt": "split",
                "weights": [[variant_id, weight] for variant_id, weight in weights.items()],
                "chosen": [oracle.choose("split", weights, entity_id) for entity_id in ENTITIES],
            }
            for name, weights in VARIANTS
        ],
    }


def decide_cases() -> list[dict[str, Any]]:
    """Every definition with every context; the one with a ramp at several times."""
    return [
        decide_case(definition, context, START_MS + after_ms)
        for definition in DEFINITIONS
        for context in CONTEXTS
        for after_ms in ([-1, 1_800_000, 7_200_000] if definition[0] == "ramp" else [0])
    ]


def override_cases() -> list[dict[str, Any]]:
    """Some definitions and contexts with overrides, one millisecond before these expire and when they do."""
    return [
        decide_case(definition, context, START_MS + after_ms, overrides=overrides)
        for definition in DEFINITIONS
        if definition[0] in OVERRIDDEN
        for overrides in OVERRIDES
        for context in CONTEXTS
        if context[0] in OVERRIDDEN_CONTEXTS
        for after_ms in [-1, 0]
    ]


def sticky_cases() -> list[dict[str, Any]]:
    """Definitions in which weights have changed, with every first variant."""
    return [
        decide_case(definition, context, START_MS, prior=prior)
        for definition in STICKY
        for context in CONTEXTS
        if context[0] in STICKY_CONTEXTS
        for prior in PRIORS
    ]


def decide_case(
    definition_row: tuple[str, str, str, dict[str, Any]],
    context_row: tuple[str, dict[str, Any]],
    now_ms: int,
    *,
    overrides: tuple[str, list[dict[str, Any]]] | None = None,
    prior: tuple[str, str | None] | None = None,
) -> dict[str, Any]:
    """One case: definition, context and overrides as protojson, the first variant, what they give at `now_ms`."""
    name, kind, status, rest = definition_row
    definition = {
        "id": name.replace(" ", "-"),
        "type": f"EXPERIMENT_TYPE_{kind}",
        "status": f"EXPERIMENT_STATUS_{status}",
        "entityType": "user",
        **rest,
    }
    decision = oracle.decide(
        json_format.ParseDict(definition, Experiment()),
        json_format.ParseDict(context_row[1], Context()),
        now_ms,
        [json_format.ParseDict(each, Override()) for each in overrides[1]] if overrides else [],
        prior=prior[1] if prior else None,
    )
    names = [name, *(row[0] for row in (overrides, prior) if row), context_row[0]]
    return {
        "name": f"{', '.join(names)}, {now_ms - START_MS} ms",
        "definition": definition,
        "context": context_row[1],
        **({"overrides": overrides[1]} if overrides else {}),
        **({"prior": prior[1]} if prior and prior[1] is not None else {}),
        "nowMs": now_ms,
        "decision": {
            "variantId": decision.variant_id,
            "reason": DecisionReason.Name(decision.reason),
            "enrolled": decision.enrolled,
            "randomized": decision.randomized,
            "enabled": decision.enabled,
            "propensity": decision.propensity,
            "entityId": decision.entity_id,
        },
    }


def contents() -> dict[str, str]:
    """Text of each file by name."""
    split = [f"{json.dumps(part)}: {_lines(cases)}" for part, cases in split_cases().items()]
    return {
        "hash.json": f"{_lines(hash_cases())}\n",
        "split.json": "{\n" + ",\n".join(split) + "\n}\n",
        "decide.json": f"{_lines(decide_cases())}\n",
        "override.json": f"{_lines(override_cases())}\n",
        "sticky.json": f"{_lines(sticky_cases())}\n",
    }


def _lines(cases: list[Any]) -> str:
    # One case per line: readable in a diff, and a tenth of what full indentation takes.
    return "[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]"


if __name__ == "__main__":
    for file_name, text in contents().items():
        (VECTORS / file_name).write_text(text, encoding="utf-8")
