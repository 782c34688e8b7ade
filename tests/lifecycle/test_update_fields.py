"""What an update may change in which status, for each field of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from klero import engine as core
from klero import lifecycle
from klero.errors import FieldImmutableError, InvalidFieldError
from klero.v1.experiment_pb2 import Experiment
from tests.lifecycle.made import ALLOCATION, at, base, camel, changed, copied, in_status, updated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor

# Where a change is `taken`, `fixed` (FIELD_IMMUTABLE), or opens an `epoch`. The columns are: before the first
# start; while nothing is under way after it; draining; running and paused. `-`: not the update's to decide, because
# only the server sets it or it says which experiment is meant. `unserved`: refused whatever the status is.
TABLE = """
id                                -
name                              taken taken taken taken
description                       taken taken taken taken
hypothesis                        taken taken taken taken
type                              taken fixed fixed fixed
control.id                        taken taken fixed fixed
control.name                      taken taken taken taken
control.description               taken taken taken taken
control.config                    taken taken taken taken
control.weight                    taken taken taken epoch
control.is_control                -
control.enabled                   taken taken taken taken
control.config_digest             -
variants[0].id                    taken taken fixed fixed
variants[0].name                  taken taken taken taken
variants[0].description           taken taken taken taken
variants[0].config                taken taken taken taken
variants[0].weight                taken taken taken epoch
variants[0].is_control            -
variants[0].enabled               taken taken taken taken
variants[0].config_digest         -
metrics[0].name                   taken taken fixed fixed
metrics[0].type                   taken taken fixed fixed
metrics[0].goal                   taken taken taken taken
metrics[0].primary                taken taken taken taken
metrics[0].min_effect             taken taken taken taken
metrics[0].min_effect_scale       taken taken taken taken
metrics[0].description            taken taken taken taken
metrics[0].unit                   taken taken taken taken
metrics[0].event                  taken taken fixed fixed
metrics[0].denominator_event      taken taken fixed fixed
metrics[0].aggregation            taken taken fixed fixed
metrics[0].quantile               taken taken taken taken
metrics[0].window                 taken taken fixed fixed
metrics[0].missing                taken taken fixed fixed
metrics[0].cap                    taken taken fixed fixed
metrics[0].covariates             taken taken fixed fixed
metrics[0].lower_bound            taken taken fixed fixed
metrics[0].upper_bound            taken taken fixed fixed
config.duration                   taken taken taken taken
config.min_sample_size            taken taken taken taken
config.max_sample_size            unserved
config.confidence_level           taken taken taken taken
config.traffic_percentage         taken taken taken taken
config.ramp_up_period             taken taken taken taken
config.auto_stop                  unserved
config.stop_on_significance       unserved
config.guardrails                 unserved
config.min_duration               unserved
status                            -
created_at                        -
started_at                        -
ended_at                          -
namespace                         -
etag                              -
revision                          -
updated_at                        -
iteration                         -
allocation                        -
status_reason                     -
shipped_variant_id                -
owner                             taken taken taken taken
labels                            taken taken taken taken
entity_type                       taken fixed fixed fixed
hashing.scheme                    taken taken taken epoch
hashing.salt                      taken taken taken epoch
assignment_source                 taken fixed fixed fixed
sticky                            taken taken taken taken
targeting                         unserved
prerequisites                     unserved
layer_id                          unserved
analysis_plan.method              taken taken taken taken
analysis_plan.planned_sample_size taken taken taken taken
analysis_plan.power               taken taken taken taken
analysis_plan.correction          taken taken taken taken
analysis_plan.covariate_adjustment unserved
analysis_plan.srm_alpha           taken taken taken taken
analysis_plan.frozen_at           -
analysis_plan.digest              -
analysis_plan.dimensions          taken taken fixed fixed
schedule.start_at                 taken taken fixed fixed
schedule.end_at                   taken taken taken taken
bandit                            unserved
canary                            unserved
shadow                            unserved
closed_early                      -
"""
ROWS = {row.split()[0]: row.split()[1:] for row in TABLE.strip().splitlines()}
# What is named where a part of a list is another one.
NAMED = {"variants[0].id": "variants", "metrics[0].name": "metrics"}
NOW = at(40)


def scheduled_again() -> Experiment:
    """A second iteration that has not begun."""
    stopped = in_status(lifecycle.STOPPED, base())
    stopped.schedule.start_at.CopyFrom(at(1000))
    return lifecycle.start(stopped, allocation=ALLOCATION, now=at(30))


STORED = (
    [in_status(lifecycle.DRAFT, base()), in_status(lifecycle.SCHEDULED, base())],
    [in_status(lifecycle.STOPPED, base()), in_status(lifecycle.ROLLED_BACK, base()), scheduled_again()],
    [in_status(lifecycle.DRAINING, base())],
    [in_status(lifecycle.RUNNING, base()), in_status(lifecycle.PAUSED, base())],
)
CASES = [
    pytest.param(path, expected, stored, id=f"{path}-{lifecycle.status_name(stored.status)}-{stored.iteration}")
    for path, columns in ROWS.items()
    if len(columns) == len(STORED)
    for expected, all_stored in zip(columns, STORED, strict=True)
    for stored in all_stored
]


def without_the_servers(experiment: Experiment) -> Experiment:
    """What the author wrote."""
    copy = copied(experiment)
    for name in ("allocation", "updated_at", "status_reason"):
        copy.ClearField(name)
    return copy


def undecided(descriptor: Descriptor, prefix: str = "") -> Iterator[str]:
    """Fields that no row is about."""
    for field in descriptor.fields:
        path = f"{prefix}{field.name}"
        message = field.message_type
        if path in ROWS:
            continue
        if message is None or message.file.package != "klero.v1" or message.GetOptions().map_entry:
            yield path
        else:
            yield from undecided(message, f"{path}[0]." if field.is_repeated else f"{path}.")


def test_the_table_has_every_field_of_the_contract() -> None:
    """A new field is frozen or not because somebody decided so."""
    assert [] == list(undecided(Experiment.DESCRIPTOR))
    for path, columns in ROWS.items():
        assert columns in (["-"], ["unserved"]) or len(columns) == len(STORED), path


@pytest.mark.parametrize("path", [path for path, columns in ROWS.items() if columns == ["unserved"]])
def test_what_is_not_served_is_refused_before_any_update(path: str) -> None:
    """Once it is served, a row must say when it may change."""
    with pytest.raises(InvalidFieldError, match="not supported by this version"):
        core.admit(changed(base(), path))


@pytest.mark.parametrize(("path", "expected", "stored"), CASES)
def test_each_field_in_each_status(path: str, expected: str, stored: Experiment) -> None:
    """Results rest on what was measured: that cannot change under them, and everything else can."""
    wanted = changed(stored, path)

    if expected == "fixed":
        with pytest.raises(FieldImmutableError) as caught:
            updated(stored, wanted)
        assert [NAMED.get(path, camel(path))] == [violation.field for violation in caught.value.violations]
        return
    after = updated(stored, wanted)
    opens = expected == "epoch"
    cause = "hashing" if path.startswith("hashing.") else path
    assert without_the_servers(wanted) == without_the_servers(after)
    assert NOW == after.updated_at
    assert stored.allocation.epoch + opens == after.allocation.epoch
    if opens:
        assert (f"changed: {cause}", NOW) == (after.allocation.cause, after.allocation.started_at)
    else:
        after.allocation.traffic_percentage = stored.allocation.traffic_percentage
        assert stored.allocation == after.allocation
