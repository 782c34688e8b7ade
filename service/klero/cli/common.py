"""Options and output that commands share."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click
from click.shell_completion import CompletionItem

from klero.settings import chosen_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from google.protobuf.message import Message
    from rich.console import Console

    from klero.client.remote import Remote
    from klero.v1.experiment_pb2 import Experiment
    from klero.v1.experiment_service_pb2 import Warning as DefinitionWarning

_Rest = ParamSpec("_Rest")
_Result = TypeVar("_Result")

# Wider than any row.
_WIDTH_PIPED = 10_000
# Someone waits with a finger on the tab key.
_COMPLETION_TIMEOUT_S = 1.0

address_option = click.option(
    "--address", metavar="HOST:PORT", help="Of the server. Default: KLERO_ADDRESS, else 127.0.0.1:7420."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, errors too.")
namespace_option = click.option(
    "--namespace", default="", metavar="NAME", help="Environment or team. Default: `default`."
)
reason_option = click.option("--reason", default="", metavar="TEXT", help="Why, for the audit trail.")


class ExperimentId(click.ParamType[str]):
    """Id of an experiment, completed with those of the server; with none if it does not answer at once."""

    name = "experiment"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Ids that begin with `incomplete`, with their status."""
        del param
        from klero.client.remote import Remote
        from klero.errors import WireError
        from klero.lifecycle import status_name

        try:
            with Remote(chosen_address(ctx.params.get("address"))) as remote:
                found = list(
                    all_experiments(remote, ctx.params.get("namespace") or "", timeout_s=_COMPLETION_TIMEOUT_S)
                )
        except WireError:
            return []
        return [
            CompletionItem(experiment.id, help=status_name(experiment.status))
            for experiment in found
            if experiment.id.startswith(incomplete)
        ]


experiment_argument = click.argument("experiment_id", metavar="EXPERIMENT", type=ExperimentId())


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


def all_experiments(
    remote: Remote, namespace: str, *, filter_text: str = "", timeout_s: float | None = None
) -> Iterator[Experiment]:
    """Every experiment of a namespace, by id, page after page.

    Args:
        remote: Whom to ask.
        namespace: Empty: `default`.
        filter_text: As in ListExperimentsRequest. Empty: all but archived ones.
        timeout_s: Of each page. None: that of other calls.

    Raises:
        WireError: The server refused, or could not be reached.
    """
    from klero.client.remote import TIMEOUT_S
    from klero.v1.experiment_service_pb2 import ListExperimentsRequest

    token = ""
    while True:
        request = ListExperimentsRequest(namespace=namespace, filter=filter_text, page_token=token)
        page = remote.experiments("ListExperiments", request, timeout_s=timeout_s or TIMEOUT_S)
        yield from page.experiments
        token = page.next_page_token
        if not token:
            return


def table_console() -> Console:
    """Where tables are printed: folded to the width of a terminal, and not at all where `grep` reads them."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_PIPED
    return console


def print_json(value: Message | dict[str, Any], *, indent: int | None = 2) -> None:
    """Print a message, or a mapping of plain values, as JSON; without `indent` in one line."""
    from klero.definition import to_mapping

    plain = value if isinstance(value, dict) else to_mapping(value)
    click.echo(json.dumps(plain, indent=indent, ensure_ascii=False))


def print_answer(answer: Message, sentence: str, *, as_json: bool) -> None:
    """Print what a server answered: the message as JSON, or one sentence for people."""
    if as_json:
        print_json(answer)
    else:
        click.echo(sentence)


def print_warnings(warnings: Iterable[DefinitionWarning]) -> None:
    """Print what is allowed and probably not meant."""
    for warning in warnings:
        click.echo(f"warning: {warning.field}: {warning.message}", err=True)


def plural(count: int, noun: str) -> str:
    """`1 outcome`, `2 outcomes`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
