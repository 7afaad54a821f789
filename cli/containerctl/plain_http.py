# SPDX-License-Identifier: Apache-2.0
"""http.client without OpenSSL, which it has for https alone, and which takes as long to load as the rest of it."""

import sys

sys.modules.setdefault("ssl", None)  # type: ignore[arg-type]  # importing it is an ImportError then, which it expects
try:
    from http.client import HTTPConnection, HTTPException, IncompleteRead
finally:
    if sys.modules["ssl"] is None:
        del sys.modules["ssl"]

__all__ = ["HTTPConnection", "HTTPException", "IncompleteRead"]
