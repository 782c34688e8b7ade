"""The report as a file: every number is the results', and nothing gets in or out."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from typing import TYPE_CHECKING

import pytest
from google.protobuf.duration_pb2 import Duration

from klero.definition import parse
from klero.report.page import page
from klero.v1.experiment_service_pb2 import GetExperimentHistoryResponse
from klero.v1.results_pb2 import ExperimentResults, Verdict
from tests.report import made, parsed

if TYPE_CHECKING:
    from klero.report.data import ReportData
    from klero.v1.experiment_pb2 import Metric
    from tests.report.parsed import Element

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>{{ 7 * 7 }}&amp;"


def section(data: ReportData, identifier: str) -> Element:
    """One section of the report."""
    return parsed.read(page(data)).all("section", id=identifier)[0]


def expected_row(found: ExperimentResults, metric: Metric, variant_id: str) -> list[float]:
    """The numbers of a variant in a metric's table, taken from the message."""
    value = found.variant_results[variant_id].metric_results[metric.name]
    numbers = [float(value.sample_size), value.value]
    for comparison in found.comparisons:
        if comparison.metric == metric.name and comparison.variant_id == variant_id:
            result = comparison.result
            numbers += [result.effect, result.simultaneous_interval.lower, result.simultaneous_interval.upper]
            numbers += [result.lift, result.lift_interval.lower, result.lift_interval.upper, result.adjusted_p_value]
    return numbers


def test_every_number_of_the_tables_is_the_results() -> None:
    """Who reads a report must be able to trust it as the results themselves."""
    data = made.data(made.experiment(treatments=4, metrics=20, windowed=True))
    variants = [data.experiment.control, *data.experiment.variants]
    expected = [
        expected_row(found, metric, variant.id)
        for metric in data.experiment.metrics
        for found in (data.results, data.live)
        if found is not None
        for variant in variants
    ]
    rows = section(data, "estimates").all("tbody")

    assert 40 == len(rows)
    assert expected == [row.numbers() for body in rows for row in body.all("tr")]


def test_every_number_of_the_looks_is_the_historys() -> None:
    """The table is what the plot shows, look by look."""
    data = made.data()
    points = [] if data.history is None else list(data.history.points)
    estimates = section(data, "over-time").all("tbody")[0].all("tr")
    variants, enrolled = section(data, "enrolment").all("tbody")

    assert [
        [
            float(point.sample_sizes[found.variant_id]),
            found.result.effect,
            found.result.simultaneous_interval.lower,
            found.result.simultaneous_interval.upper,
        ]
        for point in points
        for found in point.comparisons
    ] == [row.numbers() for row in estimates]
    assert [float(point.enrolled[variant]) for point in points for variant in ("plain", "v1", "v2")] == (
        enrolled.numbers()
    )
    assert [8000.0, 100 * 8000 / 24_003, 100 / 3, 8000.0] == variants.all("tr")[0].numbers()


def test_the_plain_interval_stands_where_there_is_no_other() -> None:
    """A single comparison has only one, and the plot and the table show the same."""
    data = made.data(made.experiment(treatments=1, metrics=1))
    result = data.results.comparisons[0].result
    result.ClearField("simultaneous_interval")
    row = section(data, "estimates").all("tbody")[0].all("tr")[1]

    assert [result.interval.lower, result.interval.upper] == row.numbers()[3:5]
    assert "at once" not in section(data, "estimates").text


def test_a_decision_beside_an_interval_with_0_is_explained() -> None:
    """Holm's correction is sharper than intervals for all at once, and the two must not look like a mistake."""
    data = made.data(made.experiment(treatments=1, metrics=1))
    result = data.results.comparisons[0].result
    sentence = "which can decide where an interval for all at once still includes 0."
    shown = []
    for significant, lower in ((True, -0.01), (True, 0.001), (False, -0.01)):
        result.significant = significant
        result.simultaneous_interval.lower, result.simultaneous_interval.upper = lower, 0.03
        shown.append(sentence in section(data, "estimates").text)

    assert [True, False, False] == shown


def test_an_open_end_and_a_gap_are_words() -> None:
    """Neither is a number, so neither looks like one."""
    data = made.data(made.experiment(treatments=2, metrics=1))
    data.results.comparisons[0].result.simultaneous_interval.ClearField("lower")
    for field in ("effect", "interval", "simultaneous_interval", "lift", "lift_interval", "p_value"):
        data.results.comparisons[1].result.ClearField(field)
    data.results.comparisons[1].result.ClearField("adjusted_p_value")
    rows = section(data, "estimates").all("tbody")[0].all("tr")

    assert "unbounded to " in rows[1].text
    assert ["-", "-", "-", "-", "-", "not computed"] == [cell.text for cell in rows[2].all("td")[2:]]


def test_text_from_outside_stays_text() -> None:
    """Anyone may name a variant; nobody may run a program in the browser of who reads of it."""
    experiment = made.experiment(treatments=1, metrics=2, windowed=True)
    experiment.name = experiment.control.name = experiment.variants[0].name = experiment.metrics[0].name = EVIL
    experiment.hypothesis = experiment.description = EVIL
    experiment.metrics[0].unit = experiment.metrics[1].unit = experiment.metrics[0].description = EVIL
    experiment.metrics[1].name = "other" + EVIL
    data = made.data(experiment)
    data.results.recommendation = data.results.epochs[0].allocation.cause = EVIL
    data.results.health[0].message = data.results.guardrails[0].explanation = EVIL
    data.audit[0].actor = data.audit[0].reason = data.audit[0].changes[0].before.string_value = EVIL
    for comparison in data.results.comparisons:
        comparison.result.explanation = EVIL
    html = page(data)
    document = parsed.read(html)

    assert [] == document.all("script") + document.all("img")
    assert "{{ 7 * 7 }}" in html
    assert EVIL == document.all("h1")[0].text
    assert f"{EVIL}: keep running" == document.all("title")[0].text
    assert {"class", "id", "value"} <= document.attribute_names()
    assert [] == [name for name in document.attribute_names() if name.startswith("on")]


def test_the_policy_allows_the_style_and_nothing_else() -> None:
    """Should anything slip in, it can ask nobody for anything."""
    document = parsed.read(page(made.data()))
    policies = [meta for meta in document.all("meta") if "http-equiv" in meta.attributes]
    style = "".join(document.all("style")[0].pieces)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert [f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"] == [
        meta.attributes["content"] for meta in policies
    ]


def test_nothing_in_the_file_points_elsewhere() -> None:
    """The file is all there is: links lead to its own sections, and those are there."""
    html = page(made.data(made.experiment(windowed=True)))
    document = parsed.read(html)
    links = [link.attributes["href"] for link in document.all("a")]

    assert [f"#{found.attributes['id']}" for found in document.all("section")] == links
    assert not re.search(r"\b(src|srcset|style|on\w+)=|url\(|@import|https?:", html)


def test_identifiers_are_unique_and_plots_have_names() -> None:
    """A screen reader finds the title and the description of each plot by their identifiers."""
    html = page(made.data(made.experiment(treatments=4, metrics=5)))
    plots = parsed.read(html).all("svg", role="img")
    identifiers = re.findall(r'\bid="([^"]*)"', html)

    assert 5 + 4 + 1 == len(plots)
    assert len(set(identifiers)) == len(identifiers)
    for plot in plots:
        title, description = (plot.all(tag)[0] for tag in ("title", "desc"))
        assert plot.attributes["aria-labelledby"].split() == [title.attributes["id"], description.attributes["id"]]
        assert title.text
        assert description.text


def test_headings_go_down_one_at_a_time() -> None:
    """Who jumps from heading to heading misses no level."""
    html = page(made.data())
    levels = [int(level) for level in re.findall(r"<h(\d)", html)]

    assert 1 == levels[0]
    assert 1 == levels.count(1)
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_the_same_data_gives_the_same_file() -> None:
    """A report that is kept can be compared with one that is made again."""
    assert page(made.data()) == page(made.data())


def test_the_definition_can_be_applied_again() -> None:
    """What stands in a report is the whole definition and no picture of it."""
    experiment = made.experiment(windowed=True)
    experiment.variants[0].description = "a <b> & 'c'\n  d"
    code = section(made.data(experiment), "definition").all("pre")[0].all("code")[0]

    assert experiment == parse("".join(code.pieces), source_name="report")


@pytest.mark.parametrize(
    ("history", "sentence"),
    [
        (None, "this server keeps no history of results."),
        (GetExperimentHistoryResponse(), "the history does not have them yet."),
        (made.history(made.experiment(), looks=1), "the history does not have them yet."),
    ],
)
def test_a_missing_plot_has_its_reason(history: GetExperimentHistoryResponse | None, sentence: str) -> None:
    """An empty frame would leave people guessing."""
    data = made.data(history=history)

    assert sentence in section(data, "over-time").text
    assert sentence in section(data, "enrolment").text
    assert [] == section(data, "over-time").all("svg")


def test_looks_without_estimates_still_show_enrolment() -> None:
    """With a long window entities come in long before anything can be said."""
    data = made.data()
    for point in [] if data.history is None else data.history.points:
        point.ClearField("comparisons")

    assert "two looks with an estimate" in section(data, "over-time").text
    assert 1 == len(section(data, "enrolment").all("svg", role="img"))


def test_a_flag_without_metrics_has_a_report() -> None:
    """It has nothing to estimate, and says so."""
    data = made.data(made.experiment(treatments=1, metrics=0))

    assert "The experiment has no metrics, so nothing is estimated." in section(data, "estimates").text
    assert "the experiment has no metrics." in section(data, "over-time").text


def test_a_draft_has_a_report() -> None:
    """Before the first start there is a question and no answer."""
    experiment = made.experiment()
    experiment.iteration = 0
    experiment.ClearField("started_at")
    found = ExperimentResults(
        recommendation="Start it first.", verdict=Verdict.VERDICT_NOT_APPLICABLE, engine_version="0"
    )
    data = made.data(experiment, results=found, history=GetExperimentHistoryResponse(), audit=[])
    document = parsed.read(page(data))

    assert "not applicable Start it first." == document.all("p", class_="answer not-applicable")[0].text
    assert 3 == document.all("section", id="estimates")[0].text.count("No plot: Nothing was compared yet.")
    assert "The experiment has not been started" in document.all("section", id="epochs")[0].text
    assert "Nothing was checked yet." in document.all("section", id="health")[0].text
    assert "Nothing is known of changes." in document.all("section", id="audit")[0].text


def test_only_metrics_with_a_window_have_two_tables() -> None:
    """Without a window settled and exposed entities are the same, and once is enough."""
    experiment = made.experiment(metrics=2)
    experiment.metrics[1].window.CopyFrom(Duration(seconds=60))
    first, second = section(made.data(experiment), "estimates").all("article")

    assert ["All entities"] == [caption.text for caption in first.all("caption")]
    assert ["Settled entities, which decide", "All exposed so far, which decides nothing"] == [
        caption.text for caption in second.all("caption")
    ]


def test_what_was_counted_and_checked_is_said_in_words() -> None:
    """Colour alone would be lost on paper."""
    data = made.data(audit_is_cut=True)
    text = section(data, "health").text

    assert "ok sample ratio: Shares are as planned. warning late outcomes: 3 % came late." in text
    assert "cannot tell yet covariate balance: Too few entities. failed missing outcomes: Nothing from `v1`." in text
    assert "safe g of Variant 1: No breach." in text
    assert "late17Outcomes after their window." in text
    assert "unmatched" not in text
    audit = section(data, "audit").text
    assert '2026-09-21 14:13:20, ann: StartExperiment, because: go 1 field status: "draft" → unset' in audit
    assert "Older changes are left out" in audit
