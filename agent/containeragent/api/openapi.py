# SPDX-License-Identifier: Apache-2.0
"""The API's description, served at /openapi.json (OpenAPI 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from containeragent import __version__
from containeragent.containers.ranking import SORTS
from containeragent.events.event import DETAILS
from containeragent.subsystems.api import HOOKS
from containeragent.workloads.patterns import Workload

_NUMBER = {"type": ["integer", "null"]}
_VALUE = {"type": ["string", "number", "boolean", "null"]}
_FRACTION = {"type": ["number", "null"]}
_COUNTERS = (
    "num_tasks num_anon_pages num_file_pages num_shmem_pages num_mapped_pages num_active_pages num_files task_limit "
    "page_limit task_limit_hits page_limit_hits peak_tasks peak_pages forks exits"
).split()
_TASK_SECONDS = (
    "user_seconds system_seconds cpu_delay_seconds blkio_delay_seconds swapin_delay_seconds reclaim_delay_seconds"
).split()
_TASK_BYTES = "peak_rss_bytes peak_vm_bytes read_bytes write_bytes".split()


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _details() -> str:
    return "; ".join(f"{kind}: {', '.join(keys)}" for kind, keys in DETAILS.items() if keys)


_LIMITS = {
    "task_limit": {"type": ["integer", "string", "null"], "description": "tasks; null or max: no limit"},
    "page_limit": {
        "type": ["integer", "string", "null"],
        "description": "pages, or bytes with a unit (100M); null or max: no limit",
    },
    "kill_after": {"type": ["number", "string", "null"], "description": "seconds; null or never: not at all"},
    "dry_run": {"type": "boolean"},
}
_RELEASE = {
    "notify_on_release": {
        "type": ["boolean", "null"],
        "description": "run the release agent when nothing is left in it; of a new container null is as its parent",
    },
    "remove_on_release": {"type": ["boolean", "null"], "description": "remove it instead"},
}

_SCHEMAS: dict[str, Any] = {
    "Container": {
        "type": "object",
        "description": "A cgroup with its counters. Pages are of page_size bytes; null is unknown.",
        "properties": {
            "name": {"type": "string"},
            "cgroup": {"type": "string", "description": "path under the cgroup2 mount"},
            "id": {"type": "integer"},
            "managed": {"type": "boolean"},
            "workload": {
                "type": ["object", "null"],
                "description": "whose an unmanaged cgroup is: " + ", ".join(field.name for field in fields(Workload)),
            },
            "state": {"enum": ["live", "freeing", "dead"], "description": "dead: removed; these are the last numbers"},
            "page_size": {"type": "integer"},
            "engine": {"type": "object"},
            "limit_mode": {"type": "object"},
            "kill_after_seconds": {**_FRACTION, "description": "above the page limit; null is never"},
            "dry_run": {"type": ["boolean", "null"], "description": "limits are not enforced, only said"},
            "notify_on_release": {"type": "boolean", "description": "of /: what new containers get"},
            "remove_on_release": {"type": "boolean"},
            "partial_pages": {"type": "boolean", "description": "pages from before the load are missing"},
            "local": {"type": "object"},
            "page_faults": {**_NUMBER, "description": "ever (memory.stat pgfault); only of one container, and in Top"},
            "attributes": {
                "type": "object",
                "description": "what subsystems add, by SUBSYSTEM.NAME; not in the list of all containers",
                "additionalProperties": _VALUE,
            },
            "born_at": {"type": ["string", "null"], "format": "date-time", "description": "only of dead ones"},
            "died_at": {"type": "string", "format": "date-time", "description": "only of dead ones"},
            "reason": {"type": "string", "description": "why it ended; only of dead ones"},
            "num_left_pages": {"type": "integer", "description": "still in use at its end; only of dead ones"},
            **dict.fromkeys(_COUNTERS, _NUMBER),
            "throttled_seconds": _FRACTION,
        },
        "required": ["name", "cgroup", "id", "page_size", "num_tasks"],
    },
    "Top": {
        "type": "object",
        "properties": {
            "matched": {"type": "integer", "description": "containers that the filter lets through"},
            "total": {"type": "integer", "description": "without the filter"},
            "containers": {
                "type": "array",
                "description": "in order, at most limit; with tree, then those that these are below",
                "items": _reference("Container"),
            },
        },
        "required": ["matched", "total", "containers"],
    },
    "Event": {
        "type": "object",
        "description": "Something that happened to a container. A gap before it is an event of kind lost.",
        "properties": {
            "sequence": {"type": "integer", "description": "from 1 on since the agent's start"},
            "time": {"type": "string", "format": "date-time"},
            "kind": {"enum": list(DETAILS)},
            "container": {"type": "string"},
            "cgroup": {"type": "string"},
            "message": {"type": "string", "description": "one line for people"},
            "details": {"type": "object", "description": "what the kind has: " + _details()},
        },
        "required": ["sequence", "time", "kind", "container", "cgroup", "message", "details"],
    },
    "Audit": {
        "type": "object",
        "description": "Counters of a cgroup beside the kernel's own figures.",
        "properties": {
            "name": {"type": "string"},
            "cgroup": {"type": "string"},
            "managed": {"type": "boolean"},
            "counters": {"type": "array", "items": _reference("AuditedCounter")},
        },
        "required": ["name", "cgroup", "managed", "counters"],
    },
    "AuditedCounter": {
        "type": "object",
        "description": "Tasks or pages; null is unknown.",
        "properties": {
            "counter": {"type": "string", "examples": ["num_anon_pages"]},
            "ours": _NUMBER,
            "kernel": _NUMBER,
            "difference": {**_NUMBER, "description": "ours less the kernel's; 0 also if they met while they moved"},
            "source": {
                "enum": ["cgroup.threads", "memory.stat", "kpageflags", None],
                "description": "where the kernel's figure is from; kpageflags: from each page that is ours",
            },
            "moving": {"type": "boolean", "description": "it changed during the look: a difference is no error"},
            "age_seconds": {
                "type": ["number", "null"],
                "description": "ours is from the last look at all pages, so long ago; null: from now",
            },
        },
    },
    "Error": {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
                "required": ["code", "message"],
            }
        },
        "required": ["error"],
    },
    "Tasks": {
        "type": "object",
        "properties": {
            "pids": {"type": "array", "minItems": 1, "items": {"type": "integer"}},
            "move": {"type": "boolean", "default": True},
        },
        "required": ["pids"],
    },
    "TaskStats": {
        "type": "object",
        "description": "With stats=true: what the kernel accounts for each task. null is unknown; hints say why.",
        "properties": {
            "tasks": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "tid": {"type": "integer"},
                        "comm": {"type": "string"},
                        **dict.fromkeys(_TASK_SECONDS, _FRACTION),
                        **dict.fromkeys(_TASK_BYTES, _NUMBER),
                    },
                },
            },
            "hints": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["tasks", "hints"],
    },
    "Attributes": {
        "type": "object",
        "properties": {
            "attributes": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"type": "string"},
                "examples": [{"cpuset.cpus": "0-1"}],
            }
        },
        "required": ["attributes"],
    },
    "Subsystem": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "built_in": {"type": "boolean"},
            "state": {"enum": ["on", "off", "refused"], "description": "off: it was lost too often; refused: at start"},
            "reason": {"type": ["string", "null"], "description": "why it is not on"},
            "hooks": {"type": "array", "items": {"enum": list(HOOKS)}},
            "failures": {"type": "integer"},
            "attributes": {
                "type": "array",
                "description": "of the container /",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "help": {"type": "string"},
                        "shown": {"type": "boolean"},
                        "settable": {"type": "boolean"},
                    },
                },
            },
        },
        "required": ["name", "built_in", "state", "reason", "hooks", "failures", "attributes"],
    },
    "NewContainer": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "parents": {"type": "boolean", "default": False},
            **_LIMITS,
            **_RELEASE,
        },
        "required": ["name"],
    },
    "Limits": {"type": "object", "properties": _LIMITS},
    "NewName": {
        "type": "object",
        "properties": {"to": {"type": "string", "description": "below the same parent", "examples": ["/web2"]}},
        "required": ["to"],
    },
    "Release": {"type": "object", "description": "Flags; null or absent is as it is.", "properties": _RELEASE},
}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _parameter(name: str, kind: str, required: bool) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": {"type": kind}}


def _choice(name: str, words: Sequence[str]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": {"enum": list(words)}}


def _operation(
    summary: str, answer: dict[str, Any], *parameters: dict[str, Any], body: str = "", status: str = "200"
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {
            status: {"description": summary, "content": _content(answer)},
            "default": {"description": "refused, or failed", "content": _content(_reference("Error"))},
        },
    }
    if parameters:
        operation["parameters"] = list(parameters)
    if body:
        operation["requestBody"] = {"required": True, "content": _content(_reference(body))}
    return operation


def document() -> dict[str, Any]:
    """The whole description."""
    container, anything = _reference("Container"), {"type": "object"}
    name = _parameter("name", "string", True)
    ids = {"type": "array", "items": {"type": "integer"}}
    tasks = {"oneOf": [ids, _reference("TaskStats")]}
    many = {"type": "array", "items": container}
    return {
        "openapi": "3.1.0",
        "info": {"title": "containeragent", "version": __version__},
        "paths": {
            "/v1/containers": {
                "get": _operation(
                    "All containers; with dead, also those that are gone a short while",
                    many,
                    _parameter("all", "boolean", False),
                    _parameter("dead", "boolean", False),
                ),
                "post": _operation("Make a container", container, body="NewContainer", status="201"),
            },
            "/v1/top": {
                "get": _operation(
                    "The first containers in an order: the most first, or names from a to z",
                    _reference("Top"),
                    _choice("sort", SORTS),
                    _parameter("limit", "integer", False),
                    _parameter("filter", "string", False),
                    _parameter("tree", "boolean", False),
                    _parameter("all", "boolean", False),
                )
            },
            "/v1/names": {
                "get": _operation(
                    "The first names, in order, that begin with prefix",
                    {"type": "array", "items": {"type": "string"}},
                    _parameter("prefix", "string", False),
                    _parameter("limit", "integer", False),
                    _parameter("all", "boolean", False),
                )
            },
            "/v1/container": {
                "get": _operation("A container, or the last gone of that name", container, name),
                "delete": _operation("Remove a container", anything, name, _parameter("recursive", "boolean", False)),
            },
            "/v1/container/tasks": {
                "get": _operation("Its task ids", tasks, name, _parameter("stats", "boolean", False)),
                "post": _operation("Move tasks into it", anything, name, body="Tasks"),
            },
            "/v1/container/limits": {"post": _operation("Set its limits", container, name, body="Limits")},
            "/v1/container/attributes": {
                "post": _operation("Set what subsystems add: all or none", container, name, body="Attributes")
            },
            "/v1/subsystems": {
                "get": _operation("The subsystems", {"type": "array", "items": _reference("Subsystem")})
            },
            "/v1/container/rename": {"post": _operation("Give it another name", container, name, body="NewName")},
            "/v1/container/notify": {
                "post": _operation("What to do when nothing is left in it", _reference("Release"), name, body="Release")
            },
            "/v1/container/kill": {"post": _operation("Kill all its tasks", anything, name)},
            "/v1/detach": {"post": _operation("Move tasks out of their containers", anything, body="Tasks")},
            "/v1/task": {"get": _operation("A task's container", anything, _parameter("pid", "integer", True))},
            "/v1/events": {
                "get": _operation(
                    "The newest events, newest last; with follow, those to come as lines of JSON",
                    {"type": "array", "items": _reference("Event")},
                    _parameter("container", "string", False),
                    _parameter("since", "integer", False),
                    _parameter("follow", "boolean", False),
                )
            },
            "/v1/audit": {
                "get": _operation(
                    "Our counters beside the kernel's",
                    {"type": "array", "items": _reference("Audit")},
                    _parameter("name", "string", False),
                    _parameter("all", "boolean", False),
                )
            },
            "/v1/doctor": {"get": _operation("What this host offers", anything)},
        },
        "components": {"schemas": _SCHEMAS},
    }
