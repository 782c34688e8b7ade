"""The story that the demo tells."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

import klero
from klero.cli.common import json_option
from klero.definition import parse, to_mapping
from klero.v1.experiment_service_pb2 import (
    CreateExperimentRequest,
    GetExperimentResultsRequest,
    StartExperimentRequest,
    StopExperimentRequest,
)

if TYPE_CHECKING:
    from rich.console import Console

    from klero.client.remote import Remote
    from klero.v1.experiment_pb2 import Experiment
    from klero.v1.results_pb2 import ExperimentResults

_WIDTH_PIPED = 80


@click.command("demo")
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=15.0,
    metavar="SECONDS",
    show_default=True,
    help="Length of the live part.",
)
@json_option
def demo_command(seconds: float, as_json: bool) -> None:
    """Start a server with an empty data directory and run two experiments from start to verdict."""
    from rich.console import Console

    from klero.cli.demo.server import running_server
    from klero.client.remote import Remote

    examples = _examples()
    console = Console(highlight=False, stderr=as_json)
    if not console.is_terminal:
        console.width = _WIDTH_PIPED
    with tempfile.TemporaryDirectory(prefix="klero-demo-") as directory, running_server(Path(directory)) as address:
        console.print(f"Klero runs on {address}, with its data in {directory} until the demo ends.")
        with Remote(address) as remote:
            results = [_imported(remote, console, examples), _live(remote, console, examples, seconds)]
    if as_json:
        click.echo(json.dumps({"results": [to_mapping(found) for found in results]}, indent=2, ensure_ascii=False))
    console.print("That was the demo. The README goes on with an experiment of your own.")


def _examples() -> Path:
    """The examples of the checkout that this package belongs to."""
    for parent in Path(klero.__file__).parents:
        if (parent / "examples" / "hillstrom.yaml").is_file():
            return parent / "examples"
    message = "the demo needs examples/ of a checkout of Klero: run it there with `make demo`"
    raise click.ClickException(message)


def _imported(remote: Remote, console: Console, examples: Path) -> ExperimentResults:
    """A finished experiment, whose variants another system chose."""
    from klero.cli.import_data import events_by_name, variants_by_value
    from klero.cli.import_output import import_with_progress
    from klero.cli.importing import ImportPlan

    console.rule("A finished experiment: 64,000 customers and two e-mails")
    experiment = _started(remote, examples / "hillstrom.yaml")
    plan = ImportPlan(
        experiment=experiment,
        path=examples / "data" / "hillstrom.csv.gz",
        entity_column=None,
        variant_column="segment",
        variants=variants_by_value(experiment),
        events=events_by_name(experiment),
    )
    report = import_with_progress(remote, plan)
    rate = round(report.rows / report.elapsed_s)
    console.print(
        f"{report.rows:,} customers, {report.accepted:,} exposures and outcomes on the disk, {rate:,} customers/s"
    )
    return _stopped(remote, console, experiment, report.position)


def _live(remote: Remote, console: Console, examples: Path, seconds: float) -> ExperimentResults:
    """A running experiment, with agents in another process."""
    from klero.cli.demo.live import follow

    console.rule("A live experiment: agents with two prompts")
    experiment = _started(remote, examples / "agent-prompt.yaml")
    console.print(f"For {seconds:g} s simulated agents ask which prompt to use, and record what came of it.")
    follow(remote, console, experiment, seconds)
    return _stopped(remote, console, experiment, 0)


def _started(remote: Remote, path: Path) -> Experiment:
    definition = parse(path.read_text(encoding="utf-8"), source_name=path.name)
    remote.experiments("CreateExperiment", CreateExperimentRequest(experiment=definition))
    started = remote.experiments("StartExperiment", StartExperimentRequest(id=definition.id, reason="demo"))
    experiment: Experiment = started.experiment
    return experiment


def _stopped(remote: Remote, console: Console, experiment: Experiment, position: int) -> ExperimentResults:
    from klero.report.tables import results_table

    remote.experiments("StopExperiment", StopExperimentRequest(id=experiment.id, reason="end of the demo"))
    results: ExperimentResults = remote.experiments(
        "GetExperimentResults", GetExperimentResultsRequest(id=experiment.id, min_position=position)
    ).results
    console.print()
    console.print(results_table(experiment, results))
    console.print()
    return results
