"""Which fields an update takes over."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given
from hypothesis import strategies as st

from klero import lifecycle
from klero.errors import InvalidFieldError
from klero.lifecycle.transitions import OUTPUT_ONLY
from klero.v1.experiment_pb2 import AnalysisPlan, BanditPolicy, CanaryPolicy, Experiment, ExperimentConfig, Metric
from tests.lifecycle.made import at, copied, running

if TYPE_CHECKING:
    from google.protobuf.message import Message

SET_BY_SERVER = {
    "id",
    "namespace",
    *OUTPUT_ONLY,
    "analysis_plan.frozen_at",
    "analysis_plan.digest",
    "control.is_control",
    "control.config_digest",
}
# What the update itself keeps; the others are computed anew from what is stored in the end.
KEPT = SET_BY_SERVER - {"control.is_control", "control.config_digest"}


def is_inner(field: FieldDescriptor) -> bool:
    """Whether a path can lead into the field."""
    message = field.message_type
    return message is not None and not field.is_repeated and message.full_name.startswith("klero.v1.")


def leaves(descriptor: Any = Experiment.DESCRIPTOR, prefix: str = "") -> list[str]:  # noqa: ANN401  # has no type
    """Paths of every field without parts, as the contract has them. Of the policies one is enough."""
    found: list[str] = []
    for field in descriptor.fields:
        path = f"{prefix}{field.name}"
        if is_inner(field) and path not in {"canary", "shadow", "allocation"}:
            found += leaves(field.message_type, f"{path}.")
        elif path not in {"canary", "shadow"}:
            found.append(path)
    return found


LEAVES = leaves()
WRITABLE = [path for path in LEAVES if path not in SET_BY_SERVER]
INNER = sorted({path.rpartition(".")[0] for path in WRITABLE} - {""})


def flat(message: Message, prefix: str = "") -> dict[str, object]:
    """Every leaf that is there, by path; lists, maps and structs as a whole."""
    found: dict[str, object] = {}
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        if is_inner(field) and path != "allocation":
            found |= flat(value, f"{path}.")
        else:
            found[path] = str(value)
    return found


def put(message: Any, path: str, number: int) -> None:  # noqa: ANN401  # any message
    """Give a leaf the value with a number; 0 is its default, written out."""
    *parents, name = path.split(".")
    for parent in parents:
        message = getattr(message, parent)
    field = message.DESCRIPTOR.fields_by_name[name]
    value = getattr(message, name)
    if name in {"labels", "config"}:
        value[str(number)] = str(number)
    elif name == "allocation":
        value.epoch = number
    elif field.is_repeated and field.message_type is not None:
        for _ in range(number + 1):
            value.add()
    elif field.is_repeated:
        value.append(str(number))
    elif field.message_type is not None:
        value.seconds = number
        value.SetInParent()
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        setattr(message, name, str(number) if number else "")
    else:
        setattr(message, name, bool(number) if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL else number)


@st.composite
def experiments(draw: st.DrawFn) -> Experiment:
    """Any of the fields, each absent, at its default or at another value."""
    made = Experiment()
    for path in draw(st.lists(st.sampled_from(LEAVES), max_size=15, unique=True)):
        put(made, path, draw(st.integers(0, 2)))
    return made


def expected(stored: Experiment, new: Experiment, taken: set[str]) -> dict[str, object]:
    """`stored` with the leaves that are taken from `new`, or cleared."""
    old = {path: value for path, value in flat(stored).items() if path not in taken}
    return old | {path: value for path, value in flat(new).items() if path in taken}


def camel(path: str) -> str:
    """As files spell it."""
    return re.sub(r"_(.)", lambda found: found.group(1).upper(), path)


@given(experiments(), experiments(), st.sets(st.sampled_from(WRITABLE), min_size=1), st.booleans())
def test_a_mask_takes_over_its_paths_and_nothing_else(
    stored: Experiment,
    new: Experiment,
    paths: set[str],
    spelled: bool,  # noqa: FBT001  # drawn
) -> None:
    """Two people who change two fields do not undo each other's change."""
    before = [each.SerializeToString(deterministic=True) for each in (stored, new)]
    result = lifecycle.merged(stored, new, [camel(path) for path in paths] if spelled else list(paths))

    assert expected(stored, new, paths) == flat(result)
    assert before == [each.SerializeToString(deterministic=True) for each in (stored, new)]


@given(experiments(), experiments(), st.sampled_from(INNER))
def test_a_path_to_a_message_takes_over_all_of_it(stored: Experiment, new: Experiment, path: str) -> None:
    """What it holds and only the server sets stays, or is computed anew."""
    taken = {leaf for leaf in LEAVES if leaf.startswith(f"{path}.") and leaf not in KEPT}

    assert expected(stored, new, taken) == flat(lifecycle.merged(stored, new, [path]))


@given(experiments(), experiments())
def test_a_star_takes_over_all_that_an_author_may_write(stored: Experiment, new: Experiment) -> None:
    """Applying a file clears what the file does not say, and takes no word of the server from it."""
    taken = {path for path in LEAVES if path not in KEPT}

    assert expected(stored, new, taken) == flat(lifecycle.merged(stored, new, ["*"]))


@given(experiments(), experiments())
def test_without_a_mask_what_is_set_is_taken_over(stored: Experiment, new: Experiment) -> None:
    """A short request changes what it says; nothing is cleared."""
    taken = set(flat(new)) - SET_BY_SERVER

    assert expected(stored, new, taken) == flat(lifecycle.merged(stored, new, []))


@given(experiments())
def test_what_was_read_can_be_sent_back(stored: Experiment) -> None:
    """Not even an empty message appears: it would be a change that nobody made."""
    assert stored == lifecycle.merged(stored, stored, ["*"])
    assert stored == lifecycle.merged(stored, stored, [])


@given(experiments(), experiments(), st.sampled_from(WRITABLE))
def test_a_path_that_neither_has_changes_nothing(stored: Experiment, new: Experiment, path: str) -> None:
    """To clear what is not there would else be a revision with nothing in it."""
    if path not in flat(stored) and path not in flat(new):
        assert stored == lifecycle.merged(stored, new, [path])


def test_an_update_names_its_experiment_and_does_not_rename_it() -> None:
    """The etag is compared, and no more."""
    stored, new = Experiment(id="exp", namespace="n", etag="1"), Experiment(id="x", namespace="y", etag="2", name="new")

    for paths in ([], ["name"], ["*"]):
        assert Experiment(id="exp", namespace="n", etag="1", name="new") == lifecycle.merged(stored, new, paths)


def test_optional_fields_are_cleared_or_set_to_zero() -> None:
    """0 % of traffic is not the same as no word about traffic."""
    stored = Experiment(config=ExperimentConfig(traffic_percentage=50, confidence_level=0.9))
    zero = Experiment(config=ExperimentConfig(traffic_percentage=0))

    for new, paths, there in (
        (zero, ["config.traffic_percentage"], True),
        (zero, [], True),
        (Experiment(), ["config.trafficPercentage"], False),
        (Experiment(), ["*"], False),
        (Experiment(), ["config"], False),
    ):
        config = lifecycle.merged(stored, new, paths).config
        assert (there, 0.0) == (config.HasField("traffic_percentage"), config.traffic_percentage)
        assert (paths not in (["*"], ["config"])) == config.HasField("confidence_level")


def test_lists_maps_and_structs_are_taken_as_a_whole() -> None:
    """Half of a config is nobody's config."""
    stored = Experiment(labels={"a": "1"}, metrics=[Metric(name="x"), Metric(name="y")])
    stored.control.config.update({"a": {"b": 1}})
    new = Experiment(labels={"b": "2"}, metrics=[Metric(name="z")])
    new.control.config.update({"c": 2})

    for paths in ([], ["labels", "metrics", "control.config"], ["*"]):
        result = lifecycle.merged(stored, new, paths)
        assert {"b": "2"} == dict(result.labels)
        assert ["z"] == [metric.name for metric in result.metrics]
        assert {"c": 2} == dict(result.control.config)


def test_a_policy_takes_the_place_of_another() -> None:
    """A message that is set by a path is the one that counts."""
    stored = Experiment(bandit=BanditPolicy(min_weight=5))
    new = Experiment(canary=CanaryPolicy(max_inconclusive=3))

    assert new.canary == lifecycle.merged(stored, new, ["canary.max_inconclusive"]).canary
    assert "canary" == lifecycle.merged(stored, new, []).WhichOneof("policy")
    assert lifecycle.merged(stored, new, ["bandit"]).WhichOneof("policy") is None
    assert stored == lifecycle.merged(stored, new, ["canary.no_data"])


def test_the_frozen_plan_stays_what_start_froze() -> None:
    """Results are exploratory because the digest differs: nobody may send it along."""
    stored = running()
    new = copied(stored)
    new.analysis_plan.power, new.analysis_plan.digest = 0.9, "made up"
    new.analysis_plan.frozen_at.CopyFrom(at(99))

    for paths in ([], ["analysis_plan"], ["analysis_plan.power"], ["*"]):
        plan = lifecycle.merged(stored, new, paths).analysis_plan
        assert (0.9, stored.analysis_plan.digest, at(10)) == (plan.power, plan.digest, plan.frozen_at)
    assert lifecycle.merged(stored, Experiment(), ["*"]).analysis_plan.digest == stored.analysis_plan.digest
    # What is left of a plan of which nothing was an author's is no plan.
    assert Experiment() == lifecycle.merged(Experiment(), Experiment(analysis_plan=AnalysisPlan(digest="x")), ["*"])


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("nmae", "is no field, did you mean `name`?"),
        ("config.trafic_percentage", "is no field, did you mean `config.traffic_percentage`?"),
        ("config.trafficPercentag", "is no field, did you mean `config.traffic_percentage`?"),
        ("zzz", "is no field; Experiment has none called `zzz`"),
        ("config.zzz", "is no field; ExperimentConfig has none called `zzz`"),
        ("", "is no field; Experiment has none called ``"),
        ("config.", "is no field; ExperimentConfig has none called ``"),
        ("metrics.name", "leads into a field that can only be set as a whole"),
        ("variants[0].name", "is no field"),
        ("labels.team", "leads into a field that can only be set as a whole"),
        ("control.config.x", "leads into a field that can only be set as a whole"),
        ("config.duration.seconds", "leads into a field that can only be set as a whole"),
        ("name.first", "leads into a field that can only be set as a whole"),
        ("id", "says which experiment is meant and cannot change"),
        ("namespace", "says which experiment is meant and cannot change"),
        ("etag", "is set by the server alone"),
        ("statusReason", "is set by the server alone"),
        ("allocation.weights", "is set by the server alone"),
        ("analysisPlan.frozenAt", "is set by the server alone"),
        ("control.config_digest", "is set by the server alone"),
    ],
)
def test_a_wrong_path_is_named_with_what_is_near(path: str, problem: str) -> None:
    """A path that is passed over in silence is a change that somebody believes in."""
    with pytest.raises(InvalidFieldError) as caught:
        lifecycle.merged(Experiment(), Experiment(), ["name", path])

    (violation,) = caught.value.violations
    assert ("updateMask.paths[1]", True) == (
        violation.field,
        violation.description.startswith(f"`{path}` {problem}"),
    ), violation


def test_all_wrong_paths_are_named_at_once() -> None:
    """A star among others says two things."""
    with pytest.raises(InvalidFieldError) as caught:
        lifecycle.merged(Experiment(), Experiment(), ["nmae", "owner", "*", "revision"])

    assert [
        ("updateMask.paths[0]", "`nmae` is no field, did you mean `name`?"),
        ("updateMask.paths[2]", "`*` must be the only path"),
        ("updateMask.paths[3]", "`revision` is set by the server alone"),
    ] == [(violation.field, violation.description) for violation in caught.value.violations]


def test_to_clear_a_part_of_what_is_not_there_is_no_change() -> None:
    """A mask that names everything leaves no empty messages behind."""
    stored = Experiment(id="exp")

    assert stored == lifecycle.merged(stored, Experiment(), ["config.traffic_percentage", "schedule.end_at"])
