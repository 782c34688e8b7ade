"""A tally as samples: what each variant has for each metric in each epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.analysis import strata
from klero.analysis.moments import from_proto
from klero.analysis.strata import Sample, Stratum

if TYPE_CHECKING:
    from klero.storage.v1.tally_pb2 import IterationTally, MetricTally


@dataclass(frozen=True, slots=True)
class Tallied:
    """Samples and enrolment of one iteration."""

    epochs: tuple[int, ...]
    """With entities, rising."""

    _enrolled: dict[tuple[int, str], int]
    _samples: dict[tuple[int, str, str], Sample]

    def enrolled(self, variant_id: str, epoch: int | None = None) -> int:
        """Entities of a variant, in one epoch or in all."""
        epochs = self.epochs if epoch is None else (epoch,)
        return sum(self._enrolled.get((each, variant_id), 0) for each in epochs)

    def pooled(self, variant_id: str, metric: str) -> Sample:
        """All entities of a variant."""
        return strata.pool([self._sample(epoch, variant_id, metric) for epoch in self.epochs])

    def strata(self, baseline_id: str, variant_id: str, metric: str) -> list[Stratum]:
        """Two variants side by side, one stratum per epoch, oldest first."""
        return [
            Stratum(epoch, self._sample(epoch, baseline_id, metric), self._sample(epoch, variant_id, metric))
            for epoch in self.epochs
        ]

    def _sample(self, epoch: int, variant_id: str, metric: str) -> Sample:
        return self._samples.get((epoch, variant_id, metric), strata.EMPTY)


def read(tally: IterationTally) -> Tallied:
    """Sort a tally by epoch, variant and metric."""
    return Tallied(
        epochs=tuple(sorted({arm.epoch for arm in tally.arms})),
        _enrolled={(arm.epoch, arm.variant_id): arm.enrolled for arm in tally.arms},
        _samples={
            (arm.epoch, arm.variant_id, metric.metric): _sample(metric) for arm in tally.arms for metric in arm.metrics
        },
    )


def _sample(metric: MetricTally) -> Sample:
    return Sample(from_proto(metric.moments), metric.nonzero, metric.events)
