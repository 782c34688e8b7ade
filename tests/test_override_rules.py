"""What may be forced, and what a request without all fields means."""

from __future__ import annotations

import pytest

from klero import overrides
from klero.errors import InvalidFieldError
from klero.v1.experiment_pb2 import Experiment, Override, Variant
from klero.v1.experiment_service_pb2 import SetOverrideRequest

NOW_MS = 1_800_000_000_000


def expiring(expires_ms: int) -> SetOverrideRequest:
    """For everyone, until then."""
    request = SetOverrideRequest(override=Override(experiment_id="exp", variant_id="b"))
    request.override.expires_at.FromMilliseconds(expires_ms)
    return request


def test_an_expiry_is_in_the_future_to_the_millisecond() -> None:
    """What is over when it is set would be stored and never act."""
    overrides.check_request(expiring(NOW_MS + 1), now_ms=NOW_MS)

    with pytest.raises(InvalidFieldError, match=r"override\.expiresAt: 2027-01-15T08:00:00Z must be in the future"):
        overrides.check_request(expiring(NOW_MS), now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("control", "first", "second", "on"),
    [
        (None, None, None, "b"),
        (True, None, None, "b"),
        (None, False, None, "c"),
        (True, False, False, "a"),
        (None, False, False, None),
        (False, False, True, "c"),
    ],
)
def test_on_is_a_variant_that_is_enabled(
    control: bool | None,  # noqa: FBT001  # a table
    first: bool | None,  # noqa: FBT001
    second: bool | None,  # noqa: FBT001
    on: str | None,
) -> None:
    """On is another variant than off wherever there is one, and off is always the control."""
    experiment = Experiment(
        id="exp",
        namespace="default",
        control=Variant(id="a", enabled=control),
        variants=[Variant(id="b", enabled=first), Variant(id="c", enabled=second)],
    )
    request = SetOverrideRequest(override=Override(experiment_id="exp"), enabled=False)
    off = overrides.forced(request, experiment, None, now_ms=NOW_MS, actor="ann")
    request.enabled = True

    assert ("a", "ann", NOW_MS + 86_400_000) == (off.variant_id, off.created_by, off.expires_at.ToMilliseconds())
    if on is None:
        with pytest.raises(InvalidFieldError, match="no variant of `exp` is enabled"):
            overrides.forced(request, experiment, None, now_ms=NOW_MS, actor="ann")
    else:
        assert on == overrides.forced(request, experiment, None, now_ms=NOW_MS, actor="ann").variant_id
