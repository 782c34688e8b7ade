"""`Client`: for programs whose threads wait for decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from klero.client.asking import answered, unanswered
from klero.client.foundation import Foundation, connected, seconds
from klero.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from klero.client.asking import Question
    from klero.client.decision import Decision
    from klero.client.values import Attribute


class Client(Foundation):
    """Asks a server which variant to use and tells it what came of it; shared by threads, one for a program.

    Whether a server answers never decides whether the program goes on: without an answer in time the caller's
    default stands in, and what is recorded waits in the background.
    """

    def __init__(  # noqa: PLR0913  # a client has as many settings
        self,
        address: str | None = None,
        *,
        namespace: str = "",
        timeout_s: float = 0.5,
        queue_size: int = 100_000,
        linger_s: float = 0.1,
        exit_timeout_s: float = 5.0,
    ) -> None:
        """Name the server; nothing is sent before the first call.

        Args:
            address: `HOST:PORT`; `KLERO_ADDRESS` of the environment, else 127.0.0.1:7420, if left out.
            namespace: Of all calls; empty: the server's default.
            timeout_s: Longest wait for a decision.
            queue_size: Outcomes and exposures that may wait to be sent; those beyond are dropped and counted.
            linger_s: How long the first outcome of a batch waits for others.
            exit_timeout_s: Longest wait for what is still to be sent, when the program ends.

        Raises:
            TypeError: A value is of a wrong type.
            ValueError: A value is impossible.
        """
        parts = connected(
            address,
            namespace=namespace,
            queue_size=queue_size,
            linger_s=seconds("linger_s", linger_s),
            exit_timeout_s=seconds("exit_timeout_s", exit_timeout_s),
        )
        super().__init__(parts, namespace=namespace, timeout_s=seconds("timeout_s", timeout_s))
        self._exit_timeout_s = exit_timeout_s

    def __enter__(self) -> Self:
        """Use the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """As `close`."""
        self.close()

    def assign(  # noqa: PLR0913  # a question has as many parts
        self,
        experiment_id: str,
        entity_id: str | None = None,
        *,
        entities: Mapping[str, str] | None = None,
        attributes: Mapping[str, Attribute] | None = None,
        default: Mapping[str, Any] | None = None,
        default_variant: str = "",
        expose: bool = True,
    ) -> Decision:
        """Decide which variant an entity gets; without an answer the default, and `reason` says why.

        Args:
            experiment_id: The experiment.
            entity_id: Who it is for; inside a run its own, if left out.
            entities: Ids by entity type, where experiments randomise several.
            attributes: For targeting: strings, numbers, bools, lists of strings.
            default: Config that stands in if there is no answer; empty, if left out.
            default_variant: Variant id that stands in if there is no answer.
            expose: Whether this is the exposure; if not, hand the decision to `expose` when it is first used.

        Raises:
            TypeError: A value is of a wrong type.
            ValueError: A value is empty or impossible, or no entity is named and no run is under way.
            RuntimeError: The client is closed.
        """
        return self._decide(
            self._question(
                experiment_id,
                entity_id,
                entities=entities,
                attributes=attributes,
                expose=expose,
                config=default,
                variant_id=default_variant,
            )
        )

    def is_enabled(
        self,
        flag_name: str,
        entity_id: str | None = None,
        *,
        entities: Mapping[str, str] | None = None,
        attributes: Mapping[str, Attribute] | None = None,
        default: bool = False,
    ) -> bool:
        """Whether the decided variant of a flag, or of any experiment, is an enabled one; else as `assign`."""
        return self._decide(
            self._question(flag_name, entity_id, entities=entities, attributes=attributes, enabled=default)
        ).enabled

    def get_variant(
        self,
        flag_name: str,
        entity_id: str | None = None,
        *,
        entities: Mapping[str, str] | None = None,
        attributes: Mapping[str, Attribute] | None = None,
        default: str = "",
    ) -> str:
        """Id of the decided variant of a flag, or of any experiment; else as `assign`."""
        return self._decide(
            self._question(flag_name, entity_id, entities=entities, attributes=attributes, variant_id=default)
        ).variant_id

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Send what waits, now; whether everything recorded before was settled within `timeout_s`."""
        return self._parts.box.flush(seconds("timeout_s", timeout_s))

    def close(self, timeout_s: float | None = None) -> None:
        """Send what waits, at most for `timeout_s` (`exit_timeout_s`, if left out), and end; again: nothing."""
        self._end(self._exit_timeout_s if timeout_s is None else seconds("timeout_s", timeout_s))

    def _decide(self, question: Question) -> Decision:
        parts = self._parts
        try:
            response = parts.transport.assign(question.request, timeout_s=self._timeout_s)
        except WireError as error:
            return unanswered(question, error, parts.box, parts.notices)
        return answered(question, response, parts.box)
