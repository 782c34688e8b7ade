"""Where settings come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.settings import DEFAULT_ADDRESS, chosen_address

if TYPE_CHECKING:
    import pytest


def test_the_option_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """One variable points server and clients of a shell at the same address; an option overrides it."""
    monkeypatch.delenv("KLERO_ADDRESS", raising=False)
    assert DEFAULT_ADDRESS == chosen_address(None)

    monkeypatch.setenv("KLERO_ADDRESS", "127.0.0.1:9")
    assert "127.0.0.1:9" == chosen_address(None)
    assert "127.0.0.1:8" == chosen_address("127.0.0.1:8")
