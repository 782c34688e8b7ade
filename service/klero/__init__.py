"""Klero decides which variant of an experiment each entity gets and learns which one is better.

`Client` and `AsyncClient` are what programs use; they are loaded when they are first named.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from klero.client.asynchronous import AsyncClient
    from klero.client.decision import Decision
    from klero.client.delivery import Counts
    from klero.client.runs import Run
    from klero.client.sync import Client

__all__ = ["AsyncClient", "Client", "Counts", "Decision", "Run"]

_HOMES = {
    "AsyncClient": "klero.client.asynchronous",
    "Client": "klero.client.sync",
    "Counts": "klero.client.delivery",
    "Decision": "klero.client.decision",
    "Run": "klero.client.runs",
}


def __getattr__(name: str) -> object:
    """Load what is first asked for (PEP 562)."""
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Names that can be asked for."""
    return sorted({*globals(), *__all__})
