"""Runs: inside them nobody says whose outcomes these are, and their end is recorded."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from klero.testing import FakeAsyncClient, FakeClient, Fixed

WHO = {"e": "b"}


def recorded(client: FakeClient | FakeAsyncClient, *events: str) -> list[tuple[str, str, float]]:
    """Entity, event and value of outcomes; only of `events`, if there are any."""
    return [
        (outcome.entity_id or str(dict(outcome.entities or {})), outcome.event, outcome.value)
        for outcome in client.outcomes
        if not events or outcome.event in events
    ]


def test_a_run_records_duration_and_success() -> None:
    """Every experiment on agents needs both."""
    client = FakeClient(WHO)
    with client.run("r1") as run:
        client.record("cost", 2)
        decision = client.assign("e")

    assert "r1" == run.entity_id == decision.entity_id
    assert [("r1", "cost", 2.0), ("r1", "success", 1.0)] == recorded(client, "cost", "success")
    assert 0 <= client.values("duration_s")[0] < 5
    assert 3 == len(client.outcomes)


def test_an_exception_is_a_failure_and_goes_on() -> None:
    """The variant that breaks the agent must lose by it."""
    client = FakeClient()
    with pytest.raises(KeyError), client.run("r1"):
        raise KeyError

    assert ([0.0], [1.0]) == (client.values("success"), client.values("error"))


def test_a_run_that_judges_itself_is_not_judged_again() -> None:
    """An agent that ends in order may still have failed."""
    client = FakeClient()
    with client.run("r1"):
        client.record("success", 0)

    assert [0.0] == client.values("success")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, asyncio.CancelledError, SystemExit])
def test_a_run_that_is_cut_off_is_neither(stop: type[BaseException]) -> None:
    """A deployment in the middle of a task says nothing of its variant."""
    client = FakeClient()
    with pytest.raises(stop), client.run("r1"):
        raise stop

    assert [] == client.values("success") + client.values("error")
    assert [1.0] == client.values("cancelled")


def test_a_run_without_a_name_gets_one() -> None:
    """Tasks often have no id of their own."""
    client = FakeClient()
    with client.run() as first, client.run() as second:
        pass

    assert first.entity_id != second.entity_id
    assert first.entity_id


def test_nested_runs_are_entities_of_their_own() -> None:
    """A step of a task is another entity than the task; decisions may be on either."""
    client = FakeClient({"e": Fixed("b", entity_type="task")})
    with client.run("task-1", entity_type="task", attributes={"plan": "pro"}) as task:
        with client.run("step-1", entity_type="step"):
            client.record("tokens", 5)
            task.record("steps")
            decision = client.assign("e", attributes={"depth": 1})
        client.record("score", 1)

    task_id, step_id = str({"task": "task-1"}), str({"step": "step-1"})
    assert [(step_id, "tokens", 5.0), (task_id, "steps", 1.0), (task_id, "score", 1.0)] == recorded(
        client, "tokens", "steps", "score"
    )
    assert {"plan", "depth"} == set(decision.attributes)
    assert "task-1" == decision.entity_id


def test_an_entity_that_is_named_is_not_the_run() -> None:
    """Inside a run one may still speak of others."""
    client = FakeClient(WHO)
    with client.run("r1"):
        client.record("a", entity_id="other")
        decision = client.assign("e", "other")

    assert ("other", "a", 1.0) in recorded(client)
    assert "other" == decision.entity_id


def test_a_run_begins_once() -> None:
    """Two tasks under one id would be one entity."""
    client = FakeClient()
    run = client.run("r1")
    with run:
        pass
    with pytest.raises(RuntimeError, match="has begun before"), run:
        pass


def test_outside_a_run_somebody_must_be_named() -> None:
    """A run that has ended takes no more outcomes."""
    client = FakeClient()
    with client.run("r1"):
        pass
    with pytest.raises(ValueError, match="no entity"):
        client.record("a")


async def test_tasks_have_runs_of_their_own() -> None:
    """Agents that run side by side in one event loop must not mix."""
    client = FakeAsyncClient(WHO)

    async def agent(name: str) -> None:
        with client.run(name):
            await asyncio.sleep(0)
            decision = await client.assign("e")
            await asyncio.gather(part(), part())
            client.record("done", entity_id=None)
            assert name == decision.entity_id

    async def part() -> None:
        await asyncio.sleep(0)
        client.record("part")

    names = [f"r{number}" for number in range(20)]
    await asyncio.gather(*map(agent, names))

    assert sorted((name, "part", 1.0) for name in names * 2) == sorted(recorded(client, "part"))
    assert sorted((name, "done", 1.0) for name in names) == sorted(recorded(client, "done"))


def test_threads_are_in_the_run_whose_context_they_get() -> None:
    """As with every context variable."""
    client = FakeClient()
    faults: list[Exception] = []

    def outside() -> None:
        try:
            client.record("outside")
        except ValueError as error:
            faults.append(error)

    with client.run("r1"):
        context = contextvars.copy_context()
        threads = [
            threading.Thread(target=context.run, args=(client.record, "inside")),
            threading.Thread(target=contextvars.Context().run, args=(outside,)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [("r1", "inside", 1.0)] == recorded(client, "inside", "outside")
    assert 1 == len(faults)
