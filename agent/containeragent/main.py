# SPDX-License-Identifier: Apache-2.0
"""The `containeragent` command: load, unload, run, check."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy only sums here; a pool of threads would cost memory

import click

from containeragent import __version__, config, refusal, service_manager
from containeragent.errors import HostRefused, Refused
from containeragent.events.event import printable

_FLAGS = {
    "bpffs": "Folder of pins on the BPF file system.",
    "socket": "The API's Unix socket.",
    "socket_group": "Group whose members may use the socket: read, and change what they own.",
    "metrics_address": "HOST:PORT of /metrics.",
    "web_config_file": "TLS and passwords of /metrics: a web configuration file as exporters of Prometheus have it.",
    "cgroup_root": "Cgroup that holds the managed containers.",
    "engine": "auto, tracepoint, fentry or netlink.",
    "slots": "Cgroups that can be told apart at the same time.",
    "series_cap": "Most series of containers in one scrape.",
    "metrics_min_age_seconds": "A tiny container has no metrics before it is as old as that.",
    "metrics_include": "Only cgroups whose path this regular expression (RE2) matches as a whole have metrics.",
    "metrics_exclude": "Cgroups whose path this regular expression (RE2) matches as a whole have no metrics.",
    "throttle_max_seconds": "Longest time that a container above its page limit is stopped at a time.",
    "grace_seconds": "How long the last numbers of a container that is gone are shown.",
    "rescan_percent": "Most of one core to spend on looking at pages; 0: only `containerctl audit` does.",
    "release_agent": "Program to run when nothing is left in a container that says so, with its name.",
    "definitions": "Folder of the files that define containers which exist after every start; empty: none.",
    "drift_seconds": "Seconds from one audit for the metrics to the next; 0: none.",
    "page_containers": "Containers whose last minutes the page at / of the metrics address shows; 0: no page.",
    "subsystems": "Third-party subsystems in use, in this order; all: those that are installed; none: an empty text.",
    "subsystem_seconds": "How long a call of a third-party subsystem may take.",
}
_OTHER_NAMES = {"web_config_file": ["--web.config.file"]}  # what exporters of Prometheus call it
_LOADER_FLAGS = ("bpffs", "engine", "slots")


def _flags(names: tuple[str, ...]) -> Callable[[Any], Any]:
    """The options of these configuration keys, and --config."""

    def add(command: Any) -> Any:
        for name in reversed(names):
            kind = type(getattr(config.Config(), name))
            shown = f"{_FLAGS[name]}  [default: {getattr(config.Config(), name) or 'none'}]"
            options = ["--" + name.replace("_", "-"), *_OTHER_NAMES.get(name, ())]
            command = click.option(*options, name, type=kind, default=None, help=shown)(command)
        where = f"Configuration file.  [default: {config.DEFAULT_FILE}]"
        return click.option("--config", "file", type=click.Path(path_type=Path), default=None, help=where)(command)

    return add


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="containeragent", message="%(prog)s %(version)s")
def cli() -> None:
    """Per-container resource accounting with eBPF, on cgroups.

    \b
    Examples:
      containeragent run                      load what counts, and serve
      containeragent load                     only load; counting needs no agent
      containeragent load --replace           exchange the programs after an upgrade
    """


@cli.command()
@_flags(_LOADER_FLAGS)
@click.option("--replace", is_flag=True, help="Exchange what is loaded, without a moment in which nothing counts.")
def load(file: Path | None, replace: bool, **flags: Any) -> None:
    """Compile, load and pin the BPF programs, then end.

    \b
    Example:
      containeragent load --slots 32768
    """
    from containeragent.loader import load as loader

    wanted = config.read(file, flags)
    if wanted.engine == "netlink":
        click.echo("the engine netlink has nothing to load: it counts in containeragent run")
        return
    options = loader.Options(Path(wanted.bpffs), wanted.slots, wanted.engine)
    try:
        loader.load(options, replace, click.echo)
    except HostRefused as refused:
        refusal.note(os.environ, refused.message)
        raise
    refusal.note(os.environ, None)


@cli.command()
@_flags(("bpffs",))
def unload(file: Path | None, **flags: Any) -> None:
    """Remove every pin: counting ends, counters are gone.

    \b
    Example:
      containeragent unload
    """
    from containeragent.loader import load as loader

    loader.unload(Path(config.read(file, flags).bpffs), click.echo)


@cli.command()
@_flags(tuple(_FLAGS))
def run(file: Path | None, **flags: Any) -> None:
    """Run the agent in the foreground; load first if nothing is loaded.

    \b
    Example:
      containeragent run --metrics-address 127.0.0.1:9918
    """
    from containeragent import agent

    agent.run(config.read(file, flags))


@cli.command()
@_flags(tuple(_FLAGS))
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
def check(file: Path | None, files: tuple[Path, ...], **flags: Any) -> None:
    """Read the configuration and the definitions and say all that is wrong, a line each.

    With FILES only these definition files, whoever may write them: drafts, for example.

    \b
    Examples:
      containeragent check --config ./config.toml
      containeragent check ./web.toml
    """
    from containeragent.definitions import reading

    mistakes: list[Refused] = []
    if files:
        found = reading.of_files(files, trusting=True)
    else:
        wanted, mistakes = config.examine(file, flags)
        mistakes += _mistakes_of_others(wanted)
        found = reading.of_folder(_whole(wanted.definitions))
    mistakes += found.mistakes
    for mistake in mistakes[:-1]:
        _say(mistake.message)
    if mistakes:
        raise mistakes[-1]
    what = "" if files else "the configuration is good; "
    click.echo(f"{what}defined: {reading.some(len(found.definitions))}")


def _mistakes_of_others(wanted: config.Config) -> list[Refused]:
    """In what the configuration names, but for what is no whole path, which is a mistake there already."""
    from containeragent.release import program
    from containeragent.web import reading as web

    found = []
    for value, examine in (
        (wanted.release_agent, program.check),
        (wanted.web_config_file, lambda path: web.read(Path(path))),
    ):
        try:
            if _whole(value):
                examine(value)
        except Refused as refused:
            found.append(refused)
    return found


def _whole(path: str) -> str:
    """A path that one can look at; else none."""
    return path if path.startswith("/") and "\0" not in path else ""


def main() -> None:
    """Entry point: every error is one line; 1 refused or failed, 2 wrong usage, 3 the host does not let BPF count."""
    service_manager.log_to_stderr(os.environ)
    try:
        sys.exit(cli.main(standalone_mode=False))
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "containeragent"
        _fail(f"{error.format_message()} See {command} --help.", 2)
    except Refused as error:
        _fail(error.message, error.status)
    except click.exceptions.Abort:
        sys.exit(130)


def _fail(message: str, status: int) -> None:
    _say(message)
    sys.exit(status)


def _say(message: str) -> None:
    line = printable(f"containeragent: {' '.join(message.split())}")
    if service_manager.goes_to_journal(sys.stderr, os.environ):
        line = f"<{service_manager.priority(logging.ERROR)}>{line}"
    print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
