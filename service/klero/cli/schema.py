"""`klero schema`: the form of definition files, for editors."""

from __future__ import annotations

import click

from klero.definition import schema_text


@click.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of definition files, for completion and checks in an editor."""
    click.echo(schema_text(), nl=False)
