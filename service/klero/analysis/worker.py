"""The process that judges, so that numpy, scipy and long computations stay out of the server's.

One process, started by spawn and started again when it dies. It ignores the signals that a terminal
or a supervisor sends to the whole group, because the server still needs it while it shuts down, and
it ends with the server however that ends.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from klero.storage.v1.tally_pb2 import Breakdown, IterationTally
from klero.v1.experiment_pb2 import Experiment
from klero.v1.experiment_service_pb2 import GetExperimentHistoryResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from klero.analysis.options import JudgeOptions
    from klero.v1.results_pb2 import ResultsView

P = ParamSpec("P")
T = TypeVar("T")


class AnalysisWorker:
    """Judges in a process of its own. Belongs to one event loop."""

    def __init__(self) -> None:
        """Start nothing yet: the process starts with the first call."""
        self._pool = _new_pool()

    async def judge(
        self, definition: bytes, tally: bytes, options: JudgeOptions, breakdowns: Mapping[str, bytes] | None = None
    ) -> bytes:
        """Judge one iteration, serialized `ExperimentResults`; see `klero.analysis.judge.judge`.

        Args:
            definition: Serialized `klero.v1.Experiment`.
            tally: Serialized `klero.storage.v1.IterationTally`.
            options: Circumstances.
            breakdowns: Serialized `klero.storage.v1.Breakdown` by dimension. None: no segments.

        Raises:
            BrokenProcessPool: The process died twice over the same call.

        """
        return await self._run(_judge, definition, tally, options, dict(breakdowns or {}))

    async def judge_history(
        self, definition: bytes, looks: Sequence[tuple[int, bytes]], *, metric: str, view: ResultsView.ValueType
    ) -> bytes:
        """Judge one metric at all looks, serialized `GetExperimentHistoryResponse`; see `klero.analysis.history`.

        Args:
            definition: Serialized `klero.v1.Experiment`.
            looks: Unix milliseconds and serialized `klero.storage.v1.IterationTally`, oldest first.
            metric: Its name. Empty: no comparisons.
            view: SETTLED or LIVE.

        Raises:
            BrokenProcessPool: The process died twice over the same call.

        """
        return await self._run(_judge_history, definition, looks, metric, view)

    async def warm_up(self) -> int:
        """Start the process and load the statistics, so that the first results do not wait for it.

        Returns:
            The id of the process.

        """
        return await self._run(_load)

    async def close(self) -> None:
        """Finish the call at hand, drop those that wait, and end the process."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        pool = self._pool
        try:
            return await asyncio.wrap_future(pool.submit(function, *args, **kwargs))
        except BrokenProcessPool:
            # Several calls see the same death; the first of them replaces the pool.
            if self._pool is pool:
                self._pool = _new_pool()
            return await asyncio.wrap_future(self._pool.submit(function, *args, **kwargs))


def _new_pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        max_workers=1, mp_context=multiprocessing.get_context("spawn"), initializer=_start_in_child
    )


def _start_in_child() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, name="die-with-parent", daemon=True).start()


def _die_with_parent() -> None:
    """End this process when the parent is gone: its queue would be waited on for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
    os._exit(1)


def _load() -> int:
    # Imported here, because this module is imported by the server too.
    import klero.analysis.history  # noqa: PLC0415
    import klero.analysis.judge  # noqa: F401, PLC0415

    return os.getpid()


def _judge(definition: bytes, tally: bytes, options: JudgeOptions, breakdowns: Mapping[str, bytes]) -> bytes:
    from klero.analysis.judge import judge  # noqa: PLC0415 - as above

    results = judge(
        Experiment.FromString(definition),
        IterationTally.FromString(tally),
        options=options,
        breakdowns={dimension: Breakdown.FromString(found) for dimension, found in breakdowns.items()},
    )
    return results.SerializeToString(deterministic=True)


def _judge_history(
    definition: bytes, looks: Sequence[tuple[int, bytes]], metric: str, view: ResultsView.ValueType
) -> bytes:
    from klero.analysis.history import history  # noqa: PLC0415 - as above

    points = history(
        Experiment.FromString(definition),
        [(looked_at_ms, IterationTally.FromString(tally)) for looked_at_ms, tally in looks],
        metric=metric,
        view=view,
    )
    return GetExperimentHistoryResponse(metric=metric, points=points).SerializeToString(deterministic=True)
