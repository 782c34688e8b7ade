"""The one place that wires: from settings to a running server, and back down in one order."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import logging
import signal
import threading
import time
import uuid
from contextlib import AsyncExitStack, ExitStack, closing
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from klero.analysis.worker import AnalysisWorker
from klero.catalog.history import History
from klero.catalog.sqlite import SqliteCatalog
from klero.data_directory import DataDirectory
from klero.engine import Engine
from klero.errors import StartupError
from klero.journal.checkpointer import Checkpointer
from klero.journal.checkpoints import Checkpoints
from klero.journal.lost import described
from klero.journal.repair import accept_loss
from klero.journal.space import SpaceGuard
from klero.journal.sqlite import SqliteJournal
from klero.journal.writer import JournalWriter
from klero.rpc.admission import Admission
from klero.rpc.audit import AuditServicer
from klero.rpc.beginning import Beginning, Stores
from klero.rpc.changes import Changes
from klero.rpc.decisions import METHODS, Decisions, Waiting
from klero.rpc.experiments import ExperimentServicer
from klero.rpc.forget import ForgetServicer
from klero.rpc.history import HistoryServicer
from klero.rpc.judging import JudgingServicer
from klero.rpc.looks import Looks
from klero.rpc.methods import handlers
from klero.rpc.overrides import OverrideServicer
from klero.rpc.results import Results
from klero.rpc.timetable import Timetable
from klero.rpc.transitions import TransitionServicer
from klero.v1 import analysis_service_pb2, decision_service_pb2, experiment_service_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from klero.rpc.rounds import Rounds
    from klero.settings import Settings

log = logging.getLogger(__name__)

# A little above the contract's 4 MB, so that the core can refuse with a reason.
_MAX_MESSAGE_BYTES = 4 * 1024 * 1024 + 64 * 1024
# Calls under way get this long at the first signal; a second signal ends the wait.
_DRAIN_S = 10.0
# A journal that is read within this time is known to be whole when readiness is announced; decisions are
# answered meanwhile.
_PATIENCE_S = 1.0
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
        self._reading = threading.Lock()

    def __call__(self) -> int:
        """Read the time; from any thread."""
        with self._reading:
            self._last = max(self._last, time.time_ns() // 1_000_000)
            return self._last


def serve(settings: Settings, *, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; everything accepted by then is durable and answered.

    `ready` is called once with the address, port included, when decisions are answered. What came of
    earlier ones may still be read then; a short journal is read before.

    Raises:
        StartupError: The server cannot start, or the journal turns out to be damaged; says what to change.
    """
    with ExitStack() as stack:
        directory = stack.enter_context(DataDirectory(settings.data_dir))
        catalog = SqliteCatalog(directory.catalog)
        checkpoints = Checkpoints(directory.checkpoints)
        if settings.accept_loss:
            _accept_loss(directory, catalog, checkpoints)
        journal = stack.enter_context(SqliteJournal(directory.journal))
        engine = Engine(secret=catalog.secret, incarnation=uuid.uuid4().bytes)
        asyncio.run(_serve(settings, Stores(directory, catalog, journal, checkpoints), engine, ready=ready))


def _accept_loss(directory: DataDirectory, catalog: SqliteCatalog, checkpoints: Checkpoints) -> None:
    lost = accept_loss(directory.journal, known_until=checkpoints.last_position(), now=datetime.now(UTC))
    if lost:
        # A start of an iteration may be among them.
        catalog.mark_untold()
        log.warning("the journal goes on without frames %s; the damaged file is kept beside it", described(lost))


async def _serve(settings: Settings, stores: Stores, engine: Engine, *, ready: Callable[[str], None]) -> None:
    clock = Clock(stores.journal.last_time_ms())
    waiting = Waiting(asyncio.get_running_loop())
    worker = AnalysisWorker()
    changes = Changes(stores.catalog, engine, waiting, clock=clock)
    checkpointer = Checkpointer(engine, stores.checkpoints)
    writer = JournalWriter(
        engine,
        stores.journal,
        deliver=waiting.deliver,
        folded=checkpointer.folded,
        guard=SpaceGuard(stores.directory.path, engine=engine),
        clock=clock,
    )
    beginning = Beginning(engine, stores, changes, writer=writer, checkpointer=checkpointer)
    health = HealthServicer()
    async with AsyncExitStack() as stack:
        # Taken down in the reverse order: calls, then the queue and its writer, then the rest.
        stack.callback(changes.close)
        stack.push_async_callback(worker.close)
        if changes.all_told():
            changes.load()
        stack.push_async_callback(_close_journal, engine, writer, checkpointer)
        timetable = Timetable(changes, engine, clock=clock)
        stack.push_async_callback(timetable.close)
        history = stack.enter_context(closing(History(stores.directory.catalog)))
        looks = Looks(changes, engine, history, clock=clock)
        stack.push_async_callback(looks.close)
        server = grpc.aio.server(
            options=[
                # A second server on the port would silently share it.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ]
        )
        decisions = Decisions(engine, waiting, clock=clock)
        results = Results(engine, worker, version=version("klero"), clock=clock)
        admission = Admission()
        hot = {method: functools.partial(_hot, decisions, method) for method in METHODS}
        parts = (
            ExperimentServicer(changes, clock=clock),
            TransitionServicer(changes, clock=clock),
            JudgingServicer(changes, results, engine, waiting),
            HistoryServicer(changes, results, looks, worker, clock=clock),
            OverrideServicer(changes, clock=clock),
            ForgetServicer(changes),
            AuditServicer(changes),
        )
        admin = beginning.guarded({name: call for part in parts for name, call in part.served().items()})
        server.add_generic_rpc_handlers(
            (
                handlers(_SERVICES[0], hot, admission=admission, raw=True),
                handlers(_SERVICES[1], admin, admission=admission),
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
        stopping = _stop_signals(server)
        begun = asyncio.create_task(_begin(beginning, timetable, looks))
        stack.push_async_callback(beginning.stop, begun)
        begun.add_done_callback(functools.partial(_stop_on_failure, stopping))
        await asyncio.wait({begun}, timeout=_PATIENCE_S)
        if begun.done():
            begun.result()
        warming = asyncio.create_task(worker.warm_up())
        stack.callback(warming.cancel)
        ready(address)
        await stopping.wait()
        if begun.done():
            begun.result()
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


async def _begin(beginning: Beginning, *watching: Rounds) -> None:
    if await beginning.run():
        for task in watching:
            task.start()


def _stop_on_failure(stopping: asyncio.Event, begun: asyncio.Task[None]) -> None:
    """A damaged journal may be found after readiness was announced."""
    if not begun.cancelled() and begun.exception() is not None:
        stopping.set()


async def _drain(server: grpc.aio.Server, health: HealthServicer, admission: Admission) -> None:
    """Say that it goes down, take no more calls, and finish those under way."""
    await health.enter_graceful_shutdown()
    await admission.close()
    await server.stop(_DRAIN_S)


async def _close_journal(engine: Engine, writer: JournalWriter, checkpointer: Checkpointer) -> None:
    """Commit and answer whatever waits, then keep what was folded."""
    engine.close_queue()
    if writer.ident is not None:
        await asyncio.to_thread(writer.join)
    await asyncio.to_thread(checkpointer.close)
