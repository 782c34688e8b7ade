"""The process that judges: what it costs its parent, and how both end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

from klero.analysis.judge import judge
from klero.analysis.worker import AnalysisWorker
from klero.v1.results_pb2 import ExperimentResults
from tests.analysis.known import OPTIONS, definition, visits

DEADLINE_S = 10.0
DEFINITION, TALLY = definition("t"), visits({"c": (300, 1_000), "t": (400, 1_000)})


def _run(script: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "service")}
    return subprocess.Popen([sys.executable, "-c", dedent(script)], stdout=subprocess.PIPE, text=True, env=environment)


def _wait_until_gone(pid: int) -> bool:
    """Whether the process ends in time; a zombie that nobody has waited for yet has ended."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        try:
            if ") Z " in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8"):
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def test_the_parent_pays_for_neither_numpy_nor_scipy() -> None:
    """They cost the server half a second of start and 50 MB."""
    with _run("import sys, klero.analysis.worker; print({'numpy', 'scipy'} & set(sys.modules))") as process:
        output, _ = process.communicate(timeout=DEADLINE_S)

    assert output == "set()\n"


async def test_answers_are_those_of_judge() -> None:
    """Results must not depend on the process that computes them."""
    worker = AnalysisWorker()
    try:
        await worker.warm_up()
        found = await worker.judge(DEFINITION.SerializeToString(), TALLY.SerializeToString(), OPTIONS)
    finally:
        await worker.close()

    assert judge(DEFINITION, TALLY, options=OPTIONS) == ExperimentResults.FromString(found)


async def test_the_next_calls_succeed_after_the_process_died() -> None:
    """Running out of memory in an analysis must not need a restart of the server."""
    worker = AnalysisWorker()
    arguments = (DEFINITION.SerializeToString(), TALLY.SerializeToString(), OPTIONS)
    try:
        before = await worker.judge(*arguments)
        os.kill(await worker.warm_up(), signal.SIGKILL)
        after = await asyncio.gather(*(worker.judge(*arguments) for _ in range(3)))
    finally:
        await worker.close()

    assert [before] * 3 == after


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signals_to_the_group_do_not_end_it(number: signal.Signals) -> None:
    """Ctrl-C reaches every process of the terminal, and the server still answers what is waiting."""
    worker = AnalysisWorker()
    try:
        pid = await worker.warm_up()
        os.kill(pid, number)
        await worker.judge(DEFINITION.SerializeToString(), TALLY.SerializeToString(), OPTIONS)
        assert pid == await worker.warm_up()
    finally:
        await worker.close()

    assert _wait_until_gone(pid)


def test_it_dies_with_a_killed_parent() -> None:
    """After kill -9 of the server no process may stay behind."""
    script = """
        import asyncio, time
        from klero.analysis.worker import AnalysisWorker

        if __name__ == "__main__":
            worker = AnalysisWorker()
            print(asyncio.run(worker.warm_up()), flush=True)
            time.sleep(60)
    """
    with _run(script) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()

    assert _wait_until_gone(child)


async def test_close_ends_the_process() -> None:
    """The server leaves nothing behind when it ends, and may be asked twice."""
    worker = AnalysisWorker()
    pid = await worker.warm_up()

    await worker.close()
    await worker.close()

    assert _wait_until_gone(pid)
