"""What commands share that read a data directory, whether a server uses it or not."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from klero.data_directory import DataDirectory
from klero.journal.sqlite import SqliteJournal
from klero.settings import DEFAULT_DATA_DIR

if TYPE_CHECKING:
    from collections.abc import Iterator

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="Of a server, running or not; nothing in it is changed.",
)


@contextmanager
def open_journal(data_dir: Path) -> Iterator[SqliteJournal]:
    """The journal of a data directory, to be read.

    Raises:
        StartupError: It cannot be opened.
        click.ClickException: It cannot be read, for another reason than damage.
    """
    path = DataDirectory(data_dir).journal
    try:
        with SqliteJournal(path, read_only=True) as journal:
            yield journal
    except sqlite3.Error as error:
        message = f"journal {path} cannot be read: {error}"
        raise click.ClickException(message) from error
