"""Results that are looked at again and again, until they are final.

A terminal has them redrawn in place. A program gets a line of JSON for each change.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from klero.definition import to_mapping
from klero.errors import WireError
from klero.lifecycle import ARCHIVED, ROLLED_BACK, STOPPED, status_name
from klero.v1.experiment_service_pb2 import GetExperimentRequest, GetExperimentResultsRequest
from klero.v1.results_pb2 import ExperimentResults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from klero.client.remote import Remote
    from klero.v1.experiment_pb2 import Experiment

_ENDED = (STOPPED, ROLLED_BACK, ARCHIVED)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the server found."""

    experiment: Experiment
    results: ExperimentResults
    missed: str
    """Why this look found nothing, so that it is that of the look before. Empty: it is new."""

    @property
    def last(self) -> bool:
        """Whether nothing can change any more: the iteration has ended and its windows are closed."""
        latest = self.results.iteration == self.experiment.iteration
        return self.results.is_final and not self.missed and (not latest or self.experiment.status in _ENDED)


def looks(remote: Remote, request: GetExperimentResultsRequest, *, interval_s: float) -> Iterator[Look]:
    """Look every `interval_s`, until nothing can change any more; only the first look waits for `min_position`.

    Raises:
        WireError: The first look failed, or a later one for another reason than that no answer can be had for now.
    """
    asked = GetExperimentResultsRequest()
    asked.CopyFrom(request)
    found = _look(remote, asked)
    asked.ClearField("min_position")
    while True:
        yield found
        if found.last:
            return
        time.sleep(interval_s)
        try:
            found = _look(remote, asked)
        except WireError as error:
            if error.status != "UNAVAILABLE":
                raise
            found = Look(found.experiment, found.results, str(error))


def follow_as_json(found: Iterator[Look]) -> None:
    """Print a line for each look that differs from the one before in more than its time.

    That no answer can be had is said once, on stderr, until there is one again.
    """
    before: ExperimentResults | None = None
    missed = ""
    for look in found:
        now = _lasting(look.results)
        if look.missed and not missed:
            click.echo(json.dumps({"error": {"message": look.missed}}, ensure_ascii=False), err=True)
        elif now != before or look.last:
            click.echo(json.dumps(to_mapping(look.results), ensure_ascii=False))
        before, missed = now, look.missed


def follow_on_terminal(found: Iterator[Look], *, interval_s: float) -> None:
    """Redraw the results in place; the last ones stay."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        try:
            for look in found:
                live.update(_drawn(look, interval_s=interval_s), refresh=True)
        finally:
            live.vertical_overflow = "visible"


def _look(remote: Remote, request: GetExperimentResultsRequest) -> Look:
    results = remote.experiments("GetExperimentResults", request).results
    experiment = remote.experiments(
        "GetExperiment", GetExperimentRequest(id=request.id, namespace=request.namespace)
    ).experiment
    return Look(experiment, results, "")


def _lasting(results: ExperimentResults) -> ExperimentResults:
    """The results without what changes by the clock alone."""
    lasting = ExperimentResults()
    lasting.CopyFrom(results)
    for field in ("collected_at", "as_of", "lag"):
        lasting.ClearField(field)
    lasting.progress.ClearField("estimated_end")
    return lasting


def _drawn(look: Look, *, interval_s: float) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from klero.report.tables import results_table

    experiment, results = look.experiment, look.results
    enrolled = f"{results.progress.enrolled:,} enrolled, {results.progress.settled:,} of them settled"
    state = f"`{experiment.id}` is {status_name(experiment.status)}, iteration {results.iteration}: {enrolled}"
    at = results.collected_at.ToDatetime().strftime("%Y-%m-%d %H:%M:%S UTC")
    end = "final" if look.last else f"again every {interval_s:g} s, Ctrl-C ends"
    parts: list[RenderableType] = [Text(state), Text(), results_table(experiment, results), Text()]
    if look.missed:
        parts.append(Text(f"{look.missed}; trying again", style="yellow"))
    parts.append(Text(f"As of {at}; {end}.", style="dim"))
    return Group(*parts)
