"""All comparisons of some entities, corrected for one another."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from klero.analysis.compare import Compared, compare
from klero.analysis.multiplicity import benjamini_hochberg, holm
from klero.analysis.significance import significance
from klero.v1.results_pb2 import Comparison

if TYPE_CHECKING:
    from collections.abc import Sequence

    from klero.analysis.basis import Basis
    from klero.analysis.tallied import Tallied
    from klero.v1.results_pb2 import SignificanceResult


def compare_all(data: Tallied, basis: Basis) -> list[Compared]:
    """Every variant but the control for every metric: by metric, then by variant."""
    definition = basis.definition
    return [
        _doubted(
            compare(
                data.strata(definition.control.id, variant.id, metric.name),
                metric=metric,
                baseline=definition.control,
                variant=variant,
                rules=basis.rules,
            ),
            basis,
        )
        for metric in definition.metrics
        for variant in definition.variants
    ]


def _doubted(compared: Compared, basis: Basis) -> Compared:
    """Take the claim away if the metric cannot be believed."""
    doubt = basis.doubts.get(compared.metric.name, "")
    return dataclasses.replace(compared, obstacle=compared.obstacle or doubt)


def by_plan(
    compared: Sequence[Compared], basis: Basis, *, metric: str | None = None
) -> list[tuple[Compared, SignificanceResult]]:
    """Results, corrected within the primary metric and within all others, in the order of `compared`.

    The primary metric is a family of its own at full alpha, because it alone decides.

    Args:
        compared: All comparisons, or those of whole families.
        basis: What they are judged by.
        metric: Whose results are wanted. None: those of all.

    """
    adjusted: list[float | None] = [None] * len(compared)
    sizes = [1] * len(compared)
    for primary in (True, False):
        family = [index for index, each in enumerate(compared) if each.metric.primary is primary]
        if len(family) == 1 or not basis.rules.corrects:
            continue
        corrected = holm([compared[index].p_value for index in family])
        for index, p_value in zip(family, corrected, strict=True):
            adjusted[index], sizes[index] = p_value, len(family)
    return [
        (each, _significance(each, basis, p_value, family=size))
        for each, p_value, size in zip(compared, adjusted, sizes, strict=True)
        if metric is None or each.metric.name == metric
    ]


def of_dimension(compared: Sequence[Compared], basis: Basis) -> list[Comparison]:
    """Comparisons of all segments of one dimension, corrected together whatever the plan says."""
    corrected = benjamini_hochberg([each.p_value for each in compared])
    return [
        comparison(each, _significance(each, basis, p_value, family=1))
        for each, p_value in zip(compared, corrected, strict=True)
    ]


def comparison(compared: Compared, result: SignificanceResult) -> Comparison:
    """Put the names to a result."""
    return Comparison(
        variant_id=compared.variant.id,
        baseline_variant_id=compared.baseline.id,
        metric=compared.metric.name,
        result=result,
    )


def _significance(compared: Compared, basis: Basis, adjusted: float | None, *, family: int) -> SignificanceResult:
    return significance(compared, rules=basis.rules, adjusted_p_value=adjusted, family=family, caveat=basis.caveat)
