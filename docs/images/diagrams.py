"""Pictures of how a decision is made, how iterations and epochs follow, and how entities settle."""

# ruff: noqa: INP001  # programs beside the pictures they draw, no package

from __future__ import annotations

from dataclasses import dataclass

from docs.images.svg import Picture

# Question, answer that leads out, what is given then, and its reason.
_GATES = [
    ("an id of the experiment's\nentity type?", "no", "the control", "ENTITY_MISSING"),
    ("an override for this entity?", "yes", "the variant that it names", "ENTITY_OVERRIDE"),
    ("an override for everyone?", "yes", "the variant that it names", "EXPERIMENT_OVERRIDE"),
    ("is the experiment running?", "no", "the control, or what was shipped", "NOT_STARTED, PAUSED, STOPPED, SHIPPED"),
    ("within the traffic so far?", "no", "the control", "NOT_IN_TRAFFIC"),
]


def decision() -> str:
    """Gates from top to bottom; whoever passes all of them is enrolled."""
    picture = Picture(760, 494, "The order of a decision: the gates that an entity passes, and what it gets at each")
    left, width, height, gap = 24, 236, 48, 22
    middle = left + width / 2
    picture.box((left, 16), (width, 34), "Assign: who asks?", text_style="strong")
    top: float = 50
    for question, answer, given, reason in _GATES:
        picture.arrow([(middle, top), (middle, top + gap)])
        top += gap
        picture.box((left, top), (width, height), question)
        centre = top + height / 2
        picture.arrow([(left + width, centre), (left + width + 70, centre)])
        picture.text((left + width + 30, centre - 7), answer, "small faint", "middle")
        picture.text((left + width + 80, centre - 3), given)
        picture.text((left + width + 80, centre + 14), reason, "code faint")
        top += height
    picture.arrow([(middle, top), (middle, top + gap)])
    top += gap
    picture.box((left, top), (width, height), "by hash and weights", "control-fill", "strong")
    centre = top + height / 2
    picture.arrow([(left + width, centre), (left + width + 70, centre)], "control")
    picture.text((left + width + 80, centre - 3), "one of the variants: enrolled, exposed, analysed", "strong")
    picture.text((left + width + 80, centre + 14), "SPLIT", "code faint")
    return picture.render()


def timeline() -> str:
    """Two iterations of one experiment, the first with three epochs, a pause and a drain."""
    picture = Picture(760, 236, "Iterations and epochs of an experiment on a time line")
    top, height = 78, 46
    stretches = [
        (30, 170, "control-fill", "epoch 1\n50 : 50"),
        (170, 290, "control-fill", "epoch 2\n80 : 20"),
        (290, 350, "shape", "paused"),
        (350, 450, "control-fill", "epoch 3\n80 : 20"),
        (450, 540, "shape", "draining"),
        (610, 730, "variant-fill", "epoch 1\n50 : 50"),
    ]
    picture.text((285, 28), "iteration 1", "strong control-text", "middle")
    picture.path([(30, 38), (540, 38)], "control")
    picture.text((670, 28), "iteration 2", "strong variant-text", "middle")
    picture.path([(610, 38), (730, 38)], "variant")
    for begin, end, style, words in stretches:
        picture.rectangle((begin, top), (end - begin, height), style)
        lines = words.count("\n")
        picture.text(((begin + end) / 2, top + 28 - 8 * lines), words, "small", "middle")
    picture.text((575, top + 28), "stopped", "small faint", "middle")
    events = [(30, "Start"), (170, "weights\nchange"), (290, "Pause"), (350, "Resume"), (450, "Stop"), (610, "Start")]
    for x, words in [*events, (540, "the last window\nhas closed")]:
        picture.path([(x, top - 8), (x, top + height + 8)], "ink")
        picture.text((x, top + height + 24), words, "small", "start" if x == 30 else "middle")  # noqa: PLR2004  # the edge
    picture.arrow([(20, 190), (740, 190)])
    picture.text((740, 208), "time", "small faint", "end")
    picture.text(
        (30, 222),
        "Estimates are made within each epoch, then combined. Iteration 2 begins with nothing.",
        "small faint",
    )
    return picture.render()


@dataclass(frozen=True, slots=True)
class _Entity:
    """On the time line: its exposure, and its outcomes."""

    name: str
    style: str
    exposed: int
    outcomes: tuple[int, ...]


_WINDOW = 220
_NOW = 520
_ENTITIES = [
    _Entity("u1", "control", 90, (150,)),
    _Entity("u2", "variant", 130, (210, 300, 420)),
    _Entity("u3", "control", 230, ()),
    _Entity("u4", "variant", 360, (400,)),
    _Entity("u5", "control", 440, (500,)),
]


def settling() -> str:
    """Entities with their windows: at a moment some have settled, the others are still filling."""
    picture = Picture(760, 332, "Entities settle one after the other, each when its window has closed")
    top, step = 62, 42
    bottom = top + step * len(_ENTITIES)
    for row, entity in enumerate(_ENTITIES):
        y, end = top + step * row, entity.exposed + _WINDOW
        settled = end <= _NOW
        picture.text((24, y + 4), entity.name)
        picture.rectangle(
            (entity.exposed, y - 11), (min(end, _NOW) - entity.exposed, 22), f"{entity.style}-fill", radius=4
        )
        if not settled:
            picture.rectangle((_NOW, y - 11), (end - _NOW, 22), "open dashed", radius=4)
        picture.path([(entity.exposed, y - 15), (entity.exposed, y + 15)], entity.style)
        for at in entity.outcomes:
            picture.dot((at, y), f"{entity.style}-dot" if at < end else "open")
        picture.text((736, y + 4), "settled" if settled else "open", "strong" if settled else "faint", "end")
    picture.path([(_NOW, 34), (_NOW, bottom)], "ink dashed")
    picture.text((_NOW, 26), "now", "strong", "middle")
    picture.arrow([(20, bottom), (740, bottom)])
    picture.text((740, bottom + 18), "time", "small faint", "end")
    _legend(picture, bottom + 24)
    return picture.render()


def _legend(picture: Picture, y: float) -> None:
    picture.rectangle((24, y - 8), (34, 14), "control-fill", radius=4)
    picture.text((64, y + 4), "window of an entity, from its exposure", "small")
    picture.dot((320, y - 1), "control-dot")
    picture.text((330, y + 4), "outcome that counts", "small")
    picture.dot((470, y - 1), "open")
    picture.text((480, y + 4), "outcome after the window", "small")
    words = "settled view: u1, u2 and u3, with what their windows hold; live view: all five, with what they have so far"
    picture.text((24, y + 26), words, "small faint")
