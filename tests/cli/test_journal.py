"""Looking at a journal, beside its server and without one."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING

import pytest

from klero.cli import main
from klero.journal.checkpoints import Checkpoints
from klero.journal.frames import StoredFrame
from klero.storage.v1.journal_pb2 import (
    Arm,
    Batch,
    Control,
    Epoch,
    EventIdentity,
    ExposureColumns,
    Forgotten,
    JournalEntry,
    JournalFrame,
    MeasurementPlan,
    NamedEntity,
    NumberColumn,
    OutcomeColumns,
    Paused,
    Resumed,
    Stopped,
    TextColumn,
)
from klero.v1.decision_pb2 import DecisionReason
from tests.journal.made import START_MS, execute, frame, journal_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Klero

ARM = Arm(
    experiment_id="exp", iteration=1, epoch=2, variant_id="b", reason=DecisionReason.DECISION_REASON_SPLIT
)  # fmt: skip
BATCH = Batch(
    namespace="default",
    request_id=bytes(15) + b"\x07",
    arrival_ms=START_MS,
    exposures=ExposureColumns(
        arms=[ARM],
        arm=[0, 0],
        entity_ids="uñ".encode() + b"v",
        entity_id_lengths=[3, 1],
        delay_ms=[0, -1000],
        covariates=[NumberColumn(name="age", rows=[1], values=[30.5])],
        dimensions=[TextColumn(name="plan", rows=[0, 1], texts=["pro", "free"], text=[1, 0])],
    ),
    outcomes=OutcomeColumns(
        events=["ok", "cost"],
        event=[1, 0],
        entity_ids=b"u",
        entity_id_lengths=[1, 0],
        values=[2.5, 1],
        delay_ms=[5, 0],
        named=[NamedEntity(row=1, entity_type="run", entity_id="r1")],
        targets=[ARM],
        target=[0, 1],
        identities=[EventIdentity(row=0, event_id="e2", supersedes="e1")],
    ),
)


def controls() -> list[JournalEntry]:
    """One of each kind."""
    found = [
        Control(started=MeasurementPlan(variant_ids=["a", "b"])),
        Control(stopped=Stopped(immediate=True)),
        Control(epoch=Epoch(number=2, weights={"a": 50})),
        Control(paused=Paused()),
        Control(resumed=Resumed()),
        Control(forgotten=Forgotten(key=7)),
    ]
    for control in found:
        control.MergeFrom(Control(namespace="default", experiment_id="exp", iteration=1, time_ms=START_MS))
    return [JournalEntry(control=control) for control in found]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory with a frame of everything, and one of time alone."""
    entries = [*controls(), JournalEntry(batch=BATCH), JournalEntry()]
    body = JournalFrame(
        format=2, incarnation=bytes(16), sequence=1, time_ms=START_MS, entries=entries
    ).SerializeToString()
    stored = StoredFrame(position=1, time_ms=START_MS, exposures=2, outcomes=2, crc=0, body=body)
    journal_of(tmp_path / "journal.db", [whole(stored), frame(2)])
    return tmp_path


def whole(stored: StoredFrame) -> StoredFrame:
    """The same with the checksum that fits."""
    return StoredFrame(
        stored.position, stored.time_ms, stored.exposures, stored.outcomes, zlib.crc32(stored.body), stored.body
    )


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The command line; exit code and output."""
    code = main(arguments)
    return code, capsys.readouterr().out


def test_a_whole_journal_passes(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is what a nightly job reads."""
    code, printed = run(capsys, "journal", "check", "--data-dir", str(data_dir))

    assert 0 == code
    assert printed.startswith("2 frames, positions 1 to 2: 3 exposures, 4 outcomes, ")
    assert printed.endswith("format 2\nwhole\n")


def test_what_is_wrong_is_named(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """People read the sentence, programs the exit code or the JSON."""
    execute(data_dir / "journal.db", "UPDATE frame SET body = x'00' WHERE position = 1")
    execute(data_dir / "journal.db", "INSERT INTO lost VALUES (3, 4, 'missing')")
    Checkpoints(data_dir / "checkpoints").write(0, 5, b"state")
    code, printed = run(capsys, "journal", "check", "--data-dir", str(data_dir))
    again, plain = run(capsys, "journal", "check", "--data-dir", str(data_dir), "--json")

    assert (1, 1) == (code, again)
    assert "  accepted as lost: 3-4 (missing)\n  lost: 1 (checksum does not match)\n  lost: 5 (missing)\n" in printed
    assert "damaged: `klero serve --accept-loss` goes on without what is lost\n" in printed
    found = json.loads(plain)
    assert not found["whole"]
    assert [{"first": 1, "last": 1, "why": "checksum does not match"}, {"first": 5, "last": 5, "why": "missing"}] == (
        found["lost"]
    )
    assert [{"first": 3, "last": 4, "why": "missing"}] == found["accepted"]


def test_a_directory_without_journal_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Operators mistype paths."""
    for command in ("check", "show"):
        assert 1 == main(["journal", command, "--data-dir", str(tmp_path)])
        assert f"journal {tmp_path}/journal.db cannot be opened" in capsys.readouterr().err


def test_frames_are_shown_in_words(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the results rest on can be read by whoever doubts them."""
    code, printed = run(capsys, "journal", "show", "--data-dir", str(data_dir), "--rows")

    assert 0 == code
    found = printed.splitlines()
    assert found[0].startswith("1  2027-01-15T08:00:00Z  2 exposures, 2 outcomes, ")
    assert [
        "  start `exp` in `default`, iteration 1",
        "  stop `exp` in `default`, iteration 1",
        "  epoch `exp` in `default`, iteration 1",
        "  pause `exp` in `default`, iteration 1",
        "  resume `exp` in `default`, iteration 1",
        "  forget an entity in `default`",
        "  batch in `default`: 2 exposures, 2 outcomes, request 00000000-0000-0000-0000-000000000007",
        "    exposure  uñ  `exp` 1.2 `b` split  2027-01-15T08:00:00Z  attributes {'plan': 'free'}",
        "    exposure  v  `exp` 1.2 `b` split  2027-01-15T07:59:59Z  attributes {'age': 30.5, 'plan': 'pro'}",
        "    outcome  u  cost 2.5  2027-01-15T08:00:00.005Z  eventId e2  supersedes e1",
        "    outcome    ok 1  `exp` 1.2 `b` split  2027-01-15T08:00:00Z  entities {'run': 'r1'}",
        "  unknown",
    ] == found[1:13]
    assert found[13].startswith("2  2027-01-15T08:00:00.002Z  1 exposure, 2 outcomes, ")


def test_json_has_one_frame_a_line(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`jq` reads a stream, and a journal may be long."""
    _, printed = run(capsys, "journal", "show", "--data-dir", str(data_dir), "--json", "--rows")
    first, second = map(json.loads, printed.splitlines())

    assert ["start", "stop", "epoch", "pause", "resume", "forget", "batch", "unknown"] == [
        entry["kind"] for entry in first["entries"]
    ]
    assert {"variantIds": ["a", "b"]} == first["entries"][0]["detail"]
    batch = first["entries"][6]
    assert {"plan": "free"} == batch["exposureRows"][0]["attributes"]
    assert "b" == batch["outcomeRows"][1]["variantId"]
    assert (2, []) == (second["position"], second["entries"])


def test_part_of_a_journal_is_shown(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Positions of acknowledgements lead to their frames; damage stands where it is."""
    for position in (3, 4, 5):
        execute(data_dir / "journal.db", "INSERT INTO frame VALUES (?, 0, 0, 0, 0, x'00')", position)
    _, printed = run(capsys, "journal", "show", "--data-dir", str(data_dir), "--from", "2", "--to", "4")

    assert ["2", "3-4"] == [line.split("  ")[0] for line in printed.splitlines() if not line.startswith(" ")]
    assert "3-4  lost: checksum does not match" in printed


def test_a_running_server_can_be_looked_at(klero: Klero, address: str, shared_data_dir: Path) -> None:
    """Nobody stops a server to see whether it is well."""
    del address
    assert 0 == klero("record", "run-1", "seen_in_the_journal").code
    checked = klero("journal", "check", "--data-dir", str(shared_data_dir))
    shown = klero("journal", "show", "--data-dir", str(shared_data_dir), "--rows")

    assert 0 == checked.code
    assert "outcome  run-1  seen_in_the_journal 1" in shown.output
