"""What the audit trail says of a change."""

from __future__ import annotations

from google.protobuf import json_format

from klero.audit import field_changes
from klero.v1.experiment_pb2 import Experiment, ExperimentConfig, Variant


def test_only_what_changed_is_listed_by_path() -> None:
    """Readers of the trail see the change, not the whole definition."""
    before = Experiment(
        id="exp", name="old", etag="1-1", config=ExperimentConfig(traffic_percentage=10, min_sample_size=5)
    )
    after = Experiment(
        id="exp",
        etag="1-2",
        config=ExperimentConfig(traffic_percentage=20, min_sample_size=5),
        variants=[Variant(id="b")],
    )
    changes = [json_format.MessageToDict(change) for change in field_changes(before, after)]

    assert [
        {"path": "config.trafficPercentage", "before": 10.0, "after": 20.0},
        {"path": "name", "before": "old"},
        {"path": "variants", "after": [{"id": "b"}]},
    ] == changes


def test_a_new_experiment_has_no_before() -> None:
    """Everything set is news."""
    changes = field_changes(None, Experiment(id="exp", name="new"))

    assert ["id", "name"] == [change.path for change in changes]
    assert not any(change.HasField("before") for change in changes)
