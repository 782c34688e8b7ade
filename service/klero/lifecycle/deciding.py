"""Changes of a definition that can give entities another variant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.lifecycle.statuses import changed_copy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from klero.v1.experiment_pb2 import Experiment, Variant

# Of an experiment that names none.
_SCHEME = "klero.v1"


def deciding_changes(before: Experiment, after: Experiment) -> Iterator[tuple[list[str], Experiment]]:
    """Each change by itself: its paths, and `before` with this change alone.

    Weights are one change, because they must sum to 100. Both have the same variants.
    """
    if weights := weight_changes(before, after):
        alone = changed_copy(before)
        given = {variant.id: variant for variant in arms(after)}
        for variant in arms(alone):
            variant.ClearField("weight")
            if given[variant.id].HasField("weight"):
                variant.weight = given[variant.id].weight
        yield weights, alone
    if before.config.HasField("traffic_percentage") != after.config.HasField("traffic_percentage") or (
        before.config.traffic_percentage != after.config.traffic_percentage
    ):
        alone = changed_copy(before)
        alone.config.ClearField("traffic_percentage")
        if after.config.HasField("traffic_percentage"):
            alone.config.traffic_percentage = after.config.traffic_percentage
        yield ["config.trafficPercentage"], alone
    if spread(before) != spread(after):
        alone = changed_copy(before)
        alone.hashing.CopyFrom(after.hashing)
        yield ["hashing"], alone


def weight_changes(before: Experiment, after: Experiment) -> list[str]:
    """Paths of the weights in `after` that differ from those in `before`, which has the same variants."""
    known = {variant.id: variant for variant in arms(before)}
    paths = ["control.weight", *(f"variants[{index}].weight" for index in range(len(after.variants)))]
    return [
        path for path, variant in zip(paths, arms(after), strict=True) if _weight(known[variant.id]) != _weight(variant)
    ]


def spread(experiment: Experiment) -> tuple[str, str]:
    """Scheme and salt in force: entities keep their places as long as both stay."""
    return experiment.hashing.scheme or _SCHEME, experiment.hashing.salt or experiment.id


def arms(experiment: Experiment) -> list[Variant]:
    """The control, then the other variants."""
    return [experiment.control, *experiment.variants]


def _weight(variant: Variant) -> float | None:
    return variant.weight if variant.HasField("weight") else None
