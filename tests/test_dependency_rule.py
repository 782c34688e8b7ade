"""The dependency rule as tables: who may use whom, and who may touch the world."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.dependencies import (
    ROOT_UNIT,
    Layers,
    is_or_below,
    python_imports,
    python_names,
    rust_code,
    rust_units,
    unit_of,
)

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / "service" / "klero"
RUST = ROOT / "rust_core" / "src"
GENERATED = frozenset({"v1", "storage"})

PYTHON_LAYERS = Layers(
    order=[
        frozenset({"cli", "testing"}),
        frozenset({ROOT_UNIT}),
        frozenset({"rpc", "client", "report"}),
        frozenset({"controller", "engine", "catalog", "journal", "analysis"}),
        frozenset({"overrides"}),
        frozenset({"definition", "lifecycle", "audit", "data_directory"}),
        frozenset({"settings"}),
        frozenset({"errors", "lazy", "words"}),
        frozenset({"_core", *GENERATED}),
    ],
    exceptions={
        ("journal", "engine"): "the writer thread carries frames between the engine's queue and the store",
    },
)
RUST_LAYERS = Layers(
    order=[
        frozenset({"python", "front"}),
        frozenset({"handle", "export"}),
        frozenset({"memory", "bulk", "reassigned"}),
        frozenset({"decide", "journal", "tally", "access", "seen"}),
        frozenset({"snapshot"}),
        frozenset({"targeting", "split", "comoments", "sketch", "request_id"}),
        frozenset({"moments"}),
        frozenset({"status"}),
        frozenset({"hash", "error"}),
        frozenset({"proto"}),
    ],
    exceptions={
        ("tally", "journal"): "the fold reads the columns of frames through the journal's iterators",
    },
)

# Module, and the units that may import it.
PYTHON_ONLY_IN = {
    "grpc": {"rpc", "client", *GENERATED},
    "grpc_health": {"rpc"},
    "grpc_reflection": {"rpc"},
    "grpc_status": {"rpc", "client"},
    "jinja2": {"report"},
    "klero._core": {"engine", "client"},
    "numpy": {"analysis", "report"},
    "scipy": {"analysis", "report"},
    "redis": set[str](),
}
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.putenv"}
ENVIRONMENT_READER = "settings"

# What would make a result depend on more than the arguments.
IMPURE_IMPORTS = {
    "asyncio", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "socket", "subprocess",
    "tempfile", "threading", "time", "uuid",
}  # fmt: skip
IMPURE_NAMES = {
    "open", "print", "input", "datetime.now", "datetime.utcnow", "datetime.today", "datetime.datetime.now",
    "datetime.datetime.utcnow", "date.today", "np.random", "numpy.random",
    "sys.argv", "sys.stdin", "sys.stdout", "sys.stderr",
}  # fmt: skip
PURE_PACKAGE = "analysis"
IMPURE_FILES = {
    "analysis/worker.py": "runs the pure functions in a process of its own, so it knows processes and signals",
}

PURE_RUST = {
    "bulk", "comoments", "decide", "hash", "moments", "request_id", "sketch", "snapshot", "split", "tally", "targeting",
}  # fmt: skip
WITHOUT_IO_RUST = PURE_RUST | {"access", "journal", "handle"}
RUST_CLOCK_OR_CHANCE = r"\b(SystemTime|Instant|Clock|rand|getrandom|RandomState|DefaultHasher)\b|\bnow_v7\b|\bnew_v4\b"
RUST_IO = r"\bstd::(env|fs|net|process)\b|\b(e?println|e?print|dbg)!|\b(log|tracing)::"


def python_files() -> list[Path]:
    """Python sources that are written by hand."""
    return [path for path in sorted(PYTHON.rglob("*.py")) if unit_of(path, PYTHON) not in GENERATED]


def rust_files() -> list[Path]:
    """Rust sources but the crate page, which names every module."""
    return [path for path in sorted(RUST.rglob("*.rs")) if path.name not in {"lib.rs", "tests.rs"}]


def python_faults(unit: str, source: str) -> list[str]:
    """Every breach of the rule in a Python file of `unit`."""
    units = frozenset().union(*PYTHON_LAYERS.order)
    faults: list[str | None] = []
    for name in python_imports(source, units):
        if is_or_below(name, "klero"):
            faults.append(PYTHON_LAYERS.fault(unit, [*name.split("."), ROOT_UNIT][1]))
        faults += [
            f"`{module}` may only be imported in {sorted(allowed)}"
            for module, allowed in PYTHON_ONLY_IN.items()
            if is_or_below(name, module) and unit not in allowed
        ]
    if unit != ENVIRONMENT_READER:
        faults += [f"`{name}` belongs in settings.py" for name in python_names(source) if name in ENVIRONMENT]
    return [fault for fault in faults if fault]


def python_impurities(source: str) -> list[str]:
    """Clock, randomness, I/O and logging in a Python file."""
    imports = [name for name in python_imports(source, frozenset()) if name.split(".")[0] in IMPURE_IMPORTS]
    names = [name for name in python_names(source) if any(is_or_below(name, impure) for impure in IMPURE_NAMES)]
    return imports + names


def rust_faults(unit: str, source: str) -> list[str]:
    """Every breach of the rule in a Rust file of `unit`."""
    code = rust_code(source)
    faults = [RUST_LAYERS.fault(unit, used) for used in sorted(rust_units(source))]
    if unit != "python" and re.search(r"\bpyo3\b", code):
        faults.append("`pyo3` belongs in python.rs")
    if unit in PURE_RUST and (found := re.search(RUST_CLOCK_OR_CHANCE, code)):
        faults.append(f"`{found[0]}`: time and randomness are arguments here")
    if unit in WITHOUT_IO_RUST and (found := re.search(RUST_IO, code)):
        faults.append(f"`{found[0]}`: no I/O and no logging here")
    return [fault for fault in faults if fault]


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(PYTHON)))
def test_python_file(path: Path) -> None:
    """Who reads a module may trust that nothing above it matters."""
    assert [] == python_faults(unit_of(path, PYTHON), path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", rust_files(), ids=lambda path: str(path.relative_to(RUST)))
def test_rust_file(path: Path) -> None:
    """Decisions and folds repeat exactly, because nothing but arguments reaches them."""
    assert [] == rust_faults(unit_of(path, RUST), path.read_text(encoding="utf-8"))


def test_analysis_is_pure() -> None:
    """Results can be computed again from moments, in any process, at any time."""
    files = [path for path in python_files() if unit_of(path, PYTHON) == PURE_PACKAGE]
    faults = {
        str(path.relative_to(PYTHON)): found
        for path in files
        if str(path.relative_to(PYTHON)) not in IMPURE_FILES
        and (found := python_impurities(path.read_text(encoding="utf-8")))
    }

    assert files
    assert {} == faults


@pytest.mark.parametrize(
    ("unit", "source"),
    [
        ("errors", "from klero.rpc import server"),
        ("definition", "from klero import engine"),
        ("catalog", "import klero.journal.sqlite"),
        ("lifecycle", "def f():\n    from klero.client import remote"),
        ("report", "from klero import __version__"),
        ("novelty", "from klero import errors"),
        ("catalog", "import grpc.aio"),
        ("rpc", "from klero._core import Engine"),
        ("rpc", "from klero import _core"),
        ("cli", "from scipy import special"),
        ("journal", "import redis"),
        ("rpc", "import os\nport = os.environ['PORT']"),
        ("cli", "from os import getenv"),
    ],
)
def test_python_breach_is_found(unit: str, source: str) -> None:
    """A rule that never bites would hold nothing."""
    assert len(python_faults(unit, source)) >= 1


@pytest.mark.parametrize(
    ("unit", "source"),
    [
        ("cli", "from klero import errors\nfrom klero.client.remote import Remote"),
        ("rpc", "import grpc\nimport numbers"),
        ("settings", "import os\nport = os.environ.get('PORT')"),
        ("catalog", "import os\nos.fsync(3)"),
        ("analysis", "import scipy.special\nfrom klero.storage.v1 import tally_pb2"),
    ],
)
def test_python_without_breach(unit: str, source: str) -> None:
    """A rule that bites at random would be switched off."""
    assert [] == python_faults(unit, source)


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from random import random",
        "open('x')",
        "from datetime import datetime\ndatetime.now()",
        "np.random.default_rng()",
    ],
)
def test_impurity_is_found(source: str) -> None:
    """A clock in the analysis would give the same moments other results."""
    assert len(python_impurities(source)) >= 1


@pytest.mark.parametrize(
    ("unit", "source"),
    [
        ("split", "use crate::snapshot::Snapshot;"),
        ("snapshot", "use crate::{error::Error, handle::{Reply, Call}};"),
        ("journal", "fn f() { crate::tally::fold() }"),
        ("novelty", "use crate::hash::Seed;"),
        ("handle", "use pyo3::prelude::*;"),
        ("decide", "use std::time::Instant;"),
        ("tally", "let map: HashMap<u8, u8, RandomState> = x;"),
        ("journal", "use std::fs::File;"),
        ("snapshot", 'println!("{x}");'),
    ],
)
def test_rust_breach_is_found(unit: str, source: str) -> None:
    """A rule that never bites would hold nothing."""
    assert len(rust_faults(unit, source)) == 1


@pytest.mark.parametrize(
    ("unit", "source"),
    [
        ("split", "//! See [`decide`](crate::decide).\nuse crate::hash::Seed; // not crate::snapshot"),
        ("handle", "use crate::{decide::{decide, Who}, error::Error};"),
        ("hash", "fn f() {}\n#[cfg(test)]\nmod tests { use crate::decide::decide; use std::time::Instant; }"),
        ("journal", "use std::time::Duration;"),
    ],
)
def test_rust_without_breach(unit: str, source: str) -> None:
    """Links in comments and tests at the end of a file are no dependencies."""
    assert [] == rust_faults(unit, source)
