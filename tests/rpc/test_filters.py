"""Which definitions a filter lets through, and what is said of one that is none."""

from __future__ import annotations

import pytest

from klero.errors import InvalidFieldError
from klero.rpc.filters import conditions
from klero.v1.experiment_pb2 import Experiment, ExperimentStatus, ExperimentType

FIELDS = "status, type, owner, layer_id, entity_type, labels.<key>"
STATUSES = "draft, scheduled, running, paused, draining, stopped, rolled_back, archived"
RUNNING = ExperimentStatus.EXPERIMENT_STATUS_RUNNING

ALL = {
    "plain": Experiment(),
    "running": Experiment(
        status=RUNNING,
        type=ExperimentType.EXPERIMENT_TYPE_AB_TEST,
        owner="Ada Lovelace",
        layer_id="checkout",
        entity_type="user",
        labels={"team": "search", "tier.1": "AND", "größe": "ß"},
    ),
    "flag": Experiment(
        status=ExperimentStatus.EXPERIMENT_STATUS_DRAFT,
        type=ExperimentType.EXPERIMENT_TYPE_FEATURE_FLAG,
        owner='O"Hara',
        labels={"team": "", "Team": "Search", "a/b c": r"x\y"},
    ),
    "archived": Experiment(status=ExperimentStatus.EXPERIMENT_STATUS_ARCHIVED, owner="jané"),
}


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("", "plain running flag"),
        (" \n", "plain running flag"),
        ("status = running", "running"),
        ("status=EXPERIMENT_STATUS_RUNNING", "running"),
        ('status = "running"', "running"),
        ("type = feature_flag", "flag"),
        ("status = archived", "archived"),
        # Whoever names anything sees what is archived too.
        ("owner = jané", "archived"),
        ("owner = 'Ada Lovelace'", "running"),
        ('owner = "Ada Lovelace" AND status = running', "running"),
        ('owner = "Ada Lovelace" AND status = draft', ""),
        ("owner = ada", ""),
        ('owner = ""', "plain"),
        (r'owner = "O\"Hara"', "flag"),
        ("owner = 'O\"Hara'", "flag"),
        ("layer_id = checkout", "running"),
        ("layerId = checkout AND entityType = user", "running"),
        ("entity_type=user", "running"),
        ("labels.team = search", "running"),
        # No label is not an empty one, and case counts.
        ('labels.team = ""', "flag"),
        ("labels.Team = Search", "flag"),
        ("labels.tier.1 = AND", "running"),
        ("labels.tier.1=AND AND labels.team=search", "running"),
        ('labels."tier.1" = "AND"', "running"),
        ("labels.größe = ß", "running"),
        ("labels.'größe' = \"ß\"", "running"),
        (r'labels."a/b c" = "x\\y"', "flag"),
        (r"labels.'a\/b c' = 'x\\y'", "flag"),
        ("  status\t=\n running   AND   labels.team  =  search ", "running"),
    ],
)
def test_what_fits_passes(text: str, passes: str) -> None:
    """People find their own among hundreds."""
    fits = conditions(text)

    assert passes.split() == [name for name, experiment in ALL.items() if fits(experiment)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("=", f"character 1: `=`, expected one of {FIELDS}"),
        ("status", "character 7: the end, expected `=`, the only comparison of a filter"),
        ("status != running", "character 8: `!=`, expected `=`, the only comparison of a filter"),
        ("status : running", "character 8: `:`, expected `=`, the only comparison of a filter"),
        ("status =", "character 9: the end, expected a value, in quotes if it has blanks"),
        ("owner = 'Ada", "character 9: `'Ada`, expected a value, in quotes if it has blanks"),
        ("owner = (Ada)", "character 9: `(Ada)`, expected a value, in quotes if it has blanks"),
        ("owner = Ada Lovelace", "character 13: `Lovelace`, expected `AND`, the only way to join conditions"),
        ("owner = jané or owner = b", "character 14: `or`, expected `AND`, the only way to join conditions"),
        ("owner = a ANDY = b", "character 11: `ANDY`, expected `AND`, the only way to join conditions"),
        ("owner = a AND", f"character 14: the end, expected one of {FIELDS}"),
        ("owner = a AND ", f"character 15: the end, expected one of {FIELDS}"),
        ("owner = a AND AND", "character 18: the end, expected `=`, the only comparison of a filter"),
        ("  status  running", "character 11: `running`, expected `=`, the only comparison of a filter"),
        ("NOT owner = a", "character 5: `owner`, expected `=`, the only comparison of a filter"),
        ('labels."team = a', 'character 8: `"team`, expected `=`, the only comparison of a filter'),
        ("labels. = a", "has no field `labels.`: did you mean `labels.<key>`?"),
        ('labels."" = a', "has no field `labels.`: did you mean `labels.<key>`?"),
        ("statsu = running", "has no field `statsu`: did you mean `status`?"),
        # Case counts in keys of labels, so that it is not guessed.
        ("Labels.Team = Search", "has no field `Labels.Team`: did you mean `labels.<key>`?"),
        ("x = 1", f"has no field `x`: there are {FIELDS}"),
        (
            "status = runing",
            f"status `runing` must be one of {STATUSES}",
        ),
        (
            "type = unspecified",
            "type `unspecified` must be one of ab_test, multiarm_bandit, canary, shadow, feature_flag",
        ),
        ("owner = " + "a" * 4089, "has 4097 characters; at most 4096 are allowed"),
    ],
)
def test_what_is_no_filter_is_refused_where_it_goes_wrong(text: str, problem: str) -> None:
    """A filter that is half understood shows a list that somebody believes in."""
    with pytest.raises(InvalidFieldError) as caught:
        conditions(text)

    assert [("filter", problem)] == [(violation.field, violation.description) for violation in caught.value.violations]


def test_a_long_filter_is_taken() -> None:
    """Exactly as long as is allowed."""
    assert not conditions("owner = " + "a" * 4088)(ALL["running"])
