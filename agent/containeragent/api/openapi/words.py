# SPDX-License-Identifier: Apache-2.0
"""What the description is made of: short ways to write the parts of an OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from containeragent.cgroups.names import CONTROLLERS

Schema = dict[str, Any]
STRING: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
ANYTHING: Schema = {"type": "object", "additionalProperties": True}
# A container's name (cgroups/names.py); JSON Schema has no word for its bytes: 255 a component, 3072 together.
_PART = rf"(?!-|\.\.?(?:/|$)|(?:cgroup|{'|'.join(sorted(CONTROLLERS))})\.)[^/\x00-\x1f\x7f-\x9f]{{1,255}}"
NAME: Schema = {"type": "string", "pattern": rf"^(?:/|/?{_PART}(?:/{_PART})*)$", "examples": ["/web/db"]}
NO_MORE: Schema = {"additionalProperties": False}
# A task id (PID_MAX_LIMIT is below).
TASK: Schema = {"type": "integer", "minimum": 1, "maximum": (1 << 31) - 1}
# Unknown is null.
NUMBER: Schema = {"type": ["integer", "null"]}
FRACTION: Schema = {"type": ["number", "null"]}
TEXT: Schema = {"type": ["string", "null"]}


def reference(name: str) -> Schema:
    """A schema of components."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(items: Schema) -> Schema:
    """A list of them."""
    return {"type": "array", "items": items}


def an_object(properties: Schema, *, required: Sequence[str] | None = None, about: str = "") -> Schema:
    """An object; without `required`, all of it is always there."""
    made: Schema = {"type": "object", "properties": properties}
    needed = list(properties) if required is None else list(required)
    return made | ({"required": needed} if needed else {}) | ({"description": about} if about else {})


def parameter(name: str, schema: Schema, required: bool = False) -> Schema:
    """One of the query."""
    return {"name": name, "in": "query", "required": required, "schema": schema}


def operation(
    name: str, summary: str, answer: Schema, *parameters: Schema, body: str = "", status: str = "200"
) -> Schema:
    """One method of a path; generated clients call it `name`."""
    made: Schema = {
        "operationId": name,
        "summary": summary,
        "responses": {
            status: {"description": summary, "content": _content(answer)},
            "default": {"description": "refused, or failed", "content": _content(reference("Error"))},
        },
    }
    if parameters:
        made["parameters"] = list(parameters)
    if body:
        made["requestBody"] = {"required": True, "content": _content(reference(body))}
    return made


def _content(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}
