"""From the rows of a file to exposures and outcomes.

A row is an entity: it was exposed to the variant in one column, and other columns are its outcomes.
Rows go through Record like everything else; a bad cell is reported with its line and column, and
everything else is kept. An outcome is known by its row, so the same file twice counts once.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from klero.cli.import_cells import as_number, as_text, as_time_ns, shown
from klero.cli.import_rows import rows
from klero.client.batches import Sender
from klero.v1.decision_pb2 import Exposure, Outcome
from klero.v1.decision_service_pb2 import RecordList, RecordRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from klero.client.remote import Remote
    from klero.v1.decision_service_pb2 import RejectedItem
    from klero.v1.experiment_pb2 import Experiment

# Of the 10,000 items that one Record takes; smaller batches keep several on their way.
_BATCH_ITEMS = 4000
_PROBLEMS_KEPT = 100
# Rows between two reports of progress of a dry run.
_STRIDE = 4096


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What is read from which column."""

    experiment: Experiment
    path: Path
    """CSV with a header, `.gz` or not, or Parquet."""

    entity_column: str | None
    """None: rows are numbered from 1."""

    variant_column: str
    variants: dict[str, str]
    """From the values of that column to variant ids."""

    events: dict[str, str]
    """From events to the columns with their values; an empty cell is no outcome."""

    time_column: str | None = None
    """When the entity was exposed and its outcomes happened. None: now."""

    encoding: str = "utf-8"


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


@dataclass(slots=True)
class Survey:
    """What an import would send."""

    report: ImportReport = field(default_factory=ImportReport)
    entities: int = 0
    of_variant: Counter[str] = field(default_factory=Counter)
    """Entities by the variant of their first row."""

    of_event: Counter[str] = field(default_factory=Counter)
    """Outcomes by event."""

    several_variants: int = 0
    """Entities with rows of more than one variant; the first one counts."""


class _Row(NamedTuple):
    line: int
    exposure: Exposure
    outcomes: list[Outcome]


@dataclass(slots=True)
class _Batch:
    request: RecordRequest
    exposed: list[int] = field(default_factory=list)
    """Lines of the exposures."""

    measured: list[int] = field(default_factory=list)
    """Lines of the outcomes."""

    def line(self, item: RejectedItem) -> int:
        """The line of what the server refused."""
        of_list = self.exposed if item.list == RecordList.RECORD_LIST_EXPOSURES else self.measured
        return of_list[item.index]


def import_file(remote: Remote, plan: ImportPlan, *, report: ImportReport, progress: Callable[[int], None]) -> None:
    """Send every row of the file and fill `report`; `progress` gets the number of rows read so far.

    Raises:
        ImportFileError: The file cannot be read, or lacks a column.
        WireError: The server refused a batch whole.
    """
    started = time.monotonic()
    sent: dict[int, _Batch] = {}
    with Sender(remote) as sender:
        for label, batch in enumerate(_batches(plan, report)):
            sent[label] = batch
            sender.send(batch.request, label=label)
            # Its lines are still needed, its items are on their way.
            batch.request = RecordRequest()
            progress(report.rows)
    recorded = sender.recorded
    report.accepted, report.position = recorded.accepted, recorded.position
    report.problems.extend(f"{plan.path}:{sent[label].line(item)}: {item.message}" for label, item in recorded.refusals)
    report.rejected += recorded.rejected
    report.elapsed_s = time.monotonic() - started


def survey(plan: ImportPlan, *, progress: Callable[[int], None]) -> Survey:
    """Read the whole file and send nothing.

    Raises:
        ImportFileError: The file cannot be read, or lacks a column.
    """
    found = Survey()
    first: dict[str, str] = {}
    several: set[str] = set()
    for row in _rows(plan, found.report):
        entity, variant = row.exposure.entity_id, row.exposure.variant_id
        if first.setdefault(entity, variant) != variant:
            several.add(entity)
        found.of_event.update(outcome.event for outcome in row.outcomes)
        if found.report.rows % _STRIDE == 0:
            progress(found.report.rows)
    found.entities, found.several_variants = len(first), len(several)
    found.of_variant.update(first.values())
    return found


def _batches(plan: ImportPlan, report: ImportReport) -> Iterator[_Batch]:
    namespace = plan.experiment.namespace
    batch = _Batch(RecordRequest(namespace=namespace))
    for row in _rows(plan, report):
        batch.request.exposures.append(row.exposure)
        batch.exposed.append(row.line)
        batch.request.outcomes.extend(row.outcomes)
        batch.measured.extend([row.line] * len(row.outcomes))
        if len(batch.exposed) + len(batch.measured) >= _BATCH_ITEMS:
            yield batch
            batch = _Batch(RecordRequest(namespace=namespace))
    if batch.exposed:
        yield batch


def _rows(plan: ImportPlan, report: ImportReport) -> Iterator[_Row]:
    """Rows that can be sent; what is wrong with the others and with single cells goes into `report`."""
    # Of each event: its name, its column, and what the identities of its outcomes begin with.
    events = [(event, column, _identity(plan.experiment, event)) for event, column in plan.events.items()]
    before = [plan.variant_column]
    before += [column for column in (plan.entity_column, plan.time_column) if column is not None]
    columns = before + [column for _, column, _ in events]
    known = ", ".join(f"`{value}`" for value in plan.variants)
    for number, (line, cells) in enumerate(rows(plan.path, columns, encoding=plan.encoding), start=1):
        report.rows = number
        place = f"{plan.path}:{line}"
        if isinstance(cells, str):
            report.reject(f"{place}: {cells}")
            continue
        variant = plan.variants.get(as_text(cells[0]))
        if variant is None:
            report.reject(f"{place}: column `{plan.variant_column}`: {shown(cells[0])} is no variant, only {known} are")
            continue
        entity = str(number) if plan.entity_column is None else as_text(cells[1])
        exposure = Exposure(experiment_id=plan.experiment.id, entity_id=entity, variant_id=variant)
        if plan.time_column is not None:
            try:
                exposure.occurred_at.CopyFrom(_timestamp(cells[len(before) - 1]))
            except ValueError as error:
                report.reject(f"{place}: column `{plan.time_column}`: {error}")
                continue
        outcomes = []
        for (event, column, identity), cell in zip(events, cells[len(before) :], strict=True):
            try:
                value = as_number(cell)
            except ValueError as error:
                report.reject(f"{place}: column `{column}`: {error}")
                continue
            if value is None:
                continue
            outcome = Outcome(entity_id=entity, event=event, value=value, event_id=f"{identity}-{number}-{value!r}")
            if plan.time_column is not None:
                outcome.occurred_at.CopyFrom(exposure.occurred_at)
            outcomes.append(outcome)
        yield _Row(line, exposure, outcomes)


def _identity(experiment: Experiment, event: str) -> str:
    """Whoever imports a file again means the same outcomes, except in another iteration."""
    told = f"{experiment.id}\n{experiment.iteration}\n{event}"
    return hashlib.blake2b(told.encode(), digest_size=12).hexdigest()


def _timestamp(cell: object) -> Timestamp:
    seconds, nanos = divmod(as_time_ns(cell), 1_000_000_000)
    return Timestamp(seconds=seconds, nanos=nanos)
