"""`python -m docs.generate` writes every page."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.generate import PAGES

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Write the pages, and say which ones changed."""
    for name, page in PAGES.items():
        path, text = ROOT / name, page()
        changed = not path.exists() or path.read_text(encoding="utf-8") != text
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{name} {'is written' if changed else 'is as it was'}\n")


if __name__ == "__main__":
    main()
