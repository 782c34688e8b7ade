"""Writes the JSON Schema of definition files from the contract: `python -m tests.make_schema`.

Names, types and enum words come from the descriptors, descriptions and most bounds from the comments.
What comments cannot say in a regular way stands in the tables below; `tests/definition/test_schema.py`
holds them against the rules of the core.
"""

from __future__ import annotations

import itertools
import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FieldDescriptor
from grpc_tools import protoc

from klero.v1.experiment_pb2 import Experiment
from klero.words import enum_word, enum_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.protobuf.descriptor import Descriptor, EnumDescriptor

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "service" / "klero" / "definition" / "definition.schema.json"

REQUIRED = {
    "Experiment": ["id", "type", "control", "variants"],
    "Variant": ["id"],
    "Metric": ["name", "type"],
    "Guardrail": ["metric", "operator", "threshold", "action"],
    "TargetingRule": ["expression", "effect"],
    "Prerequisite": ["experimentId"],
    "CanaryStep": ["percentage"],
}
"""Fields without which a message is refused."""

NEEDED_WITH = {
    "Metric": [("primary", True, "goal"), ("type", "ratio", "denominatorEvent"), ("type", "quantile", "quantile")],
}
"""Of a message: a field, a value of it, and the field that is needed then."""

ONLY_WITH = {
    "Metric": [
        ("denominatorEvent", "type", ["ratio"]),
        ("quantile", "type", ["quantile"]),
        ("aggregation", "type", ["continuous", "quantile"]),
    ],
}
"""Of a message: a field, and the field and its values that it goes with."""

IGNORED = {"Experiment.etag"}
"""Fields that are no output and still mean nothing in a file: `apply` sends the etag that it read."""

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}
_DURATION = r"^([0-9]{1,18}(\.[0-9]{1,9})?(ms|us|ns|d|h|m|s))+$"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
_WELL_KNOWN: dict[str, dict[str, object]] = {
    "google.protobuf.Duration": {"type": "string", "pattern": _DURATION},
    "google.protobuf.Timestamp": {"type": "string", "pattern": _TIME},
    "google.protobuf.Struct": {"type": "object"},
}
_ID: dict[str, object] = {"pattern": "^[A-Za-z0-9._-]{1,128}$"}
_TEXT = {"maxLength": 65536}
_NAME = {"maxLength": 256}
BOUNDS: dict[str, Mapping[str, object]] = {
    "Experiment.namespace": _ID,
    "Experiment.entityType": _ID,
    "Experiment.name": _NAME,
    "Experiment.owner": _NAME,
    "Experiment.description": _TEXT,
    "Experiment.hypothesis": _TEXT,
    "Experiment.variants": {"maxItems": 99},
    "Experiment.metrics": {"maxItems": 100},
    "Variant.name": _NAME,
    "Variant.description": _TEXT,
    "Hashing.salt": {"pattern": "^[^/]{0,128}$"},
    "Metric.description": _TEXT,
    "Metric.unit": {"maxLength": 64},
}
"""Limits of the core that the contract leaves to it; characters here, bytes there."""

# What a comment says, and what that is in a schema.
_SINGLE: dict[str, dict[str, object]] = {
    r"1 to 128 of `A-Z a-z 0-9 \. _ -`|^As Experiment\.id": _ID,
    r"Above 0, below 1\b": {"exclusiveMinimum": 0, "exclusiveMaximum": 1},
    r"\b0 to 100\b": {"minimum": 0, "maximum": 100},
    r"\bat least 0\b": {"minimum": 0},
}


def schema_text() -> str:
    """The file's content."""
    comments = _comments()
    messages, enums = _reachable(Experiment.DESCRIPTOR)
    definitions = {of.name: _message(of, comments) for of in messages}
    definitions |= {of.name: _enum(of, comments) for of in enums}
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Definition of a Klero experiment",
        "allOf": [{"$ref": "#/definitions/Experiment"}],
        "definitions": definitions,
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _enum(of: EnumDescriptor, comments: dict[str, str]) -> dict[str, object]:
    lines = [f"- `{enum_word(of, value.number)}`: {comments[value.name]}" for value in of.values if value.number]
    return {"description": "\n".join([comments[of.full_name], *lines]), "enum": enum_words(of)}


def _message(of: Descriptor, comments: dict[str, str]) -> dict[str, object]:
    properties = {field.json_name: _property(field, comments[field.full_name]) for field in of.fields}
    found: dict[str, object] = {
        "description": comments[of.full_name],
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }
    if of.name in REQUIRED:
        found["required"] = REQUIRED[of.name]
    conditions: list[dict[str, object]] = [
        {"if": {"properties": {field: {"const": value}}, "required": [field]}, "then": {"required": [needed]}}
        for field, value, needed in NEEDED_WITH.get(of.name, [])
    ]
    conditions += [
        {"if": {"required": [field]}, "then": {"properties": {other: {"enum": values}}}}
        for field, other, values in ONLY_WITH.get(of.name, [])
    ]
    for group in of.oneofs:
        pairs = itertools.combinations([field.json_name for field in group.fields], 2)
        conditions += [{"not": {"required": list(pair)}} for pair in pairs]
    if conditions:
        found["allOf"] = conditions
    return found


def _property(field: FieldDescriptor, comment: str) -> dict[str, object]:
    path = f"{field.full_name.split('.')[-2]}.{field.json_name}"
    found: dict[str, object] = {"description": comment}
    if "Output only" in comment or path in IGNORED:
        found["readOnly"] = True
    most = re.search(r"at most ([0-9]+)\b", comment)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        value = field.message_type.fields_by_name["value"]
        found |= {"type": "object", "additionalProperties": _single(value)}
        if most:
            found["maxProperties"] = int(most[1])
    elif field.is_repeated:
        found |= {"type": "array", "items": _single(field)}
        if "at least one" in comment:
            found["minItems"] = 1
        if most:
            found["maxItems"] = int(most[1])
    else:
        found |= _single(field)
        for says, bound in _SINGLE.items():
            if re.search(says, comment):
                found |= bound
    found |= BOUNDS.get(path, {})
    if found.get("readOnly") and found.get("type") == "integer":
        # Digests are too large for numbers of JSON, and are shown as text.
        found["type"] = ["integer", "string"]
    return found


def _single(field: FieldDescriptor) -> dict[str, object]:
    of = field.message_type or field.enum_type
    if of is not None:
        return _WELL_KNOWN.get(of.full_name) or {"allOf": [{"$ref": f"#/definitions/{of.name}"}]}
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return {"type": "string"}
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return {"type": "boolean"}
    # Every whole number of a definition is a count.
    return {"type": "integer", "minimum": 0} if field.cpp_type in _INTEGERS else {"type": "number"}


def _reachable(root: Descriptor) -> tuple[list[Descriptor], list[EnumDescriptor]]:
    """Messages and enums that a file can hold, the outermost first."""
    messages, enums, waiting = dict[str, "Descriptor"](), dict[str, "EnumDescriptor"](), [root]
    while waiting:
        of = waiting.pop(0)
        if of.name in messages or of.full_name in _WELL_KNOWN:
            continue
        if not of.GetOptions().map_entry:
            messages[of.name] = of
        waiting.extend(field.message_type for field in of.fields if field.message_type is not None)
        enums |= {field.enum_type.name: field.enum_type for field in of.fields if field.enum_type is not None}
    return list(messages.values()), list(enums.values())


def _comments() -> dict[str, str]:
    """Leading comments by full name."""
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "contract.binpb"
        include = Path(protoc.__file__).parent / "_proto"
        arguments = ["", f"--proto_path={ROOT / 'proto'}", f"--proto_path={include}", "--include_source_info"]
        if protoc.main([*arguments, f"--descriptor_set_out={target}", "klero/v1/experiment.proto"]):
            message = "protoc failed"
            raise RuntimeError(message)
        file = descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file[0]
    return dict(_file_comments(file))


def _file_comments(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, str]]:
    texts = {tuple(each.path): " ".join(each.leading_comments.split()) for each in file.source_code_info.location}
    # Numbers of descriptor.proto: a file has messages in 4 and enums in 5, a message fields in 2, an enum values in 2.
    for index, message in enumerate(file.message_type):
        yield f"{file.package}.{message.name}", texts[4, index]
        for number, field in enumerate(message.field):
            yield f"{file.package}.{message.name}.{field.name}", texts[4, index, 2, number]
    for index, enum in enumerate(file.enum_type):
        yield f"{file.package}.{enum.name}", texts[5, index]
        for number, value in enumerate(enum.value):
            yield value.name, texts[5, index, 2, number]


if __name__ == "__main__":
    TARGET.write_text(schema_text(), encoding="utf-8")
