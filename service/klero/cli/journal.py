"""`klero journal`: whether the journal is whole, and what is in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from klero.cli.common import json_option, plural, print_json
from klero.cli.local import data_dir_option, open_journal

if TYPE_CHECKING:
    from pathlib import Path

    from klero.journal.checking import JournalReport

_SHOWN = 20


@click.group("journal")
def journal_command() -> None:
    """Look at the journal of a data directory, also beside a running server."""


@journal_command.command("check")
@data_dir_option
@json_option
def check_command(data_dir: Path, as_json: bool) -> int:
    """Verify every frame: checksums, positions without gaps, times that never go back.

    The exit code is 1 if anything is wrong.
    """
    from klero.data_directory import DataDirectory
    from klero.journal.checking import report
    from klero.journal.checkpoints import Checkpoints

    # Before the frames: a running server may write both meanwhile.
    known_until = Checkpoints(DataDirectory(data_dir).checkpoints).last_position()
    with open_journal(data_dir) as journal:
        found = report(journal.frames(), accepted=journal.accepted(), known_until=known_until)
    if as_json:
        print_json(_plain(found))
    else:
        _print(found)
    return 0 if found.whole else 1


@journal_command.command("show")
@data_dir_option
@click.option(
    "--from", "first", type=click.IntRange(min=1), default=1, metavar="POSITION", show_default=True, help="First frame."
)
@click.option("--to", "last", type=click.IntRange(min=1), metavar="POSITION", help="Last frame. Default: the last one.")
@click.option("--rows", is_flag=True, help="Show every exposure and outcome.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one frame a line.")
def show_command(data_dir: Path, first: int, last: int | None, rows: bool, as_json: bool) -> None:
    """Show what the frames of the journal say."""
    from klero.cli.frame_words import lines, plain_frame
    from klero.journal.checking import checked
    from klero.journal.lost import Lost

    with open_journal(data_dir) as journal:
        frames = journal.frames(after=first - 1, until=last)
        for found in checked(frames, accepted=journal.accepted(), after=first - 1):
            if isinstance(found, Lost):
                lost = {"lost": str(found), "why": found.why}
                click.echo(json.dumps(lost) if as_json else f"{found}  lost: {found.why}")
                continue
            frame = plain_frame(found, rows=rows)
            if as_json:
                click.echo(json.dumps(frame, ensure_ascii=False))
            else:
                click.echo("\n".join(lines(frame)))


def _plain(found: JournalReport) -> dict[str, object]:
    return {
        "whole": found.whole,
        "frames": found.frames,
        "firstPosition": found.first,
        "lastPosition": found.last,
        "bytes": found.body_bytes,
        "exposures": found.exposures,
        "outcomes": found.outcomes,
        "formats": list(found.formats),
        "lost": [{"first": lost.first, "last": lost.last, "why": lost.why} for lost in found.lost],
        "accepted": [{"first": lost.first, "last": lost.last, "why": lost.why} for lost in found.accepted],
        "faults": [{"position": fault.position, "why": fault.why} for fault in found.faults],
    }


def _print(found: JournalReport) -> None:
    formats = ", ".join(str(number) for number in found.formats) or "none"
    click.echo(
        f"{plural(found.frames, 'frame')}, positions {found.first} to {found.last}: "
        f"{plural(found.exposures, 'exposure')}, {plural(found.outcomes, 'outcome')}, "
        f"{plural(found.body_bytes, 'byte')}, format {formats}"
    )
    wrong = [f"lost: {lost} ({lost.why})" for lost in found.lost]
    wrong += [f"frame {fault.position}: {fault.why}" for fault in found.faults]
    for accepted in found.accepted:
        click.echo(f"  accepted as lost: {accepted} ({accepted.why})")
    for line in wrong[:_SHOWN]:
        click.echo(f"  {line}")
    if len(wrong) > _SHOWN:
        click.echo(f"  ... and {len(wrong) - _SHOWN:,} more")
    click.echo("whole" if found.whole else "damaged: `klero serve --accept-loss` goes on without what is lost")
