"""`AsyncClient`: for programs with an event loop, which goes on while decisions are awaited."""

from __future__ import annotations

import asyncio
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


class AsyncClient(Foundation):
    """As `Client`, with the same methods; those that wait are awaited, from any event loop.

    `record`, `expose` and `run` never wait, so they are called as they are.
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
        """Name the server; arguments and errors as of `Client`."""
        parts = connected(
            address,
            namespace=namespace,
            queue_size=queue_size,
            linger_s=seconds("linger_s", linger_s),
            exit_timeout_s=seconds("exit_timeout_s", exit_timeout_s),
        )
        super().__init__(parts, namespace=namespace, timeout_s=seconds("timeout_s", timeout_s))
        self._exit_timeout_s = exit_timeout_s

    async def __aenter__(self) -> Self:
        """Use the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """As `close`."""
        await self.close()

    async def assign(  # noqa: PLR0913  # a question has as many parts
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
        """As `Client.assign`."""
        return await self._decide(
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

    async def is_enabled(
        self,
        flag_name: str,
        entity_id: str | None = None,
        *,
        entities: Mapping[str, str] | None = None,
        attributes: Mapping[str, Attribute] | None = None,
        default: bool = False,
    ) -> bool:
        """As `Client.is_enabled`."""
        decision = await self._decide(
            self._question(flag_name, entity_id, entities=entities, attributes=attributes, enabled=default)
        )
        return decision.enabled

    async def get_variant(
        self,
        flag_name: str,
        entity_id: str | None = None,
        *,
        entities: Mapping[str, str] | None = None,
        attributes: Mapping[str, Attribute] | None = None,
        default: str = "",
    ) -> str:
        """As `Client.get_variant`."""
        decision = await self._decide(
            self._question(flag_name, entity_id, entities=entities, attributes=attributes, variant_id=default)
        )
        return decision.variant_id

    async def flush(self, timeout_s: float = 5.0) -> bool:
        """As `Client.flush`."""
        return await asyncio.to_thread(self._parts.box.flush, seconds("timeout_s", timeout_s))

    async def close(self, timeout_s: float | None = None) -> None:
        """As `Client.close`."""
        limit_s = self._exit_timeout_s if timeout_s is None else seconds("timeout_s", timeout_s)
        await asyncio.to_thread(self._end, limit_s)

    async def _decide(self, question: Question) -> Decision:
        parts = self._parts
        try:
            answer = parts.transport.assign_soon(question.request, timeout_s=self._timeout_s)
            response = await asyncio.wrap_future(answer)
        except WireError as error:
            return unanswered(question, error, parts.box, parts.notices)
        return answered(question, response, parts.box)
