"""From the rows of a file to exposures and outcomes.

A row is an entity: it was exposed to the variant in one column, and other columns are its outcomes.
Rows go through Record like everything else; a bad cell is reported with its row and column, and
everything else is kept.
"""

from __future__ import annotations

import csv
import gzip
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO, cast

from klero.client.batches import Sender
from klero.errors import KleroError
from klero.v1.decision_pb2 import Exposure, Outcome
from klero.v1.decision_service_pb2 import RecordList, RecordRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from klero.client.remote import Remote
    from klero.v1.decision_service_pb2 import RejectedItem
    from klero.v1.experiment_pb2 import Experiment

# Of the 10,000 items that one Record takes; smaller batches keep several on their way.
_BATCH_ITEMS = 4000
_PROBLEMS_KEPT = 100
# The csv module's own bound for a cell is 128 KiB; no id or number is that long.
_SHOWN = 60


class ImportFileError(KleroError):
    """The file cannot be imported as it is."""

    message = "{path}: {why}"


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What is read from which column."""

    experiment: Experiment
    path: Path
    """CSV with a header, `.gz` or not."""

    entity_column: str | None
    """None: rows are numbered from 1."""

    variant_column: str
    variants: dict[str, str]
    """From the values of that column to variant ids."""

    events: dict[str, str]
    """From events to the columns with their values; an empty cell is no outcome."""


@dataclass(slots=True)
class ImportReport:
    """What became of the rows."""

    rows: int = 0
    accepted: int = 0
    """Exposures and outcomes stored."""

    rejected: int = 0
    """Cells and items that were left out."""

    problems: list[str] = field(default_factory=list)
    """The first of them, in words."""

    position: int = 0
    """Journal position behind the last row."""

    elapsed_s: float = 0.0

    def reject(self, problem: str) -> None:
        """Count something that was left out."""
        self.rejected += 1
        if len(self.problems) < _PROBLEMS_KEPT:
            self.problems.append(problem)


def import_file(remote: Remote, plan: ImportPlan, *, progress: Callable[[int], None]) -> ImportReport:
    """Send every row of the file; `progress` gets the number of rows read so far.

    Raises:
        ImportFileError: The file cannot be read, or lacks a column.
        WireError: The server refused a batch whole.
    """
    started = time.monotonic()
    report = ImportReport()
    # By label: the rows of a batch's exposures and of its outcomes, to name what the server refuses.
    rows_of: dict[int, tuple[list[int], list[int]]] = {}
    with Sender(remote) as sender:
        for label, (request, rows) in enumerate(_batches(plan, report)):
            rows_of[label] = rows
            sender.send(request, label=label)
            progress(report.rows)
    recorded = sender.recorded
    report.accepted, report.position = recorded.accepted, recorded.position
    for label, item in recorded.refusals:
        report.problems.append(_refused(item, rows_of[label]))
    report.rejected += recorded.rejected
    report.elapsed_s = time.monotonic() - started
    return report


def count_rows(path: Path) -> int:
    """Lines behind the header, roughly the rows: for a progress bar.

    Raises:
        ImportFileError: The file cannot be read.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as lines:
            return max(0, sum(1 for _ in lines) - 1)
    except (OSError, EOFError) as error:
        raise ImportFileError(path=path, why=f"cannot be read: {error}") from error


def _batches(plan: ImportPlan, report: ImportReport) -> Iterator[tuple[RecordRequest, tuple[list[int], list[int]]]]:
    request, exposed, measured = RecordRequest(namespace=plan.experiment.namespace), list[int](), list[int]()
    with _open(plan.path) as lines:
        rows = _rows(plan.path, csv.reader(lines))
        header = next(rows, [])
        entity = None if plan.entity_column is None else _column(plan, header, plan.entity_column)
        variant = _column(plan, header, plan.variant_column)
        events = [(event, column, _column(plan, header, column)) for event, column in plan.events.items()]
        for number, row in enumerate(rows, start=1):
            report.rows = number
            if len(row) != len(header):
                report.reject(f"row {number}: {len(row)} cells, the header has {len(header)}")
                continue
            arm = plan.variants.get(row[variant])
            if arm is None:
                known = ", ".join(f"`{value}`" for value in plan.variants)
                found = row[variant][:_SHOWN]
                report.reject(f"row {number}, column {plan.variant_column}: `{found}` is no variant, only {known} are")
                continue
            entity_id = str(number) if entity is None else row[entity]
            request.exposures.append(Exposure(experiment_id=plan.experiment.id, entity_id=entity_id, variant_id=arm))
            exposed.append(number)
            for event, column, index in events:
                value = _number(row[index])
                if value is None:
                    continue
                if not math.isfinite(value):
                    report.reject(f"row {number}, column {column}: `{row[index][:_SHOWN]}` is no finite number")
                    continue
                request.outcomes.append(Outcome(entity_id=entity_id, event=event, value=value))
                measured.append(number)
            if len(exposed) + len(measured) >= _BATCH_ITEMS:
                yield request, (exposed, measured)
                request, exposed, measured = RecordRequest(namespace=plan.experiment.namespace), [], []
    if exposed:
        yield request, (exposed, measured)


def _open(path: Path) -> TextIO:
    try:
        if path.suffix == ".gz":
            return cast("TextIO", gzip.open(path, "rt", encoding="utf-8", newline=""))
        return path.open(encoding="utf-8", newline="")
    except OSError as error:
        raise ImportFileError(path=path, why=error.strerror or "cannot be read") from error


def _rows(path: Path, reader: Iterable[list[str]]) -> Iterator[list[str]]:
    """Rows that have cells; what cannot be read is named."""
    try:
        yield from filter(None, reader)
    except (csv.Error, UnicodeDecodeError, OSError, EOFError) as error:
        raise ImportFileError(path=path, why=f"cannot be read: {error}") from error


def _column(plan: ImportPlan, header: list[str], name: str) -> int:
    if name not in header:
        raise ImportFileError(path=plan.path, why=f"no column `{name}`, only {', '.join(header) or 'an empty file'}")
    return header.index(name)


def _number(cell: str) -> float | None:
    """The value of a cell; None if it is empty, NaN if it is no number."""
    if not cell.strip():
        return None
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _refused(item: RejectedItem, rows: tuple[list[int], list[int]]) -> str:
    exposed, measured = rows
    of_list = exposed if item.list == RecordList.RECORD_LIST_EXPOSURES else measured
    return f"row {of_list[item.index]}: {item.message}"
