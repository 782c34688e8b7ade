"""What `Client` and `AsyncClient` share: the parts that they are made of, and their end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from klero.client.asking import Question, question
from klero.client.delivery import Delivery
from klero.client.endings import endings
from klero.client.notices import Notices
from klero.client.outbox import Outbox
from klero.client.recording import Recording
from klero.client.transport import GrpcTransport
from klero.client.values import number, optional_text
from klero.settings import chosen_address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from klero.client.delivery import Counts
    from klero.client.items import Item
    from klero.client.outbox import Box
    from klero.client.transport import Transport
    from klero.client.values import Attribute


@dataclass(frozen=True, slots=True)
class Parts:
    """What carries calls and items."""

    transport: Transport
    box: Box
    notices: Notices = field(default_factory=Notices)
    closed: Callable[[], None] = lambda: None
    """Called when the client has ended."""


class Lifeline:
    """Ends and forks of the process, as the parts of one client need them."""

    def __init__(self, transport: GrpcTransport, box: Outbox, *, exit_timeout_s: float) -> None:
        """Wait at most `exit_timeout_s` for what is to be sent at the end."""
        self._transport = transport
        self._box = box
        self._exit_timeout_s = exit_timeout_s

    def at_exit(self) -> None:
        """Send what waits, and end."""
        self._box.close(self._exit_timeout_s, cut_off=self._transport.close)

    def at_sigterm(self) -> None:
        """Send what waits; the program may go on."""
        self._box.flush(self._exit_timeout_s)

    def before_fork(self) -> None:
        """Let no call be under way."""
        self._transport.before_fork()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._transport.after_fork_in_parent()

    def after_fork_in_child(self) -> None:
        """Begin anew; what waits is the parent's."""
        self._transport.begin()
        self._box.begin()


def connected(address: str | None, *, namespace: str, queue_size: int, linger_s: float, exit_timeout_s: float) -> Parts:
    """Parts for a server, which need not be there yet."""
    if queue_size < 1:
        message = f"queue_size must be at least 1: {queue_size}"
        raise ValueError(message)
    notices = Notices()
    transport = GrpcTransport(chosen_address(address))

    def delivery(server_lost: Callable[[], None]) -> Delivery:
        return Delivery(transport, namespace=namespace, notices=notices, server_lost=server_lost)

    box = Outbox(delivery, size=queue_size, linger_s=linger_s, notices=notices, started=endings.begun)
    lifeline = Lifeline(transport, box, exit_timeout_s=exit_timeout_s)
    endings.add(lifeline)
    return Parts(transport, box, notices, closed=lambda: endings.remove(lifeline))


class Foundation(Recording):
    """A client but for what waits, which each kind does in its own way."""

    def __init__(self, parts: Parts, *, namespace: str, timeout_s: float) -> None:
        """Use `parts`, whose calls wait at most `timeout_s`."""
        super().__init__(parts.box.put)
        self._parts = parts
        self._namespace = optional_text("namespace", namespace)
        self._timeout_s = timeout_s
        self._open = True

    @property
    def counts(self) -> Counts:
        """What became of outcomes and exposures so far, in this process."""
        return self._parts.box.counts

    @property
    def waiting(self) -> int:
        """Outcomes and exposures that are not stored, refused or given up yet."""
        return self._parts.box.waiting

    def _question(  # noqa: PLR0913  # what `assign` takes
        self,
        experiment_id: str,
        entity_id: str | None,
        *,
        entities: Mapping[str, str] | None,
        attributes: Mapping[str, Attribute] | None,
        expose: bool = True,
        config: Mapping[str, Any] | None = None,
        variant_id: str = "",
        enabled: bool = False,
    ) -> Question:
        if not self._open:
            raise RuntimeError(_CLOSED)
        return question(
            experiment_id,
            entity_id,
            namespace=self._namespace,
            entities=entities,
            attributes=attributes,
            expose=expose,
            config=config,
            variant_id=variant_id,
            enabled=enabled,
        )

    def _end(self, timeout_s: float) -> None:
        if self._open:
            self._open = False
            self._put = _refuse
            self._parts.box.close(timeout_s, cut_off=self._parts.transport.close)
            self._parts.closed()


_CLOSED = "the client is closed"


def _refuse(_item: Item) -> None:
    raise RuntimeError(_CLOSED)


def seconds(name: str, value: float) -> float:
    """`value`, which has to be a number of seconds above 0.

    Raises:
        TypeError: It is no number.
        ValueError: It is not above 0.
    """
    checked = number(name, value)
    if not checked > 0:
        message = f"{name} must be above 0 seconds: {value}"
        raise ValueError(message)
    return checked
