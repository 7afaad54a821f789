# SPDX-License-Identifier: Apache-2.0
"""Takes the pictures of the page in docs/pictures anew: `python -m tests.page.pictures URL`, of a page such as that of
tests/page/demo.py after ten minutes."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.page.browser import DESKTOP, PHONE, chromium, page as opened

FOLDER = Path(__file__).parents[2] / "docs/pictures"
# file: size, whether dark, which container's details
PICTURES = {
    "page.png": (DESKTOP, False, None),
    "page-dark.png": (DESKTOP, True, "/shop/web"),
    "page-phone.png": (PHONE, False, None),
    "page-phone-dark.png": (PHONE, True, "/ci/build-2"),
}


def main(url: str) -> None:
    """All of them."""
    FOLDER.mkdir(exist_ok=True)
    with chromium() as browser:
        for file, (size, dark, name) in PICTURES.items():
            with opened(browser, size, dark) as page:
                page.goto(url)
                page.wait_for_selector("tbody tr")
                if name:
                    page.get_by_role("button", name=name, exact=True).click()
                    page.wait_for_selector("#figures div")
                page.wait_for_timeout(1000)
                page.screenshot(path=FOLDER / file)


if __name__ == "__main__":
    main(sys.argv[1])
