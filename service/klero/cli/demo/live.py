"""A running experiment on the terminal, while agents work in another process."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click
from rich.live import Live
from rich.text import Text

from klero.report.tables import metric_table
from klero.v1.experiment_service_pb2 import GetExperimentResultsRequest

if TYPE_CHECKING:
    from rich.console import Console

    from klero.client.remote import Remote
    from klero.v1.experiment_pb2 import Experiment
    from klero.v1.results_pb2 import ExperimentResults

_REFRESH_S = 1.0


def follow(remote: Remote, console: Console, experiment: Experiment, seconds: float) -> None:
    """Let agents work for `seconds` and show the primary metric once a second."""
    primary = next(metric for metric in experiment.metrics if metric.primary)
    command = [sys.executable, "-m", "klero.cli.demo.agents", remote.address, experiment.id, str(seconds)]
    with ExitStack() as stack:
        agents = stack.enter_context(
            subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        )
        stack.callback(agents.kill)
        # A pipe keeps every frame, so it gets a line a second instead of a table that is redrawn.
        live = stack.enter_context(Live(console=console, auto_refresh=False)) if console.is_terminal else None
        while not _ended(agents):
            results: ExperimentResults = remote.experiments(
                "GetExperimentResults", GetExperimentResultsRequest(id=experiment.id)
            ).results
            if live is not None:
                live.update(metric_table(experiment, results, primary), refresh=True)
            else:
                console.print(_line(experiment, results, primary.name))
        if agents.returncode:
            message = f"the agents failed: {agents.stderr.read() if agents.stderr is not None else ''}"
            raise click.ClickException(message)


def _ended(agents: subprocess.Popen[str]) -> bool:
    try:
        agents.wait(_REFRESH_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _line(experiment: Experiment, results: ExperimentResults, metric: str) -> Text:
    parts = []
    for variant in (experiment.control, *experiment.variants):
        found = results.variant_results[variant.id].metric_results[metric]
        parts.append(f"{variant.id} {found.value:.1%} of {found.sample_size:,}")
    return Text(f"{metric}: {', '.join(parts)}")
