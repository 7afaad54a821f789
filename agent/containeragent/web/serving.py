# SPDX-License-Identifier: Apache-2.0
"""The server of the metrics address: plain, or as a web configuration file asks. Only then are YAML, bcrypt and TLS
loaded, which would be 2 MiB of memory for everybody else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from containeragent.api.server import Server, address_of

THREADS, QUEUE = 4, 128
Serve = Callable[[Any], Server]  # of a WSGI application


def server(address: str, web_config_file: str) -> Serve:
    """On HOST:PORT. Refused if the file is wrong; "" is none."""
    place = address_of(address)
    if not web_config_file:
        return lambda application: Server(place, application, threads=THREADS, request_queue_size=QUEUE)
    from containeragent.web import guarded

    return guarded.server(place, Path(web_config_file))
