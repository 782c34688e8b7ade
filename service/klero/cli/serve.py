"""`klero serve`: the server."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import click

from klero.cli.common import address_option, json_option
from klero.settings import DEFAULT_DATA_DIR, Settings, chosen_address


@click.command("serve")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="Where everything durable is; made if it is missing.",
)
@address_option
@click.option(
    "--allow-insecure", is_flag=True, help="Serve an address that other machines reach, without any access control."
)
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Go on without frames of the journal that are damaged or missing; the damaged file is kept beside it.",
)
@json_option
def serve_command(data_dir: Path, address: str | None, allow_insecure: bool, accept_loss: bool, as_json: bool) -> None:
    """Serve until Ctrl-C or SIGTERM; whatever was accepted by then is on the disk and answered.

    Port 0 takes a free one; the first line of output names it.
    """
    from klero.rpc.server import serve

    def ready(bound: str) -> None:
        click.echo(json.dumps({"ready": True, "address": bound}) if as_json else f"klero is ready on {bound}")

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = Settings(
        data_dir=data_dir, address=chosen_address(address), allow_insecure=allow_insecure, accept_loss=accept_loss
    )
    serve(settings, ready=ready)
