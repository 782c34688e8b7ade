"""A tally as samples: what each variant has for each metric in each epoch."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.analysis import quantiles, ratios, samples
from klero.analysis.moments import from_proto
from klero.analysis.samples import Sample
from klero.analysis.strata import Stratum
from klero.v1.experiment_pb2 import MetricType
from klero.v1.results_pb2 import ResultsView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from klero.storage.v1 import tally_pb2
    from klero.v1.experiment_pb2 import Metric


LIVE = ResultsView.RESULTS_VIEW_LIVE


@dataclass(frozen=True, slots=True)
class Tallied:
    """Samples and enrolment of some entities of one iteration, in one view."""

    epochs: tuple[int, ...]
    """With entities, rising."""

    _enrolled: Mapping[tuple[int, str], int]
    _settled: Mapping[tuple[int, str], int]
    _counted: Mapping[tuple[int, str], int]
    _samples: Mapping[tuple[int, str, str], Sample]

    def enrolled(self, variant_id: str, epoch: int | None = None) -> int:
        """Entities of a variant, in one epoch or in all."""
        epochs = self.epochs if epoch is None else (epoch,)
        return sum(self._enrolled.get((each, variant_id), 0) for each in epochs)

    def settled(self, variant_id: str) -> int:
        """Entities of a variant whose longest window has closed."""
        return sum(self._settled.get((each, variant_id), 0) for each in self.epochs)

    def counted(self, variant_id: str) -> int:
        """Entities of a variant in this view: in the settled one without those whose longest window a pause cut."""
        return sum(self._counted.get((each, variant_id), 0) for each in self.epochs)

    def pooled(self, variant_id: str, metric: str) -> Sample:
        """All entities of a variant."""
        return samples.pool([self._sample(epoch, variant_id, metric) for epoch in self.epochs])

    def strata(self, baseline_id: str, variant_id: str, metric: str) -> list[Stratum]:
        """Two variants side by side, one stratum per epoch, oldest first."""
        return [
            Stratum(epoch, self._sample(epoch, baseline_id, metric), self._sample(epoch, variant_id, metric))
            for epoch in self.epochs
        ]

    def _sample(self, epoch: int, variant_id: str, metric: str) -> Sample:
        return self._samples.get((epoch, variant_id, metric), samples.EMPTY)


def read(arms: Sequence[tally_pb2.ArmTally], metrics: Iterable[Metric], view: ResultsView.ValueType) -> Tallied:
    """Sort arms by epoch, variant and metric; several of one epoch and variant are added up.

    Args:
        arms: Of disjoint entities.
        metrics: Say what the values of each metric are.
        view: SETTLED reads entities with closed windows where a metric has a window; LIVE all.

    """
    by_name = {metric.name: metric for metric in metrics}
    enrolled, settled, in_view = Counter[tuple[int, str]](), Counter[tuple[int, str]](), Counter[tuple[int, str]]()
    parts = defaultdict[tuple[int, str, str], list[Sample]](list)
    for arm in arms:
        enrolled[arm.epoch, arm.variant_id] += arm.enrolled
        settled[arm.epoch, arm.variant_id] += arm.settled
        in_view[arm.epoch, arm.variant_id] += arm.enrolled if view == LIVE else _counted(arm)
        for counted in arm.metrics:
            if counted.metric in by_name:
                sample = _sample(counted, by_name[counted.metric], view)
                parts[arm.epoch, arm.variant_id, counted.metric].append(sample)
    return Tallied(
        epochs=tuple(sorted({arm.epoch for arm in arms})),
        _enrolled=enrolled,
        _settled=settled,
        _counted=in_view,
        _samples={key: samples.pool(found) for key, found in parts.items()},
    )


def _counted(arm: tally_pb2.ArmTally) -> int:
    """Entities in the settled values of the metric that is last to have them: its window is the longest."""
    return min((_size(each.settled) for each in arm.metrics if each.HasField("settled")), default=arm.settled)


def _size(values: tally_pb2.Values) -> int:
    sketch = values.sketch
    in_sketch = sketch.zeros + sum(sketch.positive_counts) + sum(sketch.negative_counts)
    return values.moments.n + in_sketch + values.missing


def _sample(counted: tally_pb2.MetricTally, metric: Metric, view: ResultsView.ValueType) -> Sample:
    live = view == LIVE
    found = counted.live if live or not counted.HasField("settled") else counted.settled
    values = _values(found, metric)
    unsettled = 0
    if live and counted.HasField("settled"):
        closed = _values(counted.settled, metric).n + counted.settled.missing
        unsettled = max(values.n + found.missing - closed, 0)
    return Sample(values, found.nonzero, counted.events, found.missing, unsettled)


def _values(found: tally_pb2.Values, metric: Metric) -> samples.Values:
    if metric.type == MetricType.METRIC_TYPE_RATIO:
        return ratios.from_proto(found.moments)
    if metric.type == MetricType.METRIC_TYPE_QUANTILE:
        return quantiles.from_proto(found.sketch, metric.quantile)
    return from_proto(found.moments)
