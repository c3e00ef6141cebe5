"""Chromium for the tests of the page, and what it is asked of a page's layout."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

DESKTOP, PHONE = (1280, 900), (375, 812)
PAPER = (688, 1016)
"""A4 in CSS pixels, without the margins of the style sheet."""

Open = Callable[..., Page]

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

BEYOND = """() => [...document.querySelectorAll("body *")]
  .filter((element) => !element.closest(".scroll, nav, .unseen"))
  .filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5)
  .map((element) => element.outerHTML.slice(0, 80))"""
"""The elements that stick out on the right of the page, but for what may be scrolled by itself."""

CUT = """() => [...document.querySelectorAll("main *")]
  .filter((element) => !element.closest("svg, .unseen") && getComputedStyle(element).overflowX !== "visible")
  .filter((element) => element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1)
  .map((element) => element.outerHTML.slice(0, 80))"""
"""The elements that hide a part of what is in them."""

FAINT = """() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const luminance = (layers) => {
    for (const color of layers) {
      context.fillStyle = color;
      context.fillRect(0, 0, 1, 1);
    }
    const linear = [...context.getImageData(0, 0, 1, 1).data].map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const style = getComputedStyle(element);
    const texts = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    const text = texts.map((node) => node.data.trim()).join("");
    if (!text || element.closest(".unseen, script") || style.visibility === "hidden" || style.fontSize === "0px") continue;
    const behind = [];
    for (let outer = element; outer; outer = outer.parentElement) behind.unshift(getComputedStyle(outer).backgroundColor);
    const ink = element instanceof SVGElement ? style.fill : style.color;
    const [dark, light] = [luminance(behind), luminance([...behind, ink])].sort((one, other) => one - other);
    if ((light + 0.05) / (dark + 0.05) < 4.5) found.push(`${text}: ${((light + 0.05) / (dark + 0.05)).toFixed(2)}`);
  }
  return found;
}"""
"""Texts whose contrast with what is behind them is below 4.5 (WCAG 2.2, 1.4.3), with that contrast."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a profile of its own: the chromium on the PATH. Skips the test without one, and fails it where the
    environment says that there must be one."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        _without("no chromium on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


def _without(what: str) -> NoReturn:
    if os.environ.get("CI") or os.environ.get("STEPLADDER_REQUIRE_CHROMIUM") == "1":
        pytest.fail(f"{what}, and CI or STEPLADDER_REQUIRE_CHROMIUM=1 asks for one")
    pytest.skip(what)


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with a page, every part of it unfolded, each with an element that it is wrong with."""
    if (found := find_spec("axe_playwright_python")) is None or found.origin is None:
        _without("no axe-playwright-python, whose axe-core looks at pages")
    page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
    page.evaluate(Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8"))
    result = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert result["passes"]
    return [f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}" for each in result["violations"]]


@contextmanager
def opener(browser: Browser, folder: Path) -> Iterator[Open]:
    """Opens the report of a folder from disk, this one where none is named; in the end, nothing but that file may have been asked
    for, and no message written."""
    contexts: list[BrowserContext] = []
    heard: list[str] = []

    def opened(size: tuple[int, int] = DESKTOP, folder: Path = folder, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        contexts.append(context)
        page = context.new_page()
        address = (folder / "report.html").as_uri()
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: heard.append(request.url) if not request.url.startswith(("data:", address)) else None)
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert heard == []
