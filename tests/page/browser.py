# SPDX-License-Identifier: Apache-2.0
"""A real Chromium, Debian's, driven by playwright."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, Page, sync_playwright

DESKTOP, PHONE = (1280, 720), (375, 740)
_NAMES = ("chromium-headless-shell", "chromium")


def executable() -> str:
    """That of Debian's package, which make setup-test installs."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    assert found, "no chromium: make setup-test"
    return found


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """As root it has no sandbox of its own."""
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable(), args=options)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def page(browser: Browser, size: tuple[int, int] = DESKTOP, dark: bool = False) -> Iterator[Page]:
    """A window of its own; what goes wrong in it is an error here: exceptions, refused elements, requests elsewhere."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", locale="en-GB"
    )
    made, wrong = context.new_page(), list[str]()
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    try:
        yield made
        assert not wrong
    finally:
        context.close()
