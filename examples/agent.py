"""An agent that asks which prompt to use and records what came of it; it only pretends to work."""

import random

import klero

client = klero.Client()
chance = random.Random(7)  # noqa: S311  # the same at every run, on purpose

for number in range(3000):
    with client.run(f"run-{number}"):
        decision = client.assign("prompt-style", default={"instruction": "Answer the question."})
        client.record("success", chance.random() < (0.70 if decision.variant_id == "stepwise" else 0.60))
        client.record("cost_usd", chance.gauss(0.012, 0.003))
