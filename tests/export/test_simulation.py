"""Everything that the fold can be asked to do, and the same from the files of an export alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from klero.cli import main
from tests.export.recompute import SQL, Counted, Iteration, Place, Spread, recompute
from tests.export.simulation import simulate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from klero.storage.v1.tally_pb2 import ArmTally, Values
    from klero.v1.results_pb2 import Moments

CHANGED_RULES = [
    ("then_ms >= exposed", "then_ms > exposed"),
    ("then_ms < exposed + window_ms", "then_ms <= exposed + window_ms"),
    ("came < greatest(exposed + window_ms, patient)", "came <= greatest(exposed + window_ms, patient)"),
    ("came < greatest(exposed + window_ms, patient)", "came < exposed + window_ms"),
    ("came >= arrived - 600000", "came >= arrived"),
    ("came >= arrived - 600000", "true"),
    ("came < $ended", "true"),
    ("AND NOT EXISTS (SELECT 1 FROM pause WHERE", "AND NOT EXISTS (SELECT 1 FROM pause WHERE false AND"),
    ("patient) <= $until", "patient) <= $until + 600000"),
    ("status = 'first'", "status IN ('first', 'conflicting')"),
    ("WHERE own\n", "WHERE true\n"),
    ("coalesce(entities ->> (SELECT any_value(entity_type) FROM member), entity_id)", "entity_id"),
    ("heir.number IS NULL", "true"),
    ("coalesce(heir_position >= candidate.exposure_position, true)", "true"),
    ("heir.number = inherited.heir", "true"),
    ("coalesce(lower_bound, value)", "value"),
    ("coalesce(upper_bound, value)", "value"),
    ("coalesce(cap, 'infinity'::DOUBLE)", "'infinity'::DOUBLE"),
    ("THEN fail_value", "THEN 0"),
    ("'exclude' THEN NULL", "'exclude' THEN 0"),
    ("total / events", "total"),
    ("(then_ms, number)", "(number, then_ms)"),
    ("(then_ms, number)", "(then_ms, -number)"),
    ("THEN largest", "THEN latest"),
    ("THEN events", "THEN total"),
    ("GROUP BY ALL HAVING count(*) = count(value)", "GROUP BY ALL HAVING count(value) > 0"),
]
"""Each of them is another experiment's truth."""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Iteration, dict[Place, Counted]]:
    """Files of an export, and what the fold counted."""
    folder = tmp_path_factory.mktemp("simulated")
    written = simulate(folder, seed=20261124)
    for file_format in ("csv", "parquet"):
        export = ("export", "--data-dir", str(folder), "--output", str(folder / "out"), "--format", file_format)
        assert 0 == main((*export, "--experiment", "simulated"))
    tally = written.engine.tally("default", "simulated", 1)
    breakdown = written.engine.breakdown("default", "simulated", 1, "country")
    assert tally is not None
    assert breakdown is not None
    counted = dict(_counted("", "", tally.arms))
    for segment in breakdown.segments:
        counted |= dict(_counted("country", segment.value, segment.arms))
    return folder / "out", written.iteration, counted


def _counted(dimension: str, segment: str, arms: Iterable[ArmTally]) -> Iterator[tuple[Place, Counted]]:
    for arm in arms:
        for metric in arm.metrics:
            for view in ("live", "settled"):
                values = metric.settled if view == "settled" else metric.live
                if metric.HasField("settled") or view == "live":
                    yield (
                        Place(dimension, segment, arm.epoch, arm.variant_id, metric.metric, view),
                        _of_values(metric.events if view == "live" else 0, values),
                    )


def _of_values(events: int, values: Values) -> Counted:
    return Counted(
        events=events,
        nonzero=values.nonzero,
        missing=values.missing,
        all=_spread(values.moments),
        covered=_spread(values.covered),
    )


def _spread(moments: Moments) -> Spread:
    if moments.n == 0:
        return Spread()
    return Spread(moments.n, list(moments.means), list(moments.comoments))


def differences(expected: dict[Place, Counted], found: dict[Place, Counted]) -> list[tuple[Place, Counted, Counted]]:
    """Places where the two do not agree."""
    places = sorted(expected.keys() | found.keys())
    nothing = Counted()
    pairs = [(place, expected.get(place, nothing), found.get(place, nothing)) for place in places]
    return [pair for pair in pairs if not pair[1].agrees(pair[2])]


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_the_files_have_all_that_was_counted(
    simulated: tuple[Path, Iteration, dict[Place, Counted]], file_format: str
) -> None:
    """Live and settled, by epoch, variant and segment, with co-moments."""
    folder, iteration, counted = simulated

    assert [] == differences(counted, recompute(folder, file_format, iteration))


@pytest.mark.parametrize(("rule", "changed"), CHANGED_RULES)
def test_no_rule_can_be_another(
    simulated: tuple[Path, Iteration, dict[Place, Counted]], rule: str, changed: str
) -> None:
    """A test that agrees with any fold proves nothing: the simulation has rows that every rule decides."""
    folder, iteration, counted = simulated
    assert 1 == SQL.count(rule)

    assert [] != differences(counted, recompute(folder, "parquet", iteration, sql=SQL.replace(rule, changed)))
