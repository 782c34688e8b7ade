"""Numbers and names as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.v1.experiment_pb2 import Metric, MetricType, Variant

if TYPE_CHECKING:
    from klero.analysis.bounds import Bounds

SIGNIFICANT_DIGITS = 3
MAX_DECIMALS = 9


def number(value: float) -> str:
    """Write three significant digits, all digits of whole thousands: `0.00573`, `18.3`, `21,307`."""
    if value == 0:
        return "0"
    # Rounded first, because rounding can add a digit: 9.999 is 10.0, not 10.00.
    magnitude = int(f"{value:.{SIGNIFICANT_DIGITS - 1}e}".partition("e")[2])
    decimals = max(0, SIGNIFICANT_DIGITS - 1 - magnitude)
    return f"{value:,.{decimals}f}" if decimals <= MAX_DECIMALS else f"{value:.{SIGNIFICANT_DIGITS}g}"


def percent(share: float) -> str:
    """Write a share as percentage: `18.3 %`."""
    return f"{number(100 * share)} %"


def probability(p_value: float) -> str:
    """`p = 0.012`; tiny ones as powers of ten."""
    smallest_shown, smallest_fixed = 1e-300, 1e-4
    if p_value < smallest_shown:
        return "p < 1e-300"
    return f"p = {number(p_value)}" if p_value >= smallest_fixed else f"p = {p_value:.1e}"


def name(variant: Variant) -> str:
    """Name the variant as people call it, in backticks."""
    return f"`{variant.name or variant.id}`"


def value_of(metric: Metric, value: float) -> str:
    """Write a value of the metric: percent for rates, else with its unit."""
    if metric.type == MetricType.METRIC_TYPE_CONVERSION:
        return percent(value)
    return f"{number(value)} {metric.unit}".rstrip()


def difference_of(metric: Metric, value: float) -> str:
    """Write a difference of two values; that of two rates is in percentage points."""
    if metric.type == MetricType.METRIC_TYPE_CONVERSION:
        return f"{number(100 * value)} percentage points"
    return value_of(metric, value)


def span(bounds: Bounds, *, scale: float = 1.0, unit: str = "") -> str:
    """Write a range: `63.1 % to 82.0 %`, `at least 3.1 %`."""
    suffix = f" {unit}".rstrip()
    lower = None if bounds.lower is None else f"{number(scale * bounds.lower)}{suffix}"
    upper = None if bounds.upper is None else f"{number(scale * bounds.upper)}{suffix}"
    if lower is None and upper is None:
        return "unbounded"
    if upper is None:
        return f"at least {lower}"
    return f"at most {upper}" if lower is None else f"{lower} to {upper}"


def listed(names: list[str]) -> str:
    """Join names: `a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
