"""Draws the pictures of `docs/concepts.md`: `python -m docs.images.draw` writes them beside this file."""

# ruff: noqa: INP001  # programs beside the pictures they draw, no package

from __future__ import annotations

from pathlib import Path

from docs.images.diagrams import decision, settling, timeline
from docs.images.life_cycle import life_cycle
from docs.images.sequence import sequence


def pictures() -> dict[str, str]:
    """Every picture by the name of its file."""
    return {
        "decision.svg": decision(),
        "timeline.svg": timeline(),
        "settling.svg": settling(),
        "sequence.svg": sequence(),
        "life-cycle.svg": life_cycle(),
    }


if __name__ == "__main__":
    for name, drawn in pictures().items():
        (Path(__file__).parent / name).write_text(drawn, encoding="utf-8")
