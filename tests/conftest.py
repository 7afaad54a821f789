# SPDX-License-Identifier: Apache-2.0
"""Tests find the packages of this checkout and each other's helpers however pytest was started."""

from __future__ import annotations

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent

for _folder in ("cli", "agent", "."):
    _path = str(_ROOT / _folder)
    if _path not in sys.path:
        sys.path.insert(0, _path)
