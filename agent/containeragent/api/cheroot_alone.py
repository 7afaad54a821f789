# SPDX-License-Identifier: Apache-2.0
"""cheroot without OpenSSL, of which it wants to know the version, and which it can do without.

Those libraries would be 4 MiB of the agent's memory; only TLS needs them (web/guarded.py).
"""

from __future__ import annotations

import sys

sys.modules.setdefault("ssl", None)  # type: ignore[arg-type]  # importing it is an ImportError then, which it expects
try:
    from cheroot import wsgi
    from cheroot.server import HTTPConnection, HTTPRequest
finally:
    if sys.modules["ssl"] is None:
        del sys.modules["ssl"]

__all__ = ["HTTPConnection", "HTTPRequest", "wsgi"]
