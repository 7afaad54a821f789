# SPDX-License-Identifier: Apache-2.0
"""How Sphinx builds these pages; what is said of commands, keys, metrics, API and events comes from the code.

Where a page has a line `<!-- from the code: NAME -->`, the text of docs/from_code/NAME.py takes its place.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "agent"), str(ROOT / "cli")]

from containeragent import __version__  # noqa: E402

project, release = "containeragent", __version__
extensions = ["myst_parser"]
exclude_patterns = ["from_code"]
nitpicky = True
myst_heading_anchors = 3
html_theme, html_title = "furo", f"containeragent {__version__}"
html_show_copyright = html_copy_source = False


def _fill(_app: Any, _page: str, source: list[str]) -> None:
    def text(marker: re.Match[str]) -> str:
        return str(importlib.import_module(f"docs.from_code.{marker[1]}").text())

    source[0] = re.sub(r"^<!-- from the code: (\w+) -->$", text, source[0], flags=re.MULTILINE)


def setup(app: Any) -> None:
    """Sphinx calls it."""
    app.connect("source-read", _fill)
