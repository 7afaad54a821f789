# SPDX-License-Identifier: Apache-2.0
"""The schema of a container: the flat object of `show --json`, with a key for every counter."""

from __future__ import annotations

from dataclasses import fields

from containeragent.api.openapi.words import BOOLEAN, FRACTION, NUMBER, STRING, TEXT, WHOLE, Schema, an_object
from containeragent.containers.view import public_name
from containeragent.counters.snapshot import COUNTERS
from containeragent.counters.source import Engine
from containeragent.workloads.patterns import Workload

_VALUE: Schema = {"type": ["string", "number", "boolean", "null"]}
_HITS = ("task_limit_hits", "page_limit_hits")
_PRESENT = tuple(map(public_name, COUNTERS))
_COUNTERS = (*_PRESENT, "task_limit", "page_limit", *_HITS, "peak_tasks", "peak_pages", "forks", "exits")
_OF_DEAD: Schema = {
    "born_at": {**TEXT, "format": "date-time", "description": "only of dead ones"},
    "died_at": {"type": "string", "format": "date-time", "description": "only of dead ones"},
    "reason": {"type": "string", "description": "why it ended; only of dead ones"},
    "num_left_pages": {"type": "integer", "description": "still in use at its end; only of dead ones"},
}
_OF_ONE: Schema = {
    "page_faults": {**NUMBER, "description": "ever (memory.stat pgfault); only of one container, and in Top"},
    "attributes": {
        "type": "object",
        "description": "what subsystems add, by SUBSYSTEM.NAME; not in the list of all containers",
        "additionalProperties": _VALUE,
    },
}
_ALWAYS: Schema = {
    "name": STRING,
    "cgroup": {"type": "string", "description": "path under the cgroup2 mount"},
    "id": {"type": "integer", "description": "of the cgroup, as its inode"},
    "managed": BOOLEAN,
    "workload": {
        "type": ["object", "null"],
        "description": "whose an unmanaged cgroup is",
        "properties": {field.name: TEXT for field in fields(Workload)},
    },
    "state": {"enum": ["live", "freeing", "dead"], "description": "dead: removed; these are the last numbers"},
    "page_size": {"type": "integer", "description": "bytes"},
    "engine": {
        **an_object({field.name: STRING for field in fields(Engine)}),
        "description": "what counts tasks, and what pages",
    },
    "limit_mode": {
        **an_object({"tasks": TEXT, "pages": TEXT}),
        "description": "who holds the limits: kernel or agent",
    },
    "kill_after_seconds": {**FRACTION, "description": "above the page limit; null is never"},
    "dry_run": {"type": ["boolean", "null"], "description": "limits are not enforced, only said"},
    "notify_on_release": {"type": "boolean", "description": "of /: what new containers get"},
    "remove_on_release": BOOLEAN,
    "owner": {
        **an_object({"user": STRING, "uid": WHOLE, "container": STRING}),
        "type": ["object", "null"],
        "description": "who may do everything inside it, and the container that is his: this one, or one that it is in",
    },
    "partial_pages": {"type": "boolean", "description": "pages from before the load are missing"},
    "local": {
        **an_object(dict.fromkeys((*_PRESENT, *_HITS), NUMBER)),
        "description": "without what is below it",
    },
    **dict.fromkeys(_COUNTERS, NUMBER),
    "throttled_seconds": FRACTION,
}

CONTAINER = an_object(
    _ALWAYS | _OF_ONE | _OF_DEAD,
    required=list(_ALWAYS),
    about="A cgroup with its counters, those below included. Pages are of page_size bytes; null is unknown.",
)
