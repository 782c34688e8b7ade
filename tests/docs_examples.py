"""Reads the worked examples of a page and computes what comes of them.

An example begins with `<!-- example: NAME -->`, or `<!-- example: NAME, looked at after 90m -->`, and has

- a block ```` ```yaml ```` with `metrics:` and whatever else belongs to a definition;
- a table whose first column is `entity`: one outcome a row, in the control. `after` is when it happened,
  `recorded` when it came if that was later, both since the entity's exposure, which is at 0. A row
  without event only exposes the entity;
- tables whose first column is `metric` or `counter`: what comes out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import yaml
from google.protobuf.timestamp_pb2 import Timestamp

from klero import definition, lifecycle
from klero.analysis.judge import judge
from klero.analysis.options import JudgeOptions
from klero.engine import Engine, admit, allocation
from klero.v1.decision_pb2 import Exposure, Outcome
from klero.v1.decision_service_pb2 import RecordRequest
from klero.v1.experiment_pb2 import Experiment, Snapshot
from klero.v1.results_pb2 import ResultsView

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from klero.storage.v1.tally_pb2 import IterationTally
    from klero.v1.results_pb2 import ExperimentResults

_EXAMPLE = re.compile(
    r"^<!-- example: (?P<name>[^,\n]+?)(?:, looked at after (?P<until>\w+))? -->\n"
    r"(?P<body>.*?)(?=^<!-- example: |^## |\Z)",
    re.MULTILINE | re.DOTALL,
)
_YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TABLE = re.compile(r"(?:^\|.*\|\n)+", re.MULTILINE)
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

BEGAN_MS = 1_700_000_000_000
CONTROL = "a"
VIEWS = {"settled": ResultsView.RESULTS_VIEW_SETTLED, "live": ResultsView.RESULTS_VIEW_LIVE}

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Example:
    """What is recorded, and what should come out."""

    name: str
    until_ms: int
    """When it is looked at, after the exposures."""

    definition: Experiment
    records: list[Row]
    metrics: list[Row]
    counters: list[Row]


@dataclass(frozen=True, slots=True)
class Computed:
    """What did come out."""

    views: dict[str, ExperimentResults]
    tally: IterationTally


def examples(page: str) -> Iterator[Example]:
    """The examples of a page in their order."""
    for match in _EXAMPLE.finditer(page):
        (text,) = _YAML.findall(match["body"])
        tables: dict[str, list[Row]] = {"entity": [], "metric": [], "counter": []}
        for table in _TABLE.findall(match["body"]):
            first, found = rows(table)
            tables.get(first, []).extend(found)
        until = match["until"] or "100d"
        yield Example(
            match["name"], milliseconds(until), whole(text), tables["entity"], tables["metric"], tables["counter"]
        )


def rows(table: str) -> tuple[str, list[Row]]:
    """Name of the first column, and cells by column, without backticks."""
    head, _, *lines = [
        [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")] for line in table.splitlines()
    ]
    return head[0], [dict(zip(head, line, strict=True)) for line in lines]


def milliseconds(text: str) -> int:
    """`90m` as a number; empty is 0."""
    return int(text[:-1]) * _UNITS_MS[text[-1]] if text else 0


def whole(text: str) -> Experiment:
    """A fragment with `metrics` as a checked definition with two variants, assigned by another system."""
    fragment = yaml.safe_load(text)
    frame = {
        "id": "example",
        "type": "ab_test",
        "assignmentSource": "external",
        "control": {"id": CONTROL},
        "variants": [{"id": "b"}],
    }
    whole_text = yaml.safe_dump(frame | fragment)
    return admit(definition.parse(whole_text, source_name="example.yaml"))[0]


def compute(example: Example) -> Computed:
    """Record everything in the order in which it came, wait, and judge."""
    started = _started(example.definition)
    engine = Engine(secret=bytes(16), incarnation=bytes(16))
    journal = _Journal(engine)
    for control in lifecycle.lacking(started, None):
        engine.control(control)
    journal.commit()
    engine.load(Snapshot(generation=1, revision=1, experiments=[started]))
    entities = dict.fromkeys(row["entity"] for row in example.records)
    journal.record([Exposure(experiment_id="example", entity_id=each, variant_id=CONTROL) for each in entities], [], 0)
    came = sorted((row for row in example.records if row["event"]), key=_came_ms)
    for at_ms, group in groupby(came, key=_came_ms):
        journal.record([], [_outcome(row) for row in group], at_ms)
    while engine.tick(BEGAN_MS + example.until_ms):
        journal.commit()
    tally = engine.tally(started.namespace, started.id, 1)
    assert tally is not None
    return Computed({name: _judged(started, tally, view) for name, view in VIEWS.items()}, tally)


class _Journal:
    """Commits what was queued, as the writer does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._position = 0

    def commit(self) -> None:
        frame = self._engine.take_frame()
        assert frame is not None
        self._position += 1
        for _, answer in self._engine.commit(frame, self._position):
            assert isinstance(answer, bytes), answer

    def record(self, exposures: Iterable[Exposure], outcomes: Iterable[Outcome], after_ms: int) -> None:
        at_ms = BEGAN_MS + after_ms
        while self._engine.tick(at_ms):
            self.commit()
        request = RecordRequest(exposures=exposures, outcomes=outcomes)
        self._engine.handle("Record", request.SerializeToString(), at_ms)
        self.commit()


def _started(checked: Experiment) -> Experiment:
    now = Timestamp()
    now.FromMilliseconds(BEGAN_MS)
    return lifecycle.start(lifecycle.draft(checked, now=now), allocation=allocation(checked), now=now)


def _came_ms(row: Row) -> int:
    return milliseconds(row.get("recorded", "") or row.get("after", ""))


def _outcome(row: Row) -> Outcome:
    found = Outcome(entity_id=row["entity"], event=row["event"], value=float(row["value"] or 1))
    found.occurred_at.FromMilliseconds(BEGAN_MS + milliseconds(row.get("after", "")))
    return found


def _judged(started: Experiment, tally: IterationTally, view: ResultsView.ValueType) -> ExperimentResults:
    return judge(
        started, tally, options=JudgeOptions(collected_at_ms=0, journal_end_ms=0, engine_version="0", view=view)
    )
