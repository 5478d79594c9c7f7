"""What a reader's browser sees: every page, on a desk and on a phone, light and dark."""

from __future__ import annotations

import functools
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from workflow.stage import pages

ROOT = Path(__file__).resolve().parents[2]

PAGES = [f"{page}.html" for page in pages(ROOT / "_toc.yml")]
WIDE = """() => {
  const limit = document.documentElement.clientWidth;
  return [document.documentElement.scrollWidth - limit, document.body.scrollWidth - limit];
}"""
RAW = r"""() => {
  const walker = document.createTreeWalker(document.querySelector('article'), NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.parentElement.closest('pre, code, script, style, mjx-container, svg')) continue;
    if (/\$[^$]+\$|\\\(|\\\[|\{glue:/.test(node.data)) found.push(node.data.trim().slice(0, 80));
  }
  return found;
}"""
UNNAMED = """() => [
  ...[...document.querySelectorAll('article img')].filter(i => !i.alt.trim()).map(i => i.src.slice(0, 80)),
  ...[...document.querySelectorAll('article figure svg, .finding svg')].filter(
    s => s.getAttribute('role') !== 'img' || !(s.getAttribute('aria-label') || '').trim()).map(s => s.id || 'svg'),
]"""


class Page(HTMLParser):
    """Links out of a page, and the anchors in it."""

    def __init__(self, path: Path):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Collect ids, link targets and sources."""
        values = dict(attributes)
        self.anchors |= {value for key in ("id", "name") if (value := values.get(key))}
        self.links += [value for key in ("href", "src") if (value := values.get(key))]


@functools.cache
def parsed(path: Path) -> Page:
    """A page, read once: the ledger alone links to hundreds of anchors."""
    return Page(path)


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("page", PAGES)
def test_page_in_a_browser(browser, site: str, page: str, width: int) -> None:
    """No console error, no request to another host, mathematics typeset, pictures named, no sideways scrolling."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if width == 390 else "light"
    )
    try:
        tab = context.new_page()
        errors: list[str] = []
        foreign: list[str] = []
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("requestfailed", lambda request: errors.append(f"failed: {request.url[:120]}"))

        def leaves(request) -> None:
            if not request.url.startswith((site, "data:", "blob:")):
                foreign.append(request.url)

        tab.on("request", leaves)
        answer = tab.goto(f"{site}/{page}", wait_until="load")
        assert answer is not None and answer.ok
        tab.wait_for_function("() => !window.MathJax || (MathJax.startup && MathJax.startup.promise)")
        tab.evaluate("() => window.MathJax && MathJax.startup.promise.then(() => true)")
        assert not foreign, f"requests to other hosts: {foreign}"
        assert not errors, f"console: {errors}"
        assert not tab.evaluate(RAW), "raw mathematics or glue in the text"
        assert tab.locator("mjx-merror").count() == 0, "TeX that MathJax cannot read"
        assert not tab.evaluate(UNNAMED), "pictures without alternative text"
        assert max(tab.evaluate(WIDE)) <= 0, f"the page is wider than {width} px"
    finally:
        context.close()


@pytest.mark.parametrize("page", PAGES)
def test_links_resolve(html: Path, page: str) -> None:
    """Every internal link ends at a file of the book and, where it names an anchor, at that anchor."""
    start = html / page
    broken = []
    for link in parsed(start).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (start.parent / unquote(parts.path)).resolve() if parts.path else start
        if target.is_dir():
            target /= "index.html"
        if not target.is_file():
            broken.append(link)
        elif (
            parts.fragment
            and target.suffix == ".html"
            and unquote(parts.fragment) not in parsed(target.resolve()).anchors
        ):
            broken.append(link)
    assert not broken, f"{page}: {sorted(set(broken))}"


@pytest.mark.parametrize("page", PAGES)
def test_nothing_of_a_machine_is_published(html: Path, page: str) -> None:
    """No absolute path and no traceback in a page."""
    text = re.sub(r"data:[a-z/+]+;base64,[A-Za-z0-9+/=]+", "", (html / page).read_text(encoding="utf-8"))
    assert str(ROOT) not in text
    assert not re.search(r"/home/\w+/|/tmp/\w+|Traceback \(most recent", text)


def test_a_broken_page_is_seen(browser, tmp_path: Path) -> None:
    """The checks above can fail: a page with raw TeX, an unnamed picture and a wide box trips each of them."""
    path = tmp_path / "bad.html"
    path.write_text(
        "<article><p>Raw $x^2$ here.</p><img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>"
        "<div style='width: 4000px'>wide</div></article>"
    )
    tab = browser.new_page(viewport={"width": 390, "height": 800})
    tab.goto(path.as_uri())
    assert tab.evaluate(RAW)
    assert tab.evaluate(UNNAMED)
    assert max(tab.evaluate(WIDE)) > 0
    tab.close()


def test_ledger_filters(browser, site: str) -> None:
    """Filter by verdict and search by text narrow the ledger, and clearing them brings everything back."""
    tab = browser.new_page()
    tab.goto(f"{site}/book/ledger.html", wait_until="load")
    rows = tab.locator("[data-claim]:visible")
    everything = rows.count()
    assert everything > 60
    tab.locator("input[type=search]#ledger-search, #ledger-search").first.fill("A-T4.2")
    tab.wait_for_timeout(200)
    assert 0 < rows.count() < everything
    tab.locator("#ledger-search").fill("")
    tab.wait_for_timeout(200)
    assert rows.count() == everything
    tab.close()


def test_tally_opens_the_ledger_filtered(browser, site: str) -> None:
    """A number of the table of counts leads to as many rows as it says."""
    tab = browser.new_page()
    tab.goto(f"{site}/book/ledger.html", wait_until="load")
    everything = tab.locator("[data-claim]:visible").count()
    link = tab.locator(".ledger-tally tbody tr:nth-child(2) td:nth-child(2) a").first
    count = int(link.inner_text())
    assert 0 < count < everything
    link.click()
    tab.wait_for_function(f"() => document.querySelectorAll('tr[data-claim]:not([hidden])').length === {count}")
    assert "paper=A" in tab.url
    tab.close()


def test_every_theorem_is_listed_and_leads_to_its_proof(browser, site: str) -> None:
    """Contents and boxes agree, and the first link to a proof ends at a verdict box."""
    tab = browser.new_page()
    tab.goto(f"{site}/book/theorems.html", wait_until="load")
    listed = tab.locator(".theorem-contents ul ul a").count()
    assert listed == tab.locator(".theorem-box").count() > 100
    tab.goto(f"{site}/book/{tab.locator('.theorem-foot a[href*=notebooks]').first.get_attribute('href')}")
    assert tab.evaluate("() => document.getElementById(location.hash.slice(1)).classList.contains('verdict')")
    tab.close()
