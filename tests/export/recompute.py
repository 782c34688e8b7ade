"""Moments from the files of an export alone: the rules of docs/export.md in plain SQL.

Nothing of Klero computes here; the plan of the metrics comes from the definition.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from klero.v1.experiment_pb2 import Aggregation, MetricType, MissingPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from klero.storage.v1.journal_pb2 import MeasurementPlan, MetricPlan


@dataclass(frozen=True, slots=True)
class Iteration:
    """What the files do not say."""

    experiment_id: str
    number: int
    plan: MeasurementPlan
    ended_ms: int | None = None
    """When it stopped, Unix milliseconds."""
    pauses: tuple[tuple[int, int], ...] = ()
    """Begin and end of each, Unix milliseconds."""


class Place(NamedTuple):
    """Entities of one arm, and a metric and view of them."""

    dimension: str
    """Empty: all entities."""
    segment: str
    epoch: int
    variant_id: str
    metric: str
    view: str
    """`live` or `settled`."""


@dataclass(slots=True)
class Spread:
    """Moments by term, and by pair of terms."""

    n: int = 0
    means: list[float] = field(default_factory=list)
    comoments: list[float] = field(default_factory=list)

    def agrees(self, other: Spread) -> bool:
        """Whether counts are the same, and moments to 1e-9."""
        if (self.n, len(self.means), len(self.comoments)) != (other.n, len(other.means), len(other.comoments)):
            return False
        pairs = [(row, column) for row in range(len(self.means)) for column in range(row, len(self.means))]
        own = {row: moment for (row, column), moment in zip(pairs, self.comoments, strict=True) if row == column}
        # A covariance of nearly 0 has the error of the variances that it comes from.
        scales = [math.sqrt(own[row] * own[column]) for row, column in pairs]
        return all(map(_close, self.means, other.means)) and all(
            map(_close, self.comoments, other.comoments, (1e-9 * scale for scale in scales))
        )


@dataclass(slots=True)
class Counted:
    """What was counted at one place."""

    events: int = 0
    """0 for `settled`: outcomes are counted once for both views."""
    nonzero: int = 0
    missing: int = 0
    all: Spread = field(default_factory=Spread)
    covered: Spread = field(default_factory=Spread)

    def agrees(self, other: Counted) -> bool:
        """Whether counts are the same, and moments to 1e-9."""
        counts = [(one.events, one.nonzero, one.missing) for one in (self, other)]
        return counts[0] == counts[1] and self.all.agrees(other.all) and self.covered.agrees(other.covered)


SQL = """
CREATE TABLE member AS
SELECT row_number() OVER () AS id, *,
  occurred_at_ms AS exposed, journal_time_ms AS arrived,
  journal_time_ms + greatest(0, least(journal_time_ms - occurred_at_ms, 600000)) AS patient
FROM exposure
WHERE status = 'first' AND experiment_id = $experiment AND iteration = $iteration;

CREATE TABLE whose AS
SELECT *, coalesce(entities ->> (SELECT any_value(entity_type) FROM member), entity_id) AS whom FROM outcome;

-- Outcomes of members; the one that takes the place of another is its heir.
CREATE TABLE happened AS
SELECT member.id, outcome.number, outcome.position, outcome.event, outcome.value, outcome.event_id,
  outcome.supersedes, outcome.occurred_at_ms AS then_ms, outcome.journal_time_ms AS came,
  outcome.experiment_id IS NULL OR outcome.variant_id = member.variant_id AS own
FROM member JOIN whose AS outcome ON outcome.namespace = member.namespace AND whom = member.entity_id
WHERE outcome.experiment_id IS NULL
  OR outcome.experiment_id = member.experiment_id AND outcome.iteration = member.iteration;

CREATE TABLE inherited AS
SELECT old.id, old.number, min(new.number) AS heir, arg_min(new.position, new.number) AS heir_position
FROM happened AS old JOIN happened AS new
  ON new.id = old.id AND new.supersedes = old.event_id AND new.event = old.event AND new.number > old.number
GROUP BY ALL;

-- What counts for each metric, heirs beside those whose place they take.
CREATE TABLE candidate AS
SELECT member.id, metric.metric, happened.number, happened.then_ms, happened.position, happened.value,
  happened.event = metric.event AS above, member.position AS exposure_position
FROM member JOIN happened USING (id) JOIN metric ON happened.event IN (metric.event, metric.denominator)
WHERE own
  AND then_ms >= exposed
  AND came >= arrived - 600000
  AND (window_ms = 0 OR then_ms < exposed + window_ms)
  AND CASE WHEN window_ms > 0 THEN came < greatest(exposed + window_ms, patient)
      ELSE $ended IS NULL OR came < $ended END
  AND (happened.event <> metric.event
    OR value >= coalesce(lower_bound, value) AND value <= coalesce(upper_bound, value));

CREATE TABLE counted AS
SELECT candidate.*
FROM candidate LEFT JOIN inherited USING (id, number)
LEFT JOIN candidate AS heir ON heir.id = candidate.id AND heir.metric = candidate.metric
  AND heir.number = inherited.heir
WHERE heir.number IS NULL
  AND coalesce(heir_position >= candidate.exposure_position, true);

-- The value of each entity.
CREATE TABLE gathered AS
SELECT id, metric, count(*) AS events,
  coalesce(sum(value) FILTER (WHERE above), 0) AS total,
  coalesce(sum(value) FILTER (WHERE NOT above), 0) AS below,
  max(value) AS largest, bool_or(value <> 0) AS happened,
  arg_max(value, (then_ms, number)) AS latest
FROM counted GROUP BY ALL;

CREATE TABLE measured AS
SELECT member.id, metric.metric, coalesce(events, 0) AS events,
  CASE WHEN events IS NULL THEN CASE missing WHEN 'exclude' THEN NULL WHEN 'fail' THEN fail_value ELSE 0 END
  ELSE least(coalesce(cap, 'infinity'::DOUBLE), CASE kind
    WHEN 'conversion' THEN happened::INTEGER WHEN 'sum' THEN total WHEN 'mean' THEN total / events
    WHEN 'max' THEN largest WHEN 'last' THEN latest WHEN 'count' THEN events WHEN 'ratio' THEN total END)
  END AS y,
  coalesce(below, 0) AS z
FROM member CROSS JOIN metric LEFT JOIN gathered ON gathered.id = member.id AND gathered.metric = metric.metric;

-- All of them, and the settled ones; each of them also in its segments.
CREATE TABLE viewed AS
SELECT measured.*, view
FROM measured JOIN member USING (id) JOIN metric USING (metric)
CROSS JOIN (VALUES ('live'), ('settled')) AS views (view)
WHERE view = 'live' OR window_ms > 0
  AND greatest(exposed + window_ms, patient) <= $until
  AND NOT EXISTS (SELECT 1 FROM pause WHERE begin_ms < exposed + window_ms AND end_ms > exposed);

CREATE TABLE placed AS
SELECT id, '' AS dimension, '' AS segment FROM member
UNION ALL
SELECT id, dimension.name, coalesce(attributes ->> dimension.name, '') FROM member CROSS JOIN dimension;

CREATE TABLE cell AS
SELECT dimension, segment, epoch, variant_id, metric, view,
  coalesce(sum(events) FILTER (WHERE view = 'live'), 0)::BIGINT AS events, count(*) FILTER (WHERE y <> 0) AS nonzero,
  count(*) FILTER (WHERE y IS NULL) AS missing
FROM viewed JOIN member USING (id) JOIN placed USING (id) GROUP BY ALL;

-- The terms of each value: y, z, then covariates.
CREATE TABLE beside AS
SELECT id, metric, covariate.number AS term, (attributes ->> covariate.name)::DOUBLE AS value
FROM member CROSS JOIN covariate;

CREATE TABLE covered AS SELECT id, metric FROM beside GROUP BY ALL HAVING count(*) = count(value);

CREATE TABLE term AS
WITH own AS (
  SELECT id, metric, view, 0 AS term, y AS value FROM viewed WHERE y IS NOT NULL
  UNION ALL
  SELECT id, metric, view, 1, z FROM viewed JOIN metric USING (metric) WHERE y IS NOT NULL AND kind = 'ratio')
SELECT 'all' AS whom, * FROM own
UNION ALL
SELECT 'covered', own.* FROM own JOIN covered USING (id, metric)
UNION ALL
SELECT 'covered', id, metric, view, beside.term + 2, beside.value
FROM beside JOIN covered USING (id, metric) JOIN viewed USING (id, metric) WHERE y IS NOT NULL;

CREATE TABLE centred AS
SELECT term.*, dimension, segment, epoch, variant_id,
  avg(value) OVER (PARTITION BY whom, dimension, segment, epoch, variant_id, metric, view, term) AS mean
FROM term JOIN member USING (id) JOIN placed USING (id);

CREATE TABLE pair AS
SELECT a.dimension, a.segment, a.epoch, a.variant_id, a.metric, a.view, a.whom, a.term AS one, b.term AS other,
  count(*) AS n, any_value(a.mean) AS mean, sum((a.value - a.mean) * (b.value - b.mean)) AS comoment
FROM centred AS a JOIN centred AS b USING (id, metric, view, whom, dimension, segment)
WHERE a.term <= b.term GROUP BY ALL;
"""

_KEY = "dimension, segment, epoch, variant_id, metric, view"
_TABLES = """
CREATE TABLE metric (
  metric TEXT, event TEXT, denominator TEXT, kind TEXT, window_ms BIGINT, missing TEXT, fail_value DOUBLE,
  cap DOUBLE, lower_bound DOUBLE, upper_bound DOUBLE);
CREATE TABLE covariate (metric TEXT, number INTEGER, name TEXT);
CREATE TABLE dimension (name TEXT);
CREATE TABLE pause (begin_ms BIGINT, end_ms BIGINT);
"""


def recompute(folder: Path, file_format: str, iteration: Iteration, *, sql: str = SQL) -> dict[Place, Counted]:
    """What was counted of an iteration, from the files in `folder`.

    Args:
        folder: Where the export wrote.
        file_format: `csv` or `parquet`.
        iteration: What the files do not say.
        sql: The rules.
    """
    found: dict[Place, Counted] = {}
    # One thread, so that rows are read in the order in which they stand.
    with duckdb.connect(config={"threads": 1}) as database:
        _fill(database, folder, file_format, iteration)
        (until,) = database.execute(
            "SELECT max(journal_time_ms) FROM (FROM (SELECT journal_time_ms FROM exposure) "
            "UNION ALL SELECT journal_time_ms FROM outcome)"
        ).fetchall()[0]
        known = {
            "experiment": iteration.experiment_id,
            "iteration": iteration.number,
            "ended": iteration.ended_ms,
            "until": until,
        }
        for statement in sql.split(";\n"):
            used = {name: value for name, value in known.items() if f"${name}" in statement}
            if statement.strip():
                database.execute(statement, used)
        for row in database.execute(f"SELECT {_KEY}, events, nonzero, missing FROM cell").fetchall():  # noqa: S608
            found[Place(*row[:6])] = Counted(*row[6:])
        pairs = f"SELECT {_KEY}, whom, one, other, n, mean, comoment FROM pair ORDER BY one, other"  # noqa: S608
        for *key, whom, one, other, n, mean, comoment in database.execute(pairs).fetchall():
            counted = found[Place(*key)]
            spread = counted.all if whom == "all" else counted.covered
            spread.n = n
            spread.comoments.append(comoment)
            if one == other:
                spread.means.append(mean)
    return found


def _fill(database: duckdb.DuckDBPyConnection, folder: Path, file_format: str, iteration: Iteration) -> None:
    texts = ["namespace", "experiment_id", "variant_id", "entity_id"]
    for table, more in (("exposure", ["attributes"]), ("outcome", ["event_id", "supersedes", "entities"])):
        path = folder / f"{table}s.{file_format}"
        # Ids that look like numbers are texts all the same; empty texts are none in either format.
        replaced = ", ".join(f"nullif({name}::TEXT, '') AS {name}" for name in (*texts, *more))
        source = f"read_csv('{path}', sample_size = -1)" if file_format == "csv" else f"'{path}'"
        database.execute(
            f"CREATE TABLE {table} AS SELECT * REPLACE ({replaced}), row_number() OVER () AS number FROM {source}"  # noqa: S608
        )
    database.execute(_TABLES)
    plan = iteration.plan
    for metric in plan.metrics:
        database.execute("INSERT INTO metric VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", _described(metric))
        for number, covariate in enumerate(metric.covariates):
            name = plan.covariates[covariate]
            database.execute("INSERT INTO covariate VALUES (?, ?, ?)", [metric.name, number, name])
    for name in plan.dimensions:
        database.execute("INSERT INTO dimension VALUES (?)", [name])
    for pause in iteration.pauses:
        database.execute("INSERT INTO pause VALUES (?, ?)", list(pause))


def _described(metric: MetricPlan) -> list[str | float | None]:
    kind = MetricType.Name(metric.type).removeprefix("METRIC_TYPE_").lower()
    if metric.type == MetricType.METRIC_TYPE_CONTINUOUS:
        kind = Aggregation.Name(metric.aggregation).removeprefix("AGGREGATION_").lower()
    return [
        metric.name,
        metric.event,
        metric.denominator_event,
        kind,
        metric.window_ms,
        MissingPolicy.Name(metric.missing).removeprefix("MISSING_POLICY_").lower(),
        metric.fail_value,
        metric.cap if metric.HasField("cap") else None,
        metric.lower_bound if metric.HasField("lower_bound") else None,
        metric.upper_bound if metric.HasField("upper_bound") else None,
    ]


def _close(one: float, other: float, scale: float = 0.0) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=max(scale, 1e-12))
