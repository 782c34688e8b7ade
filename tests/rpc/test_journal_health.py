"""What results say of the journal, whatever the experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from klero.errors import IterationNotFoundError
from klero.rpc.results import Results
from klero.storage.v1.tally_pb2 import Breakdown, IterationTally, JournalTally, Quarantined
from klero.v1.experiment_pb2 import Experiment, Variant
from klero.v1.results_pb2 import ExperimentResults, HealthState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from klero.analysis.options import JudgeOptions
    from klero.analysis.worker import AnalysisWorker
    from klero.engine import Engine

EXPERIMENT = Experiment(id="exp", namespace="default", iteration=2, control=Variant(id="a"))


class FakeEngine:
    """An engine that knows iteration 1 alone."""

    position = 9
    time_ms = 900
    dropped_exposures = 0
    rejected_items = 3

    def __init__(self, journal: JournalTally) -> None:
        """Answer with this count of the journal."""
        self._journal = journal

    def tally(self, _namespace: str, _experiment_id: str, iteration: int) -> IterationTally | None:
        """One outcome came late."""
        return IterationTally(position=9, late=1) if iteration == 1 else None

    def breakdown(self, _namespace: str, _experiment_id: str, iteration: int, dimension: str) -> Breakdown | None:
        """Know one attribute."""
        if (iteration, dimension) != (1, "country"):
            return None
        found = Breakdown()
        found.segments.add(value="at")
        return found

    def journal_tally(self) -> JournalTally:
        """What the test said."""
        return self._journal


class FakeWorker:
    """Keeps what it is asked to judge."""

    asked: Mapping[str, bytes]

    async def judge(
        self, _definition: bytes, tally: bytes, _options: JudgeOptions, breakdowns: Mapping[str, bytes]
    ) -> bytes:
        """Answer with the position."""
        self.asked = breakdowns
        return ExperimentResults(as_of=IterationTally.FromString(tally).position).SerializeToString()


def _results(journal: JournalTally) -> tuple[Results, FakeWorker]:
    worker = FakeWorker()
    engine = cast("Engine", FakeEngine(journal))
    return Results(engine, cast("AnalysisWorker", worker), version="0", clock=lambda: 1_000), worker


async def test_what_could_not_be_counted_is_named() -> None:
    """Whoever looks for the missing outcomes needs the place and the reason."""
    journal = JournalTally(
        quarantined=2,
        quarantine=[Quarantined(position=5, entry=1, why="old"), Quarantined(position=7, entry=0, why="no kind")],
    )
    (check,) = (await _results(journal)[0].judge(EXPERIMENT, iteration=1)).health

    assert ("journal", HealthState.HEALTH_STATE_WARNING) == (check.name, check.state)
    assert "2 entries" in check.message
    assert "entry 0 at position 7: no kind." in check.message
    assert [] == list((await _results(JournalTally())[0].judge(EXPERIMENT, iteration=1)).health)


async def test_dimensions_go_to_the_analysis_in_their_order() -> None:
    """One that the journal does not know has no segments, and is no error."""
    results, worker = _results(JournalTally())
    await results.judge(EXPERIMENT, iteration=1, dimensions=["plan", "country"])

    assert ["plan", "country"] == list(worker.asked)
    assert [0, 1] == [len(Breakdown.FromString(found).segments) for found in worker.asked.values()]


async def test_an_iteration_that_the_journal_does_not_know_yet_is_empty() -> None:
    """Start is answered before its results are asked for, but only a number that never was is an error."""
    results, _ = _results(JournalTally())

    assert 9 == (await results.judge(EXPERIMENT, iteration=0)).as_of
    with pytest.raises(IterationNotFoundError):
        await results.judge(EXPERIMENT, iteration=7)


def test_counters_are_those_of_the_latest_iteration() -> None:
    """An earlier one is over."""
    values = {counter.name: counter.value for counter in _results(JournalTally(unmatched=4))[0].counters(EXPERIMENT)}

    assert (0, 4, 3) == (values["late"], values["unmatched"], values["rejected_items"])
