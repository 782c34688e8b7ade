"""`klero simulate`: what a definition would do, before it starts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from klero.cli.common import json_option, namespace_option, print_json, table_console
from klero.cli.definition_files import print_faults, read_definitions
from klero.errors import InvalidFieldError
from klero.settings import chosen_address

if TYPE_CHECKING:
    from klero.cli.definition_files import Fault, Found
    from klero.cli.simulating import Overlap, Simulated
    from klero.v1.experiment_pb2 import Experiment

_MOST = 10_000_000
# Below it a split that is right comes once in a thousand simulations.
_DOUBTFUL = 0.001


@click.command("simulate")
@click.argument("paths", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--entities",
    type=click.IntRange(min=1, max=_MOST),
    default=100_000,
    show_default=True,
    help="How many made-up entities, `entity-0`, `entity-1` and so on.",
)
@click.option(
    "--ids",
    "ids_path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="PATH",
    help="A file of ids, one on each line, instead of made-up ones.",
)
@click.option("--running", is_flag=True, help="Also with what runs on the server.")
@click.option("--address", metavar="HOST:PORT", help="Of that server. Default: KLERO_ADDRESS, else 127.0.0.1:7420.")
@namespace_option
@json_option
def simulate_command(
    paths: tuple[Path, ...],
    entities: int,
    ids_path: Path | None,
    running: bool,
    address: str | None,
    namespace: str,
    as_json: bool,
) -> int:
    """Decide a population by the definitions of files, as if they ran with their ramps over.

    Shows who would get what, whether the split is as configured, and how far experiments share
    entities. Nothing is stored, and no server is needed unless --running asks for one.
    """
    from klero.cli.simulating import simulate

    found, faults = read_definitions(paths, namespace=namespace)
    experiments = _admitted(found, faults)
    if faults:
        print_faults(faults, "nothing was simulated", as_json=as_json)
        return 1
    if running:
        mine = {each.id for each in experiments}
        experiments += [each for each in _running(chosen_address(address), namespace) if each.id not in mine]
    ids = _read_ids(ids_path) if ids_path else [f"entity-{number}" for number in range(entities)]
    simulated, overlaps = simulate(experiments, ids, now_ms=time.time_ns() // 1_000_000)
    if as_json:
        print_json(
            {
                "experiments": [_as_mapping(each) for each in simulated],
                "overlaps": [_overlap(each) for each in overlaps],
            }
        )
        return 0
    for each in simulated:
        _print(each)
    for overlap in overlaps:
        first, second = overlap.experiment_ids
        click.echo(
            f"`{first}` and `{second}` share {overlap.both:,} entities, {overlap.expected:,.0f} expected by chance; "
            f"their variants are associated by {overlap.association:.3f} (0: not at all, 1: wholly)"
        )
    return 0


def _admitted(found: list[Found], faults: list[Fault]) -> list[Experiment]:
    from klero.cli.simulating import as_running

    experiments = []
    for each in found:
        try:
            experiments.append(as_running(each.experiment))
        except InvalidFieldError as error:
            faults.extend(each.fault(violation.description, violation.field) for violation in error.violations)
    return experiments


def _running(address: str, namespace: str) -> list[Experiment]:
    from klero.cli.common import all_experiments
    from klero.client.remote import Remote

    with Remote(address) as remote:
        experiments = list(all_experiments(remote, namespace, filter_text="status = running"))
    for each in experiments:
        # Nobody of the population has a variant from before.
        each.allocation.weights_epoch = 0
    return experiments


def _read_ids(path: Path) -> list[str]:
    try:
        ids = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read: {error}"
        raise click.ClickException(message) from error
    if not ids:
        message = f"{path} has no line, and so no id"
        raise click.ClickException(message)
    return ids


def _print(simulated: Simulated) -> None:
    from rich.table import Table

    click.echo(f"`{simulated.experiment_id}` on {simulated.population:,} entities")
    table = Table(box=None, pad_edge=False)
    table.add_column("variant")
    for column in ("weight", "entities", "share"):
        table.add_column(column, justify="right")
    for arm in simulated.arms:
        share = f"{100 * arm.entities / simulated.enrolled:.2f} %" if simulated.enrolled else ""
        table.add_row(arm.variant_id, f"{arm.weight:g} %", f"{arm.entities:,}", share)
    table_console().print(table)
    for reason, count in simulated.left_out.items():
        click.echo(f"not enrolled: {count:,} ({100 * count / simulated.population:.2f} %), {reason.replace('_', ' ')}")
    if simulated.p_value is not None:
        doubt = simulated.p_value < _DOUBTFUL
        verdict = "is not as configured: ids that are not unique?" if doubt else "is as configured"
        click.echo(f"the split {verdict} (chi-squared, p = {simulated.p_value:.3g})")
    click.echo()


def _as_mapping(simulated: Simulated) -> dict[str, object]:
    return {
        "id": simulated.experiment_id,
        "population": simulated.population,
        "enrolled": simulated.enrolled,
        "variants": [{"id": arm.variant_id, "weight": arm.weight, "entities": arm.entities} for arm in simulated.arms],
        "notEnrolled": simulated.left_out,
        "sampleRatioPValue": simulated.p_value,
    }


def _overlap(overlap: Overlap) -> dict[str, object]:
    return {
        "ids": list(overlap.experiment_ids),
        "both": overlap.both,
        "expected": overlap.expected,
        "association": overlap.association,
    }
