"""Klero decides which variant of an experiment each entity gets and learns which one is better.

`Client` and `AsyncClient` are what programs use; they are loaded when they are first named.
"""

from typing import TYPE_CHECKING

from klero.lazy import lazy

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

__getattr__, __dir__ = lazy(__name__, _HOMES)
