# SPDX-License-Identifier: Apache-2.0
"""man_pages.py FOLDER   Write man1/containerctl.1, man8/containeragent.8 and those of files (man5/) into FOLDER, from
the help texts, the default configuration and the keys of definition files.

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
from containeragent.definitions.format import KEYS
from containeragent.main import cli as containeragent
from containerctl.commands import Settings
from containerctl.main import cli as containerctl

PAGES: tuple[tuple[str, int, click.Group, str], ...] = (
    ("containerctl", 1, containerctl, "containeragent(8), containeragent-definitions(5)"),
    ("containeragent", 8, containeragent, "containerctl(1), containeragent-config(5), containeragent-definitions(5)"),
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
    ("/etc/containeragent/containers.d/*.toml", "Definitions of containers."),
    ("/etc/containeragent/containers.d/*.toml", "Containers that exist after every start."),
    ("/run/containeragent/agent.sock", "The socket of the API."),
    ("/sys/fs/bpf/containeragent", "Programs, links and maps: what counts, and the counters."),
)

_CONFIG = Path(__file__).parent / "systemd/config.toml"
_KEY = re.compile(r"#(\w+ = .*)")
_CONFIG_IS = (
    "A TOML file; a missing one is an empty one. A flag of the same name (--metrics-address) stands above a key. An "
    "unknown key, or a value that cannot be, is an error that names the line: containeragent check reads all."
)
_DEFINITIONS_ARE = (
    "TOML files with a table for each container. A start of the agent, and a reload, make containers that are missing "
    "and set what differs. What is not said stays as it is; a container that is defined no more stays. The files must "
    "be root's, and for nobody else to write. containerctl export prints what there is as such a file; containeragent "
    "check says what is wrong where."
)
_EXAMPLE = """[containers.web]
task_limit = 200
page_limit = "1G"
owner = "www-data"

[containers."/web/db"]
kill_after = 30
attributes = { "cpuset.cpus" = "0-1" }"""

_ESCAPES = {'"': "\\(dq", "\\": "\\e", "-": "\\-", "`": "\\(ga", "~": "\\(ti", "^": "\\(ha", "'": "\\(aq"}


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
    """Of a program."""
    context = click.Context(group, info_name=name, obj=Settings(), **group.context_settings)
    summary = group.get_short_help_str(200).rstrip(".")
    lines = [*_heading(name, section, summary), ".SH SYNOPSIS", f".B {name}"]
    lines += [quoted(" ".join(group.collect_usage_pieces(context))), ".SH DESCRIPTION"]
    lines += [*list(_prose(group.help or ""))[1:], ".SH OPTIONS", *_parameters(group, context), ".SH COMMANDS"]
    for verb in group.list_commands(context):
        command = group.get_command(context, verb)
        assert command is not None
        below = click.Context(command, info_name=verb, parent=context, **command.context_settings)
        lines += [f".SS {quoted(verb)}", *_command(command, below)]
    lines += [".SH EXIT STATUS", quoted(_EXIT[section]), ".SH FILES"]
    for path, text in _FILES:
        lines += [".TP", f".I {quoted(path)}", quoted(text)]
    return _whole([*lines, *_see_also(also), *_prose(group.epilog or "")])


def _heading(name: str, section: int, summary: str) -> list[str]:
    day = datetime.date.today().isoformat()
    title = f'.TH {name.upper()} {section} {day} "containeragent {__version__}"'
    return [title, ".SH NAME", f"{name} \\- {quoted(summary)}"]


def _see_also(pages: str) -> list[str]:
    found = re.findall(r"([\w-]+)(\(\d\))", pages)
    return [
        ".SH SEE ALSO",
        *(f".BR {quoted(name)} {section}{'' if (name, section) == found[-1] else ','}" for name, section in found),
    ]


def _whole(lines: list[str]) -> str:
    return '.\\" SPDX-License-Identifier: Apache-2.0\n' + "\n".join(lines) + "\n"


def config_page() -> str:
    """What the default configuration says of its keys."""
    _, *blocks = _CONFIG.read_text(encoding="utf-8").split("\n\n")
    lines = [*_heading("containeragent-config", 5, "configuration of containeragent"), ".SH SYNOPSIS"]
    lines += [".I /etc/containeragent/config.toml", ".SH DESCRIPTION"]
    lines += [quoted(_CONFIG_IS)]
    lines += [".SH KEYS", "With their defaults."]
    for block in blocks:
        keys = [match[1] for line in block.splitlines() if (match := _KEY.match(line))]
        words = " ".join(line.lstrip("# ") for line in block.splitlines() if not _KEY.match(line))
        lines += [".TP", "\n.TQ\n".join(f".B {quoted(key)}" for key in keys), quoted(words)]
    return _whole([*lines, *_see_also("containeragent(8), containeragent-definitions(5)")])


def definitions_page() -> str:
    """The keys of a container's table."""
    lines = [*_heading("containeragent-definitions", 5, "containers that exist after every start"), ".SH SYNOPSIS"]
    lines += [".I /etc/containeragent/containers.d/*.toml", ".SH DESCRIPTION"]
    lines += [quoted(_DEFINITIONS_ARE), ".SH KEYS"]
    for key, words in KEYS.items():
        lines += [".TP", f".B {quoted(key)}", quoted(words)]
    lines += [".SH EXAMPLE", ".nf", *map(quoted, _EXAMPLE.splitlines()), ".fi"]
    return _whole([*lines, *_see_also("containerctl(1), containeragent(8), containeragent-config(5)")])


def main(folder: Path) -> None:
    """All."""
    texts = {f"man{section}/{name}.{section}": page(name, section, group, also) for name, section, group, also in PAGES}
    texts["man5/containeragent-config.5"] = config_page()
    texts["man5/containeragent-definitions.5"] = definitions_page()
    for name, text in texts.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
