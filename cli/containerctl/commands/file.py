# SPDX-License-Identifier: Apache-2.0
"""`containerctl file`: open files that the caller can read go to the agent; what is charged to a container is shown."""

import errno
import os
import stat
from collections.abc import Callable
from typing import Any

import click

from containerctl.client import Client, Document, Failure
from containerctl.commands import HELP_OPTIONS, Settings, command, container_name, json_option
from containerctl.completion import container_names
from containerctl.output import UNKNOWN, emit_json, size, value
from containerctl.tables import table

TIMEOUT_SECONDS = 300.0  # it walks over all cached pages of the file

name_argument = click.argument("name", type=container_name, shell_complete=container_names)
paths_argument = click.argument("paths", type=click.Path(readable=False), metavar="PATH...", nargs=-1, required=True)


@click.group(
    context_settings=HELP_OPTIONS,
    epilog="\b\nExamples:\n  containerctl file add libs /usr/lib/x86_64-linux-gnu/libc.so.6\n"
    "  containerctl file ls libs\n  containerctl file rm libs /usr/lib/x86_64-linux-gnu/libc.so.6",
)
@json_option
def file() -> None:
    """Say to which container the pages of a file are charged, whoever touches them first."""


@command("file add libs /usr/lib/x86_64-linux-gnu/libc.so.6", "file add data /srv/table.db /srv/table.idx")
@name_argument
@paths_argument
@click.pass_obj
def add(settings: Settings, name: str, paths: tuple[str, ...]) -> None:
    """Charge the pages of files to the container NAME, those that are cached already too.

    It holds for the file, whatever its name, until it is removed here, the container is, or the file is no more.
    Limits and memory.stat of the kernel go on counting by who touched a page first.
    """
    client = settings.client(TIMEOUT_SECONDS)
    added = [_with_open(path, lambda opened: _add(client, name, opened)) for path in paths]
    if settings.json:
        emit_json(added)


def _add(client: Client, name: str, opened: int) -> Document:
    return client.document("POST", "/v1/container/files", {"name": name}, descriptor=opened)


@command("file rm libs /usr/lib/x86_64-linux-gnu/libc.so.6")
@name_argument
@paths_argument
@click.pass_obj
def rm(settings: Settings, name: str, paths: tuple[str, ...]) -> None:
    """End the charge of files to the container NAME.

    Whoever touches a page of it first pays from then on; pages that are cached stay with the container until they
    leave the cache. Of a file that is no more, or has another name, give the path that `file ls` shows.
    """
    client, removed = settings.client(), []
    for path in paths:
        query = {"name": name, "path": os.path.abspath(path)}
        try:
            opened = _opened(path)
        except Failure:
            removed.append(client.document("DELETE", "/v1/container/files", query))
            continue
        try:
            removed.append(client.document("DELETE", "/v1/container/files", query, descriptor=opened))
        finally:
            os.close(opened)
    if settings.json:
        emit_json(removed)


@command("file ls libs", "file ls libs --json | jq '.files[].path'")
@name_argument
@click.pass_obj
def ls(settings: Settings, name: str) -> None:
    """List the files that are charged to the container NAME, and what of them is in the page cache.

    NAME and what is below it may have pages of other files too: `show` has num_files.
    """
    found = settings.client(TIMEOUT_SECONDS).document("GET", "/v1/container/files", {"name": name})
    if settings.json:
        emit_json(found)
        return
    rows = [_row(one, found.get("page_size")) for one in found.get("files") or []]
    table(("PATH", "CACHED", "DEVICE", "INODE", "NOTE"), rows, frozenset(("CACHED", "DEVICE", "INODE")))


def _row(one: dict[str, Any], page_size: object) -> list[str]:
    pages = one.get("cached_pages")
    cached = size(pages * page_size) if isinstance(pages, int) and isinstance(page_size, int) else UNKNOWN
    note = {True: "removed, in use", None: "not in memory"}.get(one.get("removed"), "")
    return [str(one.get("path")), cached, value(one.get("device")), value(one.get("inode")), note]


def _opened(path: str) -> int:
    """A descriptor to hand over. What is no regular file is not opened: to open a device may do something."""
    try:
        named = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(named).st_mode):
            return named
        try:
            return os.open(f"/proc/self/fd/{named}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(named)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Failure(_code(error), f"file {path} cannot be opened: {reason}") from error


def _code(error: OSError) -> str:
    return errno.errorcode.get(error.errno or errno.EIO, "EIO")


def _with_open(path: str, use: Callable[[int], Document]) -> Document:
    opened = _opened(path)
    try:
        return use(opened)
    finally:
        os.close(opened)


for subcommand in (add, rm, ls):
    file.add_command(subcommand)
