"""The guide shows what happens: its programs run here, in an empty directory, and are compared."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

from tests.client.servers import free_address
from tests.readme_blocks import Command, Runner, WrittenFile, parse

GUIDE = Path(__file__).parents[2] / "docs" / "client.md"


def test_guide(tmp_path: Path) -> None:
    """Who copies an example from the guide gets what it shows."""
    steps = list(parse(GUIDE.read_text(encoding="utf-8")))
    # Only an installed package that declares its plugin has it; the fixtures are the same.
    declared = any(point.value == "klero.testing.plugin" for point in entry_points(group="pytest11"))
    plugin = "" if declared else "-p klero.testing.plugin"
    tests = Command(
        f"{sys.executable} -m pytest -q -p no:randomly -p no:asyncio {plugin} test_agent.py | grep -o '3 passed'",
        ("3 passed",),
    )

    # The default address may be taken on the machine that tests.
    elsewhere = f"env KLERO_ADDRESS={free_address()}"

    assert any(isinstance(step, Command) for step in steps)
    assert any(step.name == "test_agent.py" for step in steps if isinstance(step, WrittenFile))
    with Runner(tmp_path) as runner:
        for step in [*steps, tests]:
            runner.run(step if isinstance(step, WrittenFile) else replace(step, line=f"{elsewhere} {step.line}"))
        runner.finish()
