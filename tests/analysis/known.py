"""Known answers of other libraries, and definitions and tallies for the tests of the analysis."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from klero.analysis import ratios
from klero.analysis.moments import Moments, to_proto
from klero.analysis.options import JudgeOptions
from klero.analysis.ratios import PairMoments
from klero.analysis.samples import Sample
from klero.analysis.strata import Stratum
from klero.storage.v1 import tally_pb2
from klero.storage.v1.tally_pb2 import ArmTally, IterationTally, MetricTally
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


def pairs(data: NDArray[np.float64]) -> PairMoments:
    """Compute moments of raw pairs, numerator first, by numpy; `data` has a row an entity."""
    centred = data - data.mean(axis=0)
    products = centred.T @ centred
    mean_y, mean_z = data.mean(axis=0).tolist()
    return PairMoments(len(data), mean_y, mean_z, float(products[0, 0]), float(products[0, 1]), float(products[1, 1]))


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


def tally(
    arms: Mapping[tuple[int, str], Mapping[str, Sample]],
    *,
    stopped: bool = False,
    settled: Mapping[tuple[int, str], Mapping[str, Sample]] | None = None,
) -> IterationTally:
    """Give the tally of samples by epoch and variant, then by metric.

    Args:
        arms: All entities.
        stopped: Whether the iteration has ended; without `settled` all its windows are closed then.
        settled: Those whose window has closed, of the metrics that have one. None: no metric has.
    """
    closed = stopped and settled is None
    result = IterationTally(
        position=10, time_ms=800, stopped=stopped, closed=closed, last_exposure_ms=700, last_outcome_ms=750
    )
    for (epoch, variant_id), samples in arms.items():
        done = (settled or {}).get((epoch, variant_id), {})
        first, first_done = next(iter(samples.values())), next(iter((done or samples).values()))
        arm = ArmTally(
            epoch=epoch,
            variant_id=variant_id,
            enrolled=first.n + first.missing,
            settled=first_done.n + first_done.missing,
        )
        for name, sample in samples.items():
            counted = MetricTally(metric=name, events=sample.events, live=_values(sample))
            if name in done:
                counted.settled.CopyFrom(_values(done[name]))
            arm.metrics.append(counted)
        result.arms.append(arm)
    return result


def visits(counts: Mapping[str, tuple[int, int]], *, stopped: bool = False) -> IterationTally:
    """Give the tally of one epoch with the metric `visit`: converted and entities by variant id."""
    arms = {(1, variant_id): {"visit": conversions(*count)} for variant_id, count in counts.items()}
    return tally(arms, stopped=stopped)


def filling(
    live: Mapping[str, tuple[int, int]], settled: Mapping[str, tuple[int, int]], *, stopped: bool = False
) -> IterationTally:
    """As `visits`, for a metric with a window: all entities, and those whose window has closed."""
    all_arms, done = (
        {(1, variant_id): {"visit": conversions(*count)} for variant_id, count in counts.items()}
        for counts in (live, settled)
    )
    return tally(all_arms, settled=done, stopped=stopped)


def _values(sample: Sample) -> tally_pb2.Values:
    message = tally_pb2.Values(nonzero=sample.converted, missing=sample.missing)
    if isinstance(sample.values, Moments):
        message.moments.CopyFrom(to_proto(sample.values))
    elif isinstance(sample.values, PairMoments):
        message.moments.CopyFrom(ratios.to_proto(sample.values))
    return message


def sketched(data: NDArray[np.float64], accuracy: float = 0.01) -> tally_pb2.Sketch:
    """Count values in buckets, as the core does."""
    growth = (1 + accuracy) / (1 - accuracy)
    message = tally_pb2.Sketch(accuracy=accuracy, zeros=int((data == 0).sum()))
    for sign, buckets, counts in (
        (1, message.positive, message.positive_counts),
        (-1, message.negative, message.negative_counts),
    ):
        sizes = sign * data[sign * data > 0]
        found, sizes_of = np.unique(np.ceil(np.log(sizes) / np.log(growth)).astype(int), return_counts=True)
        buckets.extend(found.tolist())
        counts.extend(sizes_of.tolist())
    return message


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
