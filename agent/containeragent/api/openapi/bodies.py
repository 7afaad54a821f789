# SPDX-License-Identifier: Apache-2.0
"""What operations take: the JSON of requests, by the names of their schemas."""

from __future__ import annotations

from containeragent.api.openapi.words import BOOLEAN, STRING, WHOLE, Schema, an_object

_LIMITS: Schema = {
    "task_limit": {"type": ["integer", "string", "null"], "description": "tasks; null or max: no limit"},
    "page_limit": {
        "type": ["integer", "string", "null"],
        "description": "pages, or bytes with a unit (100M); null or max: no limit",
    },
    "kill_after": {"type": ["number", "string", "null"], "description": "seconds; null or never: not at all"},
    "dry_run": BOOLEAN,
}
_RELEASE: Schema = {
    "notify_on_release": {
        "type": ["boolean", "null"],
        "description": "run the release agent when nothing is left in it; of a new container null is as its parent",
    },
    "remove_on_release": {"type": ["boolean", "null"], "description": "remove it instead"},
}

BODIES: Schema = {
    "NewContainer": an_object(
        {"name": STRING, "parents": {"type": "boolean", "default": False}, **_LIMITS, **_RELEASE}, required=["name"]
    ),
    "Limits": an_object(_LIMITS, required=[], about="What is not named stays."),
    "Release": an_object(_RELEASE, required=[], about="Flags; null or absent is as it is."),
    "NewName": an_object({"to": {"type": "string", "description": "below the same parent", "examples": ["/web2"]}}),
    "Tasks": an_object(
        {
            "pids": {"type": "array", "minItems": 1, "items": WHOLE},
            "move": {
                "type": "boolean",
                "default": True,
                "description": "false: refuse a task that is in another container",
            },
        },
        required=["pids"],
    ),
    "Attributes": an_object(
        {
            "attributes": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": STRING,
                "examples": [{"cpuset.cpus": "0-1"}],
            }
        }
    ),
}
