# SPDX-License-Identifier: Apache-2.0
"""The part of a URL after the `?`: text in, values of the kinds that requests need out, or Refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from containeragent.containers.ranking import MOST_ROWS, SORTS, Wanted
from containeragent.errors import Refused

_DEFAULT_ROWS = 100


def parsed(environ: dict[str, Any]) -> dict[str, str]:
    """Of a WSGI request; of a key that is there twice the last."""
    try:
        found = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True, errors="strict", max_num_fields=16)
    except ValueError:
        raise Refused("EINVAL", "the query is not UTF-8, or has too many fields") from None
    return {key: values[-1] for key, values in found.items()}


@dataclass(frozen=True, kw_only=True)
class Query:
    """Of one request."""

    query: dict[str, str] = field(default_factory=dict)

    def name(self) -> str:
        """The container's name in the query."""
        if "name" not in self.query:
            raise Refused("EINVAL", "the query has no name; for example ?name=/web")
        return self.query["name"]

    def flag(self, key: str) -> bool:
        """A yes-or-no parameter of the query, no when it is missing."""
        value = self.query.get(key, "false")
        if value not in ("true", "false"):
            raise Refused("EINVAL", f"{key}={value!r} in the query is neither true nor false")
        return value == "true"

    def number(self, key: str) -> int:
        """A whole number in the query."""
        value = self.query.get(key, "")
        if not re.fullmatch("-?[0-9]{1,19}", value):
            raise Refused("EINVAL", f"{key}={value[:40]!r} in the query is not a whole number")
        return int(value)

    def most(self) -> int:
        """How many to answer with."""
        most = self.number("limit") if "limit" in self.query else _DEFAULT_ROWS
        if not 1 <= most <= MOST_ROWS:
            raise Refused("EINVAL", f"limit={most} in the query is not between 1 and {MOST_ROWS}")
        return most

    def wanted(self) -> Wanted:
        """Which containers a live view asks for."""
        sort = self.query.get("sort", SORTS[0])
        if sort not in SORTS:
            raise Refused("EINVAL", f"sort={sort[:40]!r} in the query is none of {', '.join(SORTS)}")
        text = self.query.get("filter", "")
        return Wanted(sort, self.most(), text, self.flag("tree"), self.flag("all"), self.flag("upwards"))
