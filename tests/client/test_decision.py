"""`Decision`: the contract's answer in words of Python."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from klero.client.decision import Decision, reason_number, reason_word
from klero.client.values import plain
from klero.v1 import decision_pb2

REASONS = list(decision_pb2.DESCRIPTOR.enum_types_by_name["DecisionReason"].values)


@pytest.mark.parametrize("value", REASONS, ids=lambda value: value.name)
def test_every_reason_has_a_word(value: object) -> None:
    """Programs compare words; exposures carry the number back."""
    name, number = getattr(value, "name", ""), getattr(value, "number", -1)
    word = reason_word(number)

    assert name == f"DECISION_REASON_{word.upper()}"
    assert number == reason_number(word)


def test_a_reason_of_a_later_version_is_its_number() -> None:
    """An older client must not break."""
    assert "999" == reason_word(999)


def test_reasons_made_here_are_none_of_the_servers() -> None:
    """A default must not be taken for a decision, save that an unknown experiment is one in both."""
    words = {reason_word(value.number) for value in REASONS}
    assert not {"server_unavailable", "refused", "external"} & words
    assert 0 == reason_number("external")


@pytest.mark.parametrize(
    ("reason", "randomized", "counts"),
    [("split", True, True), ("holdout", False, True), ("rule", False, False), ("not_found", False, False)],
)
def test_what_counts_as_exposure(reason: str, randomized: bool, counts: bool) -> None:  # noqa: FBT001  # a table
    """The contract asks for these and accepts the others without counting them."""
    assert counts == Decision("e", "a", "v", reason, randomized=randomized).counts_as_exposure


def test_a_decision_cannot_be_changed() -> None:
    """It is shared by whoever is handed it."""
    decision = Decision("e", "a", "v", "split", {"x": 1})

    with pytest.raises(dataclasses.FrozenInstanceError):
        decision.variant_id = "w"  # type: ignore[misc]  # what is tested
    assert hash(decision) == hash(Decision("e", "a", "v", "split", {"x": 2}))


def test_configs_come_back_as_they_were_written() -> None:
    """A Struct has doubles only; a config of 3 tokens must not become 3.0."""
    written: dict[str, Any] = {
        "big": 2**53,
        "float": 0.1,
        "huge": 1e300,
        "list": [1, 2.5, "x", None, True, {"deep": -7}],
        "negative": -3,
        "none": None,
        "zero": 0,
    }
    struct = Struct()
    struct.update(written)
    read = plain(struct)

    assert written == read
    assert list(written) == list(read)
    assert [int, float, float, int] == [type(read[key]) for key in ("big", "float", "huge", "negative")]
    assert [int, float] == [type(item) for item in read["list"][:2]]
    assert isinstance(read["list"][5]["deep"], int)
