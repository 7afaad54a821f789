# SPDX-License-Identifier: Apache-2.0
"""http.client without OpenSSL, which it has for https alone, and which takes as long to load as the rest of it."""

import sys

_is_loaded = "ssl" in sys.modules
if not _is_loaded:
    sys.modules["ssl"] = None  # type: ignore[assignment]  # importing it is an ImportError then, which it expects
try:
    from http.client import HTTPConnection, HTTPException, IncompleteRead
finally:
    if not _is_loaded:
        del sys.modules["ssl"]

__all__ = ["HTTPConnection", "HTTPException", "IncompleteRead"]
