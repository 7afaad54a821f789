# SPDX-License-Identifier: Apache-2.0
"""The description of the API has what the API has."""

from __future__ import annotations

import json
from typing import Any, cast
from unittest.mock import Mock

from openapi_spec_validator import OpenAPIV31SpecValidator

from containeragent.api.application import Application
from containeragent.api.openapi import document
from containeragent.containers.service import Containers

ITSELF = ("GET", "/openapi.json")
WITHOUT_BODY = ("/v1/container/kill", "/v1/container/files")


def described() -> dict[tuple[str, str], dict[str, Any]]:
    """Operations by method and path."""
    paths = document()["paths"]
    return {
        (method.upper(), path): operation for path, methods in paths.items() for method, operation in methods.items()
    }


def test_every_route_is_described_and_no_other() -> None:
    """The document itself may be left out."""
    routes = Application(cast(Containers, Mock()), dict)._routes
    assert set(described()) | {ITSELF} == set(routes)


def test_every_operation_says_what_it_needs() -> None:
    """A body for those that take one, a name for those of one container, and what errors look like."""
    for (method, path), operation in described().items():
        assert operation["summary"] and "default" in operation["responses"]
        assert ("requestBody" in operation) is (method == "POST" and path not in WITHOUT_BODY)
        parameters = operation.get("parameters", [])
        named = any(parameter["name"] == "name" and parameter["required"] for parameter in parameters)
        assert named is path.startswith("/v1/container/") or path == "/v1/container"


def test_every_reference_leads_somewhere() -> None:
    """And the whole is JSON."""
    text = json.dumps(document())
    schemas = document()["components"]["schemas"]
    references = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert references <= set(schemas) and "Container" in references


def test_it_is_valid() -> None:
    """By the rules of OpenAPI 3.1."""
    OpenAPIV31SpecValidator(document()).validate()


def test_every_operation_has_a_name_of_its_own() -> None:
    """Generated clients call their functions so."""
    names = [operation["operationId"] for operation in described().values()]
    assert len(set(names)) == len(names) and all(name.isidentifier() for name in names)
