# SPDX-License-Identifier: Apache-2.0
"""The page at / of the metrics address, and the JSON that it shows; everything else is the metrics'.

In: HTTP requests. Out: one HTML document with nothing from elsewhere in it, as its Content-Security-Policy demands,
and documents of page/rows.py. It only reads.
"""

from __future__ import annotations

import base64
import functools
import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from containeragent.api.application import STATUS
from containeragent.api.query import Query, parsed
from containeragent.errors import Refused
from containeragent.page.rows import Rows

log = logging.getLogger(__name__)

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Headers = list[tuple[str, str]]

_COMMON: Headers = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
_FOLDER = Path(__file__).parent / "web"
_PARTS = ("page.html", "page.css", "text.js", "charts.js", "table.js", "detail.js", "main.js")
_OWN = ("/", "/live/top", "/live/container")


def _hash(text: str) -> str:
    """As the policy names an inline element."""
    import hashlib  # brings OpenSSL's library along: 3 MiB, which who never opens the page need not have

    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class Site:
    """A WSGI application."""

    def __init__(self, metrics: Wsgi, rows: Rows) -> None:
        html, style, *scripts = (_FOLDER.joinpath(name).read_text("utf-8") for name in _PARTS)
        script = "".join(scripts)
        self._page = html.replace("/*STYLE*/", style, 1).replace("/*SCRIPT*/", script, 1).encode()
        self._policy = functools.cache(lambda: _policy(style, script))
        self._metrics = metrics
        self._rows = rows

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path not in _OWN:
            return self._metrics(environ, start_response)
        if method not in ("GET", "HEAD"):
            status, kind, body = "405 Method Not Allowed", "text/plain", b"only GET and HEAD\n"
        elif path == "/":
            status, kind, body = "200 OK", "text/html; charset=utf-8", self._page
        else:
            status, body = self._answer(path, environ)
            kind = "application/json"
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store"), *_COMMON]
        if path == "/":
            headers.append(("Content-Security-Policy", self._policy()))
        start_response(status, headers)
        return [b"" if method == "HEAD" else body]

    def _answer(self, path: str, environ: dict[str, Any]) -> tuple[str, bytes]:
        status = "200 OK"
        try:
            document = self._document(path, Query(query=parsed(environ)))
        except Refused as error:
            status = STATUS.get(error.code, "500 Internal Server Error")
            document = {"error": {"code": error.code, "message": error.message}}
        except Exception:
            log.exception("%s failed", path)
            status, document = "500 Internal Server Error", {"error": {"code": "EIO", "message": "see the agent's log"}}
        return status, json.dumps(document, separators=(",", ":")).encode()

    def _document(self, path: str, query: Query) -> Any:
        return self._rows.top(query.wanted()) if path == "/live/top" else self._rows.one(query.number("id"))
