"""Picture: statuses and what leads from one to the other, from the table that the server goes by."""

# ruff: noqa: INP001  # programs beside the pictures they draw, no package

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from docs.images.svg import Picture
from klero import lifecycle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docs.images.svg import Point

_SIZE = (104, 36)
_PLACES: dict[str, Point] = {
    "draft": (76, 160),
    "scheduled": (190, 70),
    "running": (300, 160),
    "paused": (330, 300),
    "draining": (480, 240),
    "stopped": (620, 160),
    "rolled_back": (760, 280),
    "archived": (870, 160),
}


@dataclass(frozen=True, slots=True)
class _Route:
    """Where an arrow runs, and where its words stand."""

    points: list[Point]
    words: Point
    anchor: str = "middle"


_ROUTES = {
    ("draft", "running"): _Route([(128, 160), (248, 160)], (188, 154)),
    ("draft", "scheduled"): _Route([(76, 142), (76, 70), (138, 70)], (82, 112), "start"),
    ("scheduled", "running"): _Route([(242, 70), (300, 70), (300, 142)], (306, 112), "start"),
    ("scheduled", "stopped"): _Route([(190, 52), (190, 34), (620, 34), (620, 142)], (420, 28)),
    ("running", "stopped"): _Route([(352, 152), (568, 152)], (460, 146)),
    ("stopped", "running"): _Route([(568, 168), (352, 168)], (460, 182)),
    ("running", "paused"): _Route([(305, 178), (305, 282)], (299, 232), "end"),
    ("paused", "running"): _Route([(325, 282), (325, 178)], (331, 270), "start"),
    ("running", "draining"): _Route([(343, 178), (343, 240), (428, 240)], (386, 234)),
    ("paused", "draining"): _Route([(382, 300), (480, 300), (480, 258)], (431, 294)),
    ("paused", "stopped"): _Route([(330, 318), (330, 342), (640, 342), (640, 178)], (485, 336)),
    ("draining", "stopped"): _Route([(532, 240), (600, 240), (600, 178)], (536, 256), "start"),
    ("rolled_back", "running"): _Route([(760, 298), (760, 368), (256, 368), (256, 178)], (485, 384)),
    ("stopped", "archived"): _Route([(672, 160), (818, 160)], (745, 154)),
    ("rolled_back", "archived"): _Route([(812, 280), (870, 280), (870, 178)], (876, 232), "start"),
}
# What an action that changes the status leads to, by status before where that matters.
LEADS_TO: dict[str, dict[str, tuple[str, ...]]] = {
    "StartExperiment": {"draft": ("scheduled", "running"), "": ("running",)},
    "PauseExperiment": {"": ("paused",)},
    "ResumeExperiment": {"": ("running",)},
    "StopExperiment": {"scheduled": ("stopped",), "draining": ("stopped",), "": ("draining", "stopped")},
    "ArchiveExperiment": {"": ("archived",)},
    "scheduled_start": {"": ("running",)},
    "scheduled_end": {"scheduled": ("stopped",), "": ("draining", "stopped")},
    lifecycle.DRAINED: {"": ("stopped",)},
    # They lead nowhere.
    "UpdateExperiment": {},
    "DeleteExperiment": {},
}
_WORDS = {
    "StartExperiment": "Start",
    "PauseExperiment": "Pause",
    "ResumeExperiment": "Resume",
    "StopExperiment": "Stop",
    "ArchiveExperiment": "Archive",
    "scheduled_start": "startAt",
    "scheduled_end": "endAt",
    lifecycle.DRAINED: "windows closed",
}


def life_cycle() -> str:
    """Boxes, and an arrow for each way from one status to another with all that leads along it."""
    picture = Picture(952, 400, "Statuses of an experiment, and the actions that lead from one to the other")
    steps = dict[tuple[str, str], list[str]]()
    for before, after, words in dict.fromkeys(_steps()):
        steps.setdefault((before, after), []).append(words)
    for way, actions in steps.items():
        route = _ROUTES[way]
        picture.arrow(route.points)
        words = "\n".join(actions) if way == ("draining", "stopped") else ", ".join(actions)
        picture.text(route.words, words, "small", route.anchor)
    reached = {after for _, after in steps} | {"draft"}
    for status, (x, y) in _PLACES.items():
        style = "control-fill" if status == "running" else "shape"
        corner = (x - _SIZE[0] / 2, y - _SIZE[1] / 2)
        picture.box(corner, _SIZE, status, style if status in reached else "open dashed", "strong")
    return picture.render()


def _steps() -> Iterator[tuple[str, str, str]]:
    """Status before, status after, and what leads there."""
    for action, statuses in lifecycle.ALLOWED.items():
        for status in statuses:
            yield from _steps_of(action, lifecycle.status_name(status), _WORDS.get(action, action))
    for action, statuses in lifecycle.ALLOWED_IMMEDIATE.items():
        for status in statuses:
            yield from _steps_of(action, lifecycle.status_name(status), f"{_WORDS.get(action, action)} at once")


def _steps_of(action: str, before: str, words: str) -> Iterator[tuple[str, str, str]]:
    by_status = LEADS_TO[action]
    for after in by_status.get(before, by_status.get("", ())):
        yield before, after, words
