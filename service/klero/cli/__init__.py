"""The command line `klero`: one module a command, what they share in `common`."""

from klero.cli.main import main

__all__ = ["main"]
