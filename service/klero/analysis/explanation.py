"""The sentence beside a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.analysis import words

if TYPE_CHECKING:
    from klero.analysis.compare import Compared, TwoSampleTest

METHODS = {
    "mee": "score test",
    "t": "Welch's t-test",
    "z": "z-test",
    "confidence_sequence": "confidence sequence",
}
"""How the method of an interval is called in a sentence."""


def explain(compared: Compared, *, adjusted_p_value: float | None, lift_is_open: bool, caveat: str) -> str:
    """Say what was found, how, and why anything is missing.

    Args:
        compared: The comparison.
        adjusted_p_value: After correction. None: none.
        lift_is_open: Whether the lift's interval is claimed, but unbounded or missing.
        caveat: What else holds against reading the p-value, one clause. Empty: nothing.

    """
    test = compared.test
    if test is None:
        return f"Not computed: a variant has {compared.gap}."
    variant = f"{words.name(compared.variant)} at {words.value_of(compared.metric, test.variant_value)}"
    baseline = f"{words.value_of(compared.metric, test.baseline_value)} for {words.name(compared.baseline)}"
    clauses = [f"{variant} against {baseline}: {_finding(compared, test, adjusted_p_value)}"]
    if lift_is_open:
        clauses.append("the lift has no end on one side or both, because the baseline cannot be told from 0")
    if compared.left_out:
        epochs = words.listed([str(epoch) for epoch in compared.left_out])
        noun = "epoch" if len(compared.left_out) == 1 else "epochs"
        clauses.append(f"{noun} {epochs} left out, where a variant has {compared.gap}")
    if caveat and compared.p_value is not None:
        clauses.append(caveat)
    return "; ".join(clauses) + "."


def _finding(compared: Compared, test: TwoSampleTest, adjusted_p_value: float | None) -> str:
    if compared.obstacle:
        return f"nothing can be claimed yet, {compared.obstacle}"
    p_value = test.p_value
    if p_value is None:
        return "no test, because values differ between the two and vary within neither"
    method = METHODS[test.difference_method]
    if adjusted_p_value is None:
        return f"{words.probability(p_value)} ({method})"
    return f"{words.probability(p_value)}, corrected {words.probability(adjusted_p_value)} ({method})"
