"""`klero override set`, `remove` and `list`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from klero.cli.common import calling, experiment_argument, print_answer, print_json, reason_option
from klero.definition import to_mapping
from klero.v1.experiment_pb2 import Override
from klero.v1.experiment_service_pb2 import DeleteOverrideRequest, ListOverridesRequest, SetOverrideRequest
from klero.words import DURATION_HINT, parse_duration

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from klero.client.remote import Remote

# What is to last longer is permanent.
_LONGEST_MS = 3650 * 86_400_000
# From two of a unit on, times are told in it.
_UNITS = {"day": 86_400_000, "hour": 3_600_000, "minute": 60_000, "second": 1000}

_entity_option = click.option("--entity", "entity_id", metavar="ID", help="Only this entity.")
_everyone_option = click.option("--everyone", is_flag=True, help="Everyone without an override of their own.")


def _exactly_one(context: click.Context, **given: bool) -> None:
    """Refuse anything but one of these options; `given` says by name which are there."""
    if sum(given.values()) != 1:
        context.fail(f"exactly one of {', '.join(f'`--{name}`' for name in given)} is needed")


def _milliseconds(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    duration = parse_duration(value)
    if duration is None or not 0 < duration.ToMilliseconds() <= _LONGEST_MS:
        message = f"`{value}` is no duration above 0 and up to 3650d, {DURATION_HINT}"
        raise click.BadParameter(message)
    return int(duration.ToMilliseconds())


@click.group("override")
def override_command() -> None:
    """Force a variant on one entity or on everyone, for tests and emergencies.

    An override acts at once and whatever the status: on a draft, on a running experiment, after the stop. Whoever is
    forced is not added to the analysis; what was counted before stays.
    """


@override_command.command("set")
@experiment_argument
@_entity_option
@_everyone_option
@click.option("--variant", "variant_id", metavar="VARIANT", help="What they get.")
@click.option("--on", is_flag=True, help="They get the first variant that is enabled: the flag is on.")
@click.option("--off", is_flag=True, help="They get the control: the flag is off.")
@click.option(
    "--for", "lasts_ms", metavar="DURATION", callback=_milliseconds, help="How long: `2h`, `7d`.  [default: 24h]"
)
@click.option("--permanent", is_flag=True, help="Until it is removed.")
@reason_option
@calling
def set_command(
    remote: Remote,
    experiment_id: str,
    entity_id: str | None,
    everyone: bool,
    variant_id: str | None,
    on: bool,
    off: bool,
    lasts_ms: int | None,
    permanent: bool,
    reason: str,
    namespace: str,
    as_json: bool,
) -> None:
    """Force a variant, instead of an earlier override for the same ones."""
    context = click.get_current_context()
    _exactly_one(context, entity=bool(entity_id), everyone=everyone)
    _exactly_one(context, variant=bool(variant_id), on=on, off=off)
    if permanent and lasts_ms is not None:
        context.fail("`--permanent` has no end, so `--for` cannot be given too")
    override = Override(
        namespace=namespace, experiment_id=experiment_id, entity_id=entity_id or "", variant_id=variant_id or ""
    )
    if lasts_ms is not None:
        override.expires_at.FromMilliseconds(_now_ms() + lasts_ms)
    request = SetOverrideRequest(override=override, reason=reason, permanent=permanent)
    if on or off:
        request.enabled = on
    answer = remote.experiments("SetOverride", request)
    if as_json:
        print_json(answer)
        return
    stored = answer.override
    until = f"{_at(stored.expires_at)} ({_left(stored)})" if stored.HasField("expires_at") else "that is removed"
    analysed = "it is not" if stored.entity_id else "nobody is"
    click.echo(
        f"{_whom(stored.entity_id)} gets `{stored.variant_id}` of `{stored.experiment_id}` until {until}; "
        f"{analysed} added to the analysis meanwhile"
    )


@override_command.command("remove")
@experiment_argument
@_entity_option
@_everyone_option
@reason_option
@calling
def remove_command(
    remote: Remote,
    experiment_id: str,
    entity_id: str | None,
    everyone: bool,
    reason: str,
    namespace: str,
    as_json: bool,
) -> None:
    """End an override before its time."""
    _exactly_one(click.get_current_context(), entity=bool(entity_id), everyone=everyone)
    answer = remote.experiments(
        "DeleteOverride",
        DeleteOverrideRequest(
            experiment_id=experiment_id, entity_id=entity_id or "", namespace=namespace, reason=reason
        ),
    )
    print_answer(answer, f"the override of `{experiment_id}` for {_whom(entity_id or '')} is removed", as_json=as_json)


@override_command.command("list")
@click.argument("experiment_id", metavar="[EXPERIMENT]", required=False, default="")
@calling
def list_command(remote: Remote, experiment_id: str, namespace: str, as_json: bool) -> None:
    """List overrides in force, of EXPERIMENT or of all."""
    found: list[Override] = []
    token = ""
    while True:
        page = remote.experiments(
            "ListOverrides",
            ListOverridesRequest(namespace=namespace, experiment_id=experiment_id, page_token=token),
        )
        found.extend(page.overrides)
        token = page.next_page_token
        if not token:
            break
    if as_json:
        print_json({"overrides": [to_mapping(override) for override in found]})
        return
    if not found:
        click.echo("no overrides; `klero override set` forces a variant")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in ("experiment", "entity", "variant", "ends in", "reason"):
        table.add_column(column, overflow="fold")
    for override in found:
        left = _left(override) if override.HasField("expires_at") else "never"
        entity = override.entity_id or "everyone"
        # As text: entity ids and reasons may have brackets, which would be taken for styles.
        row = (override.experiment_id, entity, override.variant_id, left, override.reason)
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)


def _whom(entity_id: str) -> str:
    return f"entity `{entity_id}`" if entity_id else "everyone"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _at(time: Timestamp) -> str:
    """To the second, as the contract writes times."""
    whole = type(time)(seconds=time.seconds)
    return whole.ToJsonString()


def _left(override: Override) -> str:
    return in_words(override.expires_at.ToMilliseconds() - _now_ms())


def in_words(lasts_ms: int) -> str:
    """A duration in one unit: `24 hours`, `90 minutes`; one that is over has 0 seconds left."""
    # What is told has lost some milliseconds since it was set.
    units = ((unit, size) for unit, size in _UNITS.items() if lasts_ms >= 1.99 * size)
    unit, size = next(units, ("second", _UNITS["second"]))
    count = max(0, round(lasts_ms / size))
    return f"{count:,} {unit}{'' if count == 1 else 's'}"
