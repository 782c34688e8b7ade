"""Makes the references of docs/ from what they describe: `python -m docs.generate`.

`commands` reads the command line itself, `api` the comments of the contract. The same input gives the
same bytes, so that a test can hold the files to it.
"""

from docs.generate.api import api_page
from docs.generate.commands import commands_page

PAGES = {"docs/commands.md": commands_page, "docs/api.md": api_page}
"""What makes each file, by its path in the repository."""

__all__ = ["PAGES", "api_page", "commands_page"]
