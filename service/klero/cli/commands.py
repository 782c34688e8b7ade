"""Every command: where it is, what it does and how it is called, by what people want to do.

Help, completion and docs/commands.md are made from this table without importing a command.
"""

from __future__ import annotations

from typing import NamedTuple


class Listed(NamedTuple):
    """A command as `klero --help` lists it."""

    module: str
    """Holds it as `NAME_command`."""

    summary: str
    """What it does, in few words."""

    examples: tuple[str, ...]
    """How it is called. Those of a group are shown with the subcommand that they call."""


SECTIONS: dict[str, dict[str, Listed]] = {
    "Define": {
        "apply": Listed(
            "klero.cli.apply",
            "Store the experiments of files and folders.",
            ("klero apply -f examples/agent-prompt.yaml", "klero apply -f examples --dry-run"),
        ),
        "simulate": Listed(
            "klero.cli.simulate",
            "Try a definition on a population before it starts.",
            ("klero simulate prompt-style.yaml", "klero simulate examples/*.yaml --entities 1000000 --running"),
        ),
        "list": Listed(
            "klero.cli.read",
            "List experiments.",
            ("klero list", "klero list --filter 'status = running AND labels.team = search'"),
        ),
        "show": Listed(
            "klero.cli.read",
            "Show an experiment as it is stored.",
            ("klero show prompt-style", "klero show prompt-style --yaml > copy.yaml"),
        ),
        "delete": Listed("klero.cli.transitions", "Delete a draft.", ("klero delete prompt-style",)),
        "schema": Listed(
            "klero.cli.schema",
            "Print the JSON Schema of definition files.",
            ("klero schema > klero.schema.json",),
        ),
    },
    "Run": {
        "start": Listed(
            "klero.cli.transitions",
            "Begin an iteration: let entities in.",
            ("klero start prompt-style --reason 'agreed on Monday'",),
        ),
        "pause": Listed(
            "klero.cli.transitions",
            "Give everyone the control for a while.",
            ("klero pause prompt-style --reason 'the provider is down'",),
        ),
        "resume": Listed(
            "klero.cli.transitions", "Let entities in again after a pause.", ("klero resume prompt-style",)
        ),
        "stop": Listed(
            "klero.cli.transitions",
            "End the iteration, and ship a variant or the control.",
            ("klero stop prompt-style --ship stepwise", "klero stop prompt-style --immediate"),
        ),
        "override": Listed(
            "klero.cli.override",
            "Force a variant on one entity or on everyone.",
            (
                "klero override set dark-mode --everyone --off --reason 'provider down'",
                "klero override set dark-mode --entity me --on --for 2h",
                "klero override list dark-mode",
                "klero override remove dark-mode --everyone",
            ),
        ),
        "archive": Listed(
            "klero.cli.transitions", "Put an ended experiment away, for good.", ("klero archive prompt-style",)
        ),
    },
    "Watch": {
        "status": Listed(
            "klero.cli.status", "Show how an experiment goes and what was not counted.", ("klero status prompt-style",)
        ),
        "results": Listed(
            "klero.cli.results",
            "Show verdict, estimates and health.",
            (
                "klero results prompt-style",
                "klero results prompt-style --follow",
                "klero results prompt-style --view live --dimension country",
            ),
        ),
        "history": Listed(
            "klero.cli.history",
            "Show how an estimate has developed.",
            ("klero history prompt-style", "klero history prompt-style --metric cost_usd --rows 50"),
        ),
        "report": Listed(
            "klero.cli.report",
            "Write everything known of an experiment into one page.",
            ("klero report prompt-style --output report.html", "klero report prompt-style --terminal"),
        ),
        "audit": Listed(
            "klero.cli.audit",
            "Show who changed what, when and why.",
            ("klero audit", "klero audit prompt-style --limit 10"),
        ),
    },
    "Data": {
        "assign": Listed(
            "klero.cli.assign",
            "Decide which variant entities get.",
            ("klero assign prompt-style run-1 run-2", "klero assign prompt-style run-1 --no-exposure"),
        ),
        "record": Listed(
            "klero.cli.record",
            "Record outcomes.",
            (
                "klero record run-1 success",
                "klero record run-1 cost_usd 0.012 --at 2027-01-31T09:00:00Z",
                "klero record --file outcomes.jsonl",
            ),
        ),
        "import": Listed(
            "klero.cli.import_data",
            "Import data whose variants another system chose.",
            ("klero import hillstrom-email examples/data/hillstrom.csv.gz --variant segment",),
        ),
        "export": Listed(
            "klero.cli.export",
            "Write every exposure and outcome to files.",
            ("klero export --output data", "klero export --output data --format parquet --experiment prompt-style"),
        ),
        "forget": Listed(
            "klero.cli.forget",
            "Have nothing known of an entity any more.",
            ("klero forget user-17 --reason 'asked for it'",),
        ),
    },
    "Operate": {
        "serve": Listed(
            "klero.cli.serve",
            "Run the server.",
            ("klero serve", "klero serve --data-dir /var/lib/klero --address 127.0.0.1:7420"),
        ),
        "doctor": Listed(
            "klero.cli.doctor.command",
            "Look for what is wrong and say what to do.",
            ("klero doctor", "klero doctor --data-dir /var/lib/klero"),
        ),
        "journal": Listed(
            "klero.cli.journal",
            "Check and show the journal of a data directory.",
            ("klero journal check", "klero journal show --from 10 --to 20 --rows"),
        ),
        "completion": Listed(
            "klero.cli.completion",
            "Print what completes commands in a shell.",
            ('eval "$(klero completion bash)"', "klero completion fish > ~/.config/fish/completions/klero.fish"),
        ),
        "demo": Listed("klero.cli.demo.command", "See it work, with two experiments.", ("klero demo --seconds 5",)),
    },
}

COMMANDS = {name: listed for section in SECTIONS.values() for name, listed in section.items()}
"""All of them by name."""
