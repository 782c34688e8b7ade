"""A metric at many looks: every point is what `judge` gives of the same tally."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from klero.analysis.history import history
from klero.analysis.judge import judge
from klero.analysis.moments import Moments
from klero.analysis.options import JudgeOptions
from klero.analysis.samples import Sample
from klero.v1.experiment_pb2 import Correction, MetricGoal, MetricType
from klero.v1.results_pb2 import ResultsView
from tests.analysis.known import FIXED, SEQUENTIAL, amounts, conversions, definition, metric, tally, visits

if TYPE_CHECKING:
    from klero.storage.v1.tally_pb2 import IterationTally
    from klero.v1.experiment_pb2 import Experiment, InferenceMethod

LIVE, SETTLED = ResultsView.RESULTS_VIEW_LIVE, ResultsView.RESULTS_VIEW_SETTLED
MEAN = MetricType.METRIC_TYPE_CONTINUOUS


def three_metrics(
    method: InferenceMethod.ValueType = SEQUENTIAL,
    correction: Correction.ValueType = Correction.CORRECTION_UNSPECIFIED,
) -> Experiment:
    """A primary conversion with a window, and two more metrics that are corrected together."""
    found = definition(
        "t",
        "u",
        metrics=[
            metric(primary=True),
            metric("cost", type=MEAN, goal=MetricGoal.METRIC_GOAL_DECREASE),
            metric("score", type=MEAN),
        ],
        method=method,
        planned=5_000,
    )
    found.analysis_plan.correction = correction
    return found


def left_out(n: int, missing: int) -> Sample:
    """Entities with scores, and those without any."""
    return Sample(Moments(n, 3.0, 2.0 * n), n, n, missing)


def at_size(n: int) -> IterationTally:
    """`n` entities a variant, half of them settled; scores are missing unevenly."""
    shares = {"c": 10, "t": 8, "u": 6}
    arms = {
        (1, variant): {
            "visit": conversions(n // share, n),
            "cost": amounts(n, 1 + 0.2 / share, 1.0),
            "score": left_out(n - n // share, n // share),
        }
        for variant, share in shares.items()
    }
    settled = {(1, variant): {"visit": conversions(n // 2 // share, n // 2)} for variant, share in shares.items()}
    return tally(arms, settled=settled)


@pytest.mark.parametrize("name", ["visit", "cost", "score"])
@pytest.mark.parametrize("view", [SETTLED, LIVE])
@pytest.mark.parametrize(
    ("method", "correction"),
    [
        (SEQUENTIAL, Correction.CORRECTION_HOLM),
        (SEQUENTIAL, Correction.CORRECTION_NONE),
        (FIXED, Correction.CORRECTION_HOLM),
    ],
)
def test_points_are_what_results_said(
    name: str, view: ResultsView.ValueType, method: InferenceMethod.ValueType, correction: Correction.ValueType
) -> None:
    """A picture and the table beside it must not disagree, corrections and doubts included."""
    trial, looks = three_metrics(method, correction), [(size, at_size(size)) for size in (300, 3_000, 6_000)]

    points = history(trial, looks, metric=name, view=view)

    assert [300, 3_000, 6_000] == [point.looked_at.ToMilliseconds() for point in points]
    for point, (_, counted) in zip(points, looks, strict=True):
        options = JudgeOptions(collected_at_ms=1, journal_end_ms=1, engine_version="0", view=view)
        results = judge(trial, counted, options=options)
        assert [each for each in results.comparisons if each.metric == name] == list(point.comparisons)
        assert results.as_of == point.as_of
        assert {each: found.enrolled for each, found in results.variant_results.items()} == dict(point.enrolled)
        assert {each: found.sample_size for each, found in results.variant_results.items()} == dict(point.sample_sizes)


def test_a_doubt_is_shown() -> None:
    """The example above has uneven gaps; else it would prove nothing about them."""
    (point,) = history(three_metrics(), [(1, at_size(6_000))], metric="score")

    assert "are missing for" in point.comparisons[0].result.explanation


def test_a_doubt_that_depends_on_the_other_metrics() -> None:
    """Of two metrics with gaps each may be doubted half as soon as one alone, also if only one is asked for."""
    trial = definition("t", metrics=[metric("score", type=MEAN, primary=True), metric("grade", type=MEAN)])
    arms = {
        (1, "c"): {"score": left_out(900, 100), "grade": left_out(900, 100)},
        (1, "t"): {"score": left_out(850, 150), "grade": left_out(900, 100)},
    }
    (point,) = history(trial, [(1, tally(arms))], metric="score")
    del trial.metrics[1]
    (alone,) = history(trial, [(1, tally(arms))], metric="score")

    assert [False, True] == ["are missing for" in each.comparisons[0].result.explanation for each in (point, alone)]


def test_without_estimates_there_are_no_comparisons() -> None:
    """The first look is often at a handful of entities, of which one variant may have none."""
    points = history(definition("t"), [(5, visits({"c": (1, 2)})), (6, visits({}))], metric="visit")

    assert [{"c": 2, "t": 0}, {"c": 0, "t": 0}] == [dict(point.enrolled) for point in points]
    assert [[], []] == [list(point.comparisons) for point in points]


def test_without_a_metric_there_is_enrolment_alone() -> None:
    """A flag that is rolled out has no metrics and still a history."""
    flag = definition("t")
    del flag.metrics[:]

    (point,) = history(flag, [(5, visits({"c": (1, 200), "t": (1, 300)}))], metric="")

    assert {"c": 200, "t": 300} == dict(point.enrolled)
    assert not point.comparisons


def test_no_looks_no_points() -> None:
    """Before the first start."""
    assert [] == history(definition("t"), [], metric="visit")
