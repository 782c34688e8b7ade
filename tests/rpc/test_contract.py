"""Every method of the contract is there, and what surrounds the services: reflection and health."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from klero.v1 import analysis_service_pb2, decision_service_pb2, experiment_service_pb2
from tests.rpc.calls import TIMEOUT_S, Client, connected, refused
from tests.server_process import running_server

if TYPE_CHECKING:
    from pathlib import Path

    from google.protobuf.descriptor import MethodDescriptor

SERVICES = (
    decision_service_pb2.DESCRIPTOR.services_by_name["DecisionService"],
    experiment_service_pb2.DESCRIPTOR.services_by_name["ExperimentService"],
    analysis_service_pb2.DESCRIPTOR.services_by_name["AnalysisService"],
)
SERVED = {
    "klero.v1.DecisionService.Assign",
    "klero.v1.DecisionService.BatchAssign",
    "klero.v1.DecisionService.IsEnabled",
    "klero.v1.DecisionService.GetVariant",
    "klero.v1.DecisionService.Record",
    "klero.v1.ExperimentService.CreateExperiment",
    "klero.v1.ExperimentService.GetExperiment",
    "klero.v1.ExperimentService.ListExperiments",
    "klero.v1.ExperimentService.UpdateExperiment",
    "klero.v1.ExperimentService.StartExperiment",
    "klero.v1.ExperimentService.PauseExperiment",
    "klero.v1.ExperimentService.ResumeExperiment",
    "klero.v1.ExperimentService.StopExperiment",
    "klero.v1.ExperimentService.ArchiveExperiment",
    "klero.v1.ExperimentService.DeleteExperiment",
    "klero.v1.ExperimentService.ListAuditEntries",
    "klero.v1.ExperimentService.GetExperimentStatus",
    "klero.v1.ExperimentService.GetExperimentResults",
    "klero.v1.ExperimentService.GetExperimentHistory",
    "klero.v1.ExperimentService.ForgetEntity",
    "klero.v1.ExperimentService.SetOverride",
    "klero.v1.ExperimentService.DeleteOverride",
    "klero.v1.ExperimentService.ListOverrides",
}
METHODS: dict[str, MethodDescriptor] = {method.full_name: method for service in SERVICES for method in service.methods}
NOTHING_SET = b""
# The tag 15 has wire type 7, which does not exist.
NO_MESSAGE = b"\x7f"


def path(method: MethodDescriptor) -> str:
    """The method as gRPC names it in requests."""
    return f"/{method.containing_service.full_name}/{method.name}"


def test_the_served_methods_are_of_the_contract() -> None:
    """A misspelled name in this file would make the tests below check nothing."""
    assert METHODS.keys() >= SERVED


@pytest.mark.parametrize("name", sorted(METHODS.keys() - SERVED))
def test_a_method_that_is_not_served_says_so(client: Client, name: str) -> None:
    """A caller of a newer contract tells "not yet" from a wrong address, for streams too."""
    method = METHODS[name]
    if method.server_streaming:
        stream: grpc.UnaryStreamMultiCallable[bytes, bytes] = client.channel.unary_stream(path(method))
        found = refused(lambda request, timeout: list(stream(request, timeout=timeout)), NOTHING_SET)
    else:
        found = refused(client.channel.unary_unary(path(method)), NOTHING_SET)

    assert (grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED") == (found.code, found.reason)
    assert {"method": name} == found.metadata
    assert f"{name} is not supported by this version" == found.message


@pytest.mark.parametrize("name", sorted(SERVED))
def test_bytes_that_are_no_message_are_the_callers_fault(client: Client, name: str) -> None:
    """Who writes a client in another language learns that the encoding is wrong, not that Klero broke."""
    found = refused(client.channel.unary_unary(path(METHODS[name])), NO_MESSAGE)

    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD") == (found.code, found.reason)
    assert {"fields": "1"} == found.metadata


def test_reflection_lists_the_services(client: Client) -> None:
    """People explore a server with grpcurl, without the files of the contract."""
    found = ProtoReflectionDescriptorDatabase(client.channel)

    assert {service.full_name for service in SERVICES} | {"grpc.health.v1.Health"} <= set(found.get_services())
    for service in SERVICES:
        described = found.FindFileContainingSymbol(service.full_name)
        assert service.file.name == described.name
        assert [m.name for m in service.methods] == [m.name for s in described.service for m in s.method]


def test_health_is_serving_and_ends_first(tmp_path: Path) -> None:
    """A load balancer stops sending before the server stops answering."""
    names = ["", *(service.full_name for service in SERVICES)]
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        stub = health_pb2_grpc.HealthStub(client.channel)
        for name in names:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=TIMEOUT_S)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        watched = stub.Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING

        server.process.terminate()

        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watched.cancel()
        assert server.process.wait(TIMEOUT_S) == 0
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
