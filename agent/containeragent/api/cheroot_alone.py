# SPDX-License-Identifier: Apache-2.0
"""cheroot without OpenSSL, of which it wants to know the version, and which it can do without.

Those libraries would be 4 MiB of the agent's memory; only TLS needs them (web/guarded.py).
"""

from __future__ import annotations

import sys

_is_loaded = "ssl" in sys.modules
if not _is_loaded:
    sys.modules["ssl"] = None  # type: ignore[assignment]  # importing it is an ImportError then, which it expects
try:
    from cheroot import wsgi
    from cheroot.server import HTTPConnection, HTTPRequest
finally:
    if not _is_loaded:
        del sys.modules["ssl"]

__all__ = ["HTTPConnection", "HTTPRequest", "wsgi"]
