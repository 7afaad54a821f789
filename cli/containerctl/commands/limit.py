# SPDX-License-Identifier: Apache-2.0
"""`containerctl limit`: limits of one container go to the agent, the container as it is then comes back."""

from typing import Any

import click

from containerctl.client import Failure
from containerctl.commands import Settings, asked_limits, command, container_name, limit_options
from containerctl.completion import container_names
from containerctl.output import emit_json


@command("limit web --task-limit 100 --page-limit 512M", "limit web --page-limit max", "limit web --kill-after 30")
@click.argument("name", type=container_name, shell_complete=container_names)
@limit_options
@click.pass_obj
def limit(settings: Settings, /, name: str, **options: Any) -> None:
    """Set limits of the container NAME; what is not named stays as it is.

    They hold over the container and everything below it. Sizes are pages (25600) or bytes with a unit (100M, 1G), in
    powers of 1024.
    """
    asked = asked_limits(options)
    if not asked:
        raise Failure("EINVAL", "no limit was given; for example --task-limit 100", status=2)
    changed = settings.client().document("POST", "/v1/container/limits", {"name": name}, asked)
    if settings.json:
        emit_json(changed)
