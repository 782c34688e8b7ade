"""Confidence sequences against other implementations, and their promise under peeking."""

from __future__ import annotations

import re

import numpy as np
import pytest

from klero.analysis.compare import compare
from klero.analysis.rules import rules_of
from klero.analysis.sequence import Mixture, mixing_rate
from klero.v1.experiment_pb2 import Variant
from tests.analysis.known import conversions, definition, metric, stratum, values

MULTIPLIERS = [(*map(int, re.findall(r"\d+", key)), answer) for key, answer in values("sequential.multiplier").items()]


@pytest.mark.parametrize(("n", "planned", "answer"), MULTIPLIERS, ids=[f"{m[0]}-{m[1]}" for m in MULTIPLIERS])
def test_multiplier_is_that_of_other_engines(n: int, planned: int, answer: dict[str, float]) -> None:
    """People compare widths with the product they come from."""
    assert pytest.approx(answer["growthbook"], rel=1e-12) == Mixture(n, mixing_rate(0.05, planned)).multiplier(0.05)


@pytest.mark.parametrize("planned", [5000, 10000])
def test_answer_for_two_rates(planned: int) -> None:
    """The whole path from counts to interval and p-value; the other engine divides by n, not n - 1."""
    expected = values(f"sequential.prop_10k.absolute.Nstar{planned}")
    experiment = definition("t", planned=planned)
    strata = [stratum(conversions(500, 10_000), conversions(560, 10_000))]
    found = compare(
        strata, metric=metric(), baseline=Variant(id="c"), variant=Variant(id="t"), rules=rules_of(experiment)
    )

    assert found.test is not None
    bounds = found.test.difference(0.05)
    assert bounds is not None
    assert pytest.approx(expected["se"], rel=1e-4) == found.test.standard_error
    assert pytest.approx(expected["ci"], rel=1e-3) == [bounds.lower, bounds.upper]
    assert pytest.approx(expected["p_value"], rel=1e-3) == found.p_value


@pytest.mark.parametrize("alpha", [0.1, 0.05, 0.01, 0.001])
@pytest.mark.parametrize("n", [100, 5_000, 1_000_000])
def test_p_value_reaches_alpha_at_the_multiplier(n: int, alpha: float) -> None:
    """A claim and the interval that excludes 0 come at the same look, whatever the correction."""
    reference = Mixture(n, mixing_rate(0.05, 5_000))

    assert pytest.approx(alpha, rel=1e-9) == reference.p_value(reference.multiplier(alpha))


def test_p_values_never_exceed_one() -> None:
    """Without any effect the evidence points the other way."""
    assert Mixture(1_000, mixing_rate(0.05, 5_000)).p_value(0.0) == 1.0


def test_peeking_a_hundred_times_keeps_false_alarms_below_alpha() -> None:
    """Agents and people look at every moment and act on the first significant result.

    2000 experiments without effect on a rate of 10 %, two variants, 100 looks at 200 more entities
    each; the bound is .05 and the expected share about .02. A fixed 1.96 alarms in .35 of them.
    """
    generator = np.random.default_rng(20260801)
    rules = rules_of(definition("t"))
    looks, step, runs = 100, 100, 2_000
    counts = generator.binomial(step, 0.1, size=(2, runs, looks)).cumsum(axis=2)
    n = step * np.arange(1, looks + 1)
    rates = counts / n
    errors = np.sqrt((rates * (1 - rates) / (n - 1)).sum(axis=0))
    claimable = counts.sum(axis=0) / 2 >= 25
    z = np.where(claimable, np.abs(rates[1] - rates[0]) / np.where(errors > 0, errors, 1.0), 0.0)
    sequence = np.array([Mixture(2 * int(each), rules.mixing_rate).multiplier(0.05) for each in n])

    assert 0.005 < (z > sequence).any(axis=1).mean() < 0.05
    assert (z > 1.96).any(axis=1).mean() > 0.3
