"""Options and output that commands share."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from klero.definition import to_mapping
from klero.settings import chosen_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from google.protobuf.message import Message

    from klero.client.remote import Remote
    from klero.v1.experiment_service_pb2 import Warning as DefinitionWarning

_Rest = ParamSpec("_Rest")
_Result = TypeVar("_Result")

address_option = click.option(
    "--address", metavar="HOST:PORT", help="Of the server. Default: KLERO_ADDRESS, else 127.0.0.1:7420."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
namespace_option = click.option("--namespace", default="", metavar="NAME", help="Default: `default`.")


def calling(command: Callable[Concatenate[Remote, _Rest], _Result]) -> Callable[_Rest, _Result]:
    """Give `command` a connection in place of `--address`, and the options `--namespace` and `--json`."""

    @address_option
    @namespace_option
    @json_option
    @functools.wraps(command)
    def wrapped(*args: Any, address: str | None, **kwargs: Any) -> _Result:  # noqa: ANN401  # click's values
        from klero.client.remote import Remote

        with Remote(chosen_address(address)) as remote:
            return command(remote, *args, **kwargs)

    return wrapped  # type: ignore[return-value]  # `address` is click's to give


def print_json(value: Message | dict[str, Any]) -> None:
    """Print a message, or a mapping of plain values, as JSON."""
    plain = value if isinstance(value, dict) else to_mapping(value)
    click.echo(json.dumps(plain, indent=2, ensure_ascii=False))


def print_warnings(warnings: Iterable[DefinitionWarning]) -> None:
    """Print what is allowed and probably not meant."""
    for warning in warnings:
        click.echo(f"warning: {warning.field}: {warning.message}", err=True)


def plural(count: int, noun: str) -> str:
    """`1 outcome`, `2 outcomes`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
