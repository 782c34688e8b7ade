"""Pause and Resume over gRPC: who decides what meanwhile, and who counts afterwards."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from klero.v1.decision_pb2 import DecisionReason, ExposureMode, Outcome
from klero.v1.results_pb2 import ResultsView
from tests.rpc.calls import TIMEOUT_S, Client, ab_test, audited, connected
from tests.rpc.life import HOUR_S, Life, status_word, windowed
from tests.server_process import running_server

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from klero.v1.experiment_pb2 import Experiment
    from klero.v1.results_pb2 import ExperimentResults

AUTO = ExposureMode.EXPOSURE_MODE_AUTO
PAUSED = DecisionReason.DECISION_REASON_PAUSED
SPLIT = DecisionReason.DECISION_REASON_SPLIT
WINDOW_S = 1


def started(client: Client, definition: Experiment) -> Life:
    """A running experiment."""
    client.start(definition)
    return Life(client, definition.namespace, definition.id)


def results(life: Life) -> ExperimentResults:
    """Of all that was recorded by now."""
    return life.client.results(life.stored())


def counted(found: ExperimentResults) -> tuple[int, int]:
    """Entities with a value of the primary metric, and those of them that converted, over all variants."""
    variants = found.variant_results.values()
    return sum(each.metric_results["ok"].sample_size for each in variants), sum(each.conversions for each in variants)


def convert(life: Life, entity_ids: Iterable[str]) -> None:
    """An outcome of each."""
    answer = life.client.record(life.namespace, *(Outcome(entity_id=each, event="ok") for each in entity_ids))
    assert not answer.rejected


def counter(life: Life, name: str) -> int:
    """What the server counted beside the results."""
    (found,) = [each.value for each in life.call("GetExperimentStatus").counters if each.name == name]
    return int(found)


def settled(life: Life, number: int) -> ExperimentResults:
    """Results once so many entities have settled."""
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        found = results(life)
        if found.progress.settled >= number:
            return found
        time.sleep(0.1)
    message = f"{found.progress.settled} of {number} settled"
    raise AssertionError(message)


def test_everyone_gets_the_control_until_the_resume(client: Client, namespace: str, data_dir: Path) -> None:
    """Nobody is enrolled meanwhile; afterwards each entity gets what it had, in an epoch of its own."""
    ids, others = [f"user-{number}" for number in range(100)], [f"other-{number}" for number in range(50)]
    life = started(client, ab_test(namespace))
    before = life.decided(ids, AUTO)
    paused = life.move("Pause", reason="a look")
    meanwhile = life.decided([*ids, *others], AUTO)
    at_rest = results(life)
    how = life.call("GetExperimentStatus")
    resumed = life.move("Resume", reason="all is well")
    after = life.decided([*ids, *others], AUTO)

    assert {(PAUSED, "a", False, False)} == {
        (each.reason, each.variant_id, each.enrolled, each.randomized) for each in meanwhile
    }
    assert (100, 0.0) == (at_rest.progress.enrolled, how.progress.traffic_percentage)
    assert ("paused", "paused, everyone gets `a`", 1) == (
        status_word(paused), paused.status_reason, paused.allocation.epoch,
    )  # fmt: skip
    assert ("running", "resumed in epoch 2", 2, "resumed") == (
        status_word(resumed), resumed.status_reason, resumed.allocation.epoch, resumed.allocation.cause,
    )  # fmt: skip
    assert (paused.iteration, paused.started_at) == (resumed.iteration, resumed.started_at)
    assert [each.variant_id for each in before] == [each.variant_id for each in after[:100]]
    assert {(SPLIT, 2)} == {(each.reason, each.epoch) for each in after}
    assert [100, 50] == [sum(each.enrolled.values()) for each in results(life).epochs]
    trail = [(each.action, each.reason) for each in audited(data_dir, namespace)[-2:]]
    assert [("PauseExperiment", "a look"), ("ResumeExperiment", "all is well")] == trail


def test_outcomes_of_the_pause_count(client: Client, namespace: str) -> None:
    """Without a window there is nothing that a pause cuts."""
    life = started(client, ab_test(namespace))
    life.decided(["before"], AUTO)
    life.move("Pause")
    convert(life, ["before", "stranger"])

    assert (1, 1) == counted(results(life))
    life.move("Resume")
    assert (1, 1) == counted(results(life))


def test_who_has_a_window_over_the_pause_is_left_out(client: Client, namespace: str) -> None:
    """Also those whose window closes after the resume; in all variants alike, whatever they did."""
    settle, touched, after = ([f"{name}-{number}" for number in range(20)] for name in ("early", "touched", "after"))
    life = started(client, windowed(namespace, WINDOW_S))
    life.decided(settle, AUTO)
    convert(life, settle)
    assert (20, 20) == counted(settled(life, 20))
    decided = life.decided(touched, AUTO)
    assert {"a", "b"} == {each.variant_id for each in decided}
    convert(life, touched[:10])
    life.move("Pause")
    convert(life, touched[10:])
    life.move("Resume")
    life.decided(after, AUTO)
    convert(life, after[:5])
    found = settled(life, 60)
    arms = found.variant_results
    live = life.call("GetExperimentResults", view=ResultsView.RESULTS_VIEW_LIVE).results

    assert (40, 25) == counted(found)
    assert 40 == sum(each.sample_size for each in arms.values())
    assert (60, 60) == (found.progress.enrolled, found.progress.settled)
    assert {name: each.conversions / each.metric_results["ok"].sample_size for name, each in arms.items()} == {
        name: each.metrics["ok"] for name, each in arms.items()
    }
    assert 20 == counter(life, "paused")
    assert ["20 entities are left out of every variant, because a pause fell into their window."] == [
        each.message for each in found.health if each.name == "pauses"
    ]
    assert 60 == sum(each.enrolled for each in live.variant_results.values())


def test_a_pause_outlives_the_server(tmp_path: Path) -> None:
    """The journal has begin and end of a pause, the catalog that it is on."""
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        life = started(client, windowed("default", HOUR_S))
        life.decided(["user"], AUTO)
        life.move("Pause")
        assert server.stop() == 0, server.log()
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        life = Life(client, "default")
        assert [PAUSED] == [each.reason for each in life.decided(["user"], AUTO)]
        assert "paused" == status_word(life.stored())
        life.move("Resume")
        assert [SPLIT, SPLIT] == [each.reason for each in life.decided(["user", "late"], AUTO)]
        # What a kill takes are exposures that nothing was acknowledged behind.
        assert 2 == results(life).progress.enrolled
        server.process.kill()
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        life = Life(client, "default")
        assert ("running", 2) == (status_word(life.stored()), life.stored().allocation.epoch)
        assert [SPLIT] == [each.reason for each in life.decided(["user"], AUTO)]
        assert 2 == results(life).progress.enrolled
        assert server.stop() == 0, server.log()


@pytest.mark.parametrize("immediate", [False, True])
def test_what_is_paused_can_be_stopped(client: Client, namespace: str, *, immediate: bool) -> None:
    """Who paused to look and did not like it need not go on to end it; the pause ends with the iteration."""
    life = started(client, windowed(namespace, WINDOW_S))
    life.decided(["early"], AUTO)
    convert(life, ["early"])
    settled(life, 1)
    life.decided(["touched"], AUTO)
    life.move("Pause")
    ended = life.move("Stop", ship_variant_id="b", immediate=immediate)
    decision = client.assign(ended, "other")
    if not immediate:
        life.wait_for("stopped")
    found = results(life)

    assert ("stopped" if immediate else "draining") == status_word(ended)
    assert (DecisionReason.DECISION_REASON_SHIPPED, "b") == (decision.reason, decision.variant_id)
    assert found.is_final
    assert (1, 1) == counted(found)
    again = life.move("Start")
    assert (2, 1) == (again.iteration, again.allocation.epoch)
    assert [SPLIT] == [each.reason for each in life.decided(["other"], AUTO)]
    assert 1 == results(life).progress.enrolled
