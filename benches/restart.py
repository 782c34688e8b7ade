"""Seconds from the start of a server to its first decision, and to results of everything recorded.

Ten million outcomes of a hundred thousand entities are recorded first. The server is then killed, so
that it starts from what checkpoints there are and the rest of the journal, and once more without
checkpoints, from the journal alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import tempfile
import time
from pathlib import Path

import grpc
from record_load import BATCH, CALLERS, RECORD, batches, expose, uuid7
from running_server import serving

from klero.v1 import decision_service_pb2, experiment_service_pb2
from klero.v1.decision_service_pb2_grpc import DecisionServiceStub
from klero.v1.experiment_pb2 import Experiment, ExperimentType, Variant
from klero.v1.experiment_service_pb2_grpc import ExperimentServiceStub

DEADLINE_S = 300.0


async def record(address: str, outcomes: int) -> int:
    """Record so many outcomes; gives the journal position behind the last of them."""
    prepared = batches()
    turns = iter(range(outcomes // BATCH))
    last = 0
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(RECORD)

        async def caller() -> None:
            nonlocal last
            for turn in turns:
                identity = decision_service_pb2.RecordRequest(request_id=uuid7()).SerializeToString()
                answer = await call(prepared[turn % len(prepared)] + identity)
                last = max(last, decision_service_pb2.RecordResponse.FromString(answer).position)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return last


def live(address: str) -> None:
    """Start an experiment that Assign decides."""
    with grpc.insecure_channel(address) as channel:
        experiments = ExperimentServiceStub(channel)
        definition = Experiment(
            id="live",
            type=ExperimentType.EXPERIMENT_TYPE_AB_TEST,
            control=Variant(id="a"),
            variants=[Variant(id="b")],
        )
        experiments.CreateExperiment(experiment_service_pb2.CreateExperimentRequest(experiment=definition))
        experiments.StartExperiment(experiment_service_pb2.StartExperimentRequest(id="live"))


def restart(directory: Path, position: int) -> dict[str, float]:
    """Start a server on the data and time its first answers."""
    began = time.perf_counter()
    with serving(directory, stop=signal.SIGKILL) as address, grpc.insecure_channel(address) as channel:
        DecisionServiceStub(channel).Assign(
            decision_service_pb2.AssignRequest(experiment_id="live", entity_id="user"), timeout=DEADLINE_S
        )
        decided = time.perf_counter() - began
        request = experiment_service_pb2.GetExperimentResultsRequest(id="load", min_position=position)
        experiments = ExperimentServiceStub(channel)
        while True:
            try:
                experiments.GetExperimentResults(request, timeout=DEADLINE_S)
                break
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                time.sleep(0.05)
        return {"first_decision_s": round(decided, 2), "results_s": round(time.perf_counter() - began, 2)}


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outcomes", type=int, default=10_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="klero-bench-") as name:
        directory = Path(name)
        with serving(directory, stop=signal.SIGKILL) as address:
            expose(address)
            live(address)
            position = asyncio.run(record(address, arguments.outcomes))
        journal = sum(path.stat().st_size for path in directory.glob("journal.db*"))
        checkpoints = restart(directory, position)
        shutil.rmtree(directory / "checkpoints", ignore_errors=True)
        result = {
            "outcomes": arguments.outcomes,
            "journal_mb": round(journal / 1e6),
            "with_checkpoints": checkpoints,
            "journal_alone": restart(directory, position),
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
