"""The one place that wires: from settings to a running server, and back down in one order."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import logging
import signal
import time
import uuid
from contextlib import AsyncExitStack, ExitStack
from importlib.metadata import version
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from klero.analysis.worker import AnalysisWorker
from klero.catalog.sqlite import SqliteCatalog
from klero.data_directory import DataDirectory
from klero.engine import Engine
from klero.errors import StartupError
from klero.journal.sqlite import SqliteJournal
from klero.journal.writer import JournalWriter
from klero.rpc.admission import Admission
from klero.rpc.changes import Changes
from klero.rpc.decisions import METHODS, Decisions, Waiting
from klero.rpc.draining import Draining
from klero.rpc.experiments import ExperimentServicer
from klero.rpc.methods import handlers
from klero.rpc.results import Results
from klero.v1 import analysis_service_pb2, decision_service_pb2, experiment_service_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from klero.settings import Settings

log = logging.getLogger(__name__)

# A little above the contract's 4 MB, so that the core can refuse with a reason.
_MAX_MESSAGE_BYTES = 4 * 1024 * 1024 + 64 * 1024
# Calls under way get this long at the first signal; a second signal ends the wait.
_DRAIN_S = 10.0
_SERVICES = (
    decision_service_pb2.DESCRIPTOR.services_by_name["DecisionService"],
    experiment_service_pb2.DESCRIPTOR.services_by_name["ExperimentService"],
    analysis_service_pb2.DESCRIPTOR.services_by_name["AnalysisService"],
)


class Clock:
    """Unix milliseconds that never go back: the one source of time of a server."""

    def __init__(self, not_before_ms: int) -> None:
        """Begin at `not_before_ms`, the last time that the journal has seen, or later."""
        self._last = not_before_ms

    def __call__(self) -> int:
        """Read the time."""
        self._last = max(self._last, time.time_ns() // 1_000_000)
        return self._last


def serve(settings: Settings, *, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; everything accepted by then is durable and answered.

    `ready` is called once with the address, port included, when calls are answered.

    Raises:
        StartupError: The server cannot start; the message says what to change.
    """
    with ExitStack() as stack:
        directory = stack.enter_context(DataDirectory(settings.data_dir))
        catalog = SqliteCatalog(directory.catalog)
        journal = SqliteJournal(directory.journal)
        stack.callback(journal.close)
        engine = Engine(secret=catalog.secret, incarnation=uuid.uuid4().bytes)
        _replay(engine, journal)
        asyncio.run(_serve(settings, catalog, journal, engine, ready=ready))


def _replay(engine: Engine, journal: SqliteJournal) -> None:
    for frame in journal.frames(after=0):
        try:
            engine.replay(position=frame.position, crc=frame.crc, body=frame.body)
        except ValueError as error:
            raise StartupError(why=f"journal frame {frame.position} cannot be read: {error}") from error


async def _serve(
    settings: Settings,
    catalog: SqliteCatalog,
    journal: SqliteJournal,
    engine: Engine,
    *,
    ready: Callable[[str], None],
) -> None:
    clock = Clock(engine.time_ms)
    waiting = Waiting(asyncio.get_running_loop())
    worker = AnalysisWorker()
    changes = Changes(catalog, engine, waiting, clock=clock)
    writer = JournalWriter(engine, journal, deliver=waiting.deliver)
    health = HealthServicer()
    async with AsyncExitStack() as stack:
        # Taken down in the reverse order: calls, then the queue and its writer, then the rest.
        stack.callback(changes.close)
        stack.push_async_callback(worker.close)
        changes.load()
        stack.push_async_callback(_close_journal, engine, writer)
        writer.start()
        draining = Draining(changes, engine, clock=clock)
        stack.push_async_callback(draining.close)
        draining.start()
        server = grpc.aio.server(
            options=[
                # A second server on the port would silently share it.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ]
        )
        decisions = Decisions(engine, waiting, clock=clock)
        experiments = ExperimentServicer(
            changes, Results(engine, worker, version=version("klero"), clock=clock), engine, waiting, clock=clock
        )
        admission = Admission()
        hot = {method: functools.partial(_hot, decisions, method) for method in METHODS}
        server.add_generic_rpc_handlers(
            (
                handlers(_SERVICES[0], hot, admission=admission, raw=True),
                handlers(_SERVICES[1], experiments.served(), admission=admission),
                handlers(_SERVICES[2], {}, admission=admission),
            )
        )
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        names = [service.full_name for service in _SERVICES]
        reflection.enable_server_reflection(
            [*names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME], server
        )
        address = _listen(server, settings)
        await server.start()
        stack.push_async_callback(_drain, server, health, admission)
        for name in ("", *names):
            await health.set(name, health_pb2.HealthCheckResponse.SERVING)
        warming = asyncio.create_task(worker.warm_up())
        stack.callback(warming.cancel)
        stopping = _stop_signals(server)
        ready(address)
        await stopping.wait()
        log.info("stopping")


async def _hot(decisions: Decisions, method: str, request: bytes, _context: object) -> bytes:
    return await decisions.call(method, request)


def _listen(server: grpc.aio.Server, settings: Settings) -> str:
    host, colon, port = settings.address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535 or not host:  # noqa: PLR2004  # the largest port
        raise StartupError(why=f"address `{settings.address}` must be HOST:PORT, such as 127.0.0.1:7420")
    if not settings.allow_insecure and not _is_loopback(host):
        raise StartupError(
            why=f"address {settings.address} can be reached from other machines, and this version has neither tokens "
            "nor TLS: listen on 127.0.0.1, or allow it with --allow-insecure"
        )
    try:
        bound = server.add_insecure_port(settings.address)
    except RuntimeError:
        bound = 0
    if not bound:
        raise StartupError(why=f"address {settings.address} cannot be listened on: in use by another process?")
    return f"{host}:{bound}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _stop_signals(server: grpc.aio.Server) -> asyncio.Event:
    """An event that SIGINT or SIGTERM sets; the second signal ends the calls that still run."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    hurried: list[asyncio.Task[None]] = []

    def stop() -> None:
        if stopping.is_set():
            hurried.append(loop.create_task(server.stop(0)))
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return stopping


async def _drain(server: grpc.aio.Server, health: HealthServicer, admission: Admission) -> None:
    """Say that it goes down, take no more calls, and finish those under way."""
    await health.enter_graceful_shutdown()
    await admission.close()
    await server.stop(_DRAIN_S)


async def _close_journal(engine: Engine, writer: JournalWriter) -> None:
    """Commit and answer whatever waits."""
    engine.close_queue()
    await asyncio.to_thread(writer.join)
