"""The table of faulty definitions, `faults.yaml`, and what is said about each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from google.protobuf import text_format

from klero import engine
from klero.definition import TextError, documents, from_mapping
from klero.definition.text import decoded
from klero.errors import InvalidFieldError
from klero.v1.experiment_pb2 import Experiment

if TYPE_CHECKING:
    from klero.definition import Place

TABLE = Path(__file__).with_name("faults.yaml")
# What a definition needs; a case that gives a field of these replaces its line.
BASE = {
    "id": "id: e",
    "type": "type: ab_test",
    "control": "control: {id: a}",
    "variants": "variants: [{id: b}]",
    "metrics": "metrics: [{name: success, type: conversion, goal: increase, primary: true}]",
}
_REPEAT = re.compile(r"REPEAT\(([^()]+), ([0-9]+)\)")


@dataclass(frozen=True, slots=True)
class Case:
    """A faulty definition."""

    add: str | None = None
    """Lines before those of `BASE`."""

    text: str | None = None
    """A whole YAML file."""

    json: str | None = None
    """A whole JSON file."""

    hex: str | None = None
    """Bytes of a file."""

    proto: str | None = None
    """A message in the text form of protobuf: what no file can say."""

    beyond_schema: bool = False
    """The JSON Schema cannot find it: it concerns several fields, bytes, or what this version serves."""

    says: tuple[str, ...] = ()
    """`line:column: field: description` of each fault, or the whole message where a text cannot be read."""

    def source(self) -> tuple[str, str]:
        """Text and file name; `REPEAT(x, 3)` is written out, with `#` as the number of each."""
        if self.hex is not None:
            return decoded(bytes.fromhex(self.hex), source_name="f.yaml"), "f.yaml"
        if self.json is not None:
            return _written_out(self.json), "f.json"
        if self.add is None:
            return _written_out(self.text or ""), "f.yaml"
        given = [line.partition(":")[0] for line in self.add.splitlines()]
        rest = [line for key, line in BASE.items() if key not in given]
        return _written_out("\n".join([self.add, *rest]) + "\n"), "f.yaml"

    def found(self) -> list[str]:
        """What is said about it, by the codec or else by the core."""
        if self.proto is not None:
            return _admitted(text_format.Parse(_written_out(self.proto), Experiment()))
        try:
            text, name = self.source()
            (document,) = documents(text, source_name=name)
        except TextError as error:
            return [each.description for each in error.violations]
        try:
            experiment = from_mapping(document.values)
            experiment.namespace = experiment.namespace or "default"
            said = engine.admit(experiment)[1]
            return [_placed(document.place(each.field), each.field, each.message) for each in said]
        except InvalidFieldError as error:
            return [_placed(document.place(each.field), each.field, each.description) for each in error.violations]


def cases() -> list[Case]:
    """The table."""
    table: list[dict[str, Any]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return [Case(**{**row, "says": tuple(row["says"])}) for row in table]


def _admitted(experiment: Experiment) -> list[str]:
    try:
        return [f"{each.field}: {each.message}" for each in engine.admit(experiment)[1]]
    except InvalidFieldError as error:
        return [f"{each.field}: {each.description}" for each in error.violations]


def _placed(place: Place, field: str, description: str) -> str:
    return f"{place.line}:{place.column}: {field}: {description}"


def _written_out(text: str) -> str:
    return _REPEAT.sub(lambda found: "".join(found[1].replace("#", str(n)) for n in range(int(found[2]))), text)
