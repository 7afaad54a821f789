# SPDX-License-Identifier: Apache-2.0
"""Every operation and object of the API, from the document at /openapi.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from containeragent.api.application import STATUS
from containeragent.api.openapi import document
from docs.from_code.markdown import code, table

Schema = dict[str, Any]


def text() -> str:
    """Operations, then objects, then errors."""
    described = document()
    objects = described["components"]["schemas"]
    return "\n".join(
        [
            "## Operations\n",
            *(_operation(*one) for one in _operations(described)),
            "## Objects\n",
            *(_object(name, schema) for name, schema in objects.items()),
            "## Errors\n\nThe code in an `Error`, and the HTTP status that comes with it.\n",
            table(["code", "status"], [[code(name), status] for name, status in STATUS.items()]),
        ]
    )


def _operations(described: Schema) -> Iterator[tuple[str, str, Schema]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _operation(method: str, path: str, operation: Schema) -> str:
    status, answer = next(iter(operation["responses"].items()))
    given = [
        f"`{one['name']}` ({_kind(one['schema'])}{', required' if one['required'] else ''})"
        for one in operation.get("parameters", ())
    ]
    body = operation.get("requestBody")
    lines = [
        f"### {method} {path}\n",
        f"{operation['summary']}. In generated clients: `{operation['operationId']}`.\n",
        f"- query: {', '.join(given)}" if given else "",
        f"- body: {_content(body)}" if body else "",
        f"- answer: {status}, {_content(answer)}",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _object(name: str, schema: Schema) -> str:
    about = f"{schema['description']}\n\n" if "description" in schema else ""
    required = schema.get("required", ())
    rows = [
        [code(key), _kind(value), "always" if key in required else "", value.get("description", "")]
        for key, value in schema["properties"].items()
    ]
    return f"### {name}\n\n{about}{table(['key', 'type', 'there', 'what it is'], rows)}"


def _content(holder: Schema) -> str:
    return _kind(holder["content"]["application/json"]["schema"])


def _kind(schema: Schema) -> str:
    """A schema's type, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for choice in ("oneOf", "anyOf"):
        if choice in schema and "type" not in schema:
            return " or ".join(map(_kind, schema[choice]))
    if "enum" in schema:
        return "one of " + ", ".join(code("null" if word is None else word) for word in schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if kinds == ["array"]:
        return f"list of {_kind(schema['items'])}"
    shown = " or ".join(kinds)
    return f"{shown} ({schema['format']})" if "format" in schema else shown
