"""Known answers of other libraries, and definitions and tallies for the tests of the analysis."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from klero.analysis.moments import Moments
from klero.analysis.options import JudgeOptions
from klero.analysis.strata import Sample, Stratum
from klero.storage.v1.tally_pb2 import ArmTally, IterationTally, MetricTally
from klero.v1 import results_pb2
from klero.v1.experiment_pb2 import AnalysisPlan, Experiment, InferenceMethod, Metric, MetricGoal, MetricType, Variant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests" / "golden" / "statistics.json").read_text(encoding="utf-8"))
SEQUENTIAL = InferenceMethod.INFERENCE_METHOD_SEQUENTIAL
FIXED = InferenceMethod.INFERENCE_METHOD_FIXED_HORIZON
OPTIONS = JudgeOptions(collected_at_ms=1_000, journal_end_ms=900, engine_version="0.0.0")


def values(case: str, peer: str | None = None, index: int = 0) -> dict[str, Any]:
    """Give the answers of `peer`, or of the entry at `index`."""
    entries = GOLDEN["cases"][case]
    found: dict[str, Any] = (
        next(e for e in entries if e["peer"] == peer)["values"] if peer else entries[index]["values"]
    )
    return found


def revenue() -> tuple[Moments, Moments]:
    """Give both samples of `welch_revenue`, A first."""
    return _from_sums(GOLDEN["inputs"]["welch_revenue"]["A"]), _from_sums(GOLDEN["inputs"]["welch_revenue"]["B"])


def _from_sums(sums: Mapping[str, float]) -> Moments:
    n, total = int(sums["n"]), sums["sum"]
    return Moments(n, total / n, sums["sum_squares"] - total * total / n)


def moments(data: Sequence[float] | NDArray[np.float64]) -> Moments:
    """Compute moments of raw values by numpy."""
    array = np.asarray(data, dtype=np.float64)
    return Moments(len(array), float(array.mean()), float(((array - array.mean()) ** 2).sum()))


def conversions(converted: int, n: int) -> Sample:
    """Give a sample of `n` entities of which `converted` have the value 1, the others 0."""
    rate = converted / n if n else 0.0
    return Sample(Moments(n, rate, n * rate * (1 - rate)), converted, converted)


def amounts(n: int, mean: float, deviation: float) -> Sample:
    """Give a sample of `n` entities with this mean and standard deviation."""
    return Sample(Moments(n, mean, deviation * deviation * max(n - 1, 0)), n, n)


def stratum(baseline: Sample, variant: Sample, epoch: int = 1) -> Stratum:
    """Put two samples side by side."""
    return Stratum(epoch, baseline, variant)


def metric(name: str = "visit", **fields: Any) -> Metric:  # noqa: ANN401 - any field of the message
    """Give a conversion metric that should rise."""
    defaults = {"type": MetricType.METRIC_TYPE_CONVERSION, "goal": MetricGoal.METRIC_GOAL_INCREASE}
    return Metric(name=name, **(defaults | fields))


def definition(
    *variants: str, metrics: Sequence[Metric] = (), method: InferenceMethod.ValueType = SEQUENTIAL, planned: int = 0
) -> Experiment:
    """Give a started experiment with control `c`, equal weights and one primary conversion `visit`."""
    experiment = Experiment(
        id="trial",
        control=Variant(id="c"),
        variants=[Variant(id=variant) for variant in variants],
        metrics=metrics or [metric(primary=True)],
        iteration=1,
        revision=7,
        analysis_plan=AnalysisPlan(method=method, planned_sample_size=planned),
    )
    experiment.allocation.epoch = 1
    for variant in ("c", *variants):
        experiment.allocation.weights[variant] = 100 / (len(variants) + 1)
    return experiment


def tally(arms: Mapping[tuple[int, str], Mapping[str, Sample]], *, stopped: bool = False) -> IterationTally:
    """Give the tally of samples by epoch and variant, then by metric."""
    result = IterationTally(position=10, time_ms=800, stopped=stopped, last_exposure_ms=700, last_outcome_ms=750)
    for (epoch, variant_id), samples in arms.items():
        enrolled = next(iter(samples.values())).moments.n
        arm = ArmTally(epoch=epoch, variant_id=variant_id, enrolled=enrolled)
        arm.metrics.extend(_metric_tally(name, sample) for name, sample in samples.items())
        result.arms.append(arm)
    return result


def visits(counts: Mapping[str, tuple[int, int]], *, stopped: bool = False) -> IterationTally:
    """Give the tally of one epoch with the metric `visit`: converted and entities by variant id."""
    arms = {(1, variant_id): {"visit": conversions(*count)} for variant_id, count in counts.items()}
    return tally(arms, stopped=stopped)


def _metric_tally(name: str, sample: Sample) -> MetricTally:
    found = sample.moments
    message = results_pb2.Moments(n=found.n, terms=["y"], means=[found.mean], comoments=[found.m2])
    return MetricTally(metric=name, moments=message, events=sample.events, nonzero=sample.converted)


def hillstrom() -> dict[str, dict[str, NDArray[np.float64]]]:
    """Read the e-mail experiment: by segment, then by outcome, one value per customer."""
    with gzip.open(ROOT / "examples" / "data" / "hillstrom.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    outcomes = ("visit", "conversion", "spend")
    return {
        segment: {
            outcome: np.array([float(row[outcome]) for row in rows if row["segment"] == segment])
            for outcome in outcomes
        }
        for segment in ("No E-Mail", "Womens E-Mail", "Mens E-Mail")
    }
