"""Errors and the contract's list of reasons agree, in Python and in Rust."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from pathlib import Path

import pytest
from google.rpc import code_pb2

from klero import errors
from klero.errors import (
    AlreadyExistsError,
    AssignedExternallyError,
    CatalogContendedError,
    CatalogUnavailableError,
    EncodedError,
    EtagMismatchError,
    ExperimentNotFoundError,
    FieldImmutableError,
    FieldViolation,
    IllegalTransitionError,
    InternalError,
    InvalidFieldError,
    IterationNotFoundError,
    JournalUnavailableError,
    KleroError,
    MetricNotFoundError,
    OverrideNotFoundError,
    RequestIdReusedError,
    ResultsBehindError,
    ShuttingDownError,
    StartupError,
    UnimplementedError,
    VariantNotFoundError,
    WireError,
)
from klero.v1.error_reason_pb2 import ErrorReason

ROOT = Path(__file__).parents[1]
# They carry a reason that somebody else gave, or never leave the process.
WITHOUT_REASON = {KleroError, EncodedError, WireError, StartupError}

EXAMPLES = [
    InvalidFieldError((FieldViolation("a", "bad"), FieldViolation("", "worse"))),
    ExperimentNotFoundError(namespace="n", experiment_id="e", did_you_mean="f"),
    VariantNotFoundError(namespace="n", experiment_id="e", variant_id="v"),
    MetricNotFoundError(namespace="n", experiment_id="e", metric="m"),
    IterationNotFoundError(namespace="n", experiment_id="e", iteration=7),
    OverrideNotFoundError(namespace="n", experiment_id="e", entity_id="u"),
    AlreadyExistsError(namespace="n", resource_type="experiment", id="e"),
    EtagMismatchError(namespace="n", resource_type="experiment", id="e", expected="1", found="2"),
    CatalogContendedError(attempts=5),
    RequestIdReusedError(request_id="r"),
    FieldImmutableError(namespace="n", id="e", status="running", fields=["type", "variants"]),
    IllegalTransitionError(namespace="n", experiment_id="e", status="draft", method="Stop", allowed="running"),
    AssignedExternallyError(namespace="n", experiment_id="e"),
    UnimplementedError(method="m"),
    JournalUnavailableError(),
    CatalogUnavailableError(),
    ResultsBehindError(min_position=2, as_of=1),
    ShuttingDownError(),
    InternalError(log_id="l"),
]


class Documented:
    """What the comment of a reason in the contract says."""

    def __init__(self, comment: str) -> None:
        """Read the comment, on one line."""
        code, _, _ = comment.partition(":")
        self.code = getattr(code_pb2, code.split(",")[0], None)
        """None for items of a batch."""
        self.retry = "RetryInfo" in code
        """Whether it says when to repeat."""
        _, _, keys = comment.partition("Metadata:")
        # What stands in brackets explains the key before it, and a sentence may follow.
        self.metadata = set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", keys.split(". ")[0])))
        """Keys of the metadata."""


def documented() -> dict[str, Documented]:
    """Comments of the contract by name of the reason, without prefix."""
    text = (ROOT / "proto/klero/v1/error_reason.proto").read_text(encoding="utf-8")
    found = re.findall(r"((?:^ *//.*\n)+) *ERROR_REASON_(\w+) = \d+;", text, re.MULTILINE)
    return {name: Documented(" ".join(re.sub(r"^ *// ?", "", c, flags=re.MULTILINE).split())) for c, name in found}


def of_rust() -> dict[str, tuple[str, set[str]]]:
    """Code and metadata keys by reason, from the table of the core."""
    text = (ROOT / "rust_core/src/status.rs").read_text(encoding="utf-8")
    table = text.partition("fn row(")[2].partition("\n}")[0]
    found: dict[str, tuple[str, set[str]]] = {}
    for arm in re.split(r"\n        Error::", table)[1:]:
        match = re.search(r"Code::(\w+),\s*ErrorReason::(\w+)", arm)
        assert match, arm
        found.setdefault(_upper(match[2]), (_upper(match[1]), set(re.findall(r'\("(\w+)"', arm))))
        found[_upper(match[2])][1].update(re.findall(r'\("(\w+)"', arm))
    return found


def _upper(camel: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", camel).upper()


CONTRACT = documented()
RUST = of_rust()
CLASSES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, KleroError) and cls not in WITHOUT_REASON
]


def reason_of(error: KleroError | type[KleroError]) -> str:
    """Name of the reason, without prefix."""
    return ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")


def test_the_contract_is_read() -> None:
    """A comment in another form would make the tests below compare nothing."""
    assert CONTRACT.keys() == {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118  # no dict
    assert {"namespace", "experiment_id", "did_you_mean"} == CONTRACT["EXPERIMENT_NOT_FOUND"].metadata
    assert {"fields"} == CONTRACT["INVALID_FIELD"].metadata
    assert set() == CONTRACT["TOKEN_MISSING"].metadata
    assert len(RUST) >= 10


def test_every_class_has_an_example() -> None:
    """A new class must not escape the tests below."""
    assert set(CLASSES) == {type(example) for example in EXAMPLES}


def test_reasons_are_those_of_one_class() -> None:
    """Callers branch on the reason: two classes with one could not be told apart."""
    assert [] == [reason for reason, count in Counter(map(reason_of, CLASSES)).items() if count > 1]


@pytest.mark.parametrize("error", EXAMPLES, ids=reason_of)
def test_an_error_is_what_the_contract_says(error: KleroError) -> None:
    """Programs rely on code, metadata and whether to repeat, as documented beside the reason."""
    expected = CONTRACT[reason_of(error)]

    assert expected.code == error.code
    assert expected.metadata == error.metadata.keys()
    assert expected.retry == (error.retry_after_s is not None)
    assert "{" not in str(error)


@pytest.mark.parametrize("reason", RUST)
def test_the_core_refuses_as_the_contract_says(reason: str) -> None:
    """The same reason must mean the same whether the core or the server gives it."""
    code, keys = RUST[reason]

    assert CONTRACT[reason].code == getattr(code_pb2, code)
    assert CONTRACT[reason].metadata == keys
    for cls in CLASSES:
        assert reason_of(cls) != reason or getattr(code_pb2, code) == cls.code


def test_empty_values_are_left_out_of_the_metadata() -> None:
    """A key with nothing behind it would look like a value that is the empty text."""
    plain = ExperimentNotFoundError(namespace="n", experiment_id="e")

    assert {"namespace": "n", "experiment_id": "e"} == plain.metadata
    assert "did you mean" not in str(plain)


def test_every_bad_field_is_in_the_message() -> None:
    """People see the message only."""
    error = EXAMPLES[0]

    assert "2 fields invalid: a: bad; worse" == str(error)
    assert 2 == len(error.violations)
    assert () == ShuttingDownError().violations
