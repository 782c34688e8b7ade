"""Results: what the tally counted, judged in the analysis process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero import lifecycle
from klero.analysis.options import JudgeOptions
from klero.errors import IterationNotFoundError
from klero.storage.v1.tally_pb2 import IterationTally
from klero.v1.results_pb2 import ExperimentResults, HealthState, ResultsView

if TYPE_CHECKING:
    from collections.abc import Callable

    from klero.analysis.worker import AnalysisWorker
    from klero.engine import Engine
    from klero.v1.experiment_pb2 import Experiment


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
    ) -> ExperimentResults:
        """Judge an iteration of `experiment`; 0 is the latest.

        Raises:
            IterationNotFoundError: There was no such iteration.
        """
        asked = iteration or experiment.iteration
        tally = self._engine.tally(experiment.namespace, experiment.id, asked)
        if tally is None:
            if iteration:
                raise IterationNotFoundError(
                    namespace=experiment.namespace, experiment_id=experiment.id, iteration=iteration
                )
            tally = IterationTally(position=self._engine.position, time_ms=self._engine.time_ms)
        now_ms = self._clock()
        options = JudgeOptions(
            collected_at_ms=now_ms,
            journal_end_ms=self._engine.time_ms,
            engine_version=self._version,
            view=view or ResultsView.RESULTS_VIEW_SETTLED,
        )
        judged = await self._worker.judge(experiment.SerializeToString(), tally.SerializeToString(), options)
        results = ExperimentResults.FromString(judged)
        dropped = self._engine.dropped_exposures
        if dropped:
            results.health.add(
                name="dropped_exposures",
                state=HealthState.HEALTH_STATE_WARNING,
                message=f"{dropped:,} exposures of all experiments were dropped since the server started, because the "
                "journal could not keep up: those entities are missing.",
            )
        results.progress.traffic_percentage = lifecycle.traffic_percentage(experiment, now_ms=now_ms)
        return results
