"""A request with an id, sent again: the first answer, and nothing changes."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from klero.v1 import experiment_service_pb2 as pb
from klero.v1.experiment_pb2 import Experiment, Override
from tests.rpc.calls import TIMEOUT_S, Client, ab_test, audited, connected, refused
from tests.rpc.life import Life, status_word
from tests.server_process import running_server

if TYPE_CHECKING:
    from pathlib import Path

    from google.protobuf.message import Message

_SERVICE = "/klero.v1.ExperimentService"
AT_ONCE = 8
CALLS = (
    "CreateExperiment",
    "UpdateExperiment",
    "DeleteExperiment",
    "StartExperiment",
    "PauseExperiment",
    "ResumeExperiment",
    "StopExperiment",
    "ArchiveExperiment",
    "SetOverride",
    "DeleteOverride",
)


def prepared(client: Client, namespace: str, call: str) -> Life:
    """An experiment for which `call` is allowed."""
    life = Life(client, namespace)
    if call == "CreateExperiment":
        return life
    life.create(ab_test(namespace))
    if call in {"PauseExperiment", "ResumeExperiment", "StopExperiment", "ArchiveExperiment"}:
        life.move("Start")
    if call == "ResumeExperiment":
        life.move("Pause")
    if call == "ArchiveExperiment":
        life.move("Stop")
    if call == "DeleteOverride":
        client.experiments.SetOverride(asked(life, "SetOverride", ""), timeout=TIMEOUT_S)
    return life


def asked(life: Life, call: str, request_id: str, reason: str = "") -> Any:  # noqa: ANN401  # requests differ by call
    """The request of one of CALLS."""
    if call == "CreateExperiment":
        return pb.CreateExperimentRequest(experiment=ab_test(life.namespace), request_id=request_id, reason=reason)
    if call == "UpdateExperiment":
        return life.updating(Experiment(owner="somebody"), request_id=request_id, reason=reason)
    if call == "SetOverride":
        override = Override(namespace=life.namespace, experiment_id="exp", variant_id="b")
        return pb.SetOverrideRequest(override=override, request_id=request_id, reason=reason)
    if call == "DeleteOverride":
        return pb.DeleteOverrideRequest(
            namespace=life.namespace, experiment_id="exp", request_id=request_id, reason=reason
        )
    return life.request(call, request_id=request_id, reason=reason)


def answered(client: Client, call: str, request: Message) -> bytes:
    """The bytes of the answer, as they came."""
    method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = client.channel.unary_unary(f"{_SERVICE}/{call}")
    return method(request.SerializeToString(), timeout=TIMEOUT_S)


def traces(life: Life, data_dir: Path) -> tuple[object, ...]:
    """Everything that a change would change."""
    listed = life.client.experiments.ListExperiments(
        pb.ListExperimentsRequest(namespace=life.namespace, filter=""), timeout=TIMEOUT_S
    )
    overrides = life.client.experiments.ListOverrides(pb.ListOverridesRequest(namespace=life.namespace))
    return listed.SerializeToString(), overrides.SerializeToString(), len(audited(data_dir, life.namespace))


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[Message, bytes]]]:
    """A data directory in which every call was answered once, by a server that was killed then."""
    data_dir = tmp_path_factory.mktemp("killed") / "data"
    first: dict[str, tuple[Message, bytes]] = {}
    with running_server(data_dir) as server, connected(server.address) as client:
        for call in CALLS:
            life = prepared(client, call.lower(), call)
            request = asked(life, call, str(uuid.uuid4()), "first")
            first[call] = request, answered(client, call, request)
        server.process.kill()
    return data_dir, first


@pytest.mark.parametrize("call", CALLS)
def test_a_repeat_gets_the_first_answer(client: Client, namespace: str, data_dir: Path, call: str) -> None:
    """A caller whose connection broke sends it again, even after others went on."""
    life = prepared(client, namespace, call)
    request = asked(life, call, str(uuid.uuid4()))
    first = answered(client, call, request)
    done = traces(life, data_dir)
    assert first == answered(client, call, request)
    if call not in {"DeleteExperiment", "ArchiveExperiment"}:
        life.update(Experiment(owner="someone else"))
        done = traces(life, data_dir)
        assert first == answered(client, call, request)

    assert done == traces(life, data_dir)


def test_a_repeat_gets_the_first_answer_after_a_kill(
    restarted: tuple[Path, dict[str, tuple[Message, bytes]]],
) -> None:
    """What was acknowledged is known, whatever happened to the process."""
    data_dir, first = restarted
    with running_server(data_dir) as server, connected(server.address) as client:
        for call, (request, answer) in first.items():
            life = Life(client, call.lower())
            before = traces(life, data_dir)
            assert answer == answered(client, call, request), call
            assert before == traces(life, data_dir), call
        assert server.stop() == 0, server.log()


@pytest.mark.parametrize("call", CALLS)
def test_several_at_once_are_one(client: Client, namespace: str, data_dir: Path, call: str) -> None:
    """A proxy that sends a call twice makes one change."""
    life = prepared(client, namespace, call)
    trail = len(audited(data_dir, namespace))
    request = asked(life, call, str(uuid.uuid4()))
    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = set(threads.map(lambda _: answered(client, call, request), range(AT_ONCE)))

    assert 1 == len(answers)
    assert trail + 1 == len(audited(data_dir, namespace))


@pytest.mark.parametrize("call", CALLS)
def test_an_id_is_for_one_request(client: Client, namespace: str, data_dir: Path, call: str) -> None:
    """A program that forgets to make a new id must not believe that its second request was done."""
    life = prepared(client, namespace, call)
    request_id = str(uuid.uuid4())
    answered(client, call, asked(life, call, request_id))
    done = traces(life, data_dir)
    others = [(call, asked(life, call, request_id, "another reason"))]
    others += [(other, asked(life, other, request_id)) for other in ("StartExperiment", "CreateExperiment")]

    for other, request in others:
        if other == call and request == asked(life, call, request_id):
            continue
        refusal = refused(getattr(client.experiments, other), request)
        assert (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED") == (refusal.code, refusal.reason)
        assert {"request_id": request_id} == refusal.metadata
    assert done == traces(life, data_dir)


def test_namespaces_do_not_share_ids(client: Client, namespace: str) -> None:
    """A team's ids are its own."""
    request_id = str(uuid.uuid4())
    for each in (namespace, f"{namespace}-b"):
        life = Life(client, each)
        answered(client, "CreateExperiment", asked(life, "CreateExperiment", request_id))
        assert "draft" == status_word(life.stored())


def test_a_refused_request_may_be_sent_again(client: Client, namespace: str) -> None:
    """Only what was done is remembered: the cause of a refusal can be mended."""
    life = prepared(client, namespace, "StartExperiment")
    request = asked(life, "PauseExperiment", str(uuid.uuid4()))
    assert "ILLEGAL_TRANSITION" == refused(client.experiments.PauseExperiment, request).reason
    life.move("Start")

    assert "paused" == status_word(client.experiments.PauseExperiment(request, timeout=TIMEOUT_S).experiment)


def test_a_check_does_not_use_up_the_id(client: Client, namespace: str) -> None:
    """First look, then do: with one id."""
    life = prepared(client, namespace, "StartExperiment")
    request_id = str(uuid.uuid4())
    life.move("Start", request_id=request_id, validate_only=True)
    assert "draft" == status_word(life.stored())
    life.move("Start", request_id=request_id)

    assert "running" == status_word(life.stored())


def test_a_repeat_is_answered_when_the_change_is_in_force(client: Client, namespace: str) -> None:
    """Who gets the answer to a repeat decides as the first caller does."""
    for number in range(20):
        life = Life(client, f"{namespace}-{number}")
        life.create(ab_test(life.namespace))
        request = asked(life, "StartExperiment", str(uuid.uuid4()))
        client.experiments.StartExperiment.future(request, timeout=TIMEOUT_S)
        repeated = client.experiments.StartExperiment(request, timeout=TIMEOUT_S).experiment
        assert client.assign(repeated, "user").enrolled


def test_an_override_that_has_expired_is_answered_as_at_first(client: Client, namespace: str) -> None:
    """The first answer is true of its time; a time that has passed since is no fault of the request."""
    life = prepared(client, namespace, "SetOverride")
    request = asked(life, "SetOverride", str(uuid.uuid4()))
    assert isinstance(request, pb.SetOverrideRequest)
    request.override.expires_at.FromMilliseconds(time.time_ns() // 1_000_000 + 500)
    first = answered(client, "SetOverride", request)
    time.sleep(0.6)

    assert first == answered(client, "SetOverride", request)


def test_an_id_must_be_a_uuid(client: Client, namespace: str) -> None:
    """Counters of two programs would meet."""
    refusal = refused(
        client.experiments.CreateExperiment, pb.CreateExperimentRequest(experiment=ab_test(namespace), request_id="1")
    )

    assert (grpc.StatusCode.INVALID_ARGUMENT, {"requestId": "`1` must be a UUID, or empty"}) == (
        refusal.code,
        refusal.fields,
    )
