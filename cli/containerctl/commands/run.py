# SPDX-License-Identifier: Apache-2.0
"""`containerctl run`: a command comes in; it runs in a container, its exit status and a report of its use go out."""

import contextlib
import errno
import os
import secrets
import signal
import sys
import time
from typing import Any, NamedTuple

import click

from containerctl.child import Child, held_signals
from containerctl.client import Client, Document, Failure
from containerctl.commands import Settings, asked_limits, command, container_name, limit_options
from containerctl.output import UNKNOWN, emit_json, escape, pages, pairs, value

NOT_STARTED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127
# Signals are held back meanwhile, so an agent that hangs must not keep Ctrl-C waiting for long.
SETUP_SECONDS = 10.0
COUNTERS = ("peak_tasks", "peak_pages", "num_anon_pages", "num_file_pages", "page_size", "forks")


class Ending(NamedTuple):
    """What the agent said after the command's end; None where it did not answer. `warning` is one line for people."""

    counters: Document | None
    killed: int | None
    warning: str | None


@command(
    "run --name build --keep -- ./configure --prefix=/usr",
    "run --task-limit 50 --page-limit 256M -- make test",
    "run --json -- sh -c 'exit 3'",
    context_settings={"allow_interspersed_args": False},
)
@click.option("--name", metavar="NAME", type=container_name, help="The container's name; invented when not given.")
@limit_options
@click.option("--keep", is_flag=True, help="Leave the container, and tasks that are left in it, alone.")
@click.argument("command_line", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def run(settings: Settings, /, name: str | None, keep: bool, command_line: tuple[str, ...], **limits: Any) -> int:
    """Run COMMAND in a container of its own, and report what it used.

    The exit status is the command's: 128+N when signal N killed it, 127 when it was not found, 126 when it could not be
    executed, 125 when it could not be started in a container.
    """
    chosen = name or f"/run-{os.getpid()}-{secrets.token_hex(2)}"
    with held_signals() as mask:
        setup = settings.client(SETUP_SECONDS)
        _create(setup, chosen, asked_limits(limits), invented=name is None)
        child = _start(setup, chosen, command_line, mask)
        started = time.monotonic()
        _release(setup, chosen, child, command_line[0])
        status = child.wait()
        wall_seconds = time.monotonic() - started
        ending = _finish(settings.client(), chosen, keep)
        report = _report(chosen, _decode(status), wall_seconds, ending, keep)
        # Nobody may be left to read it (the terminal is gone, `| head` has seen enough); the status still counts.
        with contextlib.suppress(OSError):
            _emit(settings, report, ending)
    return int(report["exit_status"])


def _create(client: Client, name: str, limits: Document, *, invented: bool) -> None:
    try:
        client.document("POST", "/v1/containers", body={"name": name, "parents": False, **limits})
    except Failure as failure:
        if invented and not failure.answered:
            # The agent may have created it and been cut off; a name that we invented is nobody else's.
            with contextlib.suppress(Failure):
                _remove(client, name)
        failure.status = NOT_STARTED
        raise


def _start(client: Client, name: str, command_line: tuple[str, ...], mask: set[int]) -> Child:
    """A child that is in the container and waits."""
    try:
        child = Child(list(command_line), mask)
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "EIO")
        raise _given_up(client, name, code, f"cannot start another process: {error.strerror}", NOT_STARTED) from error
    try:
        client.document("POST", "/v1/container/tasks", {"name": name}, {"pids": [child.pid], "move": True})
    except Failure as failure:
        child.abandon()
        raise _given_up(client, name, failure.code, failure.message, NOT_STARTED) from failure
    return child


def _release(client: Client, name: str, child: Child, program: str) -> None:
    failed = child.release()
    if failed == errno.ENOENT:
        raise _given_up(client, name, "ENOENT", f"command not found: {program}; check its spelling and PATH", NOT_FOUND)
    if failed:
        code = errno.errorcode.get(failed, "EIO")
        raise _given_up(client, name, code, f"cannot execute {program}: {os.strerror(failed)}", NOT_EXECUTABLE)


def _given_up(client: Client, name: str, code: str, message: str, status: int) -> Failure:
    """The failure to raise, after the container that we created has been removed again."""
    try:
        _remove(client, name)
    except Failure:
        message += f"; {_left_behind(name)}"
    return Failure(code, message, status=status)


def _remove(client: Client, name: str) -> None:
    try:
        client.document("DELETE", "/v1/container", {"name": name, "recursive": "true"})
    except Failure as failure:
        if failure.code != "ENOENT":
            raise


def _left_behind(name: str) -> str:
    return f"the container {name} is left behind, remove it with: containerctl rm --recursive {name}"


def _finish(client: Client, name: str, keep: bool) -> Ending:
    """Read the counters first, for killing what is left changes them."""
    counters: Document | None = None
    problem: str | None = None
    try:
        counters = client.document("GET", "/v1/container", {"name": name})
    except Failure as failure:
        if not failure.answered:
            left = "" if keep else f"; {_left_behind(name)}"
            return Ending(None, None, f"the report is missing: {failure.message}{left}")
        problem = f"the report is missing: {failure.message}"
    if keep:
        return Ending(counters, 0, problem)
    killed = None
    try:
        if counters is not None:
            killed = client.document("POST", "/v1/container/kill", {"name": name}).get("killed")
        _remove(client, name)
    except Failure as failure:
        problem = f"{problem or failure.message}; {_left_behind(name)}"
    return Ending(counters, killed, problem)


def _decode(status: int) -> tuple[int, str | None]:
    """A status of waitpid(2) as exit status and, when one killed it, the signal's name."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code, None
    try:
        return 128 - code, signal.Signals(-code).name
    except ValueError:
        # The real-time signals between SIGRTMIN and SIGRTMAX have no names.
        return 128 - code, f"SIGRTMIN+{-code - signal.SIGRTMIN}"


def _report(name: str, end: tuple[int, str | None], wall: float, ending: Ending, keep: bool) -> Document:
    counters = ending.counters or {}
    return {
        "name": name,
        "exit_status": end[0],
        "signal": end[1],
        "wall_seconds": round(wall, 6),
        **{key: counters.get(key) for key in COUNTERS},
        "killed": ending.killed,
        "kept": keep,
    }


def _emit(settings: Settings, report: Document, ending: Ending) -> None:
    if ending.warning:
        click.echo(escape(f"containerctl: warning: {' '.join(ending.warning.split())}"), err=True)
    if settings.json:
        emit_json(report)
    elif ending.counters is not None:
        click.echo(_block({**report, "partial_pages": ending.counters.get("partial_pages")}), err=True)


def _block(report: Document) -> str:
    status = str(report["exit_status"]) if report["signal"] is None else f"{report['exit_status']} ({report['signal']})"
    rows = [
        ("container", value(report["name"]) + (" (kept)" if report["kept"] else "")),
        ("wall time", f"{report['wall_seconds']:.3f} s"),
        ("exit status", status),
        ("peak tasks", value(report["peak_tasks"])),
        ("peak memory", pages(report, "peak_pages")),
        ("anon at end", pages(report, "num_anon_pages")),
        ("file at end", pages(report, "num_file_pages")),
        ("forks", value(report["forks"])),
        ("leftovers killed", UNKNOWN if report["kept"] else value(report["killed"])),
    ]
    text = pairs(rows)
    return click.style(text, dim=True) if sys.stderr.isatty() and "NO_COLOR" not in os.environ else text
