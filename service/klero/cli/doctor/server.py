"""Who answers at the address, with which version and which time."""

from __future__ import annotations

import platform
import socket
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

from klero.cli.common import all_experiments
from klero.cli.doctor.finding import Finding, State
from klero.client.remote import Remote
from klero.errors import WireError
from klero.v1.experiment_service_pb2 import GetExperimentResultsRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from klero.v1.results_pb2 import ExperimentResults

_CONNECT_S = 2.0
_ANSWER_S = 10.0
# Beyond what a call takes.
_CLOCK_TOLERANCE_S = 2.0


def check_server(address: str, *, namespace: str, used_by: str) -> Iterator[Finding]:
    """Whether a server answers, and whether it has the version and the time of this machine.

    Args:
        address: `HOST:PORT`.
        namespace: Of the experiment that is asked for. Empty: `default`.
        used_by: Process id of the server that uses the data directory. Empty: none does.
    """
    here = f"Klero {version('klero')}, Python {platform.python_version()}"
    refused = _refused(address)
    if refused is not None:
        yield _nobody(address, refused, used_by=used_by)
        yield Finding("versions", State.OK, here)
        return
    try:
        with Remote(address) as remote:
            first = next(all_experiments(remote, namespace, timeout_s=_ANSWER_S), None)
            yield Finding("server", State.OK, f"a Klero server answers at {address}")
            if first is None:
                yield Finding("versions", State.OK, f"{here}; the server says its own once it has an experiment")
                return
            request = GetExperimentResultsRequest(id=first.id, namespace=first.namespace)
            begun = time.time()
            results = remote.experiments("GetExperimentResults", request, timeout_s=_ANSWER_S).results
    except WireError as error:
        if error.wire_reason:
            yield Finding("server", State.WARNING, f"the server at {address} answers: {error}", "look into its log")
        else:
            sentence = f"what answers at {address} is no Klero server, or does not answer in time"
            advice = "look what has the port, or choose another one with --address"
            yield Finding("server", State.FAILED, sentence, advice)
        yield Finding("versions", State.OK, here)
        return
    yield _versions(here, results)
    yield _clock(results, begun=begun, ended=time.time())


def _refused(address: str) -> str | None:
    """Why nothing can be reached at `address`; None if something can."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or not host:
        return "it must be HOST:PORT, such as 127.0.0.1:7420"
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except (OSError, OverflowError) as error:
        return str(error.strerror if isinstance(error, OSError) and error.strerror else error).lower()
    return None


def _nobody(address: str, why: str, *, used_by: str) -> Finding:
    sentence = f"nobody answers at {address}: {why}"
    if used_by:
        advice = f"name the address of pid {used_by}, which uses the data directory, with --address"
        return Finding("server", State.WARNING, sentence, advice)
    return Finding("server", State.WARNING, sentence, f"start one with `klero serve --address {address}`")


def _versions(here: str, results: ExperimentResults) -> Finding:
    if results.engine_version == version("klero"):
        return Finding("versions", State.OK, f"{here}; the server has the same Klero")
    sentence = f"{here}; the server has Klero {results.engine_version}"
    return Finding("versions", State.WARNING, sentence, "install the same on both sides")


def _clock(results: ExperimentResults, *, begun: float, ended: float) -> Finding:
    """The server's time lies between the begin and the end of the call, if both clocks are right."""
    server = results.collected_at.ToMilliseconds() / 1000
    apart = max(begun - server, server - ended, 0.0)
    if apart <= _CLOCK_TOLERANCE_S:
        return Finding("clock", State.OK, "the server's clock agrees with this machine's")
    direction = "ahead of" if server > ended else "behind"
    sentence = f"the server's clock is {apart:,.0f} s {direction} this machine's"
    return Finding("clock", State.WARNING, sentence, "let both be set by the network; times of outcomes are compared")
