# SPDX-License-Identifier: Apache-2.0
"""The server of the metrics address: plain, or as a web configuration file asks. Only then are YAML, bcrypt and TLS
loaded, which would be 2 MiB of memory for everybody else.
"""

from __future__ import annotations

import functools
from pathlib import Path

from containeragent.api.server import Serve, Server, address_of

_THREADS, _QUEUE = 4, 128


def server(address: str, web_config_file: str) -> Serve:
    """On HOST:PORT. Refused if the file is wrong; "" is none."""
    place = address_of(address)
    if not web_config_file:
        return functools.partial(Server, place, threads=_THREADS, request_queue_size=_QUEUE)
    from containeragent.web import guarded

    return guarded.server(place, Path(web_config_file), threads=_THREADS, request_queue_size=_QUEUE)
