# SPDX-License-Identifier: Apache-2.0
"""What operations take: the JSON of requests, by the names of their schemas."""

from __future__ import annotations

from containeragent.api.openapi.words import BOOLEAN, NAME, NO_MORE, STRING, TASK, Schema, an_object
from containeragent.host import users
from containeragent.limits.model import MOST_PAGES, MOST_SECONDS, MOST_TASKS

_LIMITS: Schema = {
    "task_limit": {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": MOST_TASKS},
            {"type": "string", "pattern": "^(max|[0-9]{1,6})$"},
            {"type": "null"},
        ],
        "description": "tasks; null or max: no limit",
    },
    "page_limit": {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": MOST_PAGES},
            {"type": "string", "pattern": "^(max|[1-9][0-9]{0,14}|([1-9][0-9]{2,8}K|[1-9][0-9]{0,5}[MGT])(iB)?)$"},
            {"type": "null"},
        ],
        "description": "pages, or bytes with a unit (100M), of a page at least; null or max: no limit",
    },
    "kill_after": {
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": MOST_SECONDS},
            {"type": "string", "pattern": "^(never|[0-9]{1,7}(\\.[0-9]{1,9})?)$"},
            {"type": "null"},
        ],
        "description": "seconds; null or never: not at all",
    },
    "dry_run": BOOLEAN,
}
_RELEASE: Schema = {
    "notify_on_release": {
        "type": ["boolean", "null"],
        "description": "run the release agent when nothing is left in it; of a new container null is as its parent",
    },
    "remove_on_release": {"type": ["boolean", "null"], "description": "remove it instead"},
}

_OWNER: Schema = {
    "anyOf": [STRING, {"type": "integer", "minimum": 0, "maximum": users.MOST}, {"type": "null"}],
    "description": "a user's name or number, who may do everything inside it; null: nobody",
}
_NEW: Schema = {"name": NAME, "parents": {"type": "boolean", "default": False}, "owner": _OWNER, **_LIMITS, **_RELEASE}

BODIES: Schema = {
    "NewContainer": an_object(_NEW, required=["name"]) | NO_MORE,
    "Limits": an_object(_LIMITS, required=[], about="What is not named stays.") | NO_MORE,
    "Release": {
        **an_object(_RELEASE, required=[], about="Flags; null or absent is as it is."),
        "anyOf": [{"required": [flag], "properties": {flag: BOOLEAN}} for flag in _RELEASE],
    },
    "NewName": an_object({"to": {**NAME, "description": "below the same parent", "examples": ["/web2"]}}),
    "NewOwner": an_object({"owner": _OWNER}),
    "Tasks": an_object(
        {
            "pids": {"type": "array", "minItems": 1, "items": {**TASK, "minimum": 0, "description": "0 is the caller"}},
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
