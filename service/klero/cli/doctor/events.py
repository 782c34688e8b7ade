"""Events that were recorded and events that metrics read: where a name was probably misspelt.

Both are in the journal: the newest checkpoint has what was counted, and the frames behind it the rest.
"""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from klero.cli.common import plural
from klero.cli.doctor.finding import Finding, State
from klero.cli.local import open_journal
from klero.definition.near import did_you_mean
from klero.journal.checkpoints import Checkpoints
from klero.journal.frames import StoredFrame
from klero.storage.v1.checkpoint_pb2 import Checkpoint
from klero.storage.v1.journal_pb2 import JournalFrame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from klero.data_directory import DataDirectory
    from klero.storage.v1.journal_pb2 import Control

_CRC_BYTES = 4
_SHOWN = 20


@dataclass(slots=True)
class JournalEvents:
    """What the journal says of event names."""

    recorded: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Outcomes by namespace and event; batches that were sent again count again."""

    read: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """Events that metrics of each namespace and experiment read, in the latest iteration."""

    running: set[tuple[str, str]] = field(default_factory=set)
    """Namespace and experiment, of those whose latest iteration has not ended."""

    def control(self, control: Control) -> None:
        """Take in a change of what is measured."""
        experiment = (control.namespace, control.experiment_id)
        if control.HasField("started"):
            names = {name for metric in control.started.metrics for name in (metric.event, metric.denominator_event)}
            self.read[experiment] = names - {""}
            self.running.add(experiment)
        elif control.HasField("stopped"):
            self.running.discard(experiment)


def journal_events(directory: DataDirectory) -> JournalEvents:
    """Read the events of a data directory, whether a server uses it or not; nothing is changed.

    Raises:
        StartupError: The journal cannot be opened.
        click.ClickException: It cannot be read.
    """
    found = JournalEvents()
    after = _counted(directory, found)
    with open_journal(directory.path) as journal:
        for stored in journal.frames(after=after):
            if isinstance(stored, StoredFrame):
                _count(stored, found)
    return found


def check_events(found: JournalEvents) -> Iterator[Finding]:
    """Events that no metric reads though one has nearly its name, and metrics whose event never came."""
    name = "events"
    unread: list[str] = []
    misnamed = False
    for (namespace, event), outcomes in sorted(found.recorded.items()):
        known = {read for (of, _), names in found.read.items() if of == namespace for read in names}
        if event in known:
            continue
        near = did_you_mean(event, known)
        if near:
            misnamed = True
            came = f"`{event}` in namespace `{namespace}` was recorded {plural(outcomes, 'time')}"
            advice = "rename it where it is recorded, or in the metric"
            yield Finding(name, State.WARNING, f"{came} and no metric reads it{near}", advice)
        else:
            unread.append(f"`{event}`")
    for namespace, experiment_id in sorted(found.running):
        for event in sorted(found.read[namespace, experiment_id]):
            if (namespace, event) not in found.recorded:
                sentence = f"`{event}` never came, which `{experiment_id}` in namespace `{namespace}` reads"
                yield Finding(name, State.WARNING, sentence, "record it, or look how its name is spelt there")
    if unread:
        more = f" and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else ""
        yield Finding(name, State.OK, f"recorded, and read by no metric: {', '.join(unread[:_SHOWN])}{more}")
    elif not misnamed:
        total = plural(sum(found.recorded.values()), "outcome")
        yield Finding(name, State.OK, f"a metric reads every recorded event, {total} in all")


def _counted(directory: DataDirectory, found: JournalEvents) -> int:
    """Take in the newest whole checkpoint; returns its position, 0 without one."""
    for state in Checkpoints(directory.checkpoints).read(1)[0]:
        crc, body = state[:_CRC_BYTES], state[_CRC_BYTES:]
        if int.from_bytes(crc, "little") != zlib.crc32(body):
            continue
        try:
            checkpoint = Checkpoint.FromString(body)
        except DecodeError:
            continue
        for event in checkpoint.ledger.events:
            if event.event:
                found.recorded[event.namespace, event.event] += event.outcomes
        for iteration in checkpoint.ledger.iterations:
            found.control(iteration.started)
            if iteration.stopped:
                found.running.discard((iteration.started.namespace, iteration.started.experiment_id))
        return checkpoint.position
    return 0


def _count(stored: StoredFrame, found: JournalEvents) -> None:
    try:
        frame = JournalFrame.FromString(stored.body)
    except DecodeError:
        # `klero journal check` is who says that.
        return
    for entry in frame.entries:
        if entry.HasField("control"):
            found.control(entry.control)
        elif entry.HasField("batch"):
            columns = entry.batch.outcomes
            for number, outcomes in Counter(columns.event).items():
                found.recorded[entry.batch.namespace, columns.events[number]] += outcomes
