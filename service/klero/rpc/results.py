"""Results: what the tally counted, judged in the analysis process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero import lifecycle
from klero.analysis.options import JudgeOptions
from klero.errors import IterationNotFoundError
from klero.rpc.counters import counters
from klero.storage.v1.tally_pb2 import Breakdown, IterationTally
from klero.v1.results_pb2 import ExperimentResults, HealthCheck, HealthState, ResultsView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from klero.analysis.worker import AnalysisWorker
    from klero.engine import Engine
    from klero.v1.experiment_pb2 import Experiment
    from klero.v1.experiment_service_pb2 import Counter


class Results:
    """Judges experiments from the engine's tally."""

    def __init__(self, engine: Engine, worker: AnalysisWorker, *, version: str, clock: Callable[[], int]) -> None:
        """Name the collaborators; `clock` gives Unix milliseconds, `version` is Klero's."""
        self._engine = engine
        self._worker = worker
        self._version = version
        self._clock = clock

    async def judge(
        self,
        experiment: Experiment,
        *,
        iteration: int,
        view: ResultsView.ValueType = ResultsView.RESULTS_VIEW_SETTLED,
        dimensions: Sequence[str] = (),
    ) -> ExperimentResults:
        """Judge an iteration of `experiment`, also by `dimensions`; 0 is the latest.

        Raises:
            IterationNotFoundError: There was no such iteration.
        """
        tally = self.tally(experiment, iteration)
        now_ms = self._clock()
        options = JudgeOptions(
            collected_at_ms=now_ms,
            journal_end_ms=self._engine.time_ms,
            engine_version=self._version,
            view=view or ResultsView.RESULTS_VIEW_SETTLED,
        )
        asked = iteration or experiment.iteration
        breakdowns = {
            dimension: self._engine.breakdown(experiment.namespace, experiment.id, asked, dimension) or Breakdown()
            for dimension in dimensions
        }
        judged = await self._worker.judge(
            experiment.SerializeToString(),
            tally.SerializeToString(),
            options,
            {dimension: found.SerializeToString() for dimension, found in breakdowns.items()},
        )
        results = ExperimentResults.FromString(judged)
        results.health.extend(self._health())
        results.exploratory = lifecycle.is_exploratory(experiment)
        results.progress.traffic_percentage = lifecycle.traffic_percentage(experiment, now_ms=now_ms)
        return results

    def counters(self, experiment: Experiment) -> Iterator[Counter]:
        """What was counted beside the results of the latest iteration."""
        return counters(
            self.tally(experiment, 0),
            self._engine.journal_tally(),
            rejected_items=self._engine.rejected_items,
            dropped_exposures=self._engine.dropped_exposures,
        )

    def tally(self, experiment: Experiment, iteration: int) -> IterationTally:
        """Read the tally of an iteration, 0 is the latest; without entities if the journal does not know that.

        Raises:
            IterationNotFoundError: There was no such iteration.
        """
        tally = self._engine.tally(experiment.namespace, experiment.id, iteration or experiment.iteration)
        if tally is None and iteration:
            raise IterationNotFoundError(
                namespace=experiment.namespace, experiment_id=experiment.id, iteration=iteration
            )
        if tally is None:
            return IterationTally(position=self._engine.position, time_ms=self._engine.time_ms)
        return tally

    def _health(self) -> Iterator[HealthCheck]:
        """What is wrong with the journal, whatever the experiment."""
        dropped = self._engine.dropped_exposures
        if dropped:
            yield HealthCheck(
                name="dropped_exposures",
                state=HealthState.HEALTH_STATE_WARNING,
                message=f"{dropped:,} exposures of all experiments were dropped since the server started, because the "
                "journal could not keep up: those entities are missing.",
            )
        journal = self._engine.journal_tally()
        if journal.quarantined:
            last = journal.quarantine[-1]
            yield HealthCheck(
                name="journal",
                state=HealthState.HEALTH_STATE_WARNING,
                message=f"{journal.quarantined:,} entries of the journal could not be counted; the last one is entry "
                f"{last.entry} at position {last.position}: {last.why}.",
            )
