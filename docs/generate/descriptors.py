"""The contract as descriptors with their comments."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

ROOT = Path(__file__).parents[2]
_CONTRACT = "klero/v1"
# Field numbers of descriptor.proto, of which paths consist.
_SYNTAX = (12,)


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the contract."""

    file: FileDescriptorProto
    comments: dict[tuple[int, ...], str]
    """By path, as in `SourceCodeInfo.Location`; without `//`, lines as written."""

    @property
    def comment(self) -> str:
        """Of the file itself. Empty: none."""
        return self.comments.get(_SYNTAX, "")


def contract() -> list[Source]:
    """Every file of the contract, services first, then by name.

    Raises:
        RuntimeError: A file cannot be compiled.
    """
    root = ROOT / "proto"
    names = sorted(str(path.relative_to(root)) for path in (root / _CONTRACT).glob("*.proto"))
    with tempfile.TemporaryDirectory() as directory, as_file(files("grpc_tools") / "_proto") as included:
        output = Path(directory) / "contract"
        options = [f"--proto_path={root}", f"--proto_path={included}", f"--descriptor_set_out={output}"]
        if protoc.main(["protoc", *options, "--include_source_info", *names]):
            message = "the contract cannot be compiled"
            raise RuntimeError(message)
        found = FileDescriptorSet.FromString(output.read_bytes())
    sources = [Source(file, _comments(file)) for file in found.file]
    return sorted(sources, key=lambda source: (not source.file.service, source.file.name))


def _comments(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    return {
        tuple(location.path): "\n".join(line.removeprefix(" ") for line in location.leading_comments.splitlines())
        for location in file.source_code_info.location
        if location.leading_comments
    }
