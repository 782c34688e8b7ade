"""From definitions to what the server would do with them, and then to doing it.

Everything is checked by the server before the first change is made, so that a fault in one file
leaves all experiments as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from google.protobuf.field_mask_pb2 import FieldMask

from klero.definition import changes, to_mapping
from klero.errors import WireError
from klero.v1.experiment_pb2 import ExperimentStatus
from klero.v1.experiment_service_pb2 import CreateExperimentRequest, GetExperimentRequest, UpdateExperimentRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from klero.cli.definition_files import Fault, Found
    from klero.client.remote import Remote
    from klero.definition import Change
    from klero.v1.experiment_pb2 import Experiment
    from klero.v1.experiment_service_pb2 import UpdateExperimentResponse
    from klero.v1.experiment_service_pb2 import Warning as DefinitionWarning

CREATED, UPDATED, UNCHANGED = "created", "updated", "unchanged"
# Answers that speak about the definition; others speak about the server.
_ABOUT_DEFINITION = frozenset({"INVALID_ARGUMENT", "FAILED_PRECONDITION", "ALREADY_EXISTS", "UNIMPLEMENTED"})
_RUNS = frozenset({ExperimentStatus.EXPERIMENT_STATUS_RUNNING, ExperimentStatus.EXPERIMENT_STATUS_PAUSED})
_VARIANT = re.compile(r"^variants\[([0-9]+)\]")


@dataclass(slots=True)
class Planned:
    """What is to be done with a definition."""

    found: Found
    action: str
    """CREATED, UPDATED or UNCHANGED."""

    warnings: Sequence[DefinitionWarning] = ()
    etag: str = ""
    """Of the stored definition when it was compared."""

    changes: list[Change] = field(default_factory=list)
    consequences: list[str] = field(default_factory=list)
    """What the changes do to entities, in words."""

    update: UpdateExperimentResponse | None = None
    """The server's answer to an update."""

    def __str__(self) -> str:
        """Changes and consequences: "weight of `a` from 50 to 20; opens epoch 3"."""
        return "; ".join([*map(str, self.changes), *self.consequences])

    def as_mapping(self) -> dict[str, object]:
        """The same for programs."""
        place = self.found.document.start
        plain: dict[str, object] = {
            "file": self.found.document.source_name,
            "line": place.line,
            "id": self.found.experiment.id,
            "action": self.action,
            "changes": [{"path": each.path, "before": each.before, "after": each.after} for each in self.changes],
            "consequences": self.consequences,
            "warnings": [to_mapping(warning) for warning in self.warnings],
        }
        if self.update is not None:
            plain["reassigningChanges"] = list(self.update.reassigning_changes)
            if self.update.HasField("reassigned_percent"):
                plain["reassignedPercent"] = self.update.reassigned_percent
        return plain


def plan(remote: Remote, found: Iterable[Found]) -> tuple[list[Planned], list[Fault]]:
    """What is to be done, and everything that the server refuses; nothing is changed.

    Raises:
        WireError: The server could not be asked.
    """
    planned: list[Planned] = []
    faults: list[Fault] = []
    for each in found:
        try:
            planned.append(_plan(remote, each))
        except WireError as error:
            if error.status not in _ABOUT_DEFINITION:
                raise
            if not error.violations:
                faults.append(each.fault(str(error)))
            for violation in error.violations:
                path = _path_in_file(each.experiment, violation.field)
                faults.append(each.fault(violation.description, path))
    return planned, faults


def carry_out(remote: Remote, planned: Planned, *, reason: str) -> None:
    """Store a definition as planned.

    Raises:
        WireError: The server refused, for example because somebody else changed it meanwhile.
    """
    if planned.action == CREATED:
        request = CreateExperimentRequest(experiment=planned.found.experiment, reason=reason)
        remote.experiments("CreateExperiment", request)
    elif planned.action == UPDATED:
        remote.experiments("UpdateExperiment", _update_request(planned.found.experiment, planned.etag, reason=reason))


def _plan(remote: Remote, found: Found) -> Planned:
    definition = found.experiment
    stored = _stored(remote, definition)
    if stored is None:
        create = CreateExperimentRequest(experiment=definition, validate_only=True)
        return Planned(found, CREATED, remote.experiments("CreateExperiment", create).warnings)
    # Compared with the server's own reading of the file, so that spelling makes no difference.
    update = remote.experiments("UpdateExperiment", _update_request(definition, stored.etag, validate_only=True))
    changed = changes(stored, update.experiment)
    if not changed:
        return Planned(found, UNCHANGED)
    consequences = _consequences(stored, update)
    return Planned(found, UPDATED, update.warnings, stored.etag, changed, consequences, update)


def _stored(remote: Remote, definition: Experiment) -> Experiment | None:
    request = GetExperimentRequest(id=definition.id, namespace=definition.namespace)
    try:
        stored: Experiment = remote.experiments("GetExperiment", request).experiment
    except WireError as error:
        if error.status == "NOT_FOUND":
            return None
        raise
    return stored


def _update_request(
    definition: Experiment, etag: str, *, reason: str = "", validate_only: bool = False
) -> UpdateExperimentRequest:
    """A file is the whole definition: what it leaves out is cleared."""
    request = UpdateExperimentRequest(
        experiment=definition, update_mask=FieldMask(paths=["*"]), reason=reason, validate_only=validate_only
    )
    request.experiment.etag = etag
    return request


def _consequences(stored: Experiment, update: UpdateExperimentResponse) -> list[str]:
    if stored.status not in _RUNS:
        return []
    found = []
    epoch = update.experiment.allocation.epoch
    if epoch > stored.allocation.epoch:
        found.append(f"opens epoch {epoch}")
    if update.reassigned_percent:
        whom = "those who come new" if update.keeps_variants else "the enrolled"
        found.append(f"{update.reassigned_percent:.3g} % of {whom} get another variant")
    elif update.reassigning_changes:
        found.append(f"some get another variant by {', '.join(update.reassigning_changes)}")
    else:
        found.append("nobody gets another variant")
    return found


def _path_in_file(definition: Experiment, path: str) -> str:
    """The path that the server named, in the file: the server drops a control that stands among the variants."""
    index = _VARIANT.match(path)
    if index is None:
        return path
    kept = [place for place, variant in enumerate(definition.variants) if variant != definition.control]
    place = int(index[1])
    return _VARIANT.sub(f"variants[{kept[place]}]", path) if place < len(kept) else path
