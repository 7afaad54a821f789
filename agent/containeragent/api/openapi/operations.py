# SPDX-License-Identifier: Apache-2.0
"""What can be asked for: the paths of the API and their methods."""

from __future__ import annotations

from containeragent.api.openapi.words import (
    BOOLEAN,
    NAME,
    STRING,
    TASK,
    WHOLE,
    Schema,
    many,
    operation,
    parameter,
    reference,
)
from containeragent.containers.ranking import MOST_ROWS, SORTS

_CONTAINER, _NAME = reference("Container"), parameter("name", NAME, required=True)
# Cgroups that others made may have any name; it is the path under the cgroup2 mount.
_ANY_NAME: Schema = {"type": "string", "minLength": 1, "description": "of a container, or the path of another cgroup"}
_MOST = parameter("limit", {"type": "integer", "minimum": 1, "maximum": MOST_ROWS})
_ALL = parameter("all", BOOLEAN)


def paths() -> Schema:
    """All of them."""
    return _of_many() | _of_one() | _of_files() | _of_tasks() | _of_the_agent()


def _of_many() -> Schema:
    everything = operation(
        "list_containers",
        "All containers; with dead, also those that are gone a short while",
        many(_CONTAINER),
        _ALL,
        parameter("dead", BOOLEAN),
    )
    top = operation(
        "list_top",
        "The first containers in an order: the most first, or names from a to z; upwards the other way round",
        reference("Top"),
        parameter("sort", {"enum": list(SORTS)}),
        parameter("upwards", BOOLEAN),
        _MOST,
        parameter("filter", STRING),
        parameter("tree", BOOLEAN),
        _ALL,
    )
    begin_with = operation(
        "list_names",
        "The first names, in order, that begin with prefix",
        many(STRING),
        parameter("prefix", STRING),
        _MOST,
        _ALL,
    )
    make = operation("create_container", "Make a container", _CONTAINER, body="NewContainer", status="201")
    return {
        "/v1/containers": {"get": everything, "post": make},
        "/v1/top": {"get": top},
        "/v1/names": {"get": begin_with},
    }


def _of_one() -> Schema:
    show = operation(
        "show_container",
        "A container, or the last gone of that name",
        _CONTAINER,
        parameter("name", _ANY_NAME, required=True),
    )
    remove = operation(
        "remove_container", "Remove a container", reference("Removed"), _NAME, parameter("recursive", BOOLEAN)
    )
    limit = operation("set_limits", "Set its limits", _CONTAINER, _NAME, body="Limits")
    attributes = operation(
        "set_attributes", "Set what subsystems add: all or none", _CONTAINER, _NAME, body="Attributes"
    )
    rename = operation("rename_container", "Give it another name", _CONTAINER, _NAME, body="NewName")
    notify = operation(
        "set_release", "What to do when nothing is left in it", reference("ReleaseFlags"), _NAME, body="Release"
    )
    own = operation("set_owner", "Give it to a user", _CONTAINER, _NAME, body="NewOwner")
    kill = operation("kill_container", "Kill all its tasks", reference("Killed"), _NAME)
    return {
        "/v1/container": {"get": show, "delete": remove},
        "/v1/container/limits": {"post": limit},
        "/v1/container/attributes": {"post": attributes},
        "/v1/container/rename": {"post": rename},
        "/v1/container/notify": {"post": notify},
        "/v1/container/owner": {"post": own},
        "/v1/container/kill": {"post": kill},
    }


def _of_files() -> Schema:
    ls = operation("list_files", "The files that are charged to it", reference("Files"), _NAME)
    add = operation(
        "add_file",
        "Charge the open file to it that comes along (unix(7), SCM_RIGHTS), cached pages too",
        reference("File"),
        _NAME,
    )
    remove = operation(
        "remove_file",
        "End the charge of the open file that comes along, or of the one that was added with this path",
        reference("RemovedFile"),
        _NAME,
        parameter("path", STRING),
    )
    return {"/v1/container/files": {"get": ls, "post": add, "delete": remove}}


def _of_tasks() -> Schema:
    tasks: Schema = {"oneOf": [many(WHOLE), reference("TaskStats")]}
    listed = operation("list_tasks", "Its task ids", tasks, _NAME, parameter("stats", BOOLEAN))
    attach = operation("attach_tasks", "Move tasks into it", reference("Attached"), _NAME, body="Tasks")
    detach = operation("detach_tasks", "Move tasks out of their containers", reference("Detached"), body="Tasks")
    which = operation("find_task", "A task's container", reference("Place"), parameter("pid", TASK, required=True))
    return {
        "/v1/container/tasks": {"get": listed, "post": attach},
        "/v1/detach": {"post": detach},
        "/v1/task": {"get": which},
    }


def _of_the_agent() -> Schema:
    events = operation(
        "list_events",
        "The newest events, newest last; with follow, those to come as lines of JSON",
        many(reference("Event")),
        parameter("container", NAME),
        parameter("since", {"type": "integer", "minimum": 0, "maximum": (1 << 63) - 1}),
        parameter("follow", BOOLEAN),
    )
    audit = operation(
        "audit", "Our counters beside the kernel's", many(reference("Audit")), parameter("name", _ANY_NAME), _ALL
    )
    export = operation("export", "The present state as a definition file", reference("Export"), parameter("name", NAME))
    return {
        "/v1/events": {"get": events},
        "/v1/audit": {"get": audit},
        "/v1/export": {"get": export},
        "/v1/subsystems": {"get": operation("list_subsystems", "The subsystems", many(reference("Subsystem")))},
        "/v1/doctor": {"get": operation("doctor", "What this host offers", reference("Doctor"))},
    }
