"""The first thing that anyone runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.server_process import children, wait_until_gone

if TYPE_CHECKING:
    from pathlib import Path

DEMO = [sys.executable, "-m", "klero.cli", "demo"]


def test_the_demo_comes_to_both_verdicts(tmp_path: Path) -> None:
    """Newcomers see two experiments decided, and nothing is left behind."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [*DEMO, "--seconds", "4", "--json"], capture_output=True, text=True, check=False, env=environment, timeout=90
    )
    imported, live = json.loads(done.stdout)["results"]

    assert 0 == done.returncode, done.stderr
    assert ("ship", "mens") == (imported["verdict"], imported["winner"])
    assert 64_000 == imported["progress"]["enrolled"]
    assert live["progress"]["enrolled"] > 0
    assert "A live experiment" in done.stderr
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """Who has seen enough must not look for processes afterwards."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [*DEMO, "--seconds", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("success: "):
                break
        started = set(children(demo.pid))
        demo.send_signal(signal.SIGINT)
        began = time.monotonic()
        demo.communicate(timeout=30)

    assert 130 == demo.returncode
    assert time.monotonic() - began < 20
    assert len(started) == 2
    assert not wait_until_gone(started, timeout_s=5)
    assert not list(tmp_path.iterdir())
