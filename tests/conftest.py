"""What holds for every test: examples of hypothesis are the same in every run."""

from __future__ import annotations

from hypothesis import settings

# A deadline would measure the load of the machine; a database would remember other revisions.
settings.register_profile("klero", derandomize=True, deadline=None, database=None)
settings.load_profile("klero")
