"""docs/api.md: every service, method, message, field and enum, with the comments of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto

from docs.generate.descriptors import contract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor_pb2 import ServiceDescriptorProto

    from docs.generate.descriptors import Source

_HEAD = """\
# API

<!-- Made by `make docs` from the comments in proto/klero/v1. -->

The contract is package `klero.v1`; its files are in [`proto/klero/v1`](../proto/klero/v1).
Files and JSON spell fields in lowerCamelCase and enum values without prefix, in lower case: `ab_test`.
A failed call carries `google.rpc.ErrorInfo` with a reason of [ErrorReason](#errorreason).
"""
_PACKAGE = ".klero.v1."
# Field numbers of descriptor.proto, of which paths consist.
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
_METHOD = _VALUE = _FIELD = 2
_NESTED_MESSAGE, _NESTED_ENUM = 3, 4


def api_page() -> str:
    """The whole page."""
    sources = contract()
    lines = [_HEAD, *_contents(sources)]
    for source in sources:
        lines.append(f"## {source.file.name.removeprefix('klero/v1/')}\n")
        if source.comment:
            lines.append(f"{source.comment}\n")
        for index, service in enumerate(source.file.service):
            lines.extend(_service(source, service, (_SERVICE, index)))
        for index, message in enumerate(source.file.message_type):
            lines.extend(_message(source, message, (_MESSAGE, index), message.name))
        for index, enum in enumerate(source.file.enum_type):
            lines.extend(_enum(source, enum, (_ENUM, index), enum.name))
    return "\n".join(lines)


def _contents(sources: list[Source]) -> Iterator[str]:
    for source in sources:
        for service in source.file.service:
            methods = ", ".join(f"[{method.name}](#{_anchor(method.name)})" for method in service.method)
            yield f"- [{service.name}](#{_anchor(service.name)}): {methods}"
    for source in sources:
        if not source.file.service:
            names = [message.name for message in source.file.message_type]
            names += [enum.name for enum in source.file.enum_type]
            name = source.file.name.removeprefix("klero/v1/")
            yield f"- `{name}`: {', '.join(f'[{found}](#{_anchor(found)})' for found in names)}"
    yield ""


def _service(source: Source, service: ServiceDescriptorProto, path: tuple[int, ...]) -> Iterator[str]:
    yield f"### {service.name}\n"
    yield f"{source.comments.get(path, '')}\n"
    for index, method in enumerate(service.method):
        stream = "a stream of " if method.server_streaming else ""
        yield f"#### {method.name}\n"
        yield f"{_link(method.input_type)} → {stream}{_link(method.output_type)}\n"
        yield f"{source.comments.get((*path, _METHOD, index), '')}\n"


def _message(source: Source, message: DescriptorProto, path: tuple[int, ...], name: str) -> Iterator[str]:
    yield f"### {name}\n"
    yield f"{source.comments.get(path, '')}\n"
    if message.field:
        yield "| field | number | type | meaning |"
        yield "|---|---|---|---|"
    for index, field in enumerate(message.field):
        comment = source.comments.get((*path, _FIELD, index), "")
        chosen = ""
        if field.HasField("oneof_index") and not field.proto3_optional:
            chosen = f"One of `{message.oneof_decl[field.oneof_index].name}`. "
        yield f"| `{field.name}` | {field.number} | {_type(message, field)} | {chosen}{_cell(comment)} |"
    if message.field:
        yield ""
    for index, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from _message(source, nested, (*path, _NESTED_MESSAGE, index), f"{name}.{nested.name}")
    for index, enum in enumerate(message.enum_type):
        yield from _enum(source, enum, (*path, _NESTED_ENUM, index), f"{name}.{enum.name}")


def _enum(source: Source, enum: EnumDescriptorProto, path: tuple[int, ...], name: str) -> Iterator[str]:
    yield f"### {name}\n"
    yield f"{source.comments.get(path, '')}\n"
    yield "| value | number | meaning |"
    yield "|---|---|---|"
    for index, value in enumerate(enum.value):
        yield f"| `{value.name}` | {value.number} | {_cell(source.comments.get((*path, _VALUE, index), ''))} |"
    yield ""


def _type(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    for nested in message.nested_type:
        if nested.options.map_entry and field.type_name.endswith(f".{message.name}.{nested.name}"):
            key, value = nested.field
            return f"map of {_single(key)} to {_single(value)}"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {_single(field)}"
    return f"optional {_single(field)}" if field.proto3_optional else _single(field)


def _single(field: FieldDescriptorProto) -> str:
    if field.type_name:
        return _link(field.type_name)
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _link(type_name: str) -> str:
    """A type of the contract with its place on the page; one of others by its full name."""
    if not type_name.startswith(_PACKAGE):
        return f"`{type_name.removeprefix('.')}`"
    name = type_name.removeprefix(_PACKAGE)
    return f"[{name}](#{_anchor(name)})"


def _anchor(heading: str) -> str:
    return heading.lower().replace(".", "")


def _cell(comment: str) -> str:
    """A comment in one line of a table."""
    return " ".join(comment.split()).replace("|", "\\|")
