# SPDX-License-Identifier: Apache-2.0
"""What operations give: the JSON of answers, by the names of their schemas."""

from __future__ import annotations

from containeragent.api.openapi.container import CONTAINER
from containeragent.api.openapi.words import (
    ANYTHING,
    BOOLEAN,
    FRACTION,
    NUMBER,
    STRING,
    TEXT,
    WHOLE,
    Schema,
    an_object,
    many,
    reference,
)
from containeragent.events.event import DETAILS
from containeragent.subsystems.api import HOOKS

_TASK_SECONDS = (
    "user_seconds system_seconds cpu_delay_seconds blkio_delay_seconds swapin_delay_seconds reclaim_delay_seconds"
).split()
_TASK_BYTES = "peak_rss_bytes peak_vm_bytes read_bytes write_bytes".split()
_TIME: Schema = {"type": "string", "format": "date-time"}


def _details() -> str:
    return "; ".join(f"{kind}: {', '.join(keys)}" for kind, keys in DETAILS.items() if keys)


_AUDITED = an_object(
    {
        "counter": {"type": "string", "examples": ["num_anon_pages"]},
        "ours": NUMBER,
        "kernel": NUMBER,
        "difference": {**NUMBER, "description": "ours less the kernel's; 0 also if they met while they moved"},
        "source": {
            "enum": ["cgroup.threads", "memory.stat", "kpageflags", None],
            "description": "where the kernel's figure is from; kpageflags: from each page that is ours",
        },
        "moved_by_files": {
            **NUMBER,
            "description": "of ours, what files brought that are charged to it, less what they took: no difference",
        },
        "moving": {"type": "boolean", "description": "it changed during the look: a difference is no error"},
        "age_seconds": {
            **FRACTION,
            "description": "ours is from the last look at all pages, so long ago; null: from now",
        },
    },
    about="Tasks or pages; null is unknown.",
)

_FILE: Schema = {
    "path": {"type": "string", "description": "as it was when it was added"},
    "container": STRING,
    "device": {"type": "string", "description": "MAJOR:MINOR of its file system"},
    "inode": WHOLE,
    "cached_pages": {**NUMBER, "description": "in the page cache"},
    "removed": {"type": ["boolean", "null"], "description": "it has no name any more, but users"},
    "moved_pages": {**WHOLE, "description": "cached pages that counted elsewhere; only of one that is added"},
}

ANSWERS: Schema = {
    "Container": CONTAINER,
    "Top": an_object(
        {
            "matched": {"type": "integer", "description": "containers that the filter lets through"},
            "total": {"type": "integer", "description": "without the filter"},
            "containers": {
                **many(reference("Container")),
                "description": "in order, at most limit; with tree, then those that these are below",
            },
        }
    ),
    "Event": an_object(
        {
            "sequence": {"type": "integer", "description": "from 1 on since the agent's start"},
            "time": _TIME,
            "kind": {"enum": list(DETAILS)},
            "container": STRING,
            "cgroup": STRING,
            "message": {"type": "string", "description": "one line for people"},
            "details": {**ANYTHING, "description": "what the kind has: " + _details()},
        },
        about="Something that happened to a container. A gap before it is an event of kind lost.",
    ),
    "Audit": an_object(
        {"name": STRING, "cgroup": STRING, "managed": BOOLEAN, "counters": many(reference("AuditedCounter"))},
        about="Counters of a cgroup beside the kernel's own figures.",
    ),
    "AuditedCounter": _AUDITED,
    "Error": an_object({"error": an_object({"code": STRING, "message": STRING})}),
    "TaskStats": an_object(
        {
            "tasks": many(
                an_object(
                    {
                        "tid": WHOLE,
                        "comm": STRING,
                        **dict.fromkeys(_TASK_SECONDS, FRACTION),
                        **dict.fromkeys(_TASK_BYTES, NUMBER),
                    }
                )
            ),
            "hints": many(STRING),
        },
        about="With stats=true: what the kernel accounts for each task. null is unknown; hints say why.",
    ),
    "Subsystem": an_object(
        {
            "name": STRING,
            "built_in": BOOLEAN,
            "state": {"enum": ["on", "off", "refused"], "description": "off: it was lost too often; refused: at start"},
            "reason": {**TEXT, "description": "why it is not on"},
            "hooks": many({"enum": list(HOOKS)}),
            "failures": WHOLE,
            "attributes": {
                **many(an_object({"name": STRING, "help": STRING, "shown": BOOLEAN, "settable": BOOLEAN})),
                "description": "of the container /",
            },
        }
    ),
    "Files": an_object({"name": STRING, "page_size": WHOLE, "files": many(reference("File"))}),
    "File": an_object(_FILE, required=[key for key in _FILE if key != "moved_pages"], about="Null: not in memory."),
    "RemovedFile": an_object({"name": STRING, "path": STRING}),
    "ReleaseFlags": an_object({"name": STRING, "notify_on_release": BOOLEAN, "remove_on_release": BOOLEAN}),
    "Export": an_object(
        {
            "toml": {"type": "string", "description": "the file; the same state gives the same text"},
            "left_out": {**many(STRING), "description": "lines about what such a file cannot say"},
        },
        about="A container and all below it.",
    ),
    "Place": an_object(
        {"pid": WHOLE, "name": {**TEXT, "description": "null: it is in no container of ours"}, "cgroup": STRING},
        about="Where a task is.",
    ),
    "Removed": an_object({"removed": many(STRING)}, about="Names, in the order in which they went."),
    "Killed": an_object({"killed": {**WHOLE, "description": "processes"}}),
    "Attached": an_object({"attached": many(WHOLE)}),
    "Detached": an_object({"detached": many(WHOLE)}),
    "Doctor": {**an_object({"checks": many(reference("Check")), "version": STRING}), "additionalProperties": True},
    "Check": an_object(
        {
            "name": STRING,
            "status": {"enum": ["yes", "no", "unknown"], "description": "unknown: could not tell"},
            "detail": STRING,
            "hint": {**TEXT, "description": "what to do"},
        }
    ),
}
