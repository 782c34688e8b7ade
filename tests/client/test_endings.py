"""Programs end, are stopped and fork; what was recorded before arrives, once."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections import Counter

import pytest

from tests.client.servers import ScriptedServer, free_address, listening

TIMEOUT_S = 30.0


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def counted(server: ScriptedServer) -> Counter[str]:
    """How often each event arrived, repeats of a batch not counted."""
    return Counter(outcome.event for outcome in server.outcomes())


IMPORTS = """
    import time
    started = time.perf_counter()
    import klero
    klero.Client, klero.AsyncClient, klero.Decision
    took_s = time.perf_counter() - started
    import sys
    slow = [name for name in ("grpc", "numpy", "scipy") if name in sys.modules]
    client = klero.Client(exit_timeout_s=1)
    print(took_s, slow, "grpc" in sys.modules)
"""


def test_importing_costs_little() -> None:
    """A command that never makes a client must not wait for grpc."""
    done = python(IMPORTS)

    assert "" == done.stderr
    assert "[] True" == done.stdout.split(maxsplit=1)[1].strip()


def test_what_was_recorded_arrives_before_the_program_ends() -> None:
    """A script records at its end and just ends."""
    code = """
        import sys, klero
        client = klero.Client(sys.argv[1])
        for number in range(20_000):
            client.record("a", number, entity_id="e")
        client.record("last", entity_id="e")
        sys.exit(3)
    """
    with ScriptedServer() as server:
        done = python(code, server.address)

    assert (3, "") == (done.returncode, done.stderr)
    assert {"a": 20_000, "last": 1} == counted(server)


@pytest.mark.parametrize("kind", ["absent", "silent"])
def test_a_program_ends_without_a_server(kind: str) -> None:
    """A server that is away must not hold a program for ever; what is lost is said."""
    code = """
        import sys, klero
        client = klero.Client(sys.argv[1], exit_timeout_s=0.3)
        client.record("a", entity_id="e")
    """
    if kind == "absent":
        done = python(code, free_address())
    else:
        with listening(None) as address:
            done = python(code, address)

    assert 0 == done.returncode
    assert "not stored within 0.3 s and given up: outcomes and exposures, 1 in all" in done.stderr


STOPPED = """
    import signal, sys, time, klero
    {before}
    client = klero.Client(sys.argv[1], linger_s=60)
    {after}
    client.record("a", entity_id="e")
    print("ready", flush=True)
    time.sleep(20)
    print("went on", flush=True)
"""


@pytest.mark.parametrize(
    ("before", "after", "code", "output"),
    [
        ("pass", "pass", -signal.SIGTERM, ""),
        (
            "signal.signal(signal.SIGTERM, lambda *_: (print('handled', client.waiting), sys.exit(5)))",
            "pass",
            5,
            "handled 0\n",
        ),
        ("pass", "signal.signal(signal.SIGTERM, lambda *_: sys.exit(6))", 6, ""),
    ],
    ids=["no handler", "a handler before", "a handler after"],
)
def test_sigterm_sends_first(before: str, after: str, code: int, output: str) -> None:
    """Whoever deploys an agent stops it by SIGTERM; its own handler is still called, as before."""
    program = textwrap.dedent(STOPPED).format(before=before, after=after)
    with (
        ScriptedServer() as server,
        subprocess.Popen([sys.executable, "-c", program, server.address], stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert code == process.wait(TIMEOUT_S)

    assert output == rest
    assert {"a": 1} == counted(server)


def test_a_handler_that_calls_the_clients_is_called_once() -> None:
    """Programs chain handlers too, between one client and the next."""
    done = python("""
        import os, signal, klero
        one = klero.Client()
        before = signal.getsignal(signal.SIGTERM)
        def handler(number, frame):
            print("handled", flush=True)
            before(number, frame)
        signal.signal(signal.SIGTERM, handler)
        two = klero.Client()
        os.kill(os.getpid(), signal.SIGTERM)
    """)

    assert (-signal.SIGTERM, "handled\n", "") == (done.returncode, done.stdout, done.stderr)


def test_the_handler_is_put_back_behind_the_last_client() -> None:
    """A library must leave no trace."""
    done = python("""
        import signal, klero
        before = signal.getsignal(signal.SIGTERM)
        one, two = klero.Client(), klero.Client()
        one.close()
        assert signal.getsignal(signal.SIGTERM) is not before
        two.close()
        assert signal.getsignal(signal.SIGTERM) is before
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        three = klero.Client()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    """)

    assert "" == done.stderr


FORKS = """
    import os, sys, threading, time, klero
    client = klero.Client(sys.argv[1], timeout_s=5)
    stop = False
    def work():
        while not stop:
            assert not client.assign("e", "busy").is_default
            client.record("thread", entity_id="e")
            time.sleep(0.001)
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads: thread.start()
    children = []
    for number in range(5):
        client.record("parent", entity_id="e")
        child = os.fork()
        if child == 0:
            decision = client.assign("e", "child")
            client.record("child", entity_id="e")
            flushed = client.flush(20)
            os._exit(0 if flushed and not decision.is_default else 1)
        children.append(child)
    codes = [os.waitpid(child, 0)[1] for child in children]
    stop = True
    for thread in threads: thread.join()
    print(codes, client.flush(20), client.counts.accepted)
"""


def test_a_fork_sends_nothing_twice() -> None:
    """Servers that fork workers make a client before; each process sends its own."""
    with ScriptedServer() as server:
        done = python(FORKS, server.address)
        found = counted(server)

    assert "" == _without_notes(done.stderr)
    assert f"[0, 0, 0, 0, 0] True {found['parent'] + found['thread']}" == done.stdout.strip()
    assert (5, 5) == (found["parent"], found["child"])


def test_workers_of_multiprocessing_send_before_they_end() -> None:
    """They end without exit functions."""
    code = """
        import multiprocessing, sys, klero
        client = klero.Client(sys.argv[1])
        def work(number):
            client.record("worker", number, entity_id="e")
        client.record("parent", entity_id="e")
        context = multiprocessing.get_context("fork")
        processes = [context.Process(target=work, args=(number,)) for number in range(3)]
        for process in processes: process.start()
        for process in processes: process.join()
    """
    with ScriptedServer() as server:
        done = python(code, server.address)

    assert (0, "") == (done.returncode, _without_notes(done.stderr))
    assert {"worker": 3, "parent": 1} == counted(server)


def test_a_run_that_is_forked_ends_once() -> None:
    """A child that leaves the block of its parent's run has not done the task."""
    code = """
        import os, sys, klero
        client = klero.Client(sys.argv[1])
        with client.run("r"):
            child = os.fork()
        client.flush()
        if child:
            os.waitpid(child, 0)
    """
    with ScriptedServer() as server:
        python(code, server.address)

    assert {"success": 1, "duration_s": 1} == counted(server)


def _without_notes(errors: str) -> str:
    """Without what grpc notes by itself about forks."""
    return "".join(line for line in errors.splitlines(keepends=True) if "fork_posix" not in line)
