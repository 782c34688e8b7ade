"""GetExperimentHistory: kept looks and the present one, judged in the analysis process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from klero.catalog.history import Iteration, Look
from klero.errors import MetricNotFoundError
from klero.rpc.looks import counted, enrolled_in
from klero.rpc.requests import namespace_of
from klero.storage.v1.tally_pb2 import IterationTally
from klero.v1 import experiment_service_pb2 as pb
from klero.v1.results_pb2 import ResultsView

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    import grpc

    from klero.analysis.worker import AnalysisWorker
    from klero.rpc.changes import Changes
    from klero.rpc.looks import Looks
    from klero.rpc.results import Results
    from klero.v1.experiment_pb2 import Experiment


class HistoryServicer:
    """The history of results over gRPC."""

    def __init__(
        self,
        changes: Changes,
        results: Results,
        looks: Looks,
        worker: AnalysisWorker,
        *,
        clock: Callable[[], int],
    ) -> None:
        """Name the collaborators; `clock` gives Unix milliseconds."""
        self._changes = changes
        self._results = results
        self._looks = looks
        self._worker = worker
        self._clock = clock

    def served(self) -> dict[str, Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]]:
        """Calls by method name."""
        return {"GetExperimentHistory": self.history}

    async def history(
        self, request: pb.GetExperimentHistoryRequest, _context: object
    ) -> pb.GetExperimentHistoryResponse:
        """One metric at every look; nothing before the first Start."""
        experiment = await self._changes.judged(namespace_of(request), request.id, request.iteration)
        metric = _metric(experiment, request.metric)
        points = await self._points(experiment, request.iteration)
        judged = await self._worker.judge_history(
            experiment.SerializeToString(),
            [(look.looked_at_ms, look.tally) for look in points],
            metric=metric,
            view=request.view or ResultsView.RESULTS_VIEW_SETTLED,
        )
        return pb.GetExperimentHistoryResponse.FromString(judged)

    async def _points(self, experiment: Experiment, asked: int) -> list[Look]:
        """Kept looks, and the present one unless the last of them has all that ever will be."""
        iteration = Iteration(experiment.namespace, experiment.id, asked or experiment.iteration)
        if iteration.iteration == 0:
            return []
        kept = await asyncio.to_thread(self._looks.kept, iteration)
        present = self._results.tally(experiment, asked)
        if present.closed and present.arms:
            if not kept or counted(present) != counted(IterationTally.FromString(kept[-1].tally)):
                await asyncio.to_thread(self._looks.end, iteration)
                kept = await asyncio.to_thread(self._looks.kept, iteration)
            return kept
        return [*kept, Look(self._clock(), enrolled_in(present), present.SerializeToString())]


def _metric(experiment: Experiment, asked: str) -> str:
    """Name of the metric to judge. Empty: the experiment has none.

    Raises:
        MetricNotFoundError: It has not the one that was asked for.
    """
    names = [metric.name for metric in experiment.metrics]
    if asked and asked not in names:
        raise MetricNotFoundError(namespace=experiment.namespace, experiment_id=experiment.id, metric=asked)
    primary = [metric.name for metric in experiment.metrics if metric.primary]
    return asked or next(iter(primary + names), "")
