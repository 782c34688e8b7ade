"""From a journal to rows: everything that was recorded, without repeats and forgotten entities.

The journal is read more than once: what it says to forget stands behind the rows it concerns, and so
may the exposure of an entity whose outcomes came early.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_type_hints

from klero.catalog.sqlite import read_secret
from klero.cli.local import open_journal
from klero.cli.row_files import RowFile, RowFileError
from klero.data_directory import DataDirectory
from klero.engine import Exporter, ExposureRow, OutcomeRow, forgotten
from klero.errors import KleroError
from klero.journal.checking import checked
from klero.journal.lost import Lost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from klero.engine import Forgotten
    from klero.journal.frames import StoredFrame
    from klero.journal.sqlite import SqliteJournal

_OF_FRAME: dict[str, type] = {"position": int, "journal_time_ms": int}
EXPOSURE_COLUMNS = _OF_FRAME | get_type_hints(ExposureRow)
OUTCOME_COLUMNS = _OF_FRAME | get_type_hints(OutcomeRow)


class ExportError(KleroError):
    """The journal cannot be exported."""

    message = "journal frame {position} cannot be exported: {why}"


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What is written where."""

    data_dir: Path
    """Of a server, running or not."""

    output: Path
    """Directory of the files; made if it is missing."""

    file_format: str
    """`csv` or `parquet`."""

    namespace: str
    """Only this one. Empty: all."""

    experiment_id: str
    """Only its exposures, and the outcomes of entities in it. Empty: all."""


@dataclass(slots=True)
class ExportReport:
    """What was written."""

    position: int = 0
    """Journal position up to which."""

    exposures: int = 0
    outcomes: int = 0
    files: list[Path] = field(default_factory=list)


@dataclass(slots=True)
class _Entities:
    """Entities of one experiment, by namespace and entity type."""

    ids: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    def add(self, row: ExposureRow) -> None:
        self.ids.setdefault((row.namespace, row.entity_type), set()).add(row.entity_id)

    def have(self, row: OutcomeRow) -> bool:
        """Whether the outcome is of one of them, as the join in the server has it."""
        named = json.loads(row.entities) if row.entities else {}
        return any(
            namespace == row.namespace and named.get(entity_type, row.entity_id) in ids
            for (namespace, entity_type), ids in self.ids.items()
        )


def export(plan: ExportPlan, *, progress: Callable[[int, int], None]) -> ExportReport:
    """Write the rows of a journal up to its present end.

    Args:
        plan: What is written where.
        progress: Gets the frames read so far, and those to read in all passes.

    Raises:
        ExportError: A frame is damaged, missing, or of an unknown format.
        RowFileError: A file cannot be written.
    """
    secret = read_secret(DataDirectory(plan.data_dir).catalog)
    with open_journal(plan.data_dir) as journal:
        passes = _Passes(journal, count=3 if plan.experiment_id else 2, progress=progress)
        gone = [found for frame in passes.frames() for found in _forgotten(frame)]
        entities = _Entities() if plan.experiment_id else None
        if entities is not None:
            for _, exposures, _ in passes.rows(secret, gone):
                for row in exposures:
                    if _is_of(plan, row):
                        entities.add(row)
        report = _write(plan, passes.rows(secret, gone), entities)
        report.position = passes.end or 0
        return report


def _write(
    plan: ExportPlan,
    found: Iterator[tuple[StoredFrame, list[ExposureRow], list[OutcomeRow]]],
    entities: _Entities | None,
) -> ExportReport:
    try:
        plan.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RowFileError(path=plan.output, why=error.strerror or str(error)) from error
    files = [plan.output / f"{name}.{plan.file_format}" for name in ("exposures", "outcomes")]
    with (
        RowFile(files[0], EXPOSURE_COLUMNS, file_format=plan.file_format) as exposure_file,
        RowFile(files[1], OUTCOME_COLUMNS, file_format=plan.file_format) as outcome_file,
    ):
        for frame, exposures, outcomes in found:
            of_frame = (frame.position, frame.time_ms)
            exposure_file.write([(*of_frame, *row) for row in exposures if _is_of(plan, row)])
            outcome_file.write(
                [
                    (*of_frame, *row)
                    for row in outcomes
                    if row.namespace == (plan.namespace or row.namespace) and (entities is None or entities.have(row))
                ]
            )
    return ExportReport(exposures=exposure_file.rows, outcomes=outcome_file.rows, files=files)


def _is_of(plan: ExportPlan, row: ExposureRow) -> bool:
    return row.namespace == (plan.namespace or row.namespace) and row.experiment_id == (
        plan.experiment_id or row.experiment_id
    )


def _forgotten(frame: StoredFrame) -> list[Forgotten]:
    try:
        return forgotten(frame.position, frame.body)
    except ValueError as error:
        raise ExportError(position=frame.position, why=error) from error


class _Passes:
    """Reads the frames as often as asked; where the first pass ended, so do the others."""

    def __init__(self, journal: SqliteJournal, *, count: int, progress: Callable[[int, int], None]) -> None:
        self._journal = journal
        self._total = journal.end() * count
        self._progress = progress
        self._read = 0
        self.end: int | None = None

    def frames(self) -> Iterator[StoredFrame]:
        """Whole frames; anything else is an error."""
        last = 0
        for found in checked(self._journal.frames(until=self.end), accepted=self._journal.accepted()):
            if isinstance(found, Lost):
                raise ExportError(position=found, why=f"{found.why}; `klero journal check` shows all that is lost")
            yield found
            last = found.position
            self._read += 1
            self._progress(self._read, self._total)
        self.end = last

    def rows(
        self, secret: bytes, gone: list[Forgotten]
    ) -> Iterator[tuple[StoredFrame, list[ExposureRow], list[OutcomeRow]]]:
        """Every frame with its rows."""
        exporter = Exporter(secret=secret, forgotten=gone)
        for frame in self.frames():
            try:
                exposures, outcomes = exporter.apply(position=frame.position, crc=frame.crc, body=frame.body)
            except ValueError as error:
                raise ExportError(position=frame.position, why=error) from error
            yield frame, exposures, outcomes
