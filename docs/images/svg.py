"""Pictures as SVG text: shapes in a few styles that suit light and dark.

A picture has colours by role and never by value, so that one place says what they are in either scheme.
"""

# ruff: noqa: INP001  # programs beside the pictures they draw, no package

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape

_STYLE = """
svg { --paper: #ffffff; --ink: #1f2328; --faint: #6e7781; --line: #8c959f; --fill: #f3f5f7;
      --control: #2563a8; --control-fill: #dcebfa; --variant: #b4531a; --variant-fill: #fbe6d8; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #16191d; --ink: #e6e9ed; --faint: #9aa3ad; --line: #77818c; --fill: #23282e;
        --control: #7db4ee; --control-fill: #1c3550; --variant: #f0a273; --variant-fill: #4a2a17; } }
text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
.small { font-size: 11.5px; } .strong { font-weight: 600; } .faint { fill: var(--faint); }
.code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 11.5px; }
.paper { fill: var(--paper); } .shape { fill: var(--fill); stroke: var(--line); }
.ink { stroke: var(--ink); } .line { stroke: var(--line); } .dashed { stroke-dasharray: 5 4; }
.grid { stroke: var(--line); opacity: 0.35; }
.control { stroke: var(--control); } .variant { stroke: var(--variant); }
.control-text { fill: var(--control); } .variant-text { fill: var(--variant); }
.control-fill { fill: var(--control-fill); stroke: var(--control); }
.variant-fill { fill: var(--variant-fill); stroke: var(--variant); }
.control-dot { fill: var(--control); } .variant-dot { fill: var(--variant); }
.open { fill: var(--paper); stroke: var(--faint); }
.stroke { fill: none; stroke-width: 1.5; } .band { stroke: none; opacity: 0.75; }
""".strip()
_LINE_HEIGHT = 16
_HEAD = 7

Point = tuple[float, float]


@dataclass(slots=True)
class Picture:
    """Shapes in the order in which they were added; the later ones lie above."""

    width: int
    height: int
    title: str
    """What it shows, for those who cannot see it."""

    _shapes: list[str] = field(default_factory=list)

    def text(self, at: Point, words: str, style: str = "", anchor: str = "start") -> None:
        """Lines of text, the first one's baseline at a point; `anchor` is `start`, `middle` or `end`."""
        for index, line in enumerate(words.split("\n")):
            x, y = at[0], at[1] + index * _LINE_HEIGHT
            attributes = f'x="{_number(x)}" y="{_number(y)}" text-anchor="{anchor}"'
            self._shapes.append(f'<text {attributes} class="{style}">{escape(line)}</text>')

    def box(self, corner: Point, size: Point, words: str = "", style: str = "shape", text_style: str = "") -> None:
        """A rectangle with its text in the middle."""
        self.rectangle(corner, size, style, radius=6)
        lines = words.count("\n") + 1
        first = corner[1] + size[1] / 2 + 4.5 - (lines - 1) * _LINE_HEIGHT / 2
        if words:
            self.text((corner[0] + size[0] / 2, first), words, text_style, "middle")

    def rectangle(self, corner: Point, size: Point, style: str, *, radius: float = 0) -> None:
        """A rectangle."""
        place = f'x="{_number(corner[0])}" y="{_number(corner[1])}" rx="{_number(radius)}"'
        extent = f'width="{_number(size[0])}" height="{_number(size[1])}"'
        self._shapes.append(f'<rect {place} {extent} class="{style}"/>')

    def dot(self, centre: Point, style: str, radius: float = 4) -> None:
        """A circle."""
        place = f'cx="{_number(centre[0])}" cy="{_number(centre[1])}" r="{_number(radius)}"'
        self._shapes.append(f'<circle {place} class="{style}"/>')

    def path(self, points: list[Point], style: str, *, closed: bool = False) -> None:
        """A line through points, or the area within them."""
        steps = " L".join(f"{_number(x)} {_number(y)}" for x, y in points)
        shape = "" if closed else " stroke"
        self._shapes.append(f'<path d="M{steps}{" Z" if closed else ""}" class="{style}{shape}"/>')

    def arrow(self, points: list[Point], style: str = "line") -> None:
        """A line through points with a head at its end."""
        self.path(points, style)
        (x0, y0), (x1, y1) = points[-2:]
        angle = math.atan2(y1 - y0, x1 - x0)
        for side in (-1, 1):
            turn = angle + math.pi + side * 0.45
            self.path(
                [(x1, y1), (x1 + _HEAD * math.cos(turn), y1 + _HEAD * math.sin(turn))], style.split(maxsplit=1)[0]
            )

    def render(self) -> str:
        """The picture as a file."""
        size = f'width="{self.width}" height="{self.height}" viewBox="0 0 {self.width} {self.height}"'
        paper = f'<rect width="{self.width}" height="{self.height}" rx="8" class="paper"/>'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>{escape(self.title)}</title>'
        return "\n".join([head, f"<style>{_STYLE}</style>", paper, *self._shapes, "</svg>", ""])


def _number(value: float) -> str:
    """One decimal, so that other machines draw the same."""
    return f"{value:.1f}".removesuffix(".0")
