# SPDX-License-Identifier: Apache-2.0
"""The beginning of a container's name comes in from a shell, names that the running agent knows go out."""

import re

import click

from containerctl.client import Client, Failure

_SECONDS = 0.5  # nobody waits longer for a key
_MOST = 500
# A shell would need quotes around others, and would do what stands in some of them
_PLAIN = re.compile(r"[\w./@:+%=-]+")


def container_names(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names that begin so, with the leading slash if it was typed; none when no agent answers."""
    slash = incomplete.startswith("/")
    query = {"prefix": incomplete if slash else f"/{incomplete}", "limit": _MOST}
    try:
        names: list[str] = Client(ctx.obj.socket, _SECONDS).array("GET", "/v1/names", query, str)
    except Failure:
        return []
    return [name if slash else name[1:] for name in names if _PLAIN.fullmatch(name) and (slash or name != "/")]
