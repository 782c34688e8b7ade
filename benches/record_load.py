"""Outcomes per second through Record over gRPC, each acknowledged after its commit.

Eight callers in one process send batches of 1000 outcomes, each batch with a request id of its own,
to a server in another: client and server share the machine. Batches are encoded before the clock
starts, because it is the server that is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
import uuid

import grpc
from running_server import running_server

from klero.v1 import decision_pb2, decision_service_pb2, experiment_pb2, experiment_service_pb2
from klero.v1.decision_service_pb2_grpc import DecisionServiceStub
from klero.v1.experiment_service_pb2_grpc import ExperimentServiceStub

CALLERS = 8
BATCH = 1000
ENTITIES = 100_000
RECORD = "/klero.v1.DecisionService/Record"


def definition() -> experiment_pb2.Experiment:
    """Two variants that another system assigns, two metrics."""
    return experiment_pb2.Experiment(
        id="load",
        type=experiment_pb2.EXPERIMENT_TYPE_AB_TEST,
        assignment_source=experiment_pb2.ASSIGNMENT_SOURCE_EXTERNAL,
        control=experiment_pb2.Variant(id="a"),
        variants=[experiment_pb2.Variant(id="b")],
        metrics=[
            experiment_pb2.Metric(
                name="success",
                type=experiment_pb2.METRIC_TYPE_CONVERSION,
                goal=experiment_pb2.METRIC_GOAL_INCREASE,
                primary=True,
            ),
            experiment_pb2.Metric(name="cost_usd", type=experiment_pb2.METRIC_TYPE_CONTINUOUS),
        ],
    )


def uuid7() -> str:
    """A request id of now."""
    value = (time.time_ns() // 1_000_000) << 80 | uuid.uuid4().int & ((1 << 80) - 1)
    return str(uuid.UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 7 << 76 | 2 << 62))


def expose(address: str) -> None:
    """Create and start the experiment, and expose every entity."""
    with grpc.insecure_channel(address) as channel:
        experiments, decisions = ExperimentServiceStub(channel), DecisionServiceStub(channel)
        experiments.CreateExperiment(experiment_service_pb2.CreateExperimentRequest(experiment=definition()))
        experiments.StartExperiment(experiment_service_pb2.StartExperimentRequest(id="load"))
        for first in range(0, ENTITIES, 5000):
            exposures = [
                decision_pb2.Exposure(
                    experiment_id="load", entity_id=f"agent-run-{index:08d}", variant_id="ab"[index % 2]
                )
                for index in range(first, first + 5000)
            ]
            decisions.Record(decision_service_pb2.RecordRequest(exposures=exposures))


def batches() -> list[bytes]:
    """Encoded batches without request id; every entity stands in one of them."""
    encoded = []
    for first in range(0, ENTITIES, BATCH):
        outcomes = [
            decision_pb2.Outcome(
                entity_id=f"agent-run-{index:08d}",
                event=("success", "cost_usd")[index // 2 % 2],
                value=index % 7 / 10,
            )
            for index in range(first, first + BATCH)
        ]
        encoded.append(decision_service_pb2.RecordRequest(outcomes=outcomes).SerializeToString())
    return encoded


async def load(address: str, seconds: float) -> tuple[int, float, list[float]]:
    """Send for `seconds`; gives acknowledged outcomes, time taken, latencies in seconds."""
    prepared = batches()
    latencies: list[float] = []
    acknowledged = 0
    async with grpc.aio.insecure_channel(address) as channel:
        record = channel.unary_unary(RECORD)
        started = time.perf_counter()
        until = started + seconds

        async def caller(number: int) -> None:
            nonlocal acknowledged
            turn = number
            while (sent := time.perf_counter()) < until:
                # Fields of a message may stand in any order: the id goes behind the outcomes.
                identity = decision_service_pb2.RecordRequest(request_id=uuid7()).SerializeToString()
                answer = await record(prepared[turn % len(prepared)] + identity)
                latencies.append(time.perf_counter() - sent)
                acknowledged += decision_service_pb2.RecordResponse.FromString(answer).accepted
                turn += CALLERS

        await asyncio.gather(*(caller(number) for number in range(CALLERS)))
        return acknowledged, time.perf_counter() - started, latencies


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    with running_server() as address:
        expose(address)
        acknowledged, elapsed, latencies = asyncio.run(load(address, arguments.seconds))
    centiles = statistics.quantiles(latencies, n=100)
    result = {
        "outcomes_per_second": round(acknowledged / elapsed),
        "calls_per_second": round(len(latencies) / elapsed),
        "p50_ms": round(centiles[49] * 1000, 2),
        "p99_ms": round(centiles[98] * 1000, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
