"""A report as one HTML file that asks nobody for anything.

Text from outside is escaped by the template engine, everywhere. What the file may load is nothing: its
policy allows the one style sheet that it has inside, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from klero.definition import to_yaml
from klero.report import blocks, cells, readings
from klero.report.curves import enrolment_plot, estimate_plots
from klero.report.times import time_text
from klero.v1.results_pb2 import Verdict
from klero.words import enum_word

if TYPE_CHECKING:
    from klero.report.data import ReportData
    from klero.v1.results_pb2 import SignificanceResult

_TEMPLATES = Path(__file__).parent / "templates"
_SECTIONS = (
    ("answer", "Answer"),
    ("estimates", "Estimates"),
    ("over-time", "Over time"),
    ("enrolment", "Enrolment"),
    ("health", "Health"),
    ("epochs", "Epochs"),
    ("definition", "Definition"),
    ("audit", "Audit trail"),
)
_NO_SERVED_HISTORY = "this server keeps no history of results."
_NO_METRIC = "the experiment has no metrics."
_TOO_FEW_LOOKS = "that takes two looks with an estimate, and the history does not have them yet."
_TOO_FEW_ENROLLED = "that takes two looks with enrolled entities, and the history does not have them yet."


def page(data: ReportData) -> str:
    """Write the report: the same data gives the same bytes."""
    experiment, results = data.experiment, data.results
    metric = readings.leading_metric(experiment)
    points = [] if data.history is None else list(data.history.points)
    estimates = (
        []
        if metric is None
        else list(estimate_plots(experiment, metric, points, minimum=blocks.minimum_effect(data, metric)))
    )
    style = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        experiment=experiment,
        results=results,
        title=experiment.name or experiment.id,
        verdict=enum_word(Verdict.DESCRIPTOR, results.verdict).replace("_", " "),
        collected_at=f"{time_text(results.collected_at)} UTC",
        sections=_SECTIONS,
        facts=list(blocks.facts(data)),
        metrics=list(blocks.metric_blocks(data)),
        reading=_reading(data),
        estimates=estimates,
        why_no_history=_why_not(data, _TOO_FEW_LOOKS),
        history_metric=metric,
        history_unit="" if metric is None else readings.unit_of(metric).word,
        history_reading=_history_reading(data),
        enrolment=enrolment_plot(experiment, points),
        why_no_enrolment=_why_not(data, _TOO_FEW_ENROLLED),
        looks=list(cells.looks(experiment, metric, points)),
        variants=list(blocks.variant_rows(data)),
        health=list(blocks.health(data)),
        guardrails=list(blocks.guardrails(data)),
        counters=list(blocks.counters(data)),
        epochs=list(blocks.epoch_rows(data)),
        definition=to_yaml(experiment),
        audit=list(blocks.audit_lines(data.audit)),
        audit_is_cut=data.audit_is_cut,
        style=style,
        style_hash=f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}",
    )


def _reading(data: ReportData) -> str:
    """How to read the estimates, once for all plots."""
    if not data.results.comparisons:
        return ""
    reading = f"Drawn are differences from the control with {readings.kind_of_interval(data.results)}"
    if any(found.result.HasField("simultaneous_interval") for found in data.results.comparisons):
        reading += ", wide enough for all comparisons at once"
    if readings.is_corrected(data.results):
        reading += ". Every p is corrected for the number of comparisons"
    if any(_straddles(found.result) for found in data.results.comparisons):
        reading += ", one after the other, which can decide where an interval for all at once still includes 0"
    return f"{reading}."


def _straddles(result: SignificanceResult) -> bool:
    """Whether a decided comparison is drawn with 0 inside its interval."""
    interval = readings.shown_interval(result)
    if interval is None or not (result.significant and result.HasField("adjusted_p_value")):
        return False
    below = not interval.HasField("lower") or interval.lower <= 0
    return below and (not interval.HasField("upper") or interval.upper >= 0)


def _history_reading(data: ReportData) -> str:
    if not data.results.comparisons:
        return ""
    kind = readings.kind_of_interval(data.results)
    return f"The line is the difference, the band around it has {kind}; early looks may run out of the plot."


def _why_not(data: ReportData, too_few: str) -> str:
    if data.history is None:
        return _NO_SERVED_HISTORY
    return too_few if data.experiment.metrics or too_few is _TOO_FEW_ENROLLED else _NO_METRIC
