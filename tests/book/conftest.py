"""A built book, served on this machine, and a browser to open it in."""

from __future__ import annotations

import functools
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def missing(what: str) -> None:
    """Skip and say so on a user's machine; fail where the browser tests are required."""
    if os.environ.get("MMFUSION_REQUIRE_BROWSER"):
        pytest.fail(f"{what}, and MMFUSION_REQUIRE_BROWSER is set")
    pytest.skip(what)


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the built book: the smoke preview, or the one that MMFUSION_BOOK names."""
    folder = Path(os.environ.get("MMFUSION_BOOK", ROOT / "_build/smoke/preview"))
    if not (folder / "index.html").is_file():
        missing(f"no built book in {folder}; make one with: make preview")
    return folder


class Quiet(SimpleHTTPRequestHandler):
    """A file server that keeps its log to itself."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def site(html: Path) -> Iterator[str]:
    """The address of the served book."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(html)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium."""
    api = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        missing("no Chromium on this machine; the browser tests need one (Debian: apt install chromium)")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()
