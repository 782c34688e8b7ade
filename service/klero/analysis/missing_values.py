"""Whether variants lose values alike.

A metric that leaves entities without outcome out compares those that remain; if a variant makes
more of them silent, the two groups are no longer alike, and any difference may come from that.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from klero.analysis import words
from klero.analysis.tails import Normal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from klero.analysis.strata import Stratum
    from klero.analysis.tallied import Tallied
    from klero.v1.experiment_pb2 import Experiment, Metric, Variant

ALPHA = 0.001
"""Chance that any metric of an experiment is doubted although its values are missing alike."""


def doubts(definition: Experiment, settled: Tallied) -> dict[str, str]:
    """Find the metrics whose values are missing unevenly; by name, and why, one clause.

    The share of entities without value in each variant is held against the control's, with
    Bonferroni's correction over the variants and the metrics that leave anybody out.

    Args:
        definition: What was configured.
        settled: Entities whose window has closed.

    """
    control, variants = definition.control, definition.variants
    leaving_out = [
        metric
        for metric in definition.metrics
        if any(settled.pooled(variant.id, metric.name).missing for variant in (control, *variants))
    ]
    found: dict[str, str] = {}
    for metric in leaving_out:
        for variant in variants:
            p_value = _p_value(settled.strata(control.id, variant.id, metric.name))
            if p_value <= ALPHA / (len(leaving_out) * len(variants)) and metric.name not in found:
                found[metric.name] = _clause(metric, control, variant, settled, p_value)
    return found


def _clause(metric: Metric, control: Variant, variant: Variant, settled: Tallied, p_value: float) -> str:
    shares = []
    for each in (variant, control):
        sample = settled.pooled(each.id, metric.name)
        shares.append(f"{words.percent(sample.missing / (sample.n + sample.missing))} of {words.name(each)}")
    return f"values of `{metric.name}` are missing for {shares[0]} and for {shares[1]}, {words.probability(p_value)}"


def _p_value(strata: Sequence[Stratum]) -> float:
    """Of equal shares, two-sided: the pooled z-test, its counts added up over epochs.

    Source: Cochran (1954).
    """
    excess, variance = 0.0, 0.0
    for stratum in strata:
        n0 = stratum.baseline.n + stratum.baseline.missing
        n1 = stratum.variant.n + stratum.variant.missing
        missing = stratum.baseline.missing + stratum.variant.missing
        if n0 == 0 or n1 == 0:
            continue
        share = missing / (n0 + n1)
        excess += stratum.variant.missing - n1 * share
        variance += n0 * n1 / (n0 + n1) * share * (1 - share)
    return Normal().p_value(excess / math.sqrt(variance)) if variance > 0 else 1.0
