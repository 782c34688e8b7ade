"""A report read back from its HTML, by a parser that shares nothing with what wrote it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Element:
    """An element with its attributes, children and text."""

    tag: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text inside, spaces folded."""
        return " ".join("".join(self.pieces).split())

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Every element inside with this tag and these attributes, in order; `class_` is the class."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        found = []
        for child in self.children:
            if child.tag == tag and wanted.items() <= child.attributes.items():
                found.append(child)
            found += child.all(tag, **attributes)
        return found

    def attribute_names(self) -> set[str]:
        """Names of the attributes of this element and of all inside."""
        return set(self.attributes).union(*(child.attribute_names() for child in self.children))

    def numbers(self) -> list[float]:
        """The exact values of all numbers inside."""
        return [float(data.attributes["value"]) for data in self.all("data")]


class _Reader(HTMLParser):
    """Builds the tree. Elements without end are those of HTML and those written `<x/>`."""

    _VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.root = Element("root", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in self._VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.pieces.append(data)


def read(html: str) -> Element:
    """The whole document; fails unless every element is closed where it should be."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert [reader.root] == reader.open
    return reader.root
