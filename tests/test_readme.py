"""The README shows what happens: its commands run here, in an empty directory, and are compared."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from tests.readme_blocks import Command, ReadmeError, Runner, WrittenFile, difference, mask, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

README = Path(__file__).parents[1] / "README.md"


def run(steps: Sequence[WrittenFile | Command], directory: Path) -> None:
    """Run `steps` in `directory`, in their order, and stop what they left running."""
    with Runner(directory) as runner:
        for step in steps:
            runner.run(step)
        runner.finish()


def test_readme(tmp_path: Path) -> None:
    """A newcomer who follows the README literally gets what it shows."""
    steps = list(parse(README.read_text(encoding="utf-8")))

    assert any(isinstance(step, Command) for step in steps)
    run(steps, tmp_path)


PAGE = dedent("""\
    # Title

    <!-- file: exp.yaml -->
    ```yaml
    id: a
    ```

    <!-- readme: skip builds first -->
    ```console
    $ make demo
    ```

    ```console
    $ cat exp.yaml
    id: a
    $ true
    ```

    <!-- readme: exit 1 -->

    ```console
    $ false
    ```

    ```python
    only = "to read"
    ```
    """)


def test_parse() -> None:
    """Authors of the README rely on these rules."""
    expected = [
        WrittenFile("exp.yaml", "id: a\n"),
        Command("cat exp.yaml", ("id: a",)),
        Command("true", ()),
        Command("false", (), exit_code=1),
    ]

    assert expected == list(parse(PAGE))


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```console\nhello\n$ ls\n```\n", "begins with output"),
        ("<!-- readme: skip -->\n```console\n$ ls\n```\n", "lacks its reason"),
        ("<!-- readme: omit -->\n```console\n$ ls\n```\n", "only `skip REASON`"),
    ],
)
def test_parse_refuses(page: str, message: str) -> None:
    """A misspelt instruction must not silently leave a block out."""
    with pytest.raises(ReadmeError, match=message):
        list(parse(page))


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("klero is ready on 127.0.0.1:7420", "klero is ready on <address>"),
        ("took 1.25 s, then 40 ms", "took <duration>, then <duration>"),
        ("started 2026-01-01T10:00:00Z", "started <time>"),
        ("on 2026-01-01 at 10:00:00", "on <date> at <time>"),
        ("from 2026-01-01 on", "from <date> on"),
        ("request 0193e4a1-7c3e-7d1b-9f00-3a5b6c7d8e9f", "request <uuid>"),
        ('"etag": "9f3c",', '"etag": "<etag>",'),
        ("stored at position 17", "stored at position <position>"),
        ("wrote a.html, 28,514 bytes", "wrote a.html, <size> bytes"),
        ("64,000 rows, 71,234 rows/s", "64,000 rows, <rate> rows/s"),
        ("a      b  ", "a  b"),
        ("0.106168  64000", "0.106168  64000"),
    ],
)
def test_mask(line: str, masked: str) -> None:
    """Times and ports differ between machines; results must not."""
    assert masked == mask(line)


@pytest.mark.parametrize(
    ("expected", "found", "same"),
    [
        ((), [], True),
        (("a",), ["a", ""], True),
        (("a", "...", "z"), ["a", "b", "c", "z"], True),
        (("a", "..."), ["a"], True),
        (("ready on 127.0.0.1:7420",), ["ready on 127.0.0.1:41733"], True),
        (("a",), ["b"], False),
        (("a",), ["a", "b"], False),
        ((), ["surprise"], False),
        (("a", "...", "z"), ["a", "b"], False),
    ],
)
def test_difference(expected: tuple[str, ...], found: list[str], same: bool) -> None:  # noqa: FBT001 - a table
    """A changed output must be seen, a changed port must not."""
    assert same == (difference(expected, found) == "")


@pytest.mark.parametrize(
    "step",
    [
        Command("echo other", ("output",)),
        Command("exit 3", ()),
        Command("true", (), exit_code=1),
        Command("sh -c 'echo started; exit 1' &", ("started",)),
        Command("sh -c 'echo other; sleep 60' &", ("started",)),
    ],
    ids=lambda step: step.line,
)
def test_run_refuses(step: Command, tmp_path: Path) -> None:
    """The README is wrong as soon as output or exit code are."""
    with pytest.raises(ReadmeError):
        run([step], tmp_path)


SERVER = """\
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("ready", flush=True)
signal.pause()
"""


def test_run(tmp_path: Path) -> None:
    """Files are there before commands, background programs until the end."""
    steps: list[WrittenFile | Command] = [
        WrittenFile("server.py", SERVER),
        Command("python server.py &", ("ready",)),
        Command("ls", ("server.py",)),
    ]

    run(steps, tmp_path)
