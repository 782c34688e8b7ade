"""The report in a real browser: readable by everyone, at every width, and without a single request."""

from __future__ import annotations

import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

import klero.report
from klero.report.page import page
from klero.v1.experiment_service_pb2 import GetExperimentHistoryResponse
from klero.v1.results_pb2 import ExperimentResults
from tests.report import made

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

    from klero.report.data import ReportData

    Scheme = Literal["light", "dark"]

SCHEMES: tuple[Scheme, ...] = ("light", "dark")
NARROW, WIDE = 320, 1000
# WCAG 2.2 AA: text, and what is drawn.
TEXT_CONTRAST, DRAWN_CONTRAST = 4.5, 3.0
# axe-core takes long for long tables, and every look is like the last.
LOOKS = 3


def long_names() -> ReportData:
    """Every name as long as it may be, in several scripts, and intervals without bounds."""
    experiment = made.experiment(treatments=4, metrics=2, windowed=True)
    experiment.name = "A long name of an experiment " * 5
    experiment.control.name = "基準となるとても長い名前" * 6
    for variant, name in zip(
        experiment.variants, ("x" * 128, "مرحبا بالعالم", "<b>&amp;", "Ещё одно имя " * 9), strict=True
    ):
        variant.name = name
    experiment.metrics[0].name = "m" * 128
    data = made.data(experiment, history=made.history(experiment, looks=LOOKS))
    for found, ends in zip(data.results.comparisons, (["lower"], ["upper"], ["lower", "upper"]), strict=False):
        for end in ends:
            found.result.simultaneous_interval.ClearField(end)  # type: ignore[arg-type]  # `lower` or `upper`
    return data


def ordinary() -> ReportData:
    """Three variants and metrics with windows."""
    experiment = made.experiment(windowed=True)
    return made.data(experiment, history=made.history(experiment, looks=LOOKS))


def large() -> ReportData:
    """Five variants and twenty metrics."""
    experiment = made.experiment(treatments=4, metrics=20)
    return made.data(experiment, history=made.history(experiment, looks=LOOKS))


def not_started() -> ReportData:
    """Nothing but a question."""
    return made.data(results=ExperimentResults(), history=GetExperimentHistoryResponse(), audit=[])


CASES: dict[str, Callable[[], ReportData]] = {
    "ordinary": ordinary,
    "large": large,
    "no metrics": lambda: made.data(made.experiment(treatments=1, metrics=0)),
    "long names": long_names,
    "not started": not_started,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is missing - Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program)
        yield started
        started.close()


def opened(browser: Browser, path: Path, *, scheme: Scheme = "light", width: int = WIDE) -> tuple[Page, list[str]]:
    """A page with all of its details open, and the addresses that it asked for."""
    tab = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
    requests = list[str]()
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(path.as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach(element => { element.open = true })")
    return tab, requests


def written(directory: Path, html: str) -> Path:
    """A report on the disk."""
    path = directory / "report.html"
    path.write_text(html, encoding="utf-8")
    return path


@pytest.mark.parametrize(("case", "scheme"), list(product(CASES, SCHEMES)))
def test_everyone_can_read_it(browser: Browser, tmp_path: Path, case: str, scheme: Scheme) -> None:
    """axe-core finds no violation, and the file asks for nothing but itself."""
    path = written(tmp_path, page(CASES[case]()))
    tab, requests = opened(browser, path, scheme=scheme)
    found = Axe().run(tab)
    tab.close()

    assert 0 == found.violations_count, found.generate_report()
    assert [path.as_uri()] == requests


@pytest.mark.parametrize("case", CASES)
def test_it_is_as_narrow_as_the_screen(browser: Browser, tmp_path: Path, case: str) -> None:
    """On a telephone only wide tables scroll sideways, each on its own."""
    tab, _ = opened(browser, written(tmp_path, page(CASES[case]())), width=NARROW)
    widest = tab.evaluate("document.documentElement.scrollWidth")
    tab.close()

    assert NARROW == widest


def test_axe_would_find_something(browser: Browser, tmp_path: Path) -> None:
    """A check that never fails would hold nothing."""
    html = page(made.data()).replace(' lang="en"', "").replace("<h1>", "<h1 aria-hidden='false' role='rubbish'>")
    tab, _ = opened(browser, written(tmp_path, html))
    found = Axe().run(tab)
    tab.close()

    assert 2 <= found.violations_count


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """Address of a web server, and the paths that anybody asked it for."""
    paths = list[str]()

    class Listener(BaseHTTPRequestHandler):
        """Notes what is asked and has nothing."""

        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name it has there
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("policy", "expected"), [(True, set[str]()), (False, {"/a", "/b", "/c", "/d"})])
def test_what_slips_in_can_ask_nobody(
    browser: Browser, tmp_path: Path, asked: tuple[str, list[str]], *, policy: bool, expected: set[str]
) -> None:
    """Here nothing is escaped, and the policy alone holds; without it, everything is asked for."""
    address, paths = asked
    wild = (
        f"<img alt='' src='{address}/a'><style>main{{background:url({address}/b)}}</style>"
        f"<script>fetch('{address}/c')</script><iframe src='{address}/d'></iframe>"
    )
    html = page(made.data()).replace("</main>", f"{wild}</main>")
    tab, _ = opened(browser, written(tmp_path, html if policy else html.replace("Content-Security-Policy", "x")))
    tab.wait_for_timeout(300)
    tab.close()

    assert expected == set(paths)


@pytest.mark.parametrize(("case", "width"), list(product(("ordinary", "large", "long names"), (360, WIDE))))
def test_no_text_of_a_plot_lies_on_another_or_is_cut(browser: Browser, tmp_path: Path, case: str, width: int) -> None:
    """A number that is half hidden is read wrongly."""
    tab, _ = opened(browser, written(tmp_path, page(CASES[case]())), width=width)
    overlaps = tab.evaluate(
        """[...document.querySelectorAll('svg[role=img]')].flatMap(plot => {
            const frame = plot.getBoundingClientRect();
            const texts = [...plot.querySelectorAll('text')];
            const boxes = texts.map(text => [text.textContent, text.getBoundingClientRect()]);
            const cut = boxes.filter(([_, box]) =>
                box.left < frame.left - 1 || box.right > frame.right + 1
                || box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
            const upon = boxes.flatMap(([text, a], i) => boxes.slice(i + 1).filter(([_, b]) =>
                a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom
            ).map(([other]) => text + ' | ' + other));
            return [...cut.map(([text]) => text), ...upon];
        })"""
    )
    tab.close()

    assert [] == overlaps


def test_on_paper_it_is_black_on_white_and_open(browser: Browser, tmp_path: Path) -> None:
    """A dark screen prints no dark paper, and nobody can click on paper; the looks would fill it."""
    path = written(tmp_path, page(made.data()))
    tab = browser.new_page(color_scheme="dark")
    tab.goto(path.as_uri())
    shown = "document.querySelector('{} td').checkVisibility()"
    on_screen = tab.evaluate(shown.format("#estimates"))
    tab.emulate_media(media="print", color_scheme="dark")
    background, ink = tab.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )

    assert not on_screen
    assert ("rgb(255, 255, 255)", "rgb(27, 31, 36)") == (background, ink)
    assert tab.evaluate(shown.format("#estimates"))
    assert not tab.evaluate(shown.format("#over-time"))
    assert len(tab.pdf()) > 10_000
    tab.close()


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, 1 to 21."""
    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_colours_have_contrast(scheme: Scheme) -> None:
    """What axe-core does not look at: text and lines of plots."""
    assert klero.report.__file__ is not None
    style = (Path(klero.report.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{([^}]*--page[^}]*)\}", style)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[SCHEMES.index(scheme)]))
    texts = ("ink", "muted", "link", "better", "worse")
    drawn = ("accent", "warning", *(f"colour-{number}" for number in range(6)))

    assert 2 == len(blocks)
    for background in ("page", "raised"):
        assert min(contrast(colours[name], colours[background]) for name in texts) >= TEXT_CONTRAST
        assert min(contrast(colours[name], colours[background]) for name in drawn) >= DRAWN_CONTRAST
