"""Settings: the only reader of the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_ADDRESS = "127.0.0.1:7420"
DEFAULT_DATA_DIR = Path("klero-data")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server is told at its start."""

    data_dir: Path = DEFAULT_DATA_DIR
    """Where everything durable is; made if it is missing."""

    address: str = DEFAULT_ADDRESS
    """`HOST:PORT` to listen on; port 0 takes a free one."""

    allow_insecure: bool = False
    """Whether an address other than loopback may be served without tokens and TLS."""

    accept_loss: bool = False
    """Whether to go on without frames that are damaged or missing."""


def chosen_address(option: str | None) -> str:
    """Address to call, or to listen on: `option`, else `KLERO_ADDRESS`, else the default."""
    return option or os.environ.get("KLERO_ADDRESS") or DEFAULT_ADDRESS
