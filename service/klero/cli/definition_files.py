"""Definition files and folders: which there are, what they hold, and everything that is wrong with them."""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from klero.cli.common import plural
from klero.definition import Document, Place, TextError, documents, from_mapping
from klero.definition.text import MAX_BYTES, decoded, too_long
from klero.errors import InvalidFieldError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from klero.errors import FieldViolation
    from klero.v1.experiment_pb2 import Experiment

SUFFIXES = (".yaml", ".yml", ".json")
"""Of the files that are read in folders."""

STANDARD_INPUT = Path("-")
_FAULTS_SHOWN = 100
# The server's name for what names none.
_DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong in a file."""

    source_name: str
    place: Place | None
    field: str
    """JSON path. Empty: the file or the whole definition."""

    description: str

    def __str__(self) -> str:
        """One line, in the form that editors and terminals turn into a link."""
        where = f":{self.place.line}:{self.place.column}" if self.place else ""
        field = f"{self.field}: " if self.field else ""
        return f"{self.source_name}{where}: {field}{self.description}"


@dataclass(frozen=True, slots=True)
class Found:
    """A definition and where it stands."""

    experiment: Experiment
    document: Document

    def fault(self, description: str, field: str = "") -> Fault:
        """Something that is wrong with it."""
        return Fault(self.document.source_name, self.document.place(field), field, description)


def read_definitions(paths: Iterable[Path], *, namespace: str) -> tuple[list[Found], list[Fault]]:
    """Every definition of files and folders, and every fault in them.

    Args:
        paths: Files, folders, or `-` for standard input.
        namespace: Of definitions that name none.
    """
    found: list[Found] = []
    faults: list[Fault] = []
    for path in dict.fromkeys(_files(paths, faults)):
        try:
            read = documents(_text(path), source_name=str(path))
        except TextError as error:
            faults.append(Fault(error.source_name, error.place, "", error.problem))
            continue
        for document in read:
            try:
                experiment = from_mapping(document.values)
            except InvalidFieldError as error:
                faults.extend(_in_document(document, error.violations))
                continue
            experiment.namespace = experiment.namespace or namespace
            found.append(Found(experiment, document))
    faults.extend(_repeated(found))
    return found, faults


def _files(paths: Iterable[Path], faults: list[Fault]) -> Iterator[Path]:
    for path in paths:
        if path == STANDARD_INPUT or not path.is_dir():
            yield path
            continue
        inside = sorted(_below(path, faults))
        if not inside:
            described = f"no definition files in this folder, their names end in {', '.join(SUFFIXES)}"
            faults.append(Fault(str(path), None, "", described))
        yield from inside


def _below(folder: Path, faults: list[Fault]) -> Iterator[Path]:
    """Definition files in a folder and those in it; hidden ones belong to other programs."""

    def unreadable(error: OSError) -> None:
        faults.append(Fault(str(error.filename), None, "", f"cannot be read: {error.strerror}"))

    for directory, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(directory) / name for name in names if name.endswith(SUFFIXES) and not name.startswith("."))


def _text(path: Path) -> str:
    if path == STANDARD_INPUT:
        return decoded(sys.stdin.buffer.read(MAX_BYTES + 1), source_name="standard input")
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise TextError(str(path), "neither a file nor a folder")
        if about.st_size > MAX_BYTES:
            raise too_long(str(path), about.st_size)
        return decoded(path.read_bytes(), source_name=str(path))
    except FileNotFoundError as error:
        raise TextError(str(path), "no such file or folder") from error
    except OSError as error:
        raise TextError(str(path), f"cannot be read: {error.strerror or error}") from error


def _in_document(document: Document, violations: Iterable[FieldViolation]) -> Iterator[Fault]:
    for violation in violations:
        place = document.place(violation.field)
        yield Fault(document.source_name, place, violation.field, violation.description)


def _repeated(found: Iterable[Found]) -> Iterator[Fault]:
    first: dict[tuple[str, str], Found] = {}
    for each in found:
        key = each.experiment.namespace or _DEFAULT_NAMESPACE, each.experiment.id
        if each.experiment.id and key in first:
            other = first[key].document
            place = f"{other.source_name}:{other.start.line}"
            yield each.fault(f"`{each.experiment.id}` is defined in {place} too", "id")
        first.setdefault(key, each)


def print_faults(found: Sequence[Fault], outcome: str, *, as_json: bool) -> None:
    """Print faults in the order of files and lines; `outcome` says what became of the command."""
    faults = sorted(found, key=_in_file_order)
    count = plural(len(faults), "fault")
    if not as_json:
        click.echo(f"error: {count}, {outcome}", err=True)
        for fault in faults[:_FAULTS_SHOWN]:
            click.echo(f"  {fault}", err=True)
        if len(faults) > _FAULTS_SHOWN:
            click.echo(f"  ... and {len(faults) - _FAULTS_SHOWN:,} more", err=True)
        return
    violations = [
        {
            "file": fault.source_name,
            "line": fault.place.line if fault.place else None,
            "column": fault.place.column if fault.place else None,
            "field": fault.field,
            "description": fault.description,
        }
        for fault in faults
    ]
    error = {"reason": "ERROR_REASON_INVALID_FIELD", "message": f"{count}, {outcome}"}
    click.echo(json.dumps({"error": {**error, "violations": violations}}, ensure_ascii=False), err=True)


def _in_file_order(fault: Fault) -> tuple[str, int, int]:
    return fault.source_name, fault.place.line if fault.place else 0, fault.place.column if fault.place else 0
