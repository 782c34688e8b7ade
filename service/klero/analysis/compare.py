"""One variant against the control on one metric: which test applies and what it may claim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from klero.analysis.means import MeanTest, clipped, welch
from klero.analysis.moments import MIN_FOR_VARIANCE
from klero.analysis.rates import Count, ScoreTest
from klero.analysis.samples import pool
from klero.analysis.sequence import MIN_OF_EACH_KIND, Mixture
from klero.analysis.strata import Stratum, post_stratify
from klero.analysis.tails import Normal
from klero.v1.experiment_pb2 import MetricType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from klero.analysis.bounds import Bounds, Lift
    from klero.analysis.rules import Rules
    from klero.analysis.samples import Sample
    from klero.analysis.tails import Reference
    from klero.v1.experiment_pb2 import Metric, Variant


class TwoSampleTest(Protocol):
    """A test with the intervals that agree with it."""

    @property
    def baseline_value(self) -> float:
        """Mean, rate, ratio or quantile of the baseline."""

    @property
    def variant_value(self) -> float:
        """The same of the variant."""

    @property
    def effect(self) -> float:
        """Variant minus baseline."""

    @property
    def standard_error(self) -> float:
        """Of `effect`. 0: no value varies."""

    @property
    def p_value(self) -> float | None:
        """Of no difference, two-sided."""

    @property
    def reference(self) -> Reference:
        """What the statistic is held against."""

    @property
    def difference_method(self) -> str:
        """Name of the interval for `effect`."""

    @property
    def lift_method(self) -> str:
        """Name of the interval for the lift."""

    def difference(self, alpha: float) -> Bounds | None:
        """Interval of level 1 - `alpha` for `effect`."""

    def lift(self, alpha: float) -> Lift:
        """Lift with its interval of level 1 - `alpha`."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One comparison before correction for others."""

    metric: Metric
    baseline: Variant
    variant: Variant
    strata: tuple[Stratum, ...]
    """Epochs that count."""

    left_out: tuple[int, ...]
    """Epochs in which the two cannot be compared."""

    gap: str
    """What a variant has in those, one clause."""

    test: TwoSampleTest | None
    """None: no epoch counts."""

    obstacle: str
    """Why nothing may be claimed yet, one clause. Empty: claims may be made."""

    @property
    def p_value(self) -> float | None:
        """None: cannot be computed, or may not be claimed."""
        return None if self.test is None or self.obstacle else self.test.p_value


def compare(
    strata: Sequence[Stratum], *, metric: Metric, baseline: Variant, variant: Variant, rules: Rules
) -> Compared:
    """Compare two variants on one metric.

    Rates in one epoch, looked at once: the score family. Means and ratios likewise: Welch. Several
    epochs: the post-stratified difference with the normal distribution, because the entities of
    strata large enough to count make Student's correction smaller than that of its own
    approximation; quantiles always so. Sequential: the same difference with the confidence sequence.

    Args:
        strata: One per epoch, in their order; those that have no estimates are left out.
        metric: What the samples are of.
        baseline: The control.
        variant: Any other.
        rules: The plan.

    """
    used = tuple(stratum for stratum in strata if not stratum.obstacle)
    unused = [stratum for stratum in strata if stratum.entities and stratum.obstacle]
    gaps = dict.fromkeys(stratum.obstacle for stratum in unused)
    return Compared(
        metric=metric,
        baseline=baseline,
        variant=variant,
        strata=used,
        left_out=tuple(stratum.epoch for stratum in unused),
        gap=" or ".join(gaps) or f"fewer than {MIN_FOR_VARIANCE} entities",
        test=_test(used, metric=metric, rules=rules) if used else None,
        obstacle=_too_few(used, metric=metric, rules=rules) or _unsettled(used),
    )


def is_rate(metric: Metric) -> bool:
    """Whether values are shares."""
    return metric.type == MetricType.METRIC_TYPE_CONVERSION


def _test(strata: tuple[Stratum, ...], *, metric: Metric, rules: Rules) -> TwoSampleTest:
    first = strata[0]
    if len(strata) == 1 and not rules.sequential:
        if is_rate(metric):
            return ScoreTest(_count(first.baseline), _count(first.variant))
        baseline, variant = first.baseline.values.spread, first.variant.values.spread
        if baseline is not None and variant is not None:
            return welch(baseline, variant)
    entities = sum(stratum.entities for stratum in strata)
    reference = Mixture(entities, rules.mixing_rate) if rules.sequential else Normal()
    return MeanTest(*post_stratify(strata, rates=is_rate(metric)), reference)


def _count(sample: Sample) -> Count:
    return Count(sample.converted, sample.n)


def _too_few(strata: tuple[Stratum, ...], *, metric: Metric, rules: Rules) -> str:
    baseline = pool([stratum.baseline for stratum in strata])
    variant = pool([stratum.variant for stratum in strata])
    smaller = min(baseline.n, variant.n)
    if smaller < rules.min_entities:
        return f"the smaller of the two has {smaller:,} of the {rules.min_entities:,} entities that a claim needs"
    if rules.sequential and is_rate(metric):
        # Expected if both convert alike, so that a variant that never converts can be found worse.
        share = smaller / (baseline.n + variant.n)
        converted = baseline.converted + variant.converted
        rarer = share * min(converted, baseline.n + variant.n - converted)
        if rarer < MIN_OF_EACH_KIND:
            return (
                f"a variant is expected to have only {rarer:,.1f} of the {MIN_OF_EACH_KIND} entities that must have"
                " converted, and of those that must not have"
            )
    return ""


def _unsettled(strata: tuple[Stratum, ...]) -> str:
    """Values that still fill favour the variant whose outcomes come sooner."""
    samples = [sample for stratum in strata for sample in (stratum.baseline, stratum.variant)]
    unsettled = sum(sample.unsettled for sample in samples)
    if unsettled == 0:
        return ""
    entities = sum(sample.n + sample.missing for sample in samples)
    return f"still filling: {unsettled:,} of {entities:,} entities are not settled, and only settled ones decide"


def difference_bounds(compared: Compared, alpha: float) -> Bounds | None:
    """Interval of level 1 - `alpha` for the effect, within what is possible. None: none may be claimed."""
    if compared.test is None or compared.obstacle:
        return None
    bounds = compared.test.difference(alpha)
    return clipped(bounds, -1.0, 1.0) if bounds is not None and is_rate(compared.metric) else bounds
