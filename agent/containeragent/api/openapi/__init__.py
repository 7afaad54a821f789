# SPDX-License-Identifier: Apache-2.0
"""The API's description, served at /openapi.json (OpenAPI 3.1).

`answers` and `bodies` have what operations give and take, `operations` has the paths.
"""

from __future__ import annotations

from typing import Any

from containeragent import __version__
from containeragent.api.openapi.answers import ANSWERS
from containeragent.api.openapi.bodies import BODIES
from containeragent.api.openapi.operations import paths


def document() -> dict[str, Any]:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "containeragent",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://localhost", "description": "over the Unix socket"}],
        "paths": paths(),
        "components": {"schemas": ANSWERS | BODIES},
    }
