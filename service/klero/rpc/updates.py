"""What an update does to entities that have a variant already, found out before it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero import engine as core
from klero import lifecycle
from klero.v1 import experiment_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.timestamp_pb2 import Timestamp

    from klero.v1.experiment_pb2 import Experiment

_REASSIGNS = pb.WarningReason.WARNING_REASON_REASSIGNS_ENTITIES
_PLAN = pb.WarningReason.WARNING_REASON_PLAN_CHANGED
_TREATMENT = pb.WarningReason.WARNING_REASON_TREATMENT_CHANGED


class Updating:
    """One UpdateExperiment call: the pure step, and the answer that tells what it does."""

    def __init__(self, request: pb.UpdateExperimentRequest, *, now: Timestamp) -> None:
        """Take over the call; nothing is known of the stored definition yet."""
        self._request = request
        self._now = now
        self._response = pb.UpdateExperimentResponse()

    def step(self, stored: Experiment) -> Experiment:
        """The changed definition; `stored` itself if nothing changes.

        Raises:
            EtagMismatchError: The experiment changed since it was read.
            InvalidFieldError: The mask or the changed definition break their rules.
            IllegalTransitionError: The status does not allow it.
            FieldImmutableError: Something would change that cannot any more.

        """
        given = self._request.experiment
        lifecycle.check_etag(stored, given.etag)
        wanted, warnings = core.admit(lifecycle.merged(stored, given, self._request.update_mask.paths))
        changed = lifecycle.update(stored, wanted, allocation=core.allocation(wanted), now=self._now)
        self._response = pb.UpdateExperimentResponse(warnings=warnings)
        if stored.status in lifecycle.OPEN:
            self._tell_reassigned(stored, changed)
            self._response.warnings.extend(_treatment_warnings(stored, changed))
        if lifecycle.plan_changed(stored, changed):
            self._warn(
                "analysisPlan", _PLAN, "what judges differs from the plan frozen by Start: results become exploratory"
            )
        return changed

    def answer(self, stored: Experiment) -> pb.UpdateExperimentResponse:
        """The response, once `step` was applied and its result stored."""
        response = pb.UpdateExperimentResponse()
        response.CopyFrom(self._response)
        response.experiment.CopyFrom(stored)
        return response

    def _tell_reassigned(self, before: Experiment, after: Experiment) -> None:
        for paths, alone in lifecycle.deciding_changes(before, after):
            alone.allocation.CopyFrom(core.allocation(alone))
            if core.reassigned(before, alone) > 0:
                self._response.reassigning_changes.extend(paths)
        percent = core.reassigned(before, after) if self._response.reassigning_changes else 0.0
        self._response.reassigned_percent = percent
        self._response.keeps_variants = core.keeps_variants(after)
        if percent:
            self._warn(self._response.reassigning_changes[0], _REASSIGNS, self._reassigns(percent))

    def _reassigns(self, percent: float) -> str:
        if not self._response.keeps_variants:
            return f"{percent:.3g} % of the enrolled get another variant from now on; each counts for its first one"
        kept = f"{percent:.3g} % of those who come new get another variant than before; who has one keeps it"
        # Traffic goes before the variant, and a salt is one of traffic too.
        narrowed = {"config.trafficPercentage", "hashing"}.intersection(self._response.reassigning_changes)
        return f"{kept}, or gets the control where traffic leaves it out" if narrowed else kept

    def _warn(self, field: str, reason: pb.WarningReason.ValueType, message: str) -> None:
        self._response.warnings.add(field=field, reason=reason, message=message)


def _treatment_warnings(before: Experiment, after: Experiment) -> Iterator[pb.Warning]:
    known = {variant.id: variant for variant in lifecycle.arms(before)}
    paths = ["control", *(f"variants[{index}]" for index in range(len(after.variants)))]
    for path, variant in zip(paths, lifecycle.arms(after), strict=True):
        old = known[variant.id]
        if (old.config_digest, old.enabled, old.HasField("enabled")) == (
            variant.config_digest,
            variant.enabled,
            variant.HasField("enabled"),
        ):
            continue
        message = (
            f"`{variant.id}` gives something else from now on, and its results mix both: stop and start anew instead"
        )
        yield pb.Warning(field=path, reason=_TREATMENT, message=message)
