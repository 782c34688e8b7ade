"""`klero report`: what was asked, what was found and how it came about, as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from klero.cli.common import calling, experiment_argument, print_json
from klero.errors import WireError
from klero.v1.events_pb2 import ResourceType
from klero.v1.experiment_service_pb2 import (
    GetExperimentHistoryRequest,
    GetExperimentRequest,
    GetExperimentResultsRequest,
    GetExperimentStatusRequest,
    ListAuditEntriesRequest,
)
from klero.v1.results_pb2 import ResultsView

if TYPE_CHECKING:
    from klero.client.remote import Remote
    from klero.report.data import ReportData
    from klero.v1.experiment_pb2 import Experiment
    from klero.v1.experiment_service_pb2 import GetExperimentHistoryResponse
    from klero.v1.results_pb2 import ExperimentResults

_MOST_ENTRIES = 1000


@click.command("report")
@experiment_argument
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    metavar="FILE",
    help="What to write; a file that is there is replaced. Default: EXPERIMENT.html.",
)
@click.option("--terminal", is_flag=True, help="Show the report in short and write nothing.")
@calling
def report_command(
    remote: Remote, experiment_id: str, output: Path | None, terminal: bool, namespace: str, as_json: bool
) -> None:
    """Write a report that opens in any browser: one HTML file, which needs no network."""
    if terminal:
        if output is not None or as_json:
            message = "--terminal writes no file: leave out --output and --json"
            raise click.UsageError(message)
        _show(remote, experiment_id, namespace)
        return
    from klero.report.page import page

    path = output or Path(f"{experiment_id}.html")
    content = page(_data(remote, experiment_id, namespace)).encode()
    replaced = path.exists()
    try:
        path.write_bytes(content)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}"
        raise click.ClickException(message) from error
    if as_json:
        print_json({"file": str(path), "bytes": len(content)})
    else:
        click.echo(f"{'replaced' if replaced else 'wrote'} {path}, {len(content):,} bytes; open it in a browser")


def _show(remote: Remote, experiment_id: str, namespace: str) -> None:
    """Question, answer and numbers in the terminal."""
    from rich.console import Console

    from klero.report.tables import question, results_table

    experiment = _experiment(remote, experiment_id, namespace)
    console = Console(highlight=False)
    console.print(question(experiment))
    console.print(results_table(experiment, _results(remote, experiment, ResultsView.RESULTS_VIEW_SETTLED)))


def _data(remote: Remote, experiment_id: str, namespace: str) -> ReportData:
    """Everything that the server knows of the experiment."""
    from klero.report.data import ReportData

    experiment = _experiment(remote, experiment_id, namespace)
    windowed = any(metric.HasField("window") for metric in experiment.metrics)
    audit = remote.experiments(
        "ListAuditEntries",
        ListAuditEntriesRequest(
            namespace=experiment.namespace,
            resource_type=ResourceType.RESOURCE_TYPE_EXPERIMENT,
            resource_id=experiment.id,
            page_size=_MOST_ENTRIES,
        ),
    )
    return ReportData(
        experiment=experiment,
        results=_results(remote, experiment, ResultsView.RESULTS_VIEW_SETTLED),
        live=_results(remote, experiment, ResultsView.RESULTS_VIEW_LIVE) if windowed else None,
        status=remote.experiments(
            "GetExperimentStatus", GetExperimentStatusRequest(id=experiment.id, namespace=experiment.namespace)
        ),
        history=_history(remote, experiment),
        audit=audit.entries,
        audit_is_cut=bool(audit.next_page_token),
    )


def _experiment(remote: Remote, experiment_id: str, namespace: str) -> Experiment:
    request = GetExperimentRequest(id=experiment_id, namespace=namespace)
    experiment: Experiment = remote.experiments("GetExperiment", request).experiment
    return experiment


def _results(remote: Remote, experiment: Experiment, view: ResultsView.ValueType) -> ExperimentResults:
    request = GetExperimentResultsRequest(id=experiment.id, namespace=experiment.namespace, view=view)
    results: ExperimentResults = remote.experiments("GetExperimentResults", request).results
    return results


def _history(remote: Remote, experiment: Experiment) -> GetExperimentHistoryResponse | None:
    """The looks at the leading metric; `None` from a server that serves none."""
    request = GetExperimentHistoryRequest(id=experiment.id, namespace=experiment.namespace)
    try:
        history: GetExperimentHistoryResponse = remote.experiments("GetExperimentHistory", request)
    except WireError as error:
        if error.status != "UNIMPLEMENTED":
            raise
        return None
    return history
