# SPDX-License-Identifier: Apache-2.0
"""man_pages.py FOLDER   Write man1/containerctl.1 and man8/containeragent.8 into FOLDER, from the help texts.

The macros are those of man(7). What a help text says is taken as it is, with its examples.
"""

from __future__ import annotations

import datetime
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from containeragent import __version__
from containeragent.main import cli as containeragent
from containerctl.commands import Settings
from containerctl.main import cli as containerctl

PAGES: tuple[tuple[str, int, click.Group, str], ...] = (
    ("containerctl", 1, containerctl, "containeragent(8)"),
    ("containeragent", 8, containeragent, "containerctl(1)"),
)
_EXIT = {
    1: "0 done, 1 refused or failed, 2 wrong usage. Of run, that of the command: 128 + N for a signal N, 125 when it "
    "could not be started in a container.",
    8: "0 done, 1 refused or failed, 2 wrong usage, 3 this host does not let BPF programs count.",
}
_FILES = (
    (
        "/etc/containeragent/config.toml",
        "The configuration; every key with its default is in the one that is installed.",
    ),
    ("/etc/containeragent/containers.d/*.toml", "Containers that exist after every start."),
    ("/run/containeragent/agent.sock", "The socket of the API."),
    ("/sys/fs/bpf/containeragent", "Programs, links and maps: what counts, and the counters."),
)


_ESCAPES = {"\\": "\\e", "-": "\\-", "`": "\\(ga", "~": "\\(ti", "^": "\\(ha", "'": "\\(aq"}


def quoted(text: str) -> str:
    r"""Text that roff takes as it is: no escapes, no hyphenated options, no line that begins like a request."""
    text = "".join(_ESCAPES.get(character, character) for character in text)
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in text.split("\n"))


def _prose(text: str) -> Iterator[str]:
    """Paragraphs; those after a \b keep their lines, as click does it."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        lines = [line.rstrip() for line in paragraph.split("\n")]
        yield ".PP"
        if lines[0].strip() == "\b":
            yield ".nf"
            yield from (quoted(line) for line in lines[1:])
            yield ".fi"
        else:
            yield quoted(" ".join(line.strip() for line in lines))


def _parameters(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record:
            yield ".TP"
            yield f".B {quoted(record[0])}"
            yield quoted(" ".join(record[1].split())) or "\\&"


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    """Its usage, what it does, its options, examples."""
    yield f".B {quoted(context.command_path)}"
    yield quoted(" ".join(command.collect_usage_pieces(context)))
    yield from _prose((command.help or "").split("\f")[0])
    yield from _parameters(command, context)
    yield from _prose(command.epilog or "")


def page(name: str, section: int, group: click.Group, also: str) -> str:
    """A whole page."""
    context = click.Context(group, info_name=name, obj=Settings(), **group.context_settings)
    summary = group.get_short_help_str(200).rstrip(".")
    day = datetime.date.today().isoformat()
    lines = [f'.TH {name.upper()} {section} {day} "{name} {__version__}"', ".SH NAME", f"{name} \\- {quoted(summary)}"]
    lines += [".SH SYNOPSIS", f".B {name}", quoted(" ".join(group.collect_usage_pieces(context))), ".SH DESCRIPTION"]
    lines += [*list(_prose(group.help or ""))[1:], ".SH OPTIONS", *_parameters(group, context), ".SH COMMANDS"]
    for verb in group.list_commands(context):
        command = group.get_command(context, verb)
        assert command is not None
        below = click.Context(command, info_name=verb, parent=context, **command.context_settings)
        lines += [f".SS {quoted(verb)}", *_command(command, below)]
    lines += [".SH EXIT STATUS", quoted(_EXIT[section]), ".SH FILES"]
    for path, text in _FILES:
        lines += [".TP", f".I {quoted(path)}", quoted(text)]
    lines += [".SH SEE ALSO", re.sub(r"(\w+)\((\d)\)", r".BR \1 (\2)", also), *list(_prose(group.epilog or ""))]
    return '.\\" SPDX-License-Identifier: Apache-2.0\n' + "\n".join(lines) + "\n"


def main(folder: Path) -> None:
    """Both."""
    for name, section, group, also in PAGES:
        place = folder / f"man{section}" / f"{name}.{section}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(page(name, section, group, also), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
